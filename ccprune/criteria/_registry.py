"""What a criterion is, and the registry of them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ccprune.mask import prunable
from ccprune.recording import PAIRINGS, Store

#: What a criterion's function may ask for: the model as it is; a batch x, y and the mean loss that goes with it; the
#: learning rate of the recorded steps; a seed; the criterion's store, filled by a `Recorder`.
GIVEN = ("model", "x", "y", "loss", "rate", "seed", "store")

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Criterion:
    """A way to score weights.

    Attributes
    ----------
    name : str
    function : callable
        Takes some of `GIVEN`.
    store : callable, optional
        Model -> the store that a `Recorder` of the training fills; None where nothing is recorded.
    pairing : str, optional
        The recorder's, see `ccprune.recording`.
    """

    name: str
    function: Callable[..., Scores]
    store: Callable[[nn.Module], Store] | None = None
    pairing: str | None = None

    @cached_property
    def takes(self) -> Mapping[str, bool]:
        """What of `GIVEN` the function takes, and whether it must be there."""
        parameters = inspect.signature(self.function).parameters.items()
        return {name: found.default is found.empty for name, found in parameters if name in GIVEN}

    @property
    def source(self) -> str:
        """The first paragraph of the function's docstring, in one line; empty where it has none."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())


_CRITERIA: dict[str, Criterion] = {}
_OWN: set[str] = set()  # names that are the library's


def register(
    name: str,
    function: Callable[..., Scores],
    *,
    store: Callable[[nn.Module], Store] | None = None,
    pairing: str | None = None,
) -> None:
    """Adds a criterion; one of the same name that was added before is replaced, the library's own are not.

    Parameters
    ----------
    name : str
    function : callable
        Takes some of `GIVEN` by name, nothing else without a default, and returns {name: Tensor}, larger = keep.
    store : callable, optional
        Model -> what is to be recorded while training, see `ccprune.recording.Store`; filled, it is the function's
        `store`. Criteria with the same one and the same pairing share it.
    pairing : str, optional
        "same_batch" or "consecutive", the recorder's; with a store only, and then it must be given.

    Raises
    ------
    ValueError
        For a name that the library has itself, a function that asks for something else, or a store without the
        function's asking for it, the other way round, or without pairing.
    """
    if name in _OWN:
        raise ValueError(f"name must not be one of the library's own criteria, got {name!r}")
    parameters = inspect.signature(function).parameters.values()
    foreign = [p.name for p in parameters if p.name not in GIVEN and p.default is p.empty]
    if foreign:
        raise ValueError(f"function must take some of {GIVEN}, {name!r} asks for {foreign}")
    found = Criterion(name, function, store, pairing)
    if ("store" in found.takes) != (store is not None):
        raise ValueError(f"function must take the argument store if and only if a store is given, {name!r} does not")
    if pairing not in (PAIRINGS if store is not None else (None,)):
        raise ValueError(f"pairing must be one of {PAIRINGS} with a store and None without, got {pairing!r}")
    _CRITERIA[name] = found


def registered() -> dict[str, Criterion]:
    """All criteria by name, the library's own first."""
    return dict(_CRITERIA)


def freeze_builtin() -> None:
    """From here on what is registered now cannot be replaced."""
    _OWN.update(_CRITERIA)


def known(name: str) -> Criterion:
    """The criterion of this name; ValueError where there is none."""
    if name not in _CRITERIA:
        raise ValueError(f"name must be one of {sorted(_CRITERIA)}, got {name!r}")
    return _CRITERIA[name]


def score(
    name: str,
    model: nn.Module,
    *,
    x: Tensor | None = None,
    y: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    rate: float | None = None,
    seed: int = 0,
    store: Any = None,
) -> Scores:
    """Scores of the model's prunable weights by one criterion.

    Parameters
    ----------
    name : str
        One of `registered()`.
    model : Module
    x, y : Tensor
        A batch; `loss` takes (outputs, y) and gives the mean loss, cross-entropy where nothing else is given.
    rate : float
        Learning rate of the recorded steps.
    seed : int
    store
        The criterion's store, filled: from `Recording.stores`.

    Raises
    ------
    ValueError
        For an unknown name; for what the criterion needs and was not given; for scores that are not one number for
        each prunable weight.
    """
    criterion = known(name)
    given = {"model": model, "x": x, "y": y, "loss": loss, "rate": rate, "seed": seed, "store": store}
    lacking = [key for key, needed in criterion.takes.items() if needed and given[key] is None]
    if lacking:
        raise ValueError(f"{lacking} must be given: the criterion {name!r} needs them")
    found = criterion.function(**{key: given[key] for key in criterion.takes if given[key] is not None})
    _check(name, found, model)
    return found


def _check(name: str, found: Any, model: nn.Module) -> None:
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"the criterion {name!r} must return {{parameter name: Tensor}}, got {type(found).__name__}")
    shapes = {key: tuple(weight.shape) for key, weight in prunable(model).items()}
    got = {key: tuple(value.shape) for key, value in found.items()}
    if got != shapes:
        raise ValueError(f"the criterion {name!r} must return the names and shapes {shapes}, got {got}")
    for key, value in found.items():
        if bool(torch.isnan(value).any()):
            raise ValueError(f"the criterion {name!r} must not return NaN, it does for {key!r}")
