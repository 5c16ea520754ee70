"""The weights of a model that are scored and pruned, and the choice among them."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from torch import nn

from ccprune._util.checks import join_first
from ccprune.mask._kinds import kind_of
from ccprune.mask._names import PlainNames, parameters_of, require_numbers, unwrap

#: Names of modules or parameters, or modules.
Chosen = Collection[str | nn.Module]
_CHOSEN: ContextVar[tuple[int, tuple[str, ...]] | None] = ContextVar("chosen", default=None)


def prunable(
    model: nn.Module, *, frozen: bool = False, only: Chosen | None = None, skip: Chosen = ()
) -> dict[str, nn.Parameter]:
    """Return the weights of all kinds of layers by name, each tensor once.

    These are the weights of linear, convolution, transposed convolution and recurrent layers, the projections of
    attention, and those of `register_kind`. Biases, normalisation layers and embeddings are not included. Names are
    those of the plain model, without the "_orig_mod." of `torch.compile` and the "module." of DataParallel and
    DistributedDataParallel.

    Parameters
    ----------
    model : Module
    frozen : bool, default False
        Whether weights with `requires_grad=False` are included. Training does not change them, which is not a
        sign of unimportance.
    only : collection of str and Module, optional
        Modules, or names of modules or parameters. Only their weights are included: of a module the weights of all
        layers in it, and any parameter that is named itself. An embedding is included if it is named. A tied weight may
        be named by any of its names, and is returned under the same one.
    skip : collection of str and Module
        Modules, or names of modules or parameters, that are left out, under all of their names.

    Raises
    ------
    TypeError
        If a layer's weight holds integers, such as packed codes, and if `only` or `skip` is a single name.
    ValueError
        If the model has no such weights, if `only` or `skip` name what it does not have, or if a layer's weight is
        computed from other parameters (`torch.nn.utils.prune`, parametrisations) or is lazy and has no values yet.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    >>> list(prunable(model)), list(prunable(model, skip=["3"]))
    (['0.weight', '3.weight'], ['0.weight'])
    """
    chosen_names = _CHOSEN.get()
    if chosen_names is not None and chosen_names[0] == id(unwrap(model)):
        everything = parameters_of(model)
        return {name: everything[name] for name in chosen_names[1] if name in everything}
    named, inside, parameters = _chosen_ids(model, only, "only")
    _, left_out, _ = _chosen_ids(model, skip, "skip")
    known, found = candidates(model), {}
    names = _one_name(model, known)
    for name, (module, attribute, default) in known.items():
        weight = module._parameters.get(attribute)
        wanted = {id(module), id(weight)} & named or (default and id(module) in inside)
        if {id(module), id(weight)} & left_out or not (default if only is None else wanted):
            continue
        if weight is None:
            raise ValueError(
                f"model's {name!r} is not a parameter but computed from others: {_remedy(module, attribute)}, or leave "
                "it out with skip"
            )
        found[names[id(weight)]] = weight
    found |= {names[id(one)]: one for one in parameters if id(one) not in left_out}
    for name, weight in found.items():
        require_numbers(name, weight)
    if not found:
        raise ValueError("model has no prunable weights: no linear, convolution or other layer of a known kind")
    # The order does not depend on the choice, because ties and random scores do.
    ordered = {name: found[name] for name in (*known, *found) if name in found}
    left = {name: weight for name, weight in ordered.items() if frozen or weight.requires_grad}
    asleep = [names[id(one)] for one in parameters if not frozen and not one.requires_grad]
    if not left or asleep:
        raise ValueError(
            f"model's prunable weights must not be frozen, got {join_first(asleep or found)}: score has the argument "
            "frozen=True"
        )
    return left


@contextmanager
def chosen(model: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Let `prunable(model)` return the parameters of these names within the block, as for a criterion's function."""
    token = _CHOSEN.set((id(unwrap(model)), tuple(names)))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def candidates(model: nn.Module) -> dict[str, tuple[nn.Module, str, bool]]:
    """Return {plain name: (module, attribute, whether pruned by default)} of the weights of all kinds of layers.

    Weights that are computed from other parameters, which the module has under another name, are included.
    """
    plain, found = PlainNames(model), {}
    for prefix, module in model.named_modules():
        kind = kind_of(module)
        for attribute in kind.weights(module) if kind is not None else ():
            if kind is not None and module._parameters.get(attribute, module) is not None:  # None: not used
                found[plain(f"{prefix}.{attribute}" if prefix else attribute)] = (module, attribute, kind.default)
    return found


def _one_name(model: nn.Module, known: Mapping[str, tuple[nn.Module, str, bool]]) -> dict[int, str]:
    """Return {id of a parameter: name}: of tied names, the first of a layer that is pruned by default, or the first."""
    places = parameters_of(model)
    names: dict[int, str] = {}
    for name in (*(name for name, (*_, default) in known.items() if default), *known, *places):
        if name in places:  # not computed from others
            names.setdefault(id(places[name]), name)
    return names


def _chosen_ids(
    model: nn.Module, entries: Chosen | None, argument: str
) -> tuple[set[int], set[int], list[nn.Parameter]]:
    """Return the ids of the modules and parameters that are named, of all that are in them, and these parameters."""
    if isinstance(entries, str | nn.Module):
        raise TypeError(f"{argument} must be a collection of names or modules, got {type(entries).__name__}")
    plain, places = PlainNames(model), parameters_of(model)
    modules = [(plain(name), module) for name, module in model.named_modules(remove_duplicate=False)]
    held: list[nn.Module] = []
    parameters, unknown = [], []
    for entry in entries or ():
        found = [module for name, module in modules if entry is module or (name and name == entry)]
        held += found
        if isinstance(entry, str) and entry in places:
            parameters.append(places[entry])
        elif not found:
            unknown.append(entry if isinstance(entry, str) else type(entry).__name__)
    if unknown:
        raise ValueError(f"{argument} must name modules or parameters of the model, got {join_first(unknown)}")
    inside = {id(one) for module in held for one in (*module.modules(), *module.parameters())}
    named = {id(one) for one in (*held, *parameters)}
    return named, inside | named, parameters


def _remedy(module: nn.Module, attribute: str) -> str:
    if hasattr(module, f"{attribute}_orig") and hasattr(module, f"{attribute}_mask"):
        return f"take its mask with Mask.from_torch_prune, then torch.nn.utils.prune.remove(module, {attribute!r})"
    if hasattr(module, f"{attribute}_orig") and hasattr(module, f"{attribute}_u"):
        return f"call torch.nn.utils.remove_spectral_norm(module, {attribute!r}) first"
    if hasattr(module, f"{attribute}_g") and hasattr(module, f"{attribute}_v"):
        return f"call torch.nn.utils.remove_weight_norm(module, {attribute!r}) first"
    if attribute in getattr(module, "parametrizations", ()):
        return f"call torch.nn.utils.parametrize.remove_parametrizations(module, {attribute!r}) first"
    return "make it a parameter first"
