"""The papers' networks, and the joint training of many small networks.

The names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.networks.decoder import transformer
    from replication.networks.ensemble import MLPBatch, initialise, stack_mlps
    from replication.networks.masks import jaccard_pruned, masks_from_lists, remove_lowest, remove_random
    from replication.networks.models import legcnet_mnist
    from replication.networks.stacked import ModelBatch, stack_models
    from replication.networks.training import Trained, train

__all__ = [
    "MLPBatch",
    "ModelBatch",
    "Trained",
    "initialise",
    "jaccard_pruned",
    "legcnet_mnist",
    "masks_from_lists",
    "remove_lowest",
    "remove_random",
    "stack_mlps",
    "stack_models",
    "train",
    "transformer",
]

_MODULES = {
    "MLPBatch": "ensemble",
    "ModelBatch": "stacked",
    "Trained": "training",
    "initialise": "ensemble",
    "jaccard_pruned": "masks",
    "legcnet_mnist": "models",
    "masks_from_lists": "masks",
    "remove_lowest": "masks",
    "remove_random": "masks",
    "stack_mlps": "ensemble",
    "stack_models": "stacked",
    "train": "training",
    "transformer": "decoder",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
