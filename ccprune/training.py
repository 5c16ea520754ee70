"""Mini-batch training of torch models with `recording.Recorder` and `mask.Mask`."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ccprune._util.checks import require_at_least
from ccprune._util.inputs import call, count_samples, map_tensors, mean_loss, rows
from ccprune._util.modes import eval_mode, kept_buffers
from ccprune.mask import Mask

Batches = Callable[[int], Iterable[tuple[Any, Any]]]
Loss = Callable[[Any, Any], Tensor]


class StepRecorder(Protocol):
    """Interface that `fit` calls at every step: a `recording.Recorder`, or several as one `criteria.Recording`."""

    pairing: str

    def before_step(self, loss: Tensor) -> None:
        """Record the loss before the optimiser's step."""

    def after_step(self, loss: Tensor) -> None:
        """Record the loss of the same mini-batch after the step, with pairing "same_batch"."""

    def restart(self) -> None:
        """Restart after the weights were changed by something other than the optimiser's step."""


@dataclass(frozen=True)
class History:
    """Result of `fit`.

    Attributes
    ----------
    loss : tuple of float
        Mean training loss of each epoch, with the weights of each step.
    steps : int
        Number of steps of the optimiser.
    """

    loss: tuple[float, ...]
    steps: int


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Attributes
    ----------
    accuracy : float
        Between 0 and 1.
    loss : float
        Mean loss.
    """

    accuracy: float
    loss: float


def has_converged(losses: Sequence[float], *, tol: float = 1e-4, patience: int = 5) -> bool:
    """Return True once each of the last `patience` epochs has improved the best earlier loss by less than `tol`.

    Causal pruning (Shah et al., 2024) ends training by this rule, with these values, or after 200 epochs.

    Parameters
    ----------
    losses : sequence of float
        Losses of the epochs so far.
    tol : float, default 1e-4
    patience : int, default 5

    Examples
    --------
    >>> has_converged([1.0, 0.5, 0.5, 0.5], patience=2), has_converged([1.0, 0.5, 0.5, 0.4], patience=2)
    (True, False)
    """
    best, idle = float("inf"), 0
    for loss in losses:
        idle = idle + 1 if loss > best - tol else 0
        best = min(best, loss)
    return idle >= patience


def fit(
    model: nn.Module,
    batches: Batches,
    *,
    epochs: int,
    optimizer: Optimizer,
    loss: Loss = cross_entropy,
    scheduler: LRScheduler | None = None,
    mask: Mask | None = None,
    recorder: StepRecorder | None = None,
    autocast: torch.dtype | None = None,
    channels_last: bool = False,
    stop: Callable[[Sequence[float]], bool] | None = None,
    seed: int = 0,
) -> History:
    """Train the model in place, in train mode.

    Parameters
    ----------
    model : Module
    batches : callable
        Maps an epoch, counted from 0, to its mini-batches (inputs, labels) on the model's device. Inputs are a Tensor,
        or a tuple or mapping of the model's arguments.
    epochs : int
        Maximum number of epochs, at least 1.
    optimizer : Optimizer
    loss : callable
        Maps (outputs, labels) to the mean loss.
    scheduler : LRScheduler, optional
        Stepped after each step of the optimiser, so that its lengths are in steps.
    mask : Mask, optional
        Enforced during training.
    recorder : StepRecorder, optional
        Recorder of the same model and optimiser, which is restarted first. With pairing="same_batch", the mini-batch is
        evaluated once more after the step, in train mode, with the same random numbers (dropout) and without a second
        update of batch-norm statistics.
    autocast : dtype, optional
        Precision of the forward pass, such as torch.bfloat16. The loss is computed from float32 outputs.
    channels_last : bool
        Whether the convolutions' weights, also after training, and the inputs (n, c, h, w) are torch.channels_last.
    stop : callable, optional
        Maps the losses of the epochs so far to whether training ends, such as `has_converged`.
    seed : int
        Seed of the random numbers drawn during training (dropout). The state of the global generators is restored.

    Returns
    -------
    History
        It is the same with and without a recorder, bit for bit where the layers are deterministic, as on the CPU.

    Raises
    ------
    ValueError
        For fewer than 1 epochs, and with the number of the epoch for an epoch without batches or a loss that is not
        finite.

    Examples
    --------
    >>> model, x, y = nn.Linear(2, 2), torch.randn(64, 2), torch.zeros(64, dtype=torch.int64)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> history = fit(model, lambda epoch: [(x, y)] * 10, epochs=3, optimizer=optimizer)
    >>> history.steps, history.loss[0] > history.loss[1] > history.loss[2]
    (30, True)
    """
    require_at_least(1, epochs=epochs)
    device = next(model.parameters()).device
    twice = recorder is not None and recorder.pairing == "same_batch"
    losses: list[float] = []
    steps = 0

    def value_of(x: Any, y: Any) -> Tensor:
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            outputs = call(model, x)
        return mean_loss(loss, outputs if autocast is None else map_tensors(lambda one: one.float(), outputs), y)

    with ExitStack() as stack:
        stack.enter_context(_own_random_numbers(device))
        torch.manual_seed(seed)
        if channels_last:
            model.to(memory_format=torch.channels_last)
        if mask is not None:
            stack.enter_context(mask.enforce(model, optimizer))
        if recorder is not None:
            recorder.restart()
        for epoch in range(epochs):
            model.train()
            # The sum stays on the device, so that the host waits for the device only once an epoch.
            total, count = torch.zeros((), dtype=torch.float64, device=device), 0
            for x, y in batches(epoch):
                x = map_tensors(_channels_last, x) if channels_last else x
                state = _random_state(device) if twice else None
                value = value_of(x, y)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                if recorder is not None:
                    recorder.before_step(value)
                optimizer.step()
                if recorder is not None and state is not None:
                    recorder.after_step(_again(model, lambda x=x, y=y: value_of(x, y), state, device))
                if scheduler is not None:
                    scheduler.step()
                total += value.detach() * count_samples(x)
                count += count_samples(x)
                steps += 1
            if not count:
                raise ValueError(f"batches({epoch}) gave no samples")
            losses.append(total.item() / count)
            if not math.isfinite(losses[-1]):
                raise ValueError(f"training loss of epoch {epoch} is {losses[-1]}: training diverged")
            if stop is not None and stop(losses):
                break
    return History(tuple(losses), steps)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    x: Any,
    y: Any,
    *,
    normalise: Callable[[Any], Any],
    batch_size: int = 1000,
) -> Evaluation:
    """Return accuracy and mean cross-entropy on all samples, in eval mode; the model is left unchanged.

    Parameters
    ----------
    model : Module
    x, y : Tensor (n, ...), Tensor (n,) of int64
        Inputs in their stored form, and classes, on the model's device. x may be a tuple or mapping of the model's
        arguments.
    normalise : callable
        Maps the stored inputs of a batch to the model's inputs.
    batch_size : int, default 1000

    Raises
    ------
    ValueError
        If there are no samples, or if x and y differ in length.

    Examples
    --------
    >>> x = torch.tensor([[2.0, 1.0], [0.0, 5.0], [3.0, 1.0]])
    >>> evaluate(nn.Identity(), x, torch.tensor([0, 1, 1]), normalise=lambda x: x).accuracy == 2 / 3
    True
    """
    count = count_samples(x)
    if not count or count != len(y):
        raise ValueError(f"x and y must have the same number of samples, at least 1, got {count} and {len(y)}")
    total = torch.zeros(2, dtype=torch.float64, device=y.device)
    with eval_mode(model):
        for first in range(0, count, batch_size):
            part, labels = rows((x, y), slice(first, first + batch_size), count=count)
            outputs = call(model, normalise(part))
            right = (outputs.argmax(1) == labels).sum()
            total += torch.stack([right.double(), mean_loss(cross_entropy, outputs, labels).double() * len(labels)])
    accuracy, mean = (total / count).tolist()
    return Evaluation(accuracy, mean)


@torch.no_grad()
def _again(model: nn.Module, value: Callable[[], Tensor], state: list[Tensor], device: torch.device) -> Tensor:
    """Return the loss with the random numbers of `state`, and restore the buffers (batch-norm statistics)."""
    with _own_random_numbers(device), kept_buffers(model):
        torch.set_rng_state(state[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state[1], device)
        return value()


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _own_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _random_state(device: torch.device) -> list[Tensor]:  # in host memory, so that the host need not wait
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
