"""How far two networks agree on which features matter: rank correlations and overlaps of SHAP importance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ccprune._util.checks import at_least

#: The dense network of another initialisation: its agreement with the dense one is the noise floor.
NOISE_FLOOR = "dense_other"


@dataclass(frozen=True)
class Agreement:
    """Agreement of two rankings of d features.

    spearman, kendall: rank correlations in [-1, 1], expected 0 for unrelated rankings. top_k: share of the k most
    important features that both have in common, in [0, 1], expected k / d for unrelated rankings. shared: share of the
    importance that both give to the same features, in [0, 1]; it still tells networks apart where there are so few
    features that all rank them the same.
    """

    spearman: float
    kendall: float
    top_k: float
    shared: float


def agreement(a: ArrayLike, b: ArrayLike, *, top: int) -> Agreement:
    """Agreement of two global importances (d,), none negative, of d >= 2 features; `top` is the k of `top_k`.

    Ties: Spearman with mean ranks, Kendall's tau-b; features tied at the k-th place share the places left. A network
    whose importances are all equal, as one whose output does not depend on its inputs, ranks nothing: both correlations
    are then 0, and importances that are all 0 share nothing. Leave out features that are the same in all samples, such
    as a digit's border: their importance is 0 in every network, and every network agrees on that.

    Raises ValueError for lengths that differ or are below 2, values that are negative or not finite, or a `top` outside
    1..d.
    """
    a, b = _checked(a, "a"), _checked(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a and b must have the same length, got {len(a)} and {len(b)}")
    at_least(1, top=top)
    if top > len(a):
        raise ValueError(f"top must be at most {len(a)}, the number of features, got {top}")
    top_k = float(np.minimum(_places(a, top), _places(b, top)).sum() / top)
    shared = float(np.minimum(a / a.sum(), b / b.sum()).sum()) if a.any() and b.any() else 0.0
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Agreement(0.0, 0.0, top_k, shared)
    spearman, kendall = (float(of(a, b).statistic) for of in (stats.spearmanr, stats.kendalltau))
    return Agreement(spearman, kendall, top_k, shared)


def _checked(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2 or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{name} must be at least 2 finite values of at least 0 in one dimension, got {values!r}")
    return array


def _places(values: np.ndarray, top: int) -> np.ndarray:
    """How much of one of the `top` places each feature has: 1, 0, or a share where features are tied."""
    last = np.sort(values)[-top]
    above, tied = values > last, values == last
    return above + tied * (top - above.sum()) / tied.sum()
