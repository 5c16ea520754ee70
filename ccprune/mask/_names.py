"""Names of parameters in the plain model, without the prefixes of torch's wrappers."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from ccprune._util.checks import join_first
from ccprune.mask._kinds import Axes, axes_of

#: Layers that exports can make smaller.
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, DataParallel, DistributedDataParallel or AveragedModel, or the model.

    Its parameters are shared with the wrapper and have the names that `prunable` returns.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> unwrap(nn.DataParallel(layer)) is layer, unwrap(layer) is layer
    (True, True)
    """
    while (attribute := _inner(model)) is not None:
        model = getattr(model, attribute)
    return model


def require_numbers(name: str, weight: Tensor) -> None:
    """Raise ValueError for a lazy weight, and TypeError for one of integers, which may be codes of a packed format."""
    if is_lazy(weight):
        raise ValueError(f"model's {name!r} has no values yet: call the model once on an example first")
    if not (weight.is_floating_point() or weight.is_complex()):
        raise TypeError(f"model's {name!r} must be floating point, got {weight.dtype}: packed weights are not numbers")


def layers(model: nn.Module) -> dict[str, Layer]:
    """Return linear and convolution layers by the plain name of their weight, each module once."""
    plain = PlainNames(model)
    return {
        plain(f"{name}.weight" if name else "weight"): m for name, m in model.named_modules() if isinstance(m, Layer)
    }


def require_values(weights: Mapping[str, Tensor]) -> None:
    """Raise ValueError naming the weights on the meta device."""
    missing = [name for name, weight in weights.items() if weight.is_meta]
    if missing:
        raise ValueError(
            f"model must have values, {join_first(missing)} are on the meta device: load the weights first"
        )


def owners(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Return {plain name: (module, attribute)} of all parameters; tied parameters and modules have all their names."""
    plain = PlainNames(model)
    return {
        plain(f"{prefix}.{name}" if prefix else name): (module, name)
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module._parameters.items()
        if parameter is not None
    }


def parameters_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return {plain name: parameter}; tied parameters have all their names."""
    return {name: getattr(module, attribute) for name, (module, attribute) in owners(model).items()}


def match_mask(model: nn.Module, keep: Mapping[str, Tensor]) -> list[tuple[str, Tensor, Tensor]]:
    """Return name, parameter and mask of each tensor, or raise ValueError if the mask does not fit the model."""
    found = parameters_of(model)
    first: dict[int, str] = {}
    for name, stays in keep.items():
        if name not in found:
            hint = f"; {name}_orig is: torch.nn.utils.prune.remove first" if f"{name}_orig" in found else ""
            inside = [longer.removesuffix(f".{name}") for longer in found if longer.endswith(f".{name}")]
            if not hint and len(inside) == 1:
                hint = f"; pass its attribute {inside[0]}"
            raise ValueError(f"model has no parameter {name!r}{hint}; it has {join_first(sorted(found))}")
        parameter = found[name]
        require_numbers(name, parameter)
        if parameter.shape != stays.shape:
            raise ValueError(f"model's {name!r} has shape {tuple(parameter.shape)}, the mask {tuple(stays.shape)}")
        if (other := first.setdefault(id(parameter), name)) != name:
            raise ValueError(f"mask must name each parameter once, got {other!r} and {name!r}")
    require_values({name: found[name] for name in keep})
    return [(name, found[name], stays) for name, stays in keep.items()]


def require_axes(model: nn.Module, names: Collection[str]) -> None:
    """Raise ValueError unless dimension 0 of these parameters is their layer's outputs, and dimension 1 its inputs."""
    found = owners(model)
    wrong = [name for name in names if axes_of(*found[name]) != Axes()]
    if wrong:
        raise ValueError(
            f"mask must not prune channels or groups of inputs of {join_first(wrong)}, whose layers have other axes; "
            "leave them out of the scores with `skip`"
        )


def plain_names(model: nn.Module) -> dict[str, str]:
    """Return {name in the model's state: plain name}."""
    plain = PlainNames(model)
    return {name: plain(name) for name in model.state_dict()}


class PlainNames:
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
    return "module" if isinstance(module, _WRAPPERS) else None
