"""Masks with an exact number of pruned weights, true after every optimiser step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune.mask import _torch_prune as torch_prune
from ccprune.mask._from_scores import FromScores
from ccprune.mask._names import owners, prunable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Mask(FromScores):
    """Which weights stay: {parameter name: bool Tensor of its shape}, True = keep.

    A plain value: it can be deep-copied, pickled, and stored through `state_dict`.
    """

    keep: Mapping[str, Tensor]
    requested: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("keep must name at least one parameter")
        for name, value in self.keep.items():
            if not isinstance(value, Tensor) or value.dtype != torch.bool:
                raise TypeError(f"keep[{name!r}] must be a bool Tensor, got {getattr(value, 'dtype', type(value))}")
            if not value.numel():
                raise ValueError(f"keep[{name!r}] must hold at least one weight, got shape {tuple(value.shape)}")

    @classmethod
    def ones_like(cls, model: nn.Module) -> "Mask":
        """The mask of the model's prunable weights that prunes nothing."""
        return cls({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})

    @classmethod
    def from_torch_prune(cls, model: nn.Module) -> "Mask":
        """The masks of `torch.nn.utils.prune` on the model's linear and convolution weights; layers without keep all.

        The model is left as it is; `torch.nn.utils.prune.remove` makes plain parameters of the weights again. Raises
        ValueError when there is no such mask, for masks of anything else, such as biases, which a Mask cannot hold, and
        when layers that share a weight have different ones.
        """
        return cls(torch_prune.read(model))

    def restrict(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores with -inf at pruned weights, so that a mask made from them prunes these first (monotone).

        Raises ValueError on a missing name.
        """
        missing = [name for name in self.keep if name not in scores]
        if missing:
            raise ValueError(f"scores must name the mask's parameters, missing {missing}")
        return {
            name: scores[name].masked_fill(~keep.to(scores[name].device), -math.inf) for name, keep in self.keep.items()
        }

    def shuffled(self, *, seed: int) -> "Mask":
        """The same count in each tensor at random places: does the choice of weights within a layer matter?"""
        generator = torch.Generator().manual_seed(seed)
        return Mask(
            {
                name: keep.flatten()[torch.randperm(keep.numel(), generator=generator).to(keep.device)].reshape(
                    keep.shape
                )
                for name, keep in self.keep.items()
            },
            requested=self.requested,
        )

    @property
    def counts(self) -> dict[str, int]:
        """Number of weights that stay in each tensor."""
        return {name: int(value.sum()) for name, value in self.keep.items()}

    @property
    def least_density(self) -> float:
        """Share of weights that stay in the tensor that is emptiest."""
        return min(kept / self.keep[name].numel() for name, kept in self.counts.items())

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(value.numel() for value in self.keep.values())

    @property
    def kept(self) -> int:
        """Number of weights that stay."""
        return sum(self.counts.values())

    @property
    def sparsity(self) -> float:
        """Pruned fraction of prunable weights."""
        return 1.0 - self.kept / self.total

    def apply_(self, model: nn.Module) -> nn.Module:
        """Sets pruned weights to zero in place and returns the model.

        Raises ValueError when a parameter is missing or has another shape; then nothing has been changed.
        """
        with torch.no_grad():
            for parameter, keep in self._pairs(model):
                # Filled, not multiplied: a pruned weight that had become infinite is 0 too.
                parameter.masked_fill_(~keep.to(parameter.device), 0.0)
        return model

    def enforce(self, model: nn.Module, optimizer: Optimizer) -> "Enforcement":
        """Applies the mask now and again after every step of the optimiser, until removed.

        Use as a context manager or call `remove()`. Momentum and weight decay cannot bring pruned weights back.
        """
        self.apply_(model)

        def again(*_: object) -> None:
            self.apply_(model)

        return Enforcement(optimizer.register_step_post_hook(again))

    def check(self, model: nn.Module) -> "pd.DataFrame":
        """One row per tensor and one for all: weights, kept, pruned, density, and `violations`.

        A violation is a pruned weight that is not zero in the model: somebody trained without the mask. Raises
        ValueError as `apply_`.
        """
        import pandas as pd  # here, because it takes long to import

        rows = []
        for name, (parameter, keep) in zip(self.keep, self._pairs(model), strict=True):
            violations = int(((parameter != 0) & ~keep.to(parameter.device)).sum())
            rows.append((name, keep.numel(), int(keep.sum()), violations))
        table = pd.DataFrame(rows, columns=["parameter", "weights", "kept", "violations"]).set_index("parameter")
        table.loc["all"] = table.sum()
        table.insert(2, "pruned", table["weights"] - table["kept"])
        table.insert(3, "density", table["kept"] / table["weights"])
        return table

    def to_torch_prune(self, model: nn.Module) -> nn.Module:
        """Puts the mask on the model, in place, as `torch.nn.utils.prune.custom_from_mask` does; returns the model.

        Layers that share a weight all get its mask. Torch multiplies weights by masks, so that a pruned weight that is
        not finite would become NaN: ValueError, as in `apply_`'s cases; then nothing has been changed.
        """
        torch_prune.write(model, self.keep, self._pairs(model))
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """The masks as tensors, for `torch.save` beside the model's own state."""
        return {name: value.clone() for name, value in self.keep.items()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "Mask":
        """The inverse of `state_dict`."""
        return cls(dict(state))

    def _pairs(self, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
        found = owners(model)
        pairs = []
        for name, keep in self.keep.items():
            if name not in found:
                pruned = f"; {name}_orig is: torch.nn.utils.prune.remove first" if f"{name}_orig" in found else ""
                raise ValueError(f"model has no parameter {name!r}{pruned}; it has {sorted(found)}")
            module, attribute = found[name]
            parameter = getattr(module, attribute)
            if parameter.shape != keep.shape:
                raise ValueError(f"model's {name!r} has shape {tuple(parameter.shape)}, the mask {tuple(keep.shape)}")
            pairs.append((parameter, keep))
        return pairs


class Enforcement:
    """Handle of `Mask.enforce`; leaving its context or calling `remove` stops it."""

    def __init__(self, handle: torch.utils.hooks.RemovableHandle) -> None:
        self._handle = handle

    def remove(self) -> None:
        """Stops enforcing; weights stay as they are."""
        self._handle.remove()

    def __enter__(self) -> "Enforcement":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def jaccard_kept(a: Mask, b: Mask) -> float:
    """Overlap of what two masks keep: kept by both / kept by either; 1.0 when both keep nothing.

    Raises ValueError unless they name the same parameters.
    """
    if a.keep.keys() != b.keep.keys():
        raise ValueError(f"a and b must name the same parameters, got {sorted(a.keep)} and {sorted(b.keep)}")
    pairs = [(keep, b.keep[name].to(keep.device)) for name, keep in a.keep.items()]
    both = sum(int((one & other).sum()) for one, other in pairs)
    either = sum(int((one | other).sum()) for one, other in pairs)
    return both / either if either else 1.0
