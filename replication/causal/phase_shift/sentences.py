"""Sentences on the tables of the phase shift, with the numbers of the run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from replication.causal.phase_shift.change_point import ChangePoint
from replication.ledger.cell import Cell


def dense_sentence(curves: pd.DataFrame) -> str:
    """Return sentences on the change of the dense accuracy along the sparsities, and how far causal is from it.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`, with the methods "dense" and "causal".

    Returns
    -------
    str
        Markdown.
    """
    means = curves.pivot_table(index="level", columns="method", values="test_accuracy", sort=False)
    first, last = means["dense"].iloc[[0, -1]]
    return (
        f"Nothing is pruned from the *dense* network, but its accuracy goes from {first:.3f} "
        f"in the first row to {last:.3f} in "
        "the last. **Why?** A larger sparsity is reached after more epochs, and dense takes "
        "the same steps. Compare within a "
        f"*row*: at {means.index[-1]:g}, causal is {means['causal'].iloc[-1] - last:+.3f} from dense."
    )


def emptied_sentence(curves: pd.DataFrame) -> str:
    """Return sentences on the share of its emptiest layer that each method keeps at the last sparsity.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.

    Returns
    -------
    str
        Markdown.
    """
    density = curves.pivot_table(index="level", columns="method", values="least_density", sort=False)
    kept = ", ".join(f"{name} {density[name].iloc[-1]:.2%}" for name in density if name != "dense")
    return (
        f"At {density.index[-1]:g}, the emptiest layer keeps on average: {kept}. **Is an "
        "advantage over magnitude real, or did "
        "global magnitude empty a layer?** A network with an empty layer predicts nothing, "
        "and an advantage over it shows "
        "little. Compare at smaller sparsities, or with `lamp` and `magnitude_layer`."
    )


def interval_sentence(left: pd.DataFrame, levels: Sequence[float], seeds: int) -> str:
    """Return sentences on the part of the measured axis that the intervals of critical points span.

    Parameters
    ----------
    left : DataFrame
        Intervals of the kept shares, columns low and high, one row per method.
    levels : sequence of float
        Measured sparsities.
    seeds : int
        Number of networks.

    Returns
    -------
    str
    """
    axis = np.log10((1 - min(levels)) / (1 - max(levels)))
    spanned = (np.log10(left.high / left.low) / axis).sort_values()
    return (
        f"On the logarithmic axis, the interval of {spanned.index[0]} spans "
        f"{spanned.iloc[0]:.0%} of the measured sparsities and "
        f"that of {spanned.index[-1]} {spanned.iloc[-1]:.0%}. An interval that spans most of "
        f"them means that {seeds} networks do "
        "not locate the drop; it needs more seeds before the number can be used."
    )


def chosen_sentence(chosen: pd.DataFrame) -> str:
    """Say which sparsity the one-standard-error rule chooses for each method.

    Parameters
    ----------
    chosen : DataFrame
        Table of `phase_shift.chosen_sparsities`.

    Returns
    -------
    str
    """
    found = ", ".join(f"{name} {level:g}" for name, level in chosen.sparsity.items())
    return f"Sparsities chosen by the rule: {found}."


def claims_sentence(
    points: Mapping[str, ChangePoint], differences: Sequence[Cell], *, dataset: str, architecture: str
) -> str:
    """Return a sentence on claims 1 and 2 on one data set: accuracy against the references, and the abrupt drop.

    Parameters
    ----------
    points : mapping of str to ChangePoint
        Result of `critical_points`.
    differences : sequence of Cell
        Result of `difference_cells`.
    dataset, architecture : str
        Data set and network of the run.

    Returns
    -------
    str
    """
    parts, runs = [], max(cell.n for cell in differences)
    for reference in dict.fromkeys(cell.reference for cell in differences):
        cells = [cell for cell in differences if cell.reference == reference]
        furthest = max(cells, key=lambda cell: abs(cell.ours))
        if runs == 1:  # one seed has no interval, so nothing is shown to be better or worse
            words = f"higher at {sum(c.ours > 0 for c in cells)} and lower at {sum(c.ours < 0 for c in cells)}"
        else:
            better = sum(cell.ci_low is not None and cell.ci_low > 0 for cell in cells)
            worse = sum(cell.ci_high is not None and cell.ci_high < 0 for cell in cells)
            words = f"better at {better} and worse at {worse}"
        parts.append(
            f"against {reference} {words} of {len(cells)} sparsities (furthest {furthest.ours:+.3f} at "
            f"{furthest.sparsity:g})"
        )
    causal = points.get("causal")
    if causal is None:
        where = "too few sparsities to fit a change point"
    elif causal.critical_sparsity is None:
        where = "its accuracy never bends down"
    else:
        interval = "" if causal.low is None else f" [{round(causal.low, 3):g}, {round(causal.high, 3):g}]"
        shape = "abrupt by these runs" if causal.abrupt else "not shown to be abrupt"
        where = f"its critical sparsity is {causal.critical_sparsity:.3f}{interval}, {shape}"
    seeds = f"{runs} seeds" if runs > 1 else "one seed (no interval over seeds)"
    return f"{dataset}, {architecture}, {seeds}: accuracy of causal pruning {'; '.join(parts)}; {where}."
