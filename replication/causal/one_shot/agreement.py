"""What the causal fits rank: their coefficients against the mean squared gradient and under other loss changes.

With fewer records than weights and a start at zero, the coefficients of a fit without an l1 penalty are a combination
of the recorded squared gradients, and the target of the fits of 2025 is about 1. If a fit ranks weights as the mean
squared gradient does, also when the loss changes are shuffled between the records or replaced by their mean, then the
loss changes add nothing to its ranking.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from replication.causal.evidence import rank_correlations
from replication.causal.follow_up.fits import Fit
from replication.causal.one_shot.start import TARGETS
from replication.ledger.units import Rows

_TOP = 0.01  # share of the weights with the largest scores whose overlap is measured


def agreement(fit: Callable[[str], Fit], squares: Tensor) -> Rows:
    """Compare one fit's coefficients with the mean squared gradient, and with its own under other loss changes.

    Parameters
    ----------
    fit : callable
        Maps one of `start.TARGETS` to the fit with these loss changes: "recorded", "shuffled" between the
        records, or the "constant" mean in every record.
    squares : Tensor (P,)
        Mean squared gradient of the same records.

    Returns
    -------
    list of dict
        target, reference ("mean_squared_gradient", or "recorded" for the fit with the recorded changes), and the
        entries of `compare` among the weights that moved; weights, unmoved (weights without any recorded change, whose
        coefficients are zero in every fit); outcome, passes, explained and zeros of the fit.
    """
    found: Rows = []
    fits = {target: fit(target) for target in TARGETS}
    moved = squares > 0
    sizes = {target: None if one.gamma is None else one.gamma.abs()[moved] for target, one in fits.items()}
    counts = {"weights": len(squares), "unmoved": int((~moved).sum())}
    for target, one in fits.items():
        references = {"mean_squared_gradient": squares[moved]}
        if target != "recorded":
            references["recorded"] = sizes["recorded"]
        for name, reference in references.items():
            row = {"target": target, "reference": name, **compare(sizes[target], reference), **counts, **facts_of(one)}
            found.append(row)
    return found


def compare(one: Tensor | None, other: Tensor | None) -> dict[str, float | None]:
    """Compare two scores (P,) of the same weights.

    Returns
    -------
    dict
        rank_correlation (Spearman's) and top_overlap (share of the 1% largest that both have in common, 0.01 by
        chance). None where a score is missing, or all its values are equal.
    """
    if one is None or other is None or not len(one) or one.min() == one.max() or other.min() == other.max():
        return {"rank_correlation": None, "top_overlap": None}
    table = rank_correlations({"one": {"all": one}, "other": {"all": other}})
    count = max(1, round(_TOP * len(one)))
    tops = [value.argsort(descending=True, stable=True)[:count] for value in (one, other)]
    return {
        "rank_correlation": float(table.loc["one", "other"]),
        "top_overlap": float(torch.isin(*tops).double().mean()),
    }


def facts_of(found: Fit) -> dict[str, Any]:
    """Return outcome, passes, explained and zeros of a fit, for a row."""
    return {name: getattr(found, name) for name in ("outcome", "passes", "explained", "zeros")}
