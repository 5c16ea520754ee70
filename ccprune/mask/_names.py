"""Names of parameters as the plain model has them, whatever torch wraps around it."""

from torch import nn
from torch.nn.parameter import is_lazy

#: Layers whose weights can be pruned.
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside of `torch.compile`, DataParallel and DistributedDataParallel; the model itself if it is plain.

    Parameters are shared with the wrapper, and carry the names that `prunable` gives.
    """
    while (attribute := _inner(model)) is not None:
        model = getattr(model, attribute)
    return model


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of linear and convolution layers by name, each tensor once; biases and norms are not prunable.

    Names are those of the plain model, without the "_orig_mod." of `torch.compile` and the "module." of DataParallel
    and DistributedDataParallel. Frozen weights count too. Raises ValueError when the model has none, or when a layer's
    weight is not a parameter with values: computed from others (`torch.nn.utils.prune`, parametrisations), or lazy.
    """
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for name, module in layers(model).items():
        weight = module._parameters.get("weight")
        if weight is None:
            raise ValueError(f"model's {name!r} is not a parameter but computed from others: {_remedy(module)}")
        if is_lazy(weight):
            raise ValueError(f"model's {name!r} has no values yet: call the model once on an example first")
        if id(weight) not in seen:
            seen.add(id(weight))
            found[name] = weight
    if not found:
        raise ValueError("model has no prunable weights: no linear or convolution layer")
    return found


def layers(model: nn.Module) -> dict[str, Layer]:
    """Linear and convolution layers by their weight's plain name, each module once."""
    plain = _Plain(model)
    return {
        plain(f"{name}.weight" if name else "weight"): m for name, m in model.named_modules() if isinstance(m, Layer)
    }


def owners(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Every parameter's module and its name there, by plain name; tied parameters and modules under all names."""
    plain = _Plain(model)
    return {
        plain(f"{prefix}.{name}" if prefix else name): (module, name)
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name, parameter in module._parameters.items()
        if parameter is not None
    }


def plain_names(model: nn.Module) -> dict[str, str]:
    """The model's own names of its state -> plain names."""
    plain = _Plain(model)
    return {name: plain(name) for name in model.state_dict()}


class _Plain:
    """Callable that drops from a name the attributes by which wrappers hold what they wrap, wherever they are."""

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
    # Known by its attribute: importing torch._dynamo for the class of a compiled model takes seconds.
    if "_orig_mod" in module._modules:
        return "_orig_mod"
    return "module" if isinstance(module, _PARALLEL) else None


def _remedy(module: nn.Module) -> str:
    if hasattr(module, "weight_orig") and hasattr(module, "weight_mask"):
        return "take its mask with Mask.from_torch_prune, then torch.nn.utils.prune.remove(module, 'weight')"
    return "remove the parametrisation first, as with torch.nn.utils.parametrize.remove_parametrizations"
