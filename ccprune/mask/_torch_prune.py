"""Conversion of masks to and from those of `torch.nn.utils.prune`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from ccprune._util.checks import join_first
from ccprune.mask._names import owners
from ccprune.mask._prunable import candidates


def write(model: nn.Module, pairs: Sequence[tuple[str, Tensor, Tensor]]) -> None:
    """Register the masks on every module that has one of the parameters. `pairs` are (name, parameter, mask)."""
    for name, parameter, stays in pairs:
        if not bool(parameter.detach()[~stays.to(parameter.device)].isfinite().all()):
            raise ValueError(f"model's {name!r} has pruned weights that are not finite: call the mask's apply_ first")
    masks = {id(parameter): stays.to(parameter.device) for _, parameter, stays in pairs}
    # All are found before the first is written, because writing renames parameters. Modules with two names occur once.
    holders = {(module, attribute): id(module._parameters[attribute]) for module, attribute in owners(model).values()}
    chosen = {(module, attribute): masks[key] for (module, attribute), key in holders.items() if key in masks}
    for (module, attribute), stays in chosen.items():
        prune.custom_from_mask(module, attribute, stays)
    layers_masked = {module for module, _ in chosen}
    for parent in model.modules():
        if not isinstance(parent, nn.Sequential) and not layers_masked.isdisjoint(parent.children()):
            parent.register_forward_pre_hook(_mask_children)


def _mask_children(parent: nn.Module, args: Any) -> None:
    """Compute the masked weights of a module's layers, which torch does only in their calls; attention has none."""
    for layer in parent.children():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                hook(layer, args)


def read(model: nn.Module) -> dict[str, Tensor]:
    """Return {name: bool Tensor} of every weight that can be pruned, all True where torch has no mask."""
    found = {name: place[:2] for name, place in candidates(model).items() if place[2]}
    known = {(id(module), f"{attribute}_mask") for module, attribute in found.values()}
    others = [
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name in module._buffers
        if name.endswith("_mask") and f"{name[:-5]}_orig" in module._parameters and (id(module), name) not in known
    ]
    if others:
        raise ValueError(f"model must have masks of weights that can be pruned only, got {join_first(others)}")
    keep: dict[str, Tensor] = {}
    first: dict[int, str] = {}
    masked = False
    for name, (module, attribute) in found.items():
        weight = module._parameters.get(f"{attribute}_orig", module._parameters.get(attribute))
        if weight is None:
            raise ValueError(f"model's {name!r} is neither a parameter nor one that torch.nn.utils.prune has masked")
        stays = torch.ones_like(weight, dtype=torch.bool)
        if f"{attribute}_orig" in module._parameters:
            stays, masked = module.get_buffer(f"{attribute}_mask").bool(), True
        other = first.setdefault(id(weight), name)
        if other != name and not torch.equal(keep[other], stays):
            raise ValueError(f"model's {other!r} and {name!r} share a weight but have different masks")
        if other == name:
            keep[name] = stays
    if not masked:
        raise ValueError("model has no mask of torch.nn.utils.prune on a weight that can be pruned")
    return keep
