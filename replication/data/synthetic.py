"""Problems in which it is known which weights are idle: does a score find them, and does accuracy drop where they end?

An idle weight costs nothing to prune. There are two kinds, and they ask different things of a score. A *dead* weight
has no gradient: it never moves and may stand anywhere. A *noise_only* weight is best at zero, but has a gradient in
every mini-batch, so it moves like a needed one.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import skip_init

from ccprune._util.checks import at_least

KINDS = ("dead", "noise_only")
STARTS = ("near", "scratch")

# Students that start near their teacher: spread of their weights about its, relative to each tensor's own size.
_NEAR = 0.3


@dataclass(frozen=True, eq=False)
class Problem:
    """A regression whose best weights, and which of them are idle, are known. Data and weights are float64.

    Attributes
    ----------
    model : nn.Module
        Where training starts; train a copy.
    optimum : nn.Module
        The same network with the best weights.
    x, y : Tensor (n, inputs), (n, outputs)
    idle : {name: bool Tensor}
        True for the weights that can all be set to zero in `optimum` and leave the loss as it is, while setting any
        other weight to zero raises it.
    """

    model: nn.Module
    optimum: nn.Module
    x: Tensor
    y: Tensor
    idle: dict[str, Tensor]

    @property
    def idle_fraction(self) -> float:
        """Share of prunable weights that is idle: the sparsity at which accuracy should begin to drop."""
        return float(torch.cat([value.flatten() for value in self.idle.values()]).double().mean())

    @staticmethod
    def loss(output: Tensor, target: Tensor) -> Tensor:
        """Half the squared error, summed over outputs (n, outputs), averaged over examples."""
        return 0.5 * (output - target).square().sum(-1).mean()

    def explained(self, model: nn.Module) -> float:
        """Accuracy of a model as R^2: 1 without error, 0 if no better than an output of zero."""
        with torch.no_grad():
            return 1.0 - float(self.loss(model(self.x), self.y) / self.loss(torch.zeros_like(self.y), self.y))


def idle_quadratic(
    size: int,
    idle: int,
    *,
    kind: Literal["dead", "noise_only"],
    spread: float = 1.0,
    noise: float = 0.5,
    samples: int = 1024,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Problem:
    """Linear regression with the loss 1/2 sum_k h_k (theta_k - theta*_k)^2 + noise^2 / 2, exactly, on all the data.

    Inputs are orthogonal to each other and to the label noise, so the weights do not interact; mini-batches bring the
    noise back. Needed weights have theta* = +-1, so removing weight k alone costs h_k / 2. The model, one linear layer
    without bias ("weight", shape (1, size)), starts from N(0, 1).

    Parameters
    ----------
    size, idle
        Weights, and how many of them are idle, at random places.
    kind
        "dead": the input is always 0 (h = 0; theta* is put to 0). "noise_only": theta* = 0 at an input like the others.
    spread
        Curvatures h of inputs that are not dead are log-uniform between 1 / spread and 1. With 1 all needed weights
        are needed alike, and a score that finds the idle ones makes accuracy drop with a corner. With more, a score
        that also finds the least needed of the needed bends the corner round.
    noise
        Standard deviation of the label noise.
    samples
        More than `size`.
    seed, device
        Same seed, same problem on every device.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    at_least(1, size=size, samples=samples)
    _check_within("idle", idle, size)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    if not 1 <= spread < float("inf"):
        raise ValueError(f"spread must be at least 1 and finite, got {spread!r}")
    _check_noise(noise)
    if samples <= size:
        raise ValueError(f"samples must exceed size ({size}), got {samples}")
    generator = Generator().manual_seed(seed)
    is_idle = torch.zeros(size, dtype=torch.bool)
    is_idle[torch.randperm(size, generator=generator)[:idle]] = True
    curvature = spread ** -torch.rand(size, generator=generator, dtype=torch.float64)
    if kind == "dead":
        curvature[is_idle] = 0.0
    best = _signs((1, size), generator).masked_fill(is_idle, 0.0)
    columns = torch.linalg.qr(_normal((samples, size + 1), generator))[0] * samples**0.5  # mean squares of 1
    x = columns[:, :size] * curvature.sqrt()
    y = x @ best.T + noise * columns[:, size:]
    start = _normal((1, size), generator)
    return _problem(_linear(start), _linear(best), x, y, {"weight": is_idle[None]}, device)


def teacher_network(
    inputs: int,
    hidden: int,
    idle_units: int,
    outputs: int,
    *,
    start: Literal["near", "scratch"],
    noise: float = 0.1,
    samples: int = 1024,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Problem:
    """A student of a random ReLU network of its own size, some hidden units of which nobody reads.

    Both are linear ("0.weight"), ReLU, linear ("2.weight"), without biases. All weights of an idle unit are idle: its
    outgoing ones are 0 in the teacher, so its incoming ones have no effect. `optimum` is the teacher, the best network
    for endless data; inputs are standard normal.

    Parameters
    ----------
    inputs, hidden, idle_units, outputs
        Sizes; `idle_units` of the `hidden` units are idle, at random places.
    start
        "near": the teacher's weights plus 30% of normal noise; `idle` then holds weight by weight. "scratch": fresh
        weights; units have no names, and only `idle_fraction` is known of a student trained from there.
    noise
        Standard deviation of the label noise over that of the teacher's outputs.
    samples, seed, device
        Examples; same seed, same problem on every device.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    at_least(1, inputs=inputs, hidden=hidden, outputs=outputs, samples=samples)
    _check_within("idle_units", idle_units, hidden)
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}")
    _check_noise(noise)
    generator = Generator().manual_seed(seed)
    is_idle = torch.zeros(hidden, dtype=torch.bool)
    is_idle[torch.randperm(hidden, generator=generator)[:idle_units]] = True
    # Scaled so that pre-activations and outputs have variances of about 1.
    best = [
        _away_from_zero((hidden, inputs), generator) / inputs**0.5,
        _away_from_zero((outputs, hidden), generator) * (2 / (hidden - idle_units)) ** 0.5,
    ]
    begin = [_normal(value.shape, generator) * value.square().mean().sqrt() for value in best]
    best[1][:, is_idle] = 0.0
    if start == "near":
        begin = [value + _NEAR * fresh for value, fresh in zip(best, begin, strict=True)]
    student, teacher = (nn.Sequential(_linear(a), nn.ReLU(), _linear(b)) for a, b in (begin, best))
    x = _normal((samples, inputs), generator)
    with torch.no_grad():
        y = teacher(x)
    y = y + noise * y.square().mean().sqrt() * _normal(y.shape, generator)
    idle = {"0.weight": is_idle[:, None].expand(-1, inputs).clone(), "2.weight": is_idle.expand(outputs, -1).clone()}
    return _problem(student, teacher, x, y, idle, device)


def _problem(
    model: nn.Module, optimum: nn.Module, x: Tensor, y: Tensor, idle: dict, device: str | torch.device
) -> Problem:
    idle = {name: value.to(device) for name, value in idle.items()}
    return Problem(model.to(device), optimum.to(device), x.to(device), y.to(device), idle)


def _linear(weight: Tensor) -> nn.Linear:
    # skip_init: nn.Linear's own initialisation would draw from the global generator.
    layer = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data.copy_(weight)
    return layer


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _signs(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.float64) * 2 - 1


def _away_from_zero(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Weights of either sign, absolute values uniform in [0.5, 1.5]: none is needed only a little."""
    return (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5) * _signs(shape, generator)


def _check_within(name: str, count: int, total: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < total:
        raise ValueError(f"{name} must be an integer in 0..{total - 1}, got {count!r}")


def _check_noise(noise: float) -> None:
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise must be finite and not negative, got {noise!r}")
