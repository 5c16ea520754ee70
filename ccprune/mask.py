"""Masks with an exact number of pruned weights, true after every optimiser step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

SCOPES = ("global", "layer")
_PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of linear and convolution layers by name, each tensor once; biases and norms are not prunable.

    Raises ValueError when the model has none.
    """
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, _PRUNABLE) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            found[f"{name}.weight" if name else "weight"] = module.weight
    if not found:
        raise ValueError("model has no prunable weights: no linear or convolution layer")
    return found


@dataclass(frozen=True, eq=False)
class Mask:
    """Which weights stay: {parameter name: bool Tensor of its shape}, True = keep.

    A plain value: it can be deep-copied, pickled, and stored through `state_dict`.
    """

    keep: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("keep must name at least one parameter")
        for name, value in self.keep.items():
            if not isinstance(value, Tensor) or value.dtype != torch.bool:
                raise TypeError(f"keep[{name!r}] must be a bool Tensor, got {getattr(value, 'dtype', type(value))}")

    @classmethod
    def from_scores(cls, scores: Mapping[str, Tensor], *, sparsity: float, scope: str = "global") -> "Mask":
        """Prunes the lowest scores: floor(sparsity * weights + 1/2) of all ("global") or of each tensor ("layer").

        Equal scores are pruned in the order of their index, tensors in the order given. Raises ValueError for a
        sparsity outside [0, 1], an unknown scope, or a score that is NaN, naming the parameter.
        """
        if isinstance(sparsity, bool) or not 0 <= sparsity <= 1:
            raise ValueError(f"sparsity must lie in [0, 1], got {sparsity!r}")
        if scope not in SCOPES:
            raise ValueError(f"scope must be one of {SCOPES}, got {scope!r}")
        if not scores:
            raise ValueError("scores must name at least one parameter")
        _no_nan(scores)
        if scope == "layer":
            return cls({name: _lowest_out(score, sparsity) for name, score in scores.items()})
        device = next(iter(scores.values())).device
        flat = torch.cat([score.flatten().to(device, torch.float64) for score in scores.values()])
        parts = _lowest_out(flat, sparsity).split([score.numel() for score in scores.values()])
        return cls(
            {
                name: part.reshape(score.shape).to(score.device)
                for (name, score), part in zip(scores.items(), parts, strict=True)
            }
        )

    @classmethod
    def from_threshold(cls, scores: Mapping[str, Tensor], *, threshold: float) -> "Mask":
        """Keeps the weights whose score is above the threshold. Raises ValueError on NaN, naming the parameter."""
        _no_nan(scores)
        return cls({name: score > threshold for name, score in scores.items()})

    @classmethod
    def from_counts(cls, scores: Mapping[str, Tensor], *, kept: Mapping[str, int]) -> "Mask":
        """Keeps the `kept[name]` highest scores of each tensor: one score with another's allocation to layers.

        Ties as in `from_scores`. Raises ValueError on NaN, other names, or a count outside 0..weights.
        """
        _no_nan(scores)
        if kept.keys() != scores.keys():
            raise ValueError(f"kept must name the parameters {sorted(scores)}, got {sorted(kept)}")
        for name, score in scores.items():
            if not 0 <= kept[name] <= score.numel():
                raise ValueError(f"kept[{name!r}] must lie in 0..{score.numel()}, got {kept[name]}")
        return cls({name: _drop_lowest(score, score.numel() - kept[name]) for name, score in scores.items()})

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
            }
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
        return Enforcement(optimizer.register_step_post_hook(lambda *_: self.apply_(model)))

    def report(self, model: nn.Module) -> pd.DataFrame:
        """One row per tensor and one for all: weights, kept, pruned, density, and `violations`.

        A violation is a pruned weight that is not zero in the model: somebody trained without the mask.
        """
        rows = []
        for name, (parameter, keep) in zip(self.keep, self._pairs(model), strict=True):
            violations = int(((parameter != 0) & ~keep.to(parameter.device)).sum())
            rows.append((name, keep.numel(), int(keep.sum()), violations))
        table = pd.DataFrame(rows, columns=["parameter", "weights", "kept", "violations"]).set_index("parameter")
        table.loc["all"] = table.sum()
        table.insert(2, "pruned", table["weights"] - table["kept"])
        table.insert(3, "density", table["kept"] / table["weights"])
        return table

    def state_dict(self) -> dict[str, Tensor]:
        """The masks as tensors, for `torch.save` beside the model's own state."""
        return {name: value.clone() for name, value in self.keep.items()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "Mask":
        """The inverse of `state_dict`."""
        return cls(dict(state))

    def _pairs(self, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
        parameters = dict(model.named_parameters(remove_duplicate=False))
        pairs = []
        for name, keep in self.keep.items():
            if name not in parameters:
                raise ValueError(f"model has no parameter {name!r}; it has {sorted(parameters)}")
            if parameters[name].shape != keep.shape:
                raise ValueError(
                    f"model's {name!r} has shape {tuple(parameters[name].shape)}, the mask {tuple(keep.shape)}"
                )
            pairs.append((parameters[name], keep))
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


def jaccard(a: Mask, b: Mask) -> float:
    """Overlap of what two masks keep: kept by both / kept by either; 1.0 when both keep nothing.

    Raises ValueError unless they name the same parameters.
    """
    if a.keep.keys() != b.keep.keys():
        raise ValueError(f"a and b must name the same parameters, got {sorted(a.keep)} and {sorted(b.keep)}")
    both = sum(int((a.keep[name] & b.keep[name]).sum()) for name in a.keep)
    either = sum(int((a.keep[name] | b.keep[name]).sum()) for name in a.keep)
    return both / either if either else 1.0


def cubic(total: float, *, iterations: int) -> tuple[float, ...]:
    """Sparsities total * (1 - (1 - i / iterations)^3), i = 1..iterations (Zhu and Gupta, 2017; paper B's follow-up).

    Raises ValueError for a total outside [0, 1] or fewer than one iteration.
    """
    if not 0 <= total <= 1:
        raise ValueError(f"total must lie in [0, 1], got {total!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    return tuple(total * (1 - (1 - i / iterations) ** 3) for i in range(1, iterations + 1))


def _no_nan(scores: Mapping[str, Tensor]) -> None:
    for name, score in scores.items():
        if bool(score.isnan().any()):
            raise ValueError(f"scores[{name!r}] holds NaN")


def _lowest_out(score: Tensor, sparsity: float) -> Tensor:
    return _drop_lowest(score, math.floor(sparsity * score.numel() + 0.5))


def _drop_lowest(score: Tensor, count: int) -> Tensor:
    keep = torch.ones(score.numel(), dtype=torch.bool, device=score.device)
    keep[score.flatten().argsort(stable=True)[:count]] = False
    return keep.reshape(score.shape)
