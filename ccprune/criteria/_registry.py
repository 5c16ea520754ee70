"""Definition and registry of criteria."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import join_first
from ccprune._util.inputs import Inputs, is_inputs
from ccprune.mask import prunable
from ccprune.mask._names import require_values
from ccprune.mask._prunable import Chosen, chosen
from ccprune.recording import PAIRINGS, Store

if TYPE_CHECKING:
    from ccprune.criteria._recording import Recording

#: Arguments that a criterion's function may take: the model as it is, a batch x and y with its mean loss, the learning
#: rate of the recorded steps, a seed, and the criterion's store, filled by a `Recorder`.
GIVEN = ("model", "x", "y", "loss", "lr", "seed", "store")

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Criterion:
    """A method that scores weights; `get` returns it.

    Attributes
    ----------
    name : str
    function : callable
        Takes some of `GIVEN` by name and returns {name: Tensor}, larger = keep.
    store : callable or None
        Maps a model to the store of its training.
    pairing : str or None
        Pairing of the recorder, if there is a store.
    """

    name: str
    function: Callable[..., Scores]
    store: Callable[..., Store] | None = None
    pairing: str | None = None

    @cached_property
    def arguments(self) -> Mapping[str, bool]:
        """Arguments of `GIVEN` that the function takes, each with True if it is required."""
        parameters = inspect.signature(self.function).parameters.items()
        return {name: found.default is found.empty for name, found in parameters if name in GIVEN}


_CRITERIA: dict[str, Criterion] = {}
_OWN: set[str] = set()  # names of the library's criteria


def register(
    name: str,
    function: Callable[..., Scores],
    *,
    store: Callable[..., Store] | None = None,
    pairing: str | None = None,
) -> None:
    """Add a criterion, in place of an earlier one of the same name; those of the library cannot be replaced.

    Parameters
    ----------
    name : str
    function : callable
        Takes some of `GIVEN` by name, nothing else without a default, and returns {name: Tensor}, larger = keep.
    store : callable, optional
        Maps a model to the store of its training, see `ccprune.recording.Store`, which the function then takes as
        `store`. Criteria with the same `store` and pairing share one store. Keyword arguments are the `options` of
        `Recording`.
    pairing : str, optional
        Pairing of the recorder, "same_batch" or "consecutive"; given if and only if there is a `store`.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> def centred(model):
    ...     return {name: (weight - weight.mean()).abs().detach() for name, weight in prunable(model).items()}
    >>> register("centred", centred)
    >>> score("centred", nn.Linear(1, 1))["weight"].item()
    0.0

    """
    if name in _OWN:
        raise ValueError(f"name must not be one of the library's own criteria, got {name!r}")
    parameters = inspect.signature(function).parameters.values()
    foreign = [p.name for p in parameters if p.name not in GIVEN and p.default is p.empty]
    if foreign:
        raise ValueError(f"function must take some of {GIVEN}, {name!r} also takes {foreign}")
    found = Criterion(name, function, store, pairing)
    if ("store" in found.arguments) != (store is not None):
        raise ValueError(f"function of {name!r} must take the argument store if and only if a store is given")
    if pairing not in (PAIRINGS if store is not None else (None,)):
        raise ValueError(f"pairing must be one of {PAIRINGS} with a store and None without, got {pairing!r}")
    _CRITERIA[name] = found


def list_criteria() -> dict[str, Criterion]:
    """Return all criteria by name, those of the library first.

    Examples
    --------
    >>> [name for name, criterion in list_criteria().items() if criterion.pairing == "same_batch"]
    ['causal', 'causal_exact', 'causal_sgd']
    """
    return dict(_CRITERIA)


def freeze_builtin() -> None:
    """Protect all criteria that are registered so far from replacement."""
    _OWN.update(_CRITERIA)


def get(name: str) -> Criterion:
    """Return the criterion of this name.

    Parameters
    ----------
    name : str

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> get("snip").arguments  # True for what is required
    {'model': True, 'x': True, 'y': False, 'loss': False}
    """
    if name not in _CRITERIA:
        raise ValueError(f"name must be one of {sorted(_CRITERIA)}, got {name!r}")
    return _CRITERIA[name]


def score(
    name: str,
    model: nn.Module,
    *,
    x: Inputs | None = None,
    y: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    lr: float | None = None,
    seed: int = 0,
    store: Any = None,
    recording: "Recording | None" = None,
    frozen: bool = False,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> Scores:
    """Return scores {parameter name: Tensor}, larger = keep, of the model's prunable weights by one criterion.

    Parameters
    ----------
    name : str
        One of `list_criteria()`.
    model : Module
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Inputs: a tensor, a tuple of positional or a mapping of keyword arguments of the model; or, without `y`, batches
        (inputs, targets).
    y : Tensor (n, ...) or what else `loss` takes, optional
        Targets, which may be missing for inputs in a mapping or tuple if a `loss` is given.
    loss : callable, optional
        Maps (outputs, y) to the mean loss, by default cross-entropy.
    lr : float
        Learning rate of the recorded steps.
    seed : int
    recording, store
        For criteria that use the training: what `ccprune.record` returned, with `name` among its `names`, whose `only`
        and `skip` apply unless others are given; or the filled store of the criterion.
    frozen : bool, default False
        Whether weights with `requires_grad=False`, which no recording has, are scored.
    only, skip : collection of str and Module
        Weights that are scored, and weights that are left out: modules, or names of modules or parameters. A recording
        must have been made with the same.

    Raises
    ------
    ValueError
        For an unknown name, if an argument that the criterion requires is missing, and if the scores are not one number
        for each prunable weight.

    Examples
    --------
    >>> import ccprune
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -0.5]])
    >>> ccprune.score("magnitude", layer)
    {'weight': tensor([[3.0000, 0.5000]])}
    """
    criterion = get(name)
    if recording is not None and name in recording.stores:
        store = recording.stores[name]
        if only is None and not skip:
            only, skip = recording.only, recording.skip
    if store is None and criterion.store is not None:
        raise ValueError(
            f"recording must be of the criterion {name!r}, which uses the training: "
            f"record(model, optimizer, names=[{name!r}]) makes one"
        )
    given = {"model": model, "x": x, "y": y, "loss": loss, "lr": lr, "seed": seed, "store": store}
    # Batches have their own targets, and with its own loss a model may need none.
    without_y = x is not None and (not is_inputs(x) or (loss is not None and not isinstance(x, Tensor)))
    needed = [
        key
        for key, required in criterion.arguments.items()
        if required or (key == "y" and "loss" in criterion.arguments)
    ]
    lacking = [key for key in needed if given[key] is None and not (key == "y" and without_y)]
    if lacking:
        raise ValueError(f"{lacking} must be given: the criterion {name!r} needs them")
    weights = prunable(model, frozen=frozen, only=only, skip=skip)
    require_values(weights)
    asleep = [weight for weight in weights.values() if not weight.requires_grad]
    try:
        for weight in asleep:
            weight.requires_grad_(True)
        with chosen(model, weights):
            found = criterion.function(
                **{key: given[key] for key in criterion.arguments if given[key] is not None or key in needed}
            )
    finally:
        for weight in asleep:
            weight.requires_grad_(False)
    return _check_scores(name, found, weights)


def _check_scores(name: str, found: Any, weights: Mapping[str, Tensor]) -> Scores:
    """Return the scores of these weights, without those of weights that were frozen since they were recorded."""
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"the criterion {name!r} must return {{parameter name: Tensor}}, got {type(found).__name__}")
    wrong = [key for key, weight in weights.items() if key not in found or found[key].shape != weight.shape]
    if wrong:
        raise ValueError(
            f"the criterion {name!r} must return a score for each weight; this is not so for {join_first(wrong)} "
            "(weights that were frozen or left out during a recording have none)"
        )
    found = {key: found[key] for key in weights}
    for key, value in found.items():
        if bool(torch.isnan(value).any()):
            raise ValueError(f"the criterion {name!r} must not return NaN, it does for {key!r}")
    return found
