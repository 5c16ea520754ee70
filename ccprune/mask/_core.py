"""Masks with an exact number of pruned weights, which can be enforced after every optimiser step."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.checks import join_first
from ccprune._util.modes import replaced
from ccprune.mask import _torch_prune as torch_prune
from ccprune.mask._enforcement import Enforcement, after_steps, without_optimizer
from ccprune.mask._from_scores import MaskConstructors
from ccprune.mask._names import match_mask, require_axes
from ccprune.mask._prunable import Chosen, prunable

if TYPE_CHECKING:
    import pandas as pd


_REQUESTED, _STRUCTURED = ".requested", ".structured"  # no parameter's name begins with a dot


@dataclass(frozen=True, eq=False)
class Mask(MaskConstructors):
    """Mask of the weights that are kept.

    A mask is a plain value. It can be deep-copied, pickled, and stored through `state_dict`.

    Attributes
    ----------
    keep : mapping of parameter name to Tensor
        Bool tensors of the parameters' shapes, True = keep.
    requested : float, optional
        Sparsity that was requested, if any.
    structured : bool
        Whether whole channels or groups of inputs were chosen, along dimensions 0 and 1. Such a mask is refused by
        models in which these dimensions are not outputs and inputs, as in transposed layers.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> mask = Mask({"weight": torch.tensor([[True, False]])})
    >>> layer = mask.apply_(layer)
    >>> mask.sparsity, layer.weight[0, 1].item()
    (0.5, 0.0)
    """

    keep: Mapping[str, Tensor]
    requested: float | None = field(default=None, kw_only=True)
    structured: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.keep:
            raise ValueError("keep must name at least one parameter")
        for name, value in self.keep.items():
            if not isinstance(name, str):
                raise TypeError(f"keep must have names of parameters, got {name!r}")
            if not isinstance(value, Tensor) or value.dtype != torch.bool:
                raise TypeError(f"keep[{name!r}] must be a bool Tensor, got {getattr(value, 'dtype', type(value))}")
            if not value.numel():
                raise ValueError(f"keep[{name!r}] must hold at least one weight, got shape {tuple(value.shape)}")

    @classmethod
    def ones_like(cls, model: nn.Module, *, only: Chosen | None = None, skip: Chosen = ()) -> "Mask":
        """Return the mask that keeps all weights of `prunable(model, only=only, skip=skip)`."""
        weights = prunable(model, only=only, skip=skip)
        return cls({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()})

    @classmethod
    def from_torch_prune(cls, model: nn.Module) -> "Mask":
        """Read the masks of `torch.nn.utils.prune` on weights that can be pruned; layers without one keep all.

        A ValueError is raised if there is no such mask, for masks of other parameters, such as biases, which a Mask
        cannot hold, and if layers that share a weight have different masks.
        """
        return cls(torch_prune.read(model))

    def restrict(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scores with -inf at pruned weights; ValueError if they lack a parameter of the mask."""
        missing = [name for name in self.keep if name not in scores]
        if missing:
            raise ValueError(f"scores must name the mask's parameters, missing {join_first(missing)}")
        return {
            name: scores[name].masked_fill(~keep.to(scores[name].device), -math.inf) for name, keep in self.keep.items()
        }

    def shuffle(self, *, seed: int) -> "Mask":
        """Return a mask with the same number of kept weights in each tensor, at random positions, as a control."""
        generator = torch.Generator().manual_seed(seed)
        keep = {}
        for name, own in self.keep.items():
            order = torch.randperm(own.numel(), generator=generator).to(own.device)
            keep[name] = own.flatten()[order].reshape(own.shape)
        return Mask(keep, requested=self.requested)

    @property
    def counts(self) -> dict[str, int]:
        """Number of kept weights in each tensor."""
        return {name: int(value.sum()) for name, value in self.keep.items()}

    @property
    def least_density(self) -> float:
        """Fraction of kept weights in the tensor in which it is smallest."""
        return min(kept / self.keep[name].numel() for name, kept in self.counts.items())

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(value.numel() for value in self.keep.values())

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(self.counts.values())

    @property
    def sparsity(self) -> float:
        """Pruned fraction of the prunable weights."""
        return 1.0 - self.kept / self.total

    def apply_(self, model: nn.Module) -> nn.Module:
        """Set pruned weights to zero in place and return the model.

        A ValueError is raised if a parameter is missing or has another shape, and by a structured mask of a layer with
        other axes. The model is then unchanged.
        """
        with torch.no_grad():
            for _, parameter, keep in self._matches(model):
                # Filling, unlike multiplication, also sets infinite pruned weights to 0.
                parameter.masked_fill_(~keep.to(parameter.device), 0.0)
        return model

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[nn.Module]:
        """Set pruned weights to zero within the block only, without a copy of the model."""
        masked = {id(p): p.detach().masked_fill(~keep.to(p.device), 0.0) for _, p, keep in self._matches(model)}
        with replaced(model, masked):
            yield model

    def enforce(self, model: nn.Module, *optimizers: Optimizer) -> Enforcement:
        """Apply the mask now and after every step of the optimisers, until the returned handle is removed.

        The handle is a context manager and has the methods `remove()` and `check()`. Pruned weights stay zero under
        momentum and weight decay.

        Parameters
        ----------
        model : Module
        *optimizers : Optimizer
            All optimisers that train pruned weights. Without any, the mask is applied before every forward pass of the
            model and after every step of any torch optimiser: for a trainer that owns its optimiser, and for optimisers
            that change the weights between their steps or contain another optimiser.

        Raises
        ------
        TypeError, ValueError
            If the mask does not fit the model, and if the optimisers lack a pruned weight that is not frozen. At the
            end of the context and by `check()`, if pruned weights are not zero.
        """
        weights = {name: weight for name, weight, keep in self._matches(model) if not bool(keep.all())}
        violations = partial(self._violations, model)
        if optimizers:
            found = Enforcement(after_steps(optimizers, partial(self.apply_, model), weights), violations)
        else:
            found = Enforcement(without_optimizer(model, self._fill), violations, partial(self.apply_, model))
        self.apply_(model)
        return found

    def check(self, model: nn.Module) -> "pd.DataFrame":
        """Return a table with one row per tensor of the mask and one for all.

        The columns are weights, kept, pruned, density and violations: pruned weights that are not zero in the model,
        because it was trained without the mask.
        """
        import pandas as pd  # imported here because it is slow to import

        violations = self._violations(model)
        rows = [(name, keep.numel(), int(keep.sum()), violations[name]) for name, keep in self.keep.items()]
        table = pd.DataFrame(rows, columns=["parameter", "weights", "kept", "violations"]).set_index("parameter")
        table.loc["all"] = table.sum()
        table.insert(2, "pruned", table["weights"] - table["kept"])
        table.insert(3, "density", table["kept"] / table["weights"])
        return table

    def to_torch_prune(self, model: nn.Module) -> nn.Module:
        """Register the mask on the model in place, as `torch.nn.utils.prune.custom_from_mask`, and return the model.

        Layers that share a weight all get its mask. The masked weights are also computed before a call of the module
        that contains the layer, because attention uses them without a call of the layer. A ValueError is raised as in
        `apply_`, and for pruned weights that are not finite, because torch multiplies them by 0.
        """
        torch_prune.write(model, self._matches(model))
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """Return the mask as tensors, which `torch.load(..., weights_only=True)` reads, as it reads a saved `Mask`.

        Beside the mask, ".requested" holds the requested sparsity if there is one, and ".structured" marks structured
        masks.
        """
        state = {name: value.clone() for name, value in self.keep.items()}
        if self.requested is not None:
            state[_REQUESTED] = torch.tensor(self.requested, dtype=torch.float64)
        if self.structured:
            state[_STRUCTURED] = torch.tensor(True)
        return state

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "Mask":
        """Make a mask from tensors that `state_dict` returned; TypeError or ValueError for anything else."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state must be what state_dict returned, got {type(state).__name__}")
        requested = state.get(_REQUESTED)
        if requested is not None and not (
            isinstance(requested, Tensor) and requested.ndim == 0 and 0 <= requested <= 1
        ):
            raise ValueError(f"state[{_REQUESTED!r}] must be a sparsity in [0, 1]")
        keep = {name: value for name, value in state.items() if name not in (_REQUESTED, _STRUCTURED)}
        return cls(keep, requested=None if requested is None else float(requested), structured=_STRUCTURED in state)

    def _matches(self, model: nn.Module) -> list[tuple[str, Tensor, Tensor]]:
        found = match_mask(model, self.keep)
        if self.structured:
            require_axes(model, [name for name, _, keep in found if not bool(keep.all())])
        return found

    def _violations(self, model: nn.Module) -> dict[str, int]:
        """Return the number of pruned weights of each tensor that are not zero in the model."""
        return {
            name: int(((parameter != 0) & ~keep.to(parameter.device)).sum())
            for name, parameter, keep in self._matches(model)
        }

    def _fill(self, model: nn.Module) -> None:
        # Through `data`, so that a backward pass that is pending does not take the pruned zeros for a change.
        for _, parameter, keep in self._matches(model):
            parameter.data.masked_fill_(~keep.to(parameter.device), 0.0)


torch.serialization.add_safe_globals([Mask])  # a saved Mask holds tensors and a number only
