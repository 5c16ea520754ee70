"""Names of parameters in the plain model, without the prefixes of torch's wrappers."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ccprune._util.checks import listed

#: Layers whose weights can be pruned.
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, DataParallel and DistributedDataParallel, or a plain model itself.

    Its parameters are shared with the wrapper and have the names that `prunable` returns.
    """
    while (attribute := _inner(model)) is not None:
        model = getattr(model, attribute)
    return model


def prunable(model: nn.Module, *, frozen: bool = False) -> dict[str, nn.Parameter]:
    """Return the weights of linear and convolution layers by name, each tensor once.

    Biases and normalisation layers are not prunable. Names are those of the plain model, without the "_orig_mod." of
    `torch.compile` and the "module." of DataParallel and DistributedDataParallel.

    Parameters
    ----------
    model : Module
    frozen : bool, default False
        Whether weights with `requires_grad=False` are included. Training does not change them, which is no sign of
        unimportance.

    Raises
    ------
    TypeError
        If a layer's weight holds integers, such as packed codes.
    ValueError
        If the model has no such weights, or if a layer's weight is computed from other parameters
        (`torch.nn.utils.prune`, parametrisations) or is lazy and has no values yet.
    """
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in layers(model).items():
        weight = module._parameters.get("weight")
        if weight is None:
            raise ValueError(f"model's {name!r} is not a parameter but computed from others: {_remedy(module)}")
        require_numbers(name, weight)
        if id(weight) not in seen:
            seen.add(id(weight))
            found[name] = weight
    if not found:
        raise ValueError("model has no prunable weights: no linear or convolution layer")
    left = {name: weight for name, weight in found.items() if frozen or weight.requires_grad}
    if not left:
        raise ValueError(
            f"model's prunable weights are all frozen, {listed(found)}: score has the argument frozen=True"
        )
    return left


def require_numbers(name: str, weight: Tensor) -> None:
    """Raise ValueError for a lazy weight, and TypeError for one of integers, which may be codes of a packed format."""
    if is_lazy(weight):
        raise ValueError(f"model's {name!r} has no values yet: call the model once on an example first")
    if not (weight.is_floating_point() or weight.is_complex()):
        raise TypeError(f"model's {name!r} must be floating point, got {weight.dtype}: packed weights are not numbers")


def layers(model: nn.Module) -> dict[str, Layer]:
    """Return linear and convolution layers by the plain name of their weight, each module once."""
    plain = _Plain(model)
    return {
        plain(f"{name}.weight" if name else "weight"): m for name, m in model.named_modules() if isinstance(m, Layer)
    }


def require_values(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError naming the weights on the meta device."""
    missing = [name for name, weight in weights.items() if weight.is_meta]
    if missing:
        raise ValueError(f"model must have values, {listed(missing)} are on the meta device: load the weights first")


def owners(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Return {plain name: (module, attribute)} of all parameters; tied parameters and modules have all their names."""
    plain = _Plain(model)
    return {
        plain(f"{prefix}.{name}" if prefix else name): (module, name)
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module._parameters.items()
        if parameter is not None
    }


def matched(model: nn.Module, keep: Mapping[str, Tensor]) -> list[tuple[str, Tensor, Tensor]]:
    """Return name, parameter and mask of each tensor, or raise ValueError if the mask does not fit the model."""
    found = owners(model)
    matches = []
    first: dict[int, str] = {}
    for name, stays in keep.items():
        if name not in found:
            pruned = f"; {name}_orig is: torch.nn.utils.prune.remove first" if f"{name}_orig" in found else ""
            raise ValueError(f"model has no parameter {name!r}{pruned}; it has {listed(sorted(found))}")
        module, attribute = found[name]
        parameter = getattr(module, attribute)
        require_numbers(name, parameter)
        if parameter.shape != stays.shape:
            raise ValueError(f"model's {name!r} has shape {tuple(parameter.shape)}, the mask {tuple(stays.shape)}")
        if first.setdefault(id(parameter), name) != name:
            raise ValueError(f"mask must name each parameter once, got {first[id(parameter)]!r} and {name!r}")
        matches.append((name, parameter, stays))
    require_values({name: parameter for name, parameter, _ in matches})
    return matches


def plain_names(model: nn.Module) -> dict[str, str]:
    """Return {name in the model's state: plain name}."""
    plain = _Plain(model)
    return {name: plain(name) for name in model.state_dict()}


class _Plain:
    """Callable that removes from a name, at every level, the attributes in which wrappers hold the wrapped module."""

    def __init__(self, model: nn.Module) -> None:
        self._drop = {
            f"{prefix}.{attribute}" if prefix else attribute
            for prefix, module in model.named_modules(remove_duplicate=False)
            if (attribute := _inner(module)) is not None
        }

    def __call__(self, name: str) -> str:
        parts = name.split(".")
        return ".".join(part for i, part in enumerate(parts) if ".".join(parts[: i + 1]) not in self._drop)


def _inner(module: nn.Module) -> str | None:
    # The attribute identifies a compiled model, because importing torch._dynamo for its class takes seconds.
    if "_orig_mod" in module._modules:
        return "_orig_mod"
    return "module" if isinstance(module, _PARALLEL) else None


def _remedy(module: nn.Module) -> str:
    if hasattr(module, "weight_orig") and hasattr(module, "weight_mask"):
        return "take its mask with Mask.from_torch_prune, then torch.nn.utils.prune.remove(module, 'weight')"
    return "remove the parametrisation first, as with torch.nn.utils.parametrize.remove_parametrizations"
