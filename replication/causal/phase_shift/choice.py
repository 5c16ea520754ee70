"""The rule that chooses a sparsity on held-out data."""

import numpy as np
from numpy.typing import ArrayLike

from replication.causal.phase_shift._tests import TIE
from replication.causal.phase_shift.change_point import check_curves


def one_standard_error(sparsity: ArrayLike, accuracy: ArrayLike) -> float:
    """Return the largest sparsity whose mean accuracy is within one standard error of the best.

    The error is that of the mean over runs at the best point; among points that are equally good the sparsest is the
    best. A single run has no standard error: then the sparsest of its best points is returned. Points between that fall
    short do not matter. The accuracies should be those on held-out data.

    Parameters
    ----------
    sparsity : array (p,)
        Increasing, in [0, 1].
    accuracy : array (s, p)
        One row per run.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As `change_point`, but from a single point on.

    References
    ----------
    Breiman et al. (1984), Classification and regression trees, section 3.4.3.
    """
    points, runs = check_curves(sparsity, accuracy, fewest=1)
    mean = runs.mean(0)
    tie = TIE * np.abs(runs).max()  # equal but for the rounding of a mean
    best = np.flatnonzero(mean >= mean.max() - tie)[-1]
    error = runs[:, best].std(ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else 0.0
    return float(points[np.flatnonzero(mean >= mean[best] - error - tie)[-1]])
