"""Curves that bend downward once, fitted by least squares to many series over the same points at once.

Every family is a line or a constant plus a bend h(x; theta) with a negative coefficient: four parameters in all. For
fixed theta the rest is linear, so least squares is a search over theta alone (variable projection; Golub and Pereyra,
1973): the residual falls by the square of the data's component along the part of h that is orthogonal to the line.
The search goes over a grid first, because the sum of squares has a local minimum in nearly every gap between points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.special import expit

#: Parameters of every family here.
PARAMETERS = 4

# Grid steps per gap between neighbouring points: of a first corner, of a second one, of a logistic's midpoint.
_FIRST, _SECOND, _MIDPOINT = 5, 3, 3
_RATES, _WIDTHS = 30, 12
# Halvings of the step after the grid: for resampled series, and where a corner is to be exact.
_ROUNDS, _EXACT = 9, 30
# From 10% to 90% of a logistic's fall there are 4.39 of its scale parameters.
_TEN_TO_NINETY = 2 * np.log(9)
# A residual below this share of the series' variance is rounding.
_ROUNDING = 1e-12
_CHUNK = 2**20  # numbers held at once (8 MiB of float64)


@dataclass(frozen=True, eq=False)
class Family:
    """One kind of bend, and the grid of its two parameters. Points x (p,) run from 0 to 1."""

    name: Literal["stick", "ramp", "exponential", "logistic"]
    on_line: bool  # the bend is added to a line, else to a constant
    bend: Callable[[np.ndarray, np.ndarray], np.ndarray]  # x (p,), theta (g, 2) -> (g, p)
    allowed: Callable[[np.ndarray, np.ndarray], np.ndarray]  # x (p,), theta (g, 2) -> (g,) of bool
    theta: np.ndarray  # (g, 2)
    step: np.ndarray  # (2,) the grid's spacing

    def basis(self, x: np.ndarray) -> np.ndarray:
        """Orthonormal basis (p, 1 or 2) of the constant or the line."""
        return np.linalg.qr(np.stack([np.ones_like(x), x][: 1 + self.on_line], 1))[0]

    def directions(self, x: np.ndarray, theta: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Unit vectors (g, p): the bends less their part along the basis; zero where nothing is left."""
        bends = self.bend(x, theta)
        bends -= (bends @ basis) @ basis.T
        norms = np.sqrt(np.einsum("gp,gp->g", bends, bends))[:, None]
        return np.divide(bends, norms, out=np.zeros_like(bends), where=norms > 1e-9)

    def search(self, x: np.ndarray, series: np.ndarray, grid: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
        """What the best bend takes off the residual sum of squares of series (p, c): gain (c,) and theta (c, 2).

        `grid` (g, p) are the directions of `theta`.
        """
        basis = self.basis(x)
        component = grid @ series  # (g, c)
        best, theta = component.min(0), self.theta[component.argmin(0)]
        sides = np.array([0, -1, 1])
        around = self.step * _pairs(sides, sides if self.step[1] else sides[:1])  # (o, 2); the first is no step
        for halvings in range(1, rounds + 1):
            tried = (theta[:, None] + around / 2**halvings).reshape(-1, 2)
            barred = ~self.allowed(x, tried)
            tried[barred] = theta.repeat(len(around), 0)[barred]
            directions = self.directions(x, tried, basis).reshape(len(theta), len(around), len(x))
            component = np.einsum("cop,pc->oc", directions, series)
            best = component.min(0)
            theta = tried.reshape(len(theta), len(around), 2)[np.arange(len(theta)), component.argmin(0)]
        # A positive component would be an upward bend: then there is none, and nothing is gained.
        return np.minimum(best, 0.0) ** 2, theta


@dataclass(frozen=True, eq=False)
class Fit:
    """Least-squares fits to c series: residual sums (c,), families' indices (c,), and theta (c, 2)."""

    ssr: np.ndarray
    family: np.ndarray
    theta: np.ndarray


@dataclass(frozen=True, eq=False)
class Curves:
    """Families over the same points x (p,), increasing from 0 to 1; each series is given the one that fits it best."""

    x: np.ndarray
    families: Sequence[Family]

    @cached_property
    def _grids(self) -> list[np.ndarray]:
        return [family.directions(self.x, family.theta, family.basis(self.x)) for family in self.families]

    def fit(self, series: np.ndarray, rounds: int = _ROUNDS) -> Fit:
        """Fits series (p, c)."""
        count = series.shape[1]
        ssr, theta = np.empty((len(self.families), count)), np.empty((len(self.families), count, 2))
        for index, family in enumerate(self.families):
            step = max(1, _CHUNK // (len(family.theta) + 9 * len(self.x)))
            for part in (slice(start, start + step) for start in range(0, count, step)):
                gain, theta[index, part] = family.search(self.x, series[:, part], self._grids[index], rounds)
                ssr[index, part] = residual(self.x, series[:, part], on_line=family.on_line) - gain
        ssr = np.maximum(ssr, rounding(series))
        best, columns = ssr.argmin(0), np.arange(count)  # of a tie the first: a stick
        return Fit(ssr[best, columns], best, theta[best, columns])

    def fitted_values(self, series: np.ndarray) -> np.ndarray:
        """Values (p, c) of the fitted curves at the points."""
        fit, values = self.fit(series), np.empty_like(series)
        for c, (index, theta) in enumerate(zip(fit.family, fit.theta, strict=True)):
            columns = self._columns(self.families[index], theta)
            values[:, c] = columns @ np.linalg.lstsq(columns, series[:, c], rcond=None)[0]
        return values

    def _columns(self, family: Family, theta: np.ndarray) -> np.ndarray:
        bend = family.bend(self.x, theta[None])[0]
        return np.stack([np.ones_like(self.x), *([self.x] if family.on_line else []), bend], 1)

    def no_drop(self, series: np.ndarray, fit: Fit) -> np.ndarray:
        """Where (c,) no downward bend fits series (p, c) better than a line."""
        line = residual(self.x, series, on_line=True)
        return fit.ssr >= np.maximum(line * (1 - 1e-9), rounding(series))

    def drops(self, series: np.ndarray) -> "list[Drop]":
        """The drop of each series (p, c), corners exact; a line where it never drops. For `abrupt` families only."""
        fit, found = self.fit(series, _EXACT), []
        for y, nothing, index, theta in zip(series.T, self.no_drop(series, fit), fit.family, fit.theta, strict=True):
            family, (a, b) = self.families[index], map(float, theta)
            level, *slope, fall = map(float, np.linalg.lstsq(self._columns(family, theta), y, rcond=None)[0])
            before = slope[0] if slope else 0.0
            after = before + fall / (b - a)
            if nothing or after >= 0:
                before, level = map(float, np.polyfit(self.x, y, 1))
                found.append(Drop("line", (0.0, 1.0), (level, level + before), (before, before)))
                continue
            corners = (0.0, a, b, *(() if b == 1 else (1.0,)))
            values = (level, level + before * a, level + before * b + fall, level + before + fall)
            found.append(Drop(family.name, corners, values[: len(corners)], (before, after)))
        return found


@dataclass(frozen=True)
class Drop:
    """Corners of one series' abrupt curve on the unit axis; a shape of "line" has none but its ends."""

    shape: Literal["stick", "ramp", "line"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    slopes: tuple[float, float]


def residual(x: np.ndarray, series: np.ndarray, *, on_line: bool) -> np.ndarray:
    """Residual sums of squares (c,) of a line, or of a constant, through series (p, c)."""
    centred = series - series.mean(0)
    total = (centred**2).sum(0)
    if not on_line:
        return total
    slope = x - x.mean()
    return total - (slope @ centred) ** 2 / (slope @ slope)


def rounding(series: np.ndarray) -> np.ndarray:
    """Sums of squares (c,) that are nothing but rounding for series (p, c); never 0."""
    error = 8 * np.finfo(float).eps * np.abs(series).max(0)
    return _ROUNDING * ((series - series.mean(0)) ** 2).sum(0) + len(series) * error**2 + np.finfo(float).tiny


def abrupt(x: np.ndarray) -> list[Family]:
    """A stick: two joined lines. A ramp: plateau, straight fall, floor. Theta: the corners; a stick's second is 1.

    A corner is placed between two points only where the points tell its place there; else it is put on a point.
    """
    first, gap = _refine(x, _FIRST), np.diff(x).max()
    sticks = np.stack([first, np.ones_like(first)], 1)
    ramps = _pairs(first, _refine(x, _SECOND))
    return [
        Family("stick", True, _fall, _stick_allowed, sticks[_stick_allowed(x, sticks)], np.array([gap / _FIRST, 0.0])),
        Family("ramp", False, _fall, _ramp_allowed, ramps[_ramp_allowed(x, ramps)], gap / np.array([_FIRST, _SECOND])),
    ]


def smooth(x: np.ndarray) -> list[Family]:
    """A line less an exponential, and a logistic: the smooth counterparts of the stick and the ramp.

    Theta: (log rate, 0) and (midpoint, log scale). An e-fold, and the way from 10% to 90% of a logistic's fall, may not
    be shorter than the gap between points where it happens: sharper than that is not smooth at this resolution.
    """
    gaps = np.diff(x)
    rates = np.linspace(np.log(0.5), -np.log(gaps[-1]), _RATES)
    midpoints = np.concatenate([_refine(x, _MIDPOINT), np.linspace(1, 1.4, 9)[1:]])
    scales = np.linspace(np.log(gaps.min()), np.log(2), _WIDTHS) - np.log(_TEN_TO_NINETY)
    logistics = _pairs(midpoints, scales)
    steps = np.array([rates[1] - rates[0], 0.0]), np.array([gaps.max() / _MIDPOINT, scales[1] - scales[0]])
    grid = np.stack([rates, np.zeros_like(rates)], 1)
    return [
        Family("exponential", True, _exponential, lambda x, theta: theta[:, 0] <= rates[-1] + 1e-9, grid, steps[0]),
        Family("logistic", False, _logistic, _wide, logistics[_wide(x, logistics)], steps[1]),
    ]


def _refine(x: np.ndarray, count: int) -> np.ndarray:
    """The points themselves and `count` - 1 values between each two."""
    inner = [np.linspace(a, b, count, endpoint=False) for a, b in zip(x[:-1], x[1:], strict=True)]
    return np.concatenate([*inner, x[-1:]])


def _pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack(np.meshgrid(first, second, indexing="ij"), -1).reshape(-1, 2)


def _stick_allowed(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return (theta[:, 0] >= x[1]) & (theta[:, 0] <= x[-2])


def _ramp_allowed(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    a, b = theta.T
    left_a, right_a, left_b, right_b = (np.searchsorted(x, c, side=side) for c in (a, b) for side in ("left", "right"))
    inside, a_point, b_point = left_b - right_a, left_a < right_a, left_b < right_b
    identified = (inside >= 2) | (a_point & (inside == 1)) | (a_point & b_point & (inside == 0))
    return identified & (a >= 0) & (a < b) & (b <= 1)


def _wide(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    gaps = np.diff(x)
    here = gaps[np.clip(np.searchsorted(x, theta[:, 0], side="right") - 1, 0, len(gaps) - 1)]
    return np.exp(theta[:, 1]) * _TEN_TO_NINETY >= here * (1 - 1e-9)


def _fall(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.clip((x - theta[:, :1]) / (theta[:, 1:] - theta[:, :1]), 0, 1)


def _exponential(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return np.exp(np.exp(theta[:, :1]) * (x - 1))


def _logistic(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    return expit((x - theta[:, :1]) * np.exp(-theta[:, 1:]))
