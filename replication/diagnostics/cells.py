"""The diagnostics as cells. The paper prints no figures for them, so none has a verdict."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ccprune.stats import Interval, mean_interval, paired_difference
from replication.diagnostics.shap_runs import QUANTITIES
from replication.ledger import Cell


def lesson_cells(
    *,
    dataset: str,
    digits: str,
    profile: str,
    seed: int = 0,
    agreements: pd.DataFrame | None = None,
    claims: pd.DataFrame | None = None,
    reach: pd.DataFrame | None = None,
    ratios: pd.DataFrame | None = None,
    joules: pd.DataFrame | None = None,
    traps: Mapping[str, pd.DataFrame] | None = None,
    pixels: pd.DataFrame | None = None,
    operations: pd.DataFrame | None = None,
    times: pd.DataFrame | None = None,
) -> list[Cell]:
    """Return the cells of lesson 06. A table of an omitted part is None.

    Parameters
    ----------
    dataset, digits : str
        Data of the first five tables, and of the others.
    profile : str
    seed : int, default 0
        Seed of the intervals' resamples.
    agreements, claims : DataFrame, optional
        As for `shap_cells`; both or neither.
    reach, ratios, joules : DataFrame, optional
        As for `epsilon_cells`, `epsilon_ratio_cells` and `energy_cells`.
    traps : mapping of str to DataFrame, optional
        As for `trap_cells`, by method.
    pixels, operations, times : DataFrame, optional
        As for `pixel_cells`, `operation_cells` and `time_cells`.

    Returns
    -------
    list of Cell
    """
    small, images = ({"dataset": name, "profile": profile} for name in (dataset, digits))
    cells = [] if agreements is None else shap_cells(agreements, claims, seed=seed, **small)
    cells += [] if reach is None else epsilon_cells(reach, seed=seed, **small)
    cells += [] if ratios is None else epsilon_ratio_cells(ratios, **small)
    cells += [] if joules is None else energy_cells(joules, seed=seed, **small)
    for method, table in (traps or {}).items():
        cells += trap_cells(table, method, **images)
    cells += [] if pixels is None else pixel_cells(pixels, **images)
    cells += [] if operations is None else operation_cells(operations, **images)
    return cells + ([] if times is None else time_cells(times, **images))


def shap_cells(table: pd.DataFrame, claims: pd.DataFrame, *, dataset: str, profile: str, seed: int = 0) -> list[Cell]:
    """Return the agreement of explanations with dense, and the claims on it.

    Parameters
    ----------
    table : DataFrame
        Table of `shap_runs.agreements`.
    claims : DataFrame
        Table of `shap_runs.claims`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
    """
    removed = table.groupby("method").removed.mean()
    notes = {method: f"agreement with dense; {count:.1f} weights removed" for method, count in removed.items()}
    cells = _agreement_cells(table, notes, dataset=dataset, profile=profile, seed=seed)
    for row in claims.itertuples():
        quantity = row.quantity + ("" if row.networks == "all" else ", something removed")
        interval = Interval(row.estimate, row.low, row.high, row.n)
        where = ("legcnet", "shap_difference", dataset, row.method, quantity)
        more = {"reference": row.reference, "kind": "control", "outcome": row.outcome, "p_value": row.p_value}
        cells.append(Cell.from_interval(*where, interval, profile=profile, **more))
    return cells


def pixel_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return the agreement with dense on the importance of pixels.

    Parameters
    ----------
    table : DataFrame
        Columns method and those of `Agreement`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    notes = dict.fromkeys(table.method, "agreement with dense on pixels that vary")
    return _agreement_cells(table, notes, dataset=dataset, profile=profile, seed=0)


def epsilon_cells(table: pd.DataFrame, *, dataset: str, profile: str, seed: int = 0) -> list[Cell]:
    """Return the epsilon of theorem 3.1 by method and hidden width.

    Parameters
    ----------
    table : DataFrame
        Table of `approximation.epsilons_by_width`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
    """
    cells = []
    for (method, when, width), part in table.groupby(["method", "when", "width"], sort=False):
        note = (
            f"largest distance of the outputs; {part.removed.mean():.1f} of {part.weights.mean():.0f} weights removed"
        )
        for quantity in ("epsilon_test", "epsilon_ball", "epsilon_ball_upper"):
            interval = mean_interval(part[quantity], seed=seed)
            where = ("legcnet", "epsilon", dataset, f"{method}, {when}, {width} hidden", quantity)
            cells.append(Cell.from_interval(*where, interval, profile=profile, note=note))
    return cells


def epsilon_ratios(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return ratios of epsilon on the ball, LEGCNet's masks to random and magnitude masks of the same networks.

    Parameters
    ----------
    table : DataFrame
        As from `approximation.epsilons_by_width`. Networks without pruned weights are left out.
    seed : int, default 0
        Seed of the intervals and tests.

    Returns
    -------
    DataFrame
        One row per `when` and reference, with the columns method, reference, when, estimate (geometric mean over widths
        and seeds), low, high (95% interval), p_value (sign-flip, of the logarithms) and n.
    """
    rows = []
    method = next(name for name in table.method.unique() if name not in ("dense", "random", "magnitude"))
    for when, part in table[table.removed > 0].groupby("when", sort=False):
        wide = np.log(part.pivot(index=["width", "seed"], columns="method", values="epsilon_ball"))
        for reference in ("random", "magnitude"):
            pair = wide[[method, reference]].replace(-np.inf, np.nan).dropna()
            if len(pair) < 2:
                continue
            difference = paired_difference(pair[method], pair[reference], seed=seed)
            numbers = np.exp([difference.estimate, difference.low, difference.high])
            rows.append((method, reference, when, *numbers, difference.p_value, difference.n))
    columns = ["method", "reference", "when", "estimate", "low", "high", "p_value", "n"]
    return pd.DataFrame(rows, columns=columns)


def epsilon_ratio_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return ratios of epsilon as cells; a ratio of 1 is no difference.

    Parameters
    ----------
    table : DataFrame
        Table of `epsilon_ratios`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    cells = []
    for row in table.itertuples():
        interval = Interval(row.estimate, row.low, row.high, row.n)
        where = ("legcnet", "theorem_3_1", dataset, row.method, f"epsilon_ball_ratio, {row.when}")
        note = "geometric mean over widths and seeds"
        more = {"reference": row.reference, "p_value": row.p_value, "note": note}
        cells.append(Cell.from_interval(*where, interval, profile=profile, **more))
    return cells


def trap_cells(table: pd.DataFrame, method: str, *, dataset: str, profile: str) -> list[Cell]:
    """Return the correlation traps of a network's layers; layers without a number are left out.

    Parameters
    ----------
    table : DataFrame
        Table of `weightwatcher.summary` with a seed.
    method : str
        Method by which the network was pruned.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    cells = []
    for layer, row in table[table.traps.notna()].iterrows():
        note = f"eigenvalues of the permuted matrix above its Marchenko-Pastur edge; it has {row.eigenvalues}"
        cells.append(_plain("traps", dataset, f"{method}, {layer}", "traps", row.traps, note, profile))
    return cells


def operation_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return multiply-adds and FLOPs per example over all layers, dense and masked.

    Parameters
    ----------
    table : DataFrame
        Table of `measure.operations.count`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    everything = table.loc["all"]
    cells = []
    for quantity in ("macs", "flops"):
        for method, column in (("dense", f"{quantity}_dense"), ("masked", f"{quantity}_kept")):
            cells.append(_plain("operations", dataset, method, quantity, everything[column], "per example", profile))
    cells.append(
        _plain("operations", dataset, "masked", "kept", everything["kept"], 'what the paper calls "Flops"', profile)
    )
    return cells


def time_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return measured times relative to dense.

    Parameters
    ----------
    table : DataFrame
        Table of `measure.latency.compare` with a column sparsity.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    cells = []
    for row in table[table.form != "dense"].itertuples():
        note = f"median of {row.n}, quartiles {row.low:.3g} to {row.high:.3g} s"
        name, more = f"{row.form}, {row.task.replace('_', ' ')}", {"sparsity": float(row.sparsity)}
        cells.append(_plain("operations", dataset, name, "time_over_dense", row.relative, note, profile, **more))
    return cells


def energy_cells(table: pd.DataFrame, *, dataset: str, profile: str, seed: int = 0) -> list[Cell]:
    """Return the processor's energy of training by method, in joules; the note has its source.

    The memory's energy is left out, because it is an estimate from the time only, and larger.

    Parameters
    ----------
    table : DataFrame
        Table of `energy.training_energy`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
    """
    cells = []
    for name, part in table.groupby("name", sort=False):
        interval = mean_interval(part.cpu, seed=seed)
        cells.append(
            Cell.from_interval(
                "legcnet", "energy", dataset, name, "cpu_joules", interval, profile=profile, note=part.source.iloc[0]
            )
        )
    return cells


def _agreement_cells(
    table: pd.DataFrame, notes: Mapping[str, str], *, dataset: str, profile: str, seed: int
) -> list[Cell]:
    cells = []
    for method, part in table.groupby("method", sort=False):
        for quantity in QUANTITIES:
            interval = mean_interval(part[quantity], seed=seed)
            where = ("legcnet", "shap", dataset, method, quantity)
            cells.append(Cell.from_interval(*where, interval, profile=profile, note=notes[method]))
    return cells


def _plain(
    table: str, dataset: str, method: str, quantity: str, value: float, note: str, profile: str, **more: float
) -> Cell:
    where = {"paper": "legcnet", "table": table, "dataset": dataset, "method": method, "quantity": quantity}
    return Cell(**where, ours=float(value), n=1, note=note, profile=profile, **more)
