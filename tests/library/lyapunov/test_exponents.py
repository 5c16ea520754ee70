"""Exponents of windows, slopes, and jumps, for which all partitions are enumerated."""

import itertools
import math

import numpy as np
import pytest
import torch
from trajectories import walks

from ccprune.lyapunov import _cpu as _lyapunov_cpu
from ccprune.lyapunov import (
    exponents_of,
    growth_rates,
    slopes,
    stretching_curves,
    windowed_exponents,
)
from ccprune.lyapunov._jumps import _least_costs, has_jump


def test_exponent_is_zero_where_nothing_moves():
    still = torch.full((1, 60), 0.7, dtype=torch.float64)
    crawling = torch.linspace(0, 0.9e-5, 60, dtype=torch.float64)[None] ** 1.5
    two_values = torch.tensor([0.0, 1.0] * 30, dtype=torch.float64)[None]
    late = torch.zeros(1, 60, dtype=torch.float64)
    late[0, -3:] = torch.tensor([0.3, 0.5, 1.0])  # points with `steps` successors are all alike
    assert stretching_curves(late, steps=5).isnan().all()
    for series in (still, two_values, late):
        assert exponents_of(series, steps=5).tolist() == [0.0]
    assert exponents_of(crawling, steps=5, min_range=1e-5).item() == 0
    assert exponents_of(crawling, steps=5).item() != 0


@pytest.mark.parametrize("unit", [2.0**-80, 1e-7, 1e6])
def test_exponents_and_jumps_do_not_depend_on_the_unit(unit):
    series = walks(4, 300)
    expected, found = (windowed_exponents(s.T, window=50, stride=45, steps=3) for s in (series, series * unit))
    assert bool((found != 0).all())
    tolerance = 0.0 if unit == 2.0**-80 else 1e-6  # powers of two change no digit
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    jumps = torch.randn(4, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jumps[:2, 30:] += 5.0
    assert has_jump(jumps * unit, threshold=50.0 * unit**2).tolist() == [True, True, False, False]


def test_upto_cuts_the_curve():
    series = walks(4, 60)
    assert torch.equal(stretching_curves(series, steps=9, upto=3), stretching_curves(series, steps=9)[:, :4])


def test_windows_are_the_right_rows():
    series = walks(3, 200).T.contiguous()  # (n, M)
    found = windowed_exponents(series, window=50, stride=45, steps=3, fit=(0, 2))
    assert found.shape == (4, 3)
    for k, m in itertools.product(range(4), range(3)):
        alone = exponents_of(series[45 * k : 45 * k + 50, m][None], steps=3, fit=(0, 2))
        assert found[k, m] == alone[0]


def test_first_step_is_the_first_difference_of_the_curve():
    series = walks(4, 70)
    curve = stretching_curves(series, steps=6)
    torch.testing.assert_close(exponents_of(series, steps=6), curve[:, 1] - curve[:, 0], rtol=0, atol=1e-14)


def test_decimals_round_series_and_exponents():
    series = walks(4, 70)
    rounded = torch.from_numpy(series.numpy().round(2))
    expected = exponents_of(rounded, steps=3).numpy().round(2)
    found = exponents_of(series, steps=3, decimals=2).numpy()
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, exponents_of(series, steps=3).numpy().round(2))


def test_slopes_equal_polyfit():
    curves = walks(5, 12)
    expected = np.polyfit(np.arange(2, 9), curves[:, 2:9].numpy().T, 1)[0]
    np.testing.assert_allclose(slopes(curves, first=2, last=8).numpy(), expected, rtol=1e-10)


def test_growth_rates_of_an_exponential_and_of_two_runs_that_met():
    t = torch.arange(50, dtype=torch.float64)
    distances = torch.stack([1e-8 * torch.exp(0.2 * t), torch.exp(-0.05 * t)])
    found = growth_rates(distances, first=5, last=40)
    torch.testing.assert_close(found, torch.tensor([0.2, -0.05], dtype=torch.float64), rtol=1e-9, atol=0)
    distances[1, 30] = 0
    with pytest.raises(ValueError, match="distances must be positive"):
        growth_rates(distances, first=5, last=40)
    with pytest.raises(ValueError, match="first and last"):
        growth_rates(distances, first=5, last=50)


def cheapest_partition(values, penalty):
    """Smallest cost over all 2^(n-1) partitions, and whether it has a change point."""
    best = (math.inf, False)
    for cuts in itertools.product([False, True], repeat=len(values) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(values)]
        pieces = [values[a:b] for a, b in itertools.pairwise(edges)]
        cost = sum(((piece - piece.mean()) ** 2).sum() for piece in pieces) + penalty * (len(pieces) - 1)
        best = min(best, (cost, len(pieces) > 1))
    return best[1]


def test_jumps_equal_the_enumeration_of_all_partitions():
    rng = np.random.default_rng(0)
    series = rng.standard_normal((60, 9)) * rng.uniform(0.1, 1.2, (60, 1))
    series[::3, 4:] += rng.uniform(0, 2, (20, 1))
    for threshold in (0.5, 1.0):
        expected = [cheapest_partition(row, threshold) for row in series]
        assert has_jump(torch.from_numpy(series), threshold=threshold).tolist() == expected
        assert 10 < sum(expected) < 50


def test_compiled_costs_of_partitions_have_the_bits_of_torch():
    series = walks(40, 61) * torch.logspace(-3, 3, 40, dtype=torch.float64)[:, None]
    sums = [torch.nn.functional.pad(values.cumsum(1), (1, 0)) for values in (series, series.square())]
    found = _lyapunov_cpu.least_costs(*(values.numpy() for values in sums), 1.0)
    assert found.tolist() == _least_costs(*sums, 1.0).tolist()


def test_jumps_as_in_matlabs_documentation():
    # MathWorks' page of ischange: A = [ones(1,5) 25*ones(1,5) 50*ones(1,5)] + rand(1,15) changes at 6 and 11.
    steps = np.repeat([1.0, 25.0, 50.0], 5)
    noise = np.random.default_rng(0).random(15)
    found = has_jump(torch.from_numpy(np.stack([steps + noise, noise, np.full(15, 3.0)])), threshold=1.0)
    assert found.tolist() == [True, False, False]


def test_jumping_windows_have_exponent_zero():
    series = walks(2, 60) * 0.01
    series[1, 30:] += 5
    found = exponents_of(series, steps=3, jump_threshold=1.0)
    plain = exponents_of(series, steps=3)
    assert found.tolist() == [plain[0].item(), 0.0] and plain[1] != 0
