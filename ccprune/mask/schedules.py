"""Schedules, which are tuples of rising sparsities, one per pruning step, and rewinding between the steps."""

import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.checks import at_least, fraction
from ccprune.mask._core import Mask
from ccprune.mask._names import unwrap


def cubic(total: float, *, iterations: int) -> tuple[float, ...]:
    """Return the sparsities total * (1 - (1 - i / iterations)^3), i = 1..iterations.

    Raises
    ------
    ValueError
        For a total outside [0, 1] or fewer than one iteration.

    References
    ----------
    Zhu and Gupta (2017); used in the follow-up of paper B.

    Examples
    --------
    >>> [round(sparsity, 3) for sparsity in cubic(0.9, iterations=3)]
    [0.633, 0.867, 0.9]
    """
    fraction("total", total)
    at_least(1, iterations=iterations)
    return tuple(total * (1 - (1 - i / iterations) ** 3) for i in range(1, iterations + 1))


def geometric(total: float, *, iterations: int) -> tuple[float, ...]:
    """Return the sparsities 1 - (1 - total)^(i / iterations), i = 1..iterations.

    Each step prunes the same share of the remaining weights.

    Raises
    ------
    ValueError
        For a total outside [0, 1), because no such share prunes all weights, or fewer than one iteration.

    References
    ----------
    Frankle and Carbin (2019), section 2: 20% of the surviving weights in each of n rounds.

    Examples
    --------
    >>> [round(sparsity, 3) for sparsity in geometric(0.9, iterations=3)]
    [0.536, 0.785, 0.9]
    """
    fraction("total", total)
    if total == 1:
        raise ValueError(f"total must lie in [0, 1), got {total!r}")
    at_least(1, iterations=iterations)
    # The last sparsity is `total` without rounding error.
    return (*(1 - (1 - total) ** (i / iterations) for i in range(1, iterations)), total)


@dataclass(frozen=True, eq=False)
class Rewind:
    """State of training that is restored under later masks.

    For iterative pruning with rewinding to step k, train k steps and call `point = Rewind.at(model, optimizer)`. Then,
    for each sparsity of a schedule, train further, score, and call `mask = Mask.from_scores(scores, sparsity=...,
    previous=mask)` and `point.restore_(model, mask, optimizer)`.

    References
    ----------
    Frankle et al. (2020), "Linear mode connectivity".
    """

    state: dict[str, Tensor]
    optimizer_state: dict[str, Any] | None

    @classmethod
    def at(cls, model: nn.Module, optimizer: Optimizer | None = None) -> "Rewind":
        """Copy all parameters and buffers, and the optimiser's state if an optimiser is given."""
        return cls(
            copy.deepcopy(unwrap(model).state_dict()),
            None if optimizer is None else copy.deepcopy(optimizer.state_dict()),
        )

    def restore_(self, model: nn.Module, mask: Mask, optimizer: Optimizer | None = None) -> nn.Module:
        """Restore the model in place, apply the mask, and return the model.

        Raises
        ------
        ValueError
            If mask or state do not fit the model, or if only one of `at` and `restore_` was given an optimiser, because
            momentum would then be from another step than the weights. Nothing is changed in these cases.
        """
        if (optimizer is None) != (self.optimizer_state is None):
            raise ValueError("optimizer must be given both to Rewind.at and to restore_, or to neither")
        mask.check(model)  # raises if the mask does not fit
        inner = unwrap(model)
        shapes = {name: value.shape for name, value in inner.state_dict().items()}
        if shapes != {name: value.shape for name, value in self.state.items()}:
            raise ValueError("model must have the parameters and buffers, by name and shape, that it had at Rewind.at")
        if optimizer is not None and self.optimizer_state is not None:
            # The optimiser gets a copy because it changes the given tensors in place. It refuses a state that does not
            # fit, so that it comes before the model, which was checked above.
            optimizer.load_state_dict(copy.deepcopy(self.optimizer_state))
        inner.load_state_dict(self.state)
        return mask.apply_(model)
