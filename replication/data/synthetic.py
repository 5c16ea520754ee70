"""Planted problems whose idle weights are known, for tests of scores and of the sparsity at which accuracy drops.

Pruning an idle weight does not change the loss. There are two kinds, which are difficult for different scores. A *dead*
weight has no gradient, so it never changes and may have any value. A *noise_only* weight is zero at the optimum but has
a gradient in every mini-batch, so it changes like a needed weight.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import skip_init

from ccprune._util.checks import require_at_least

KINDS = ("dead", "noise_only")
STARTS = ("near", "scratch")

# Spread of a student's weights about its teacher's for the start "near", relative to each tensor's root mean square.
_NEAR = 0.3


@dataclass(frozen=True, eq=False)
class Problem:
    """Regression problem whose best weights and idle weights are known. Data and weights are float64.

    Attributes
    ----------
    model : nn.Module
        Initial network. Train a copy of it.
    optimum : nn.Module
        The same network with the best weights.
    x, y : Tensor (n, inputs), (n, outputs)
        Data.
    idle : mapping of parameter name to bool Tensor
        True for the idle weights. Setting all of them to zero in `optimum` does not change the loss. Setting any other
        weight to zero raises it.
    """

    model: nn.Module
    optimum: nn.Module
    x: Tensor
    y: Tensor
    idle: dict[str, Tensor]

    @property
    def idle_fraction(self) -> float:
        """Fraction of prunable weights that is idle, which is the sparsity above which accuracy should drop."""
        return float(torch.cat([value.flatten() for value in self.idle.values()]).double().mean())

    @staticmethod
    def loss(output: Tensor, target: Tensor) -> Tensor:
        """Return half the squared error, summed over outputs and averaged over examples.

        Parameters
        ----------
        output, target : Tensor (n, outputs)
            Outputs of a model, and the data's.

        Returns
        -------
        Tensor ()
        """
        return 0.5 * (output - target).square().sum(-1).mean()

    def r_squared(self, model: nn.Module) -> float:
        """Return R2 of a model.

        Parameters
        ----------
        model : Module
            The model.

        Returns
        -------
        float
            1 without error, 0 for the error of a constant output of zero.
        """
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
    """Make a linear regression whose loss on all data is 1/2 sum_k h_k (theta_k - theta*_k)^2 + noise^2 / 2.

    The inputs are orthogonal to each other and to the label noise, so the weights do not interact. Only mini-batches
    have noisy gradients. Needed weights have theta* = +-1, so pruning weight k alone raises the loss by h_k / 2. The
    model is one linear layer without bias ("weight", shape (1, size)) with initial weights from N(0, 1).

    Parameters
    ----------
    size : int
        Number of weights.
    idle : int
        Number of idle weights, at random positions, below `size`.
    kind : str
        "dead" (the input is always 0, so h = 0; theta* is set to 0) or "noise_only" (theta* = 0 at an ordinary input).
    spread : float, default 1.0
        Curvatures h of the inputs that are not dead are log-uniform between 1 / spread and 1. With 1 all needed weights
        are equally important, and under a score that ranks the idle weights first, accuracy drops at a corner. With
        larger values, a score that also ranks the needed weights correctly smooths the corner.
    noise : float, default 0.5
        Standard deviation of the label noise.
    samples : int, default 1024
        Number of examples, above `size`.
    seed : int, default 0
        The same seed gives the same problem on every device.
    device : str or device, default "cpu"
        Device of data and weights.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    require_at_least(1, size=size, samples=samples)
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
    """Make a student of a random ReLU network of the same size, some of whose hidden units are idle.

    Both networks are linear ("0.weight"), ReLU, linear ("2.weight"), without biases. All weights of an idle unit are
    idle: its outgoing weights are 0 in the teacher, so its incoming weights have no effect. `optimum` is the teacher,
    which is the best network for infinite data. The inputs are standard normal.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Numbers of units.
    idle_units : int
        Number of idle hidden units, at random positions, below `hidden`.
    start : str
        Initial weights of the student. "near" is the teacher's weights plus 30% of normal noise; `idle` is then valid
        for each weight. "scratch" is random weights; the order of the units is then arbitrary, and only `idle_fraction`
        is known of a trained student.
    noise : float, default 0.1
        Standard deviation of the label noise, relative to the root mean square of the teacher's outputs.
    samples : int, default 1024
        Number of examples.
    seed : int, default 0
        The same seed gives the same problem on every device.
    device : str or device, default "cpu"
        Device of data and weights.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    require_at_least(1, inputs=inputs, hidden=hidden, outputs=outputs, samples=samples)
    _check_within("idle_units", idle_units, hidden)
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}")
    _check_noise(noise)
    generator = Generator().manual_seed(seed)
    is_idle = torch.zeros(hidden, dtype=torch.bool)
    is_idle[torch.randperm(hidden, generator=generator)[:idle_units]] = True
    # The scale gives pre-activations and outputs variances of about 1.
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
    # skip_init, because the initialisation of nn.Linear draws from the global generator.
    layer = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data.copy_(weight)
    return layer


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _signs(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=generator, dtype=torch.float64) * 2 - 1


def _away_from_zero(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Return weights of random sign with absolute values uniform in [0.5, 1.5], so that none is nearly idle."""
    return (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5) * _signs(shape, generator)


def _check_within(name: str, count: int, total: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < total:
        raise ValueError(f"{name} must be an integer in 0..{total - 1}, got {count!r}")


def _check_noise(noise: float) -> None:
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise must be finite and not negative, got {noise!r}")
