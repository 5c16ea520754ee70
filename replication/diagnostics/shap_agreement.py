"""Agreement of two networks on the importance of features: rank correlations and overlaps of SHAP importance."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ccprune._util.checks import require_at_least
from ccprune.measure.explanation import top_places


@dataclass(frozen=True)
class Agreement:
    """Agreement of two rankings of d features.

    Attributes
    ----------
    spearman, kendall : float
        Rank correlations in [-1, 1], expected 0 for unrelated rankings.
    top_k : float
        Share of the k most important features that both have in common, in [0, 1], expected k / d for unrelated
        rankings.
    shared : float
        Share of the importance that both assign to the same features, in [0, 1]. It also distinguishes networks if
        there are so few features that all networks rank them equally.
    """

    spearman: float
    kendall: float
    top_k: float
    shared: float


def agreement(a: ArrayLike, b: ArrayLike, *, top: int) -> Agreement:
    """Return the agreement of two global importances.

    With ties, Spearman's correlation uses mean ranks, Kendall's is tau-b, and features tied at the k-th place share the
    remaining places. If all importances of a network are equal, for example because its output does not depend on the
    inputs, both correlations are 0. If all are 0, `shared` is 0. Leave out features that are constant over the samples,
    such as a digit's border, because their importance is 0 in every network.

    Parameters
    ----------
    a, b : array_like (d,)
        Importances of d >= 2 features, not negative.
    top : int
        The k of `top_k`, from 1 to d.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        If the lengths differ or are below 2, a value is negative or not finite, or `top` is outside its range.
    """
    a, b = _check_importances(a, "a"), _check_importances(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a and b must have the same length, got {len(a)} and {len(b)}")
    require_at_least(1, top=top)
    if top > len(a):
        raise ValueError(f"top must be at most {len(a)}, the number of features, got {top}")
    top_k = float(np.minimum(top_places(a, top), top_places(b, top)).sum() / top)
    shared = float(np.minimum(a / a.sum(), b / b.sum()).sum()) if a.any() and b.any() else 0.0
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Agreement(0.0, 0.0, top_k, shared)
    spearman, kendall = (float(of(a, b).statistic) for of in (stats.spearmanr, stats.kendalltau))
    return Agreement(spearman, kendall, top_k, shared)


def agreements_with_dense(maps: Mapping[tuple[int, str], ArrayLike], *, top: int) -> pd.DataFrame:
    """Return the agreement of each network with the dense one of its initialisation, and of dense ones with each other.

    Parameters
    ----------
    maps : mapping of (int, str) to array_like (d,)
        Importances by number of the initialisation, from 0, and method. One method is "dense".
    top : int
        The k of `top_k`, from 1 to d.

    Returns
    -------
    DataFrame
        One row per method and initialisation, with the columns method and those of `Agreement`. The method "two dense
        networks" compares the dense network with that of the next initialisation.
    """
    seeds, methods = (list(dict.fromkeys(values)) for values in zip(*maps, strict=True))
    pairs = {name: [(maps[i, "dense"], maps[i, name]) for i in seeds] for name in methods if name != "dense"}
    pairs["two dense networks"] = [(maps[i, "dense"], maps[(i + 1) % len(seeds), "dense"]) for i in seeds]
    rows = [{"method": name} | vars(agreement(a, b, top=top)) for name, those in pairs.items() for a, b in those]
    return pd.DataFrame(rows)


def _check_importances(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must be at least 2 finite values of at least 0 in one dimension, got {values!r}")
    return array
