"""Masks with an exact number of pruned weights, schedules of sparsities, and the prunable weights of a model."""

from ccprune.mask._allocation import ALLOCATIONS
from ccprune.mask._core import Mask
from ccprune.mask._coupled import attention_heads, coupled_channels
from ccprune.mask._enforcement import Enforcement
from ccprune.mask._groups import Group
from ccprune.mask._kinds import Axes, register_kind
from ccprune.mask._names import unwrap
from ccprune.mask._overlap import jaccard_kept
from ccprune.mask._prunable import prunable
from ccprune.mask._search import allocate, sensitivity
from ccprune.mask._select import SCOPES, LayerFloorWarning, drop_lowest
from ccprune.mask.schedules import cubic, geometric

__all__ = [
    "ALLOCATIONS",
    "SCOPES",
    "Axes",
    "Enforcement",
    "Group",
    "LayerFloorWarning",
    "Mask",
    "allocate",
    "attention_heads",
    "coupled_channels",
    "cubic",
    "drop_lowest",
    "geometric",
    "jaccard_kept",
    "prunable",
    "register_kind",
    "sensitivity",
    "unwrap",
]
