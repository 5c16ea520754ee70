"""Checks of loaded states; each error names the part that does not fit."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from ccprune._util import inputs
from ccprune._util.checks import join_first


def parts(argument: str, state: Any, names: Collection[str]) -> Mapping[str, Any]:
    """Return the state if it has exactly these parts; raises TypeError or ValueError otherwise."""
    if not isinstance(state, Mapping):
        raise TypeError(f"{argument} must be what state_dict gave, got {type(state).__name__}")
    missing, unknown = sorted(set(names) - set(state)), sorted(map(str, set(state) - set(names)))
    if missing or unknown:
        wrong = f"missing {join_first(missing)} and unknown {join_first(unknown)}"
        raise ValueError(f"{argument} must have the parts {join_first(sorted(names))}, {wrong}")
    return state


def tensors(argument: str, state: Any, like: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return copies on the devices of `like`; raises if names, shapes or the dtype (None: that of `like`) differ."""
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
    """Return the list if it has `length` integers of 0 to 2^53; raises ValueError otherwise."""
    whole = isinstance(found, list) and all(type(count) is int and 0 <= count <= 2**53 for count in found)
    if not whole or len(found) != length:
        raise ValueError(f"{argument} must be {length} counts of 0 to 2^53, got {found!r:.200}")
    return found


def same(argument: str, found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ValueError that names the first setting with another value."""
    parts(argument, found, own)
    for name, value in own.items():
        if found[name] != value:
            raise ValueError(f"{argument}[{name!r}] is {found[name]!r}, here it is {value!r}")


def digest(state: Any) -> str:
    """Return the SHA-256 (hex) of the values of all tensors in a state."""
    found = hashlib.sha256()
    for value in inputs.tensors(state):
        found.update(inputs.raw_bytes(value))
    return found.hexdigest()
