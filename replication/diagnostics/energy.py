"""Energy of training dense and pruned networks, an open question of LEGCNet."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
from torch import Tensor

from replication.data import Dataset
from replication.ledger.energy import EnergyUnavailable, compare_energy
from replication.legcnet.runs import run
from replication.legcnet.settings import Settings
from replication.networks.ensemble import MLPBatch

__all__ = ["EnergyUnavailable", "training_energy"]


def training_energy(
    data: Dataset,
    settings: Settings,
    ensemble: MLPBatch,
    keep: Mapping[str, Tensor],
    *,
    rounds: int,
) -> pd.DataFrame:
    """Measure the energy of training from the same initial weights under several masks.

    A mask saves no operations in an epoch. The training of a pruned network needs less energy if it reaches the
    benchmark in fewer epochs. The energy of computing the mask is not included.

    Parameters
    ----------
    data : Dataset
        Data set.
    settings : Settings
        Settings of LEGCNet.
    ensemble : MLPBatch
        B initial networks with M weights.
    keep : mapping of name to Tensor (B, M), bool
        Masks, True = keep; all True for the dense networks.
    rounds : int
        As in `ledger.energy.compare_energy`.

    Returns
    -------
    DataFrame
        As `ledger.energy.compare_energy`.

    Raises
    ------
    EnergyUnavailable, ValueError
        As `ledger.energy.compare_energy`.
    """
    functions = {name: partial(run, data, settings, ensemble, mask) for name, mask in keep.items()}
    return compare_energy(functions, rounds=rounds)
