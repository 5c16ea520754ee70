"""Energy of training dense and pruned networks: LEGCNet's open question."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
from torch import Tensor

from replication.data import Dataset
from replication.ledger.energy import EnergyUnavailable, compared
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import run
from replication.networks.ensemble import MLPBatch

__all__ = ["EnergyUnavailable", "of_training"]


def of_training(
    data: Dataset,
    settings: legcnet.Settings,
    ensemble: MLPBatch,
    keep: Mapping[str, Tensor],
    *,
    rounds: int,
    repeats: int = 1,
) -> pd.DataFrame:
    """`compared` for training from the same initial weights under masks, {name: (B, M) bool}; dense: all True.

    A mask saves no operation of an epoch: a pruned network's training costs less where it takes fewer epochs to the
    benchmark. What it cost to find the mask is not in it.
    """
    functions = {name: partial(run, data, settings, ensemble, mask) for name, mask in keep.items()}
    return compared(functions, rounds=rounds, repeats=repeats)
