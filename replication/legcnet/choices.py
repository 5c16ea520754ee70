"""Which undocumented choice moves a LEGCNet mask most: the masks again with one choice changed at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd
from torch import Tensor

from replication.data import Dataset
from replication.legcnet import procedure as legcnet
from replication.legcnet.procedure import ExponentsAndRisk
from replication.legcnet.settings import Settings, WindowSettings
from replication.networks.ensemble import MLPBatch
from replication.networks.masks import jaccard_pruned


@dataclass(frozen=True)
class Choice:
    """Departures from the settings found; none by default.

    Attributes
    ----------
    recording : mapping, default empty
        Fields of `settings.WindowSettings` with another value.
    risk : str, default "test"
        As in `procedure.exponents_and_risk`.
    test : str, default "ssr_chi2"
        As in `procedure.granger_tests`.
    p_decimals : int or None, default 4
        As in `procedure.keep_masks`.
    corrected : bool, default False
        As in `procedure.keep_masks`.
    """

    recording: Mapping[str, object] = field(default_factory=dict)
    risk: str = "test"
    test: str = "ssr_chi2"
    p_decimals: int | None = legcnet.P_DECIMALS
    corrected: bool = False


def choices(recording: WindowSettings) -> dict[str, Choice]:
    """Return the settings as found, and every single change of them that a reader of the paper could have made.

    The authors have two window scripts: one follows neighbours 20 steps, the other 3 and sets windows with a jump to 0.

    Parameters
    ----------
    recording : WindowSettings
        Recording of FT or PT as found.

    Returns
    -------
    dict of Choice
        Choices by their description, "as found" first.
    """
    older_script = recording.steps == 20
    return {
        "as found": Choice(),
        "last window left out, or not": Choice({"left_out": 1 - recording.left_out}),
        "steps of the other script": Choice({"steps": 3 if older_script else 20}),
        "jump rule of the other script": Choice({"jump_threshold": 1.0 if older_script else None}),
        "weights not rounded to 6 decimals": Choice({"decimals": None}),
        "slope fitted over k = 0..3": Choice({"fit": (0, 3)}),
        "windows 10 points longer": Choice({"window": recording.window + 10}),
        "recorded half as long": Choice({"epochs": max(1, recording.epochs // 2)}),
        "half as many lags": Choice({"max_lag": recording.max_lag // 2}),
        "F form instead of chi-squared": Choice(test="ssr_f"),
        "p not rounded to 4 decimals": Choice(p_decimals=None),
        "risk on the training part": Choice(risk="train"),
        "risk on held-out training rows": Choice(risk="heldout"),
        "p corrected for the number of weights": Choice(corrected=True),
    }


def masks_by_choice(
    ensemble: MLPBatch, data: Dataset, settings: Settings, method: str
) -> Iterator[tuple[str, Tensor, int]]:
    """Derive masks under every single change of the settings.

    Parameters
    ----------
    ensemble : MLPBatch
        B initial networks with M weights, which are not changed.
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    method : str
        "ft" or "pt".

    Yields
    ------
    choice : str
        Description of the change.
    masks : Tensor (B, M), bool
        True = keep.
    tested : int
        Number of networks that could be tested.

    Raises
    ------
    ValueError
        If the method is another one.
    """
    recording = settings.recording(method)
    known: dict[tuple[WindowSettings, str], ExponentsAndRisk] = {}
    for name, choice in choices(recording).items():
        changed = replace(recording, **choice.recording)
        # Lags enter after the exponents, which are the expensive part.
        key = (replace(changed, max_lag=recording.max_lag), choice.risk)
        if key not in known:
            known[key] = legcnet.exponents_and_risk(ensemble, data, settings, changed, risk=choice.risk)
        results = legcnet.granger_tests(known[key], max_lag=changed.max_lag, test=choice.test)
        count = ensemble.weights.shape[1]
        keep = legcnet.keep_masks(results, count, p_decimals=choice.p_decimals, corrected=choice.corrected)
        yield name, keep, sum(result is not None for result in results)


def agreement(ensemble: MLPBatch, data: Dataset, settings: Settings, method: str, reference: Tensor) -> pd.DataFrame:
    """Compare the masks under every single change of the settings with reference masks.

    Parameters
    ----------
    ensemble : MLPBatch
        B initial networks with M weights, which are not changed.
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    method : str
        "ft" or "pt".
    reference : Tensor (B, M), bool
        Masks to compare with, True = keep.

    Returns
    -------
    DataFrame
        One row per choice: mean Jaccard index of the pruned weights (jaccard_pruned), mean number of removed weights
        (removed), and number of networks that could be tested (tested).

    Raises
    ------
    ValueError
        If the method is another one.
    """
    rows = {}
    for name, keep, tested in masks_by_choice(ensemble, data, settings, method):
        rows[name] = {
            "jaccard_pruned": float(jaccard_pruned(keep, reference).mean()),
            "removed": float((~keep).sum(1).double().mean()),
            "tested": tested,
        }
    return pd.DataFrame(rows).T
