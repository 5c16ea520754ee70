"""Simulations of both tests for an abrupt drop of accuracy: coverage, power, and seeds until a decision."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import expit

from replication import ledger
from replication.causal.phase_shift.bayes import change_point_posterior
from replication.causal.phase_shift.change_point import change_point

POINTS = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98])
_SPREAD = 0.02  # standard deviation of the corner between runs

#: Accuracy at `POINTS` for a corner, where the curve has one, and whether the drop is abrupt.
SHAPES: dict[str, tuple[Callable[[float], np.ndarray], float | None]] = {
    "stick": (lambda corner: 0.9 - 3 * np.clip(POINTS - corner, 0, None), 0.8),
    "ramp": (lambda corner: 0.95 - 0.85 * np.clip((POINTS - corner) / 0.3, 0, 1), 0.6),
    "logistic": (lambda _: 0.1 + 0.85 * expit((0.85 - POINTS) / 0.05), None),
    "exponential": (lambda _: 0.95 - 0.8 * np.exp(10 * (POINTS - 1)), None),
    "line": (lambda _: 0.9 - 0.3 * POINTS, None),
    # Smooth, but in neither of the two smooth ways: two lines joined by a parabola.
    "rounded": (
        lambda _: 0.96 - 2.5 * np.where(POINTS < 0.8, np.clip(POINTS - 0.6, 0, None) ** 2 / 0.4, POINTS - 0.7),
        None,
    ),
}


def curves(shape: str, runs: int, *, noise: float, seed: int) -> np.ndarray:
    """Return accuracies (runs, points) of one of `SHAPES`, whose corner moves from run to run.

    Parameters
    ----------
    shape : str
        One of `SHAPES`.
    runs : int
        Number of curves.
    noise : float
        Standard deviation of an accuracy's error.
    seed : int
        Seed of corners and errors.

    Returns
    -------
    array (runs, points)
        Accuracies at `POINTS`.
    """
    rng = np.random.default_rng(seed)
    curve, corner = SHAPES[shape]
    moved = [curve((corner or 0) + _SPREAD * rng.standard_normal()) for _ in range(runs)]
    return np.stack(moved) + noise * rng.standard_normal((runs, len(POINTS)))


def simulate_drops(*, runs: list[int], repeats: int, resamples: int, noise: float, seed: int) -> pd.DataFrame:
    """Simulate how often each method finds an abrupt drop, and whether its intervals cover the corner.

    Parameters
    ----------
    runs : list of int
        Numbers of curves of a simulation.
    repeats : int
        Number of simulations of each shape and number of curves.
    resamples : int
        Number of bootstrap samples.
    noise : float
        Standard deviation of an accuracy's error.
    seed : int
        Seed of the first simulation.

    Returns
    -------
    DataFrame
        One row for each shape, number of curves and method ("bootstrap" or "Bayes"). Columns shape, runs, method;
        abrupt: share of simulations in which the drop is called abrupt, which is the power for the first two shapes and
        the error for the others; covers: share of intervals that contain the mean corner; width: their mean width; n:
        number of simulations. The columns covers and width are NaN without a corner.
    """
    rows = []
    for shape, (_, corner) in SHAPES.items():
        for count in runs:
            found: dict[str, list] = {"bootstrap": [], "Bayes": []}
            for number in range(seed, seed + repeats):
                accuracy = curves(shape, count, noise=noise, seed=number)
                plain = change_point(POINTS, accuracy, resamples=resamples, seed=number)
                bayes = change_point_posterior(POINTS, accuracy)
                found["bootstrap"].append((plain.abrupt, plain.low, plain.high))
                found["Bayes"].append((bayes.probability >= 0.95, bayes.low, bayes.high))
            for method, results in found.items():
                ends = [(low, high) for _, low, high in results if low is not None]
                rows.append(
                    {
                        "shape": shape,
                        "runs": count,
                        "method": method,
                        "abrupt": np.mean([result[0] for result in results]),
                        "covers": np.mean([low <= corner <= high for low, high in ends]) if corner else np.nan,
                        "width": np.mean([high - low for low, high in ends]) if corner else np.nan,
                        "n": repeats,
                    }
                )
    return pd.DataFrame(rows)


def simulate_stopping(*, most: int, repeats: int, noise: float, seed: int) -> pd.DataFrame:
    """Simulate the addition of one run at a time until the posterior has decided.

    Parameters
    ----------
    most : int
        Largest number of runs.
    repeats : int
        Number of simulations of each shape.
    noise : float
        Standard deviation of an accuracy's error.
    seed : int
        Seed of the first simulation.

    Returns
    -------
    DataFrame
        One row for each shape: shape, runs (their mean number), the shares of simulations called abrupt, not abrupt and
        undecided, and n (number of simulations).
    """
    rows = []
    for shape in SHAPES:
        used, answers = [], []
        for number in range(seed, seed + repeats):
            accuracy = curves(shape, most, noise=noise, seed=number)
            for count in range(1, most + 1):
                found = change_point_posterior(POINTS, accuracy[:count])
                if found.decided:
                    break
            used.append(count)
            answers.append("undecided" if not found.decided else "abrupt" if found.probability > 0.5 else "not abrupt")
        shares = {
            answer: np.mean([one == answer for one in answers]) for answer in ("abrupt", "not abrupt", "undecided")
        }
        rows.append({"shape": shape, "runs": np.mean(used), **shares, "n": repeats})
    return pd.DataFrame(rows)


def drop_cells(table: pd.DataFrame, stopping: pd.DataFrame, profile: str) -> list[ledger.Cell]:
    """Return both tables as cells of the table "critical sparsity".

    Parameters
    ----------
    table : DataFrame
        Table of `simulate_drops`.
    stopping : DataFrame
        Table of `simulate_stopping`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    named = {
        "abrupt": "share called abrupt",
        "covers": "coverage of the 95% interval",
        "width": "width of the interval",
    }

    rows = [
        (row["shape"], f"{row['method']}, {row['runs']} runs", quantity, row[column], row["n"])
        for row in table.to_dict("records")
        for column, quantity in named.items()
        if not np.isnan(row[column])
    ]
    rows += [
        (row["shape"], "Bayes, until decided", quantity, row[column], row["n"])
        for row in stopping.to_dict("records")
        for column, quantity in (("runs", "runs used"), ("abrupt", "share called abrupt"))
    ]
    frame = pd.DataFrame(rows, columns=["dataset", "method", "quantity", "ours", "n"])
    return ledger.row_cells(frame, paper="causal", table="critical sparsity", profile=profile)
