"""Arguments, short series and the memory of exponents."""

import math

import pytest
import torch
from trajectories import walks

from ccprune.lyapunov import (
    _exponents,
    exponents_of,
    slopes,
    stretching_curves,
    windowed_exponents,
)
from ccprune.lyapunov import _torch as _lyapunov_torch
from ccprune.lyapunov._jumps import has_jump

SERIES = walks(2, 60)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: stretching_curves(SERIES.tolist()), TypeError, "series must be a Tensor, or .*, got list"),
        (lambda: stretching_curves(SERIES[0]), ValueError, r"series must have 2 dimensions, got shape \(60,\)"),
        (lambda: stretching_curves(SERIES.long()), TypeError, "series must be floating point"),
        (lambda: stretching_curves(SERIES / 0), ValueError, "series must be finite"),
        (lambda: stretching_curves(SERIES, embed_dim=0), ValueError, "embed_dim must be an integer of at least 1"),
        (lambda: stretching_curves(SERIES, delay=1.0), ValueError, "delay must be an integer"),
        (lambda: stretching_curves(SERIES, theiler=-1), ValueError, "theiler must be an integer of at least 0"),
        (lambda: stretching_curves(SERIES, steps=True), ValueError, "steps must be an integer"),
        (lambda: stretching_curves(SERIES, steps=3, upto=4), ValueError, r"upto must lie in 0..steps=3, got 4"),
        (lambda: stretching_curves(SERIES, neighbourhood=0.0), ValueError, "neighbourhood must be positive"),
        (lambda: stretching_curves(SERIES, steps=58), ValueError, "series have 60 points.* need at least 61"),
        (lambda: exponents_of(SERIES, steps=3, fit="log"), ValueError, "fit must be 'first_step', 'linear' or a pair"),
        (lambda: exponents_of(SERIES, steps=3, fit=(1, 4)), ValueError, "fit must satisfy"),
        (lambda: slopes(SERIES, first=3, last=3), ValueError, "first and last"),
        (lambda: has_jump(SERIES, threshold=0), ValueError, "threshold must be positive"),
        (
            lambda: windowed_exponents(SERIES, window=3, stride=1, steps=1),
            ValueError,
            "window=3 does not fit into series of 2 rows",
        ),
        (lambda: windowed_exponents(SERIES.T, window=50, stride=0, steps=1), ValueError, "stride must be an integer"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_shortest_series_that_has_a_curve():
    assert stretching_curves(walks(1, 61), steps=58).isfinite().all()


def test_memory_is_limited_by_blocks(monkeypatch):
    series = walks(7, 120).T
    options = {"window": 20, "stride": 3, "steps": 3, "decimals": 4, "jump_threshold": 5.0}
    whole = windowed_exponents(series, **options)
    sizes = []

    def counted(blocks, **given):
        sizes.append(len(blocks))
        return exponents_of(blocks, **given)

    monkeypatch.setattr(_exponents, "exponents_of", counted)
    for most in (1, 5, 7, 16, 10_000):  # windows; a row of the answer has 7, and there are 34 rows
        sizes.clear()
        assert torch.equal(windowed_exponents(series, **options, max_bytes=1600 * most), whole)
        assert max(sizes) <= most and sum(sizes) == whole.numel()
    with pytest.raises(ValueError, match="max_bytes=1599 is too little: one window needs 1600"):
        windowed_exponents(series, **options, max_bytes=1599)
    points = 120 - 1 - 20
    with pytest.raises(ValueError, match=f"max_bytes=50 is too little: one series needs {28 * points**2}"):
        _lyapunov_torch.stretching_curves(series.T, 2, 1, 0, 20, 20, math.inf, 50)
