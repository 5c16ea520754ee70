"""Checks of states that are loaded: each error names the part that does not fit."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor


def parts(argument: str, state: Any, names: Collection[str]) -> Mapping[str, Any]:
    """The state, if it has these parts and no others; raises TypeError or ValueError."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{argument} must be what state_dict gave, got {type(state).__name__}")
    if set(state) != set(names):
        raise ValueError(f"{argument} must have the parts {sorted(names)}, got {sorted(map(str, state))}")
    return state


def tensors(argument: str, state: Any, like: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Copies of the tensors on the devices of `like`; raises where names, shapes or the dtype (None: like's) differ."""
    parts(argument, state, like)
    for name, first in like.items():
        own = dtype or first.dtype
        value = state[name]
        kind = (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else type(value).__name__
        if kind != (tuple(first.shape), own):
            raise ValueError(f"{argument}[{name!r}] must have shape {tuple(first.shape)} and {own}, got {kind}")
        if own.is_floating_point and not bool(value.isfinite().all()):
            raise ValueError(f"{argument}[{name!r}] must be finite, got NaN or infinite values")
    return {name: state[name].to(first.device, copy=True) for name, first in like.items()}


def counts(argument: str, found: Any, length: int) -> list[int]:
    """The numbers, if there are `length` of them and none is negative."""
    whole = isinstance(found, list) and all(type(count) is int and count >= 0 for count in found)
    if not whole or len(found) != length:
        raise ValueError(f"{argument} must be {length} counts of at least 0, got {found!r}")
    return found


def same(argument: str, found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raises ValueError naming the first setting that is another one."""
    parts(argument, found, own)
    for name, value in own.items():
        if found[name] != value:
            raise ValueError(f"{argument}[{name!r}] is {found[name]!r}, here it is {value!r}")
