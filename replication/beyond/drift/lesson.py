"""Tables, sentences and cells of the lesson on noise and drift."""

from collections.abc import Sequence

import pandas as pd

from replication.beyond.drift.chaos import chaos_cells
from replication.beyond.drift.networks import ANOTHER_ORDER, REFERENCE, drift_cells, drift_effects
from replication.beyond.drift.series import granger_cells
from replication.ledger import Cell


def cost_sentence(dense: pd.DataFrame, *, seeds: int) -> str:
    """Name the disturbances that cost a network without pruning most and least accuracy.

    Parameters
    ----------
    dense : DataFrame
        Accuracies of the dense networks, a row for each disturbance, with the column mean.
    seeds : int
        Number of seeds.

    Returns
    -------
    str
    """
    loss = (dense["mean"][ANOTHER_ORDER] - dense["mean"]).drop([REFERENCE, ANOTHER_ORDER])
    return (
        f"Without pruning, {loss.idxmax()} costs most: {loss.max():.3f} of accuracy. {loss.idxmin().capitalize()} "
        f"costs least: {loss.min():.3f} ({seeds} seeds; a negative cost is a gain)."
    )


def overlap_sentence(effects: pd.DataFrame, overlaps: pd.DataFrame, *, sparsity: float) -> str:
    """Say how often a disturbance lowers the overlap, by how much, and how low it is without a disturbance.

    Parameters
    ----------
    effects : DataFrame
        Table of `drift_effects` for the overlap.
    overlaps : DataFrame
        Mean overlaps, a row for each criterion and a column for each disturbance.
    sparsity : float

    Returns
    -------
    str
    """
    fall = effects[effects.method != "random"].groupby("method")["difference"].mean()
    without = overlaps[ANOTHER_ORDER]
    return (
        f"The overlap is lower than with another order in {(effects.high < 0).sum()} of {len(effects)} cases. Averaged "
        f"over the disturbances the change lies between {fall.min():+.2f} ({fall.idxmin()}) and {fall.max():+.2f} "
        f"({fall.idxmax()}). Two undisturbed runs already differ: the lowest overlap with another order is "
        f"{without.min():.2f}, of {without.idxmin()}, where chance gives {1 - sparsity:.2f}."
    )


def measure_sentence(both: pd.DataFrame) -> str:
    """Say whether the overlap and the rank correlation name the same disturbance as the one that changes most.

    Parameters
    ----------
    both : DataFrame
        Mean effects, a row for each disturbance, with the columns overlap and rank correlation.

    Returns
    -------
    str
    """
    by_overlap, by_rank = both["overlap"].idxmin(), both["rank correlation"].idxmin()
    return (
        f"{by_overlap.capitalize()} lowers the overlap most, and {by_rank} the rank correlation: the two measures "
        f"{'agree' if by_overlap == by_rank else 'do not agree'}."
    )


def best_criteria(runs: pd.DataFrame, sparsities: Sequence[float]) -> pd.DataFrame:
    """Return the most accurate criterion under each disturbance.

    Parameters
    ----------
    runs : DataFrame
        Table of `drift_runs` with at least 2 seeds.
    sparsities : sequence of float

    Returns
    -------
    DataFrame
        Columns sparsity, disturbance, best, accuracy (of the best), random masks (their accuracy), and criteria that
        lose accuracy (their number).
    """
    rows = []
    for sparsity in sparsities:
        for name, part in drift_effects(runs, "accuracy", sparsity=sparsity).groupby("disturbance", sort=False):
            ranked = part.set_index("method")
            chance, lower = ranked.value.get("random"), int((ranked.high < 0).sum())
            rows.append((sparsity, name, ranked.value.idxmax(), ranked.value.max(), chance, lower))
    columns = ["sparsity", "disturbance", "best", "accuracy", "random masks", "criteria that lose accuracy"]
    return pd.DataFrame(rows, columns=columns)


def best_sentence(best: pd.DataFrame, accuracy: pd.DataFrame, *, sparsity: float) -> str:
    """Say whether the most accurate criterion without a disturbance is so with one, and how far accuracy falls.

    Parameters
    ----------
    best : DataFrame
        Table of `best_criteria`.
    accuracy : DataFrame
        Mean accuracies at the sparsity, a row for each criterion and a column for each disturbance.
    sparsity : float

    Returns
    -------
    str
    """
    first, there = accuracy[ANOTHER_ORDER].idxmax(), best[best.sparsity == sparsity]
    return (
        f"At sparsity {sparsity:.0%} {first} is the most accurate criterion without a disturbance, and is so "
        f"under {(there.best == first).sum()} of {len(there)} disturbances. The mean over criteria of the largest fall "
        f"is {(accuracy[ANOTHER_ORDER] - accuracy.min(axis=1)).mean():.2f}."
    )


def chaos_sentence(summary: pd.DataFrame) -> str:
    """Name the series for which each test for chaos is wrong in most runs.

    Parameters
    ----------
    summary : DataFrame
        One row for each series. Columns chaotic, exponent, called by K and called by exponent: the answer, the mean
        exponent, and the shares of the runs that the two tests call chaotic.

    Returns
    -------
    str
    """
    called = {name: summary[f"called by {name}"] > 0.5 for name in ("K", "exponent")}
    wrong = {name: "; ".join(summary.index[value != summary.chaotic]) or "none" for name, value in called.items()}
    return (
        f"The 0-1 test is wrong for: {wrong['K']}. The exponent is wrong for: {wrong['exponent']}. For the logistic "
        f"map with r = 4 the exponent is {summary.exponent['logistic, r = 4']:.2f}, where the exact one is ln 2 = 0.69."
    )


def lesson_cells(
    runs: pd.DataFrame, rates: pd.DataFrame, chaos: pd.DataFrame, *, dataset: str, profile: str
) -> list[Cell]:
    """Return the cells of the lesson.

    Parameters
    ----------
    runs, rates, chaos : DataFrame
        Tables of `drift_runs`, `granger_rates` and `chaos_tests`.
    dataset : str
        Name of the images.
    profile : str

    Returns
    -------
    list of Cell
    """
    return drift_cells(runs, dataset, profile) + granger_cells(rates, profile) + chaos_cells(chaos, profile)
