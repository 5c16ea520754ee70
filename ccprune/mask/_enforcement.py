"""Enforcement of a mask during training, and the check that it was in force."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from ccprune._util.checks import join_first
from ccprune.mask._names import unwrap


class Enforcement:
    """Handle of `Mask.enforce`. The end of its context or a call of `remove` ends the enforcement.

    `check` is called at the end of the context, unless it ends with an exception.

    Parameters
    ----------
    handles : sequence of handles
        Hooks that are removed at the end.
    violations : callable
        Returns the number of pruned weights that are not zero, by parameter.
    last : callable, optional
        Called before a check.
    """

    def __init__(
        self,
        handles: Sequence[Any],
        violations: Callable[[], Mapping[str, int]],
        last: Callable[[], object] | None = None,
    ) -> None:
        self._handles, self._violations, self._last = handles, violations, last

    def check(self) -> None:
        """Raise ValueError naming the parameters whose pruned weights are not zero.

        Without an optimiser, the mask is applied first, as before a forward pass.
        """
        if self._last is not None:
            self._last()
        found = {name: count for name, count in self._violations().items() if count}
        if found:
            raise ValueError(
                f"model's pruned weights must be zero, got {sum(found.values())} that are not, in {join_first(found)}: "
                "something other than the optimizers passed to enforce changed them; enforce(model) without optimizers "
                "applies the mask before every forward pass"
            )

    def remove(self) -> None:
        """End the enforcement without a change of the weights."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> "Enforcement":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.remove()
        if kind is None:
            self.check()


def after_steps(
    optimizers: Sequence[Optimizer], apply: Callable[[], object], weights: Mapping[str, Tensor]
) -> list[Any]:
    """Call `apply` after every step of the optimisers, which must hold the weights that are not frozen."""
    for optimizer in optimizers:
        require_optimizer(optimizer)
    held = {id(weight) for one in optimizers for group in one.param_groups for weight in group["params"]}
    lacking = [name for name, weight in weights.items() if weight.requires_grad and id(weight) not in held]
    if lacking:
        raise ValueError(
            f"optimizer must hold the model's pruned weights, it lacks {join_first(lacking)}: pass every optimizer "
            "that trains the model"
        )

    def again(*_: Any) -> None:
        apply()

    return [optimizer.register_step_post_hook(again) for optimizer in optimizers]


def require_optimizer(optimizer: Any) -> None:
    """Raise TypeError for an object without the hooks of torch's optimisers, with the attribute that holds one."""
    if not isinstance(optimizer, Optimizer) or not hasattr(optimizer, "_optimizer_step_post_hooks"):
        inner = "; pass its attribute optimizer" if hasattr(optimizer, "optimizer") else ""
        raise TypeError(f"optimizer must be a torch Optimizer, got {type(optimizer).__name__}{inner}")


def without_optimizer(model: nn.Module, fill: Callable[[nn.Module], object]) -> list[Any]:
    """Call `fill` before every forward pass of the model, and after every step of any optimiser of the process."""
    inner = unwrap(model)

    def again(*_: Any) -> None:
        fill(inner)

    # The model's hook holds no model, so that a copy of the model has a hook of its own.
    return [inner.register_forward_pre_hook(partial(_fill_before, fill)), register_optimizer_step_post_hook(again)]


def _fill_before(fill: Callable[[nn.Module], object], model: nn.Module, _: Any) -> None:
    fill(model)
