"""Joint training of many networks, each until it reaches a training accuracy (the stopping rule of paper A)."""

from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor


class Networks(Protocol):
    """B networks for joint training, such as `ensemble.MLPBatch` and `stacked.ModelBatch`."""

    def __len__(self) -> int: ...

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Parameters {name: Tensor (B, *shape)}, not copies."""

    def select(self, index: Tensor) -> Self:
        """Return a copy of the networks at `index`."""


N = TypeVar("N", bound=Networks)


def train_until(
    networks: N,
    epoch: Callable[[N, Tensor], None],
    accuracy: Callable[[N], Tensor],
    *,
    benchmark: float | None,
    epochs: int,
) -> tuple[Tensor, Tensor]:
    """Train in place, each network until its accuracy reaches the benchmark.

    Networks that have reached the benchmark are removed from the batch, so that later epochs take less time.

    Parameters
    ----------
    networks : Networks
        B networks.
    epoch : callable
        Function of the remaining networks and their indices among the B, which trains them in place for one epoch.
    accuracy : callable
        Function of networks that returns the training accuracy of each. It is called after every epoch.
    benchmark : float or None
        Training accuracy in (0, 1]. With None every network is trained for all epochs.
    epochs : int
        Largest number of epochs, at least 1.

    Returns
    -------
    epoch_of : Tensor (B,), int64
        Epoch, from 0, after which the benchmark was reached; `epochs` where it was not.
    reached : Tensor (B,), bool
        Whether the benchmark was reached.

    Raises
    ------
    ValueError
        If `benchmark` is outside (0, 1] or `epochs` is below 1.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if benchmark is not None and not 0 < benchmark <= 1:
        raise ValueError(f"benchmark must be None or lie in (0, 1], got {benchmark}")
    device = next(iter(networks.parameters.values())).device
    epoch_of = torch.full((len(networks),), epochs, dtype=torch.int64, device=device)
    reached = torch.zeros(len(networks), dtype=torch.bool, device=device)
    running = torch.arange(len(networks), device=device)
    active = networks.select(running)
    for number in range(epochs):
        epoch(active, running)
        done = torch.zeros_like(running, dtype=torch.bool)
        if benchmark is not None:
            done = accuracy(active) >= benchmark
        if number == epochs - 1 or bool(done.any()):
            for name, value in networks.parameters.items():
                value[running] = active.parameters[name]
            epoch_of[running[done]] = number
            reached[running[done]] = True
            running = running[~done]
            if len(running) == 0:
                break
            active = active.select(torch.nonzero(~done)[:, 0])
    return epoch_of, reached
