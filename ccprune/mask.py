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
        for name, score in scores.items():
            if bool(score.isnan().any()):
                raise ValueError(f"scores[{name!r}] holds NaN")
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
        for name, score in scores.items():
            if bool(score.isnan().any()):
                raise ValueError(f"scores[{name!r}] holds NaN")
        return cls({name: score > threshold for name, score in scores.items()})

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(value.numel() for value in self.keep.values())

    @property
    def kept(self) -> int:
        """Number of weights that stay."""
        return sum(int(value.sum()) for value in self.keep.values())

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


def _lowest_out(score: Tensor, sparsity: float) -> Tensor:
    count = math.floor(sparsity * score.numel() + 0.5)
    keep = torch.ones(score.numel(), dtype=torch.bool, device=score.device)
    keep[score.flatten().argsort(stable=True)[:count]] = False
    return keep.reshape(score.shape)
