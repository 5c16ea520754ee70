"""Posterior of an abrupt drop of accuracy and of the critical sparsity; beside the tests of `change_point`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from ccprune._util.checks import require_inside_unit_interval
from replication.causal.phase_shift._curves import Curves, Family, abrupt, residual, rounding, smooth
from replication.causal.phase_shift.change_point import check_curves

_G = np.geomspace(0.05, 1e10, 27)  # nodes of g / p
_MEANS = np.linspace(0, 1, 201)
_SPREADS = np.geomspace(0.005, 0.3, 10)  # of the corner between runs, log-uniform


@dataclass(frozen=True)
class ChangePointPosterior:
    """Posterior of the shape of accuracy over sparsity. Sparsities are fractions.

    Attributes
    ----------
    probability : float
        Posterior probability of an abrupt curve, against a smooth one and a line with equal prior probabilities.
    log10_bayes_factor : float
        Of abrupt against smooth curves, log10: the sum of `per_run`, so that each repetition adds its own.
    per_run : tuple of float
        The same of each run alone.
    critical_sparsity, low, high : float
        Median and equal-tailed credible interval of the mean corner over runs, if the curve is abrupt.
    decided : bool
        Whether the probability is at least the confidence level or at most one minus it. If not, run one more seed.
    """

    probability: float
    log10_bayes_factor: float
    per_run: tuple[float, ...]
    critical_sparsity: float
    low: float
    high: float
    decided: bool


def change_point_posterior(
    sparsity: ArrayLike,  # (p,)
    accuracy: ArrayLike,  # (s, p)
    *,
    confidence_level: float = 0.95,
) -> ChangePointPosterior:
    """Compare abrupt curves, smooth curves and a line by their marginal likelihoods, and locate the first corner.

    The curves are those of `change_point`. Each run has its own curve and error variance. Linear coefficients have
    the prior of Zellner and Siow, the error variance that of Jeffreys, and the two parameters of a bend a uniform prior
    over their grid, so that the marginal likelihood of a run is a mean over the grid and those of runs multiply. The
    corners of runs are normal about their mean, which is uniform over the points.

    Parameters
    ----------
    sparsity : array (p,)
        As in `change_point`.
    accuracy : array (s, p)
        As in `change_point`, one row per run.
    confidence_level : float, default 0.95
        Probability of the credible interval, between 0 and 1.

    Returns
    -------
    ChangePointPosterior

    Raises
    ------
    ValueError
        As `change_point`.

    References
    ----------
    Liang and others (2008), Mixtures of g priors for Bayesian variable selection, section 3 (a fixed g
    would limit the evidence of a curve without errors). Kass and Raftery (1995),
    Bayes factors.
    """
    points, runs = check_curves(sparsity, accuracy)
    require_inside_unit_interval(confidence_level=confidence_level)
    length = points[-1] - points[0]
    x, series = (points - points[0]) / length, runs.T
    line = _log_evidence(series, residual(x, series, on_line=True)[None], 1)[0]
    abrupt_grid, first = _evidences(Curves(x, abrupt(x)), series)
    smooth_grid, _ = _evidences(Curves(x, smooth(x)), series)
    evidence = np.stack([logsumexp(grid, 0) for grid in (abrupt_grid, smooth_grid)] + [line])  # (3, s)
    total = evidence.sum(1)
    probability = float(np.exp(total[0] - logsumexp(total)))
    low, middle, high = np.interp(
        [(1 - confidence_level) / 2, 0.5, (1 + confidence_level) / 2], *_mean_corner(abrupt_grid, first)
    )
    return ChangePointPosterior(
        probability=probability,
        log10_bayes_factor=float((total[0] - total[1]) / np.log(10)),
        per_run=tuple(((evidence[0] - evidence[1]) / np.log(10)).tolist()),
        critical_sparsity=float(points[0] + length * middle),
        low=float(points[0] + length * low),
        high=float(points[0] + length * high),
        decided=max(probability, 1 - probability) >= confidence_level,
    )


def _evidences(curves: Curves, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log evidence plus log prior (g, s) of every bend of all families, and the bends' first parameters (g,)."""
    found, first = [], []
    for family in curves.families:
        basis, theta = family.basis(curves.x), _finer(family, curves.x)
        component = np.minimum(family.directions(curves.x, theta, basis) @ series, 0)  # downward bends only
        ssr = residual(curves.x, series, on_line=family.on_line) - component**2
        prior = -np.log(len(theta) * len(curves.families))
        found.append(_log_evidence(series, ssr, 1 + family.on_line) + prior)
        first.append(theta[:, 0])
    return np.concatenate(found), np.concatenate(first)


def _finer(family: Family, x: np.ndarray) -> np.ndarray:
    """Return smooth bends (g, 2) at a third of the grid's spacing, which is made for the start of a search."""
    if family.name in ("stick", "ramp"):
        return family.theta
    thirds = np.array([-1, 0, 1]) / 3
    around = np.array([(a, b) for a in thirds for b in (thirds if family.step[1] else (0,))]) * family.step
    theta = (family.theta[:, None] + around).reshape(-1, 2)
    return theta[family.allowed(x, theta)]


def _log_evidence(series: np.ndarray, ssr: np.ndarray, regressors: int) -> np.ndarray:
    """Return log evidences (g, s) from residual sums (g, s), less that of a constant."""
    count = len(series)
    total = np.maximum(residual(np.arange(count), series, on_line=False), rounding(series))
    unexplained = np.maximum(ssr, rounding(series)) / total
    g = count * _G
    prior = -0.5 * np.log(g) - count / (2 * g)  # of log g; g is inverse gamma with 1/2 and count / 2
    prior = prior - logsumexp(prior) + 0.5 * (count - 1 - regressors) * np.log1p(g)
    return logsumexp(prior - 0.5 * (count - 1) * np.log1p(g * unexplained[..., None]), axis=-1)


def _mean_corner(grid: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distribution function of the corners' mean over runs, and its places."""
    corners = np.unique(first)
    likelihood = np.stack([np.exp(grid[first == corner] - grid.max(0)).sum(0) for corner in corners])  # (c, s)
    distance = (corners[:, None, None] - _MEANS[:, None]) / _SPREADS  # (c, m, w)
    weight = np.exp(-0.5 * distance**2) / _SPREADS
    logs = np.log(np.einsum("cmw,cs->mws", weight, likelihood) + 1e-300).sum(2)
    mass = np.exp(logs - logs.max()).sum(1)
    return np.cumsum(mass) / mass.sum(), _MEANS
