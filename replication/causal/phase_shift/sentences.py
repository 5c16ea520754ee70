"""Sentences on the tables of the phase shift, with the numbers of the run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


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
        Table of `phase_shift.chosen`.

    Returns
    -------
    str
    """
    found = ", ".join(f"{name} {level:g}" for name, level in chosen.sparsity.items() if name != "dense")
    return f"Sparsities chosen by the rule: {found}."
