"""What it takes to call a drop abrupt: power by simulation, and the project's own curve taken apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from replication import ledger
from replication.causal.phase_shift import abrupt
from replication.causal.phase_shift.abrupt import abrupt_power, abrupt_robustness, power_at
from replication.causal.phase_shift.change_point import change_point
from replication.causal.phase_shift.drops import pivot_curves

ROOT = Path(__file__).parents[4]
SEVEN = [0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98]


def test_seven_totals_that_end_at_98_cannot_show_a_steep_corner():
    """Only the last total lies behind the corner: a ramp and a smooth curve fit it alike."""
    power = abrupt_power(SEVEN, runs=3, corner=0.95, drop=0.2, noise=0.003, axis="log_density", simulations=12)
    assert power <= 0.2


def test_totals_behind_the_corner_show_it():
    more = [*SEVEN, 0.985, 0.99, 0.993, 0.995, 0.998]
    power = abrupt_power(more, runs=5, corner=0.95, drop=0.4, noise=0.003, axis="log_density", simulations=6)
    assert power >= 0.8


def test_null_a_straight_fall_is_not_abrupt():
    power = abrupt_power(SEVEN, runs=3, corner=0.3, drop=0.2, noise=0.003, axis="log_density", simulations=12)
    assert power <= 0.2


def test_a_clear_corner_stays_abrupt_without_an_end_point_or_a_run():
    points = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    curve = [0.9, 0.9, 0.9, 0.9, 0.9, 0.7, 0.5, 0.3, 0.1]
    runs = [[value + 0.001 * ((i * 7 + k * 5) % 4 - 1.5) for i, value in enumerate(curve)] for k in range(4)]
    found = abrupt_robustness(points, runs)
    assert found.fits == 6 and found.kept == 6


def test_a_corner_out_of_range_is_named():
    with pytest.raises(ValueError, match="corner must lie between"):
        abrupt_power(SEVEN, runs=2, corner=0.99, drop=0.1, noise=0.01)


def test_the_one_abrupt_curve_loses_its_verdict_without_its_last_total_or_a_seed():
    """MLP on MNIST, seven totals, three seeds: abrupt as a whole, not robustly, so that its claim is undecided."""
    path = ROOT / "replication" / "results" / "phase_shift-mnist_mlp.paper.json"
    rows = ledger.read_raw(path, ledger.read(path))
    curve = pivot_curves(rows[rows.seed < 3], "causal", "test_accuracy")[SEVEN]
    points, runs = curve.columns.to_numpy(), curve.to_numpy()
    assert change_point(points, runs, axis="log_density").abrupt
    found = abrupt_robustness(points, runs, axis="log_density")
    assert found.fits == 5 and found.kept < 5
    assert not change_point(points[:-1], runs[:, :-1], axis="log_density").abrupt


def test_the_power_at_a_corner_is_that_of_the_curves_depth_noise_and_offsets(monkeypatch):
    """Offsets of known size on either side of the corner, and noise of known size on the fall."""
    points = [*SEVEN[:5], 0.95, 0.97, 0.98, 0.99, 0.995]
    depth = np.array([0.0] * 6 + [-0.1, -0.2, -0.3, -0.4])
    rng = np.random.default_rng(0)
    offset = rng.normal(0, 0.02, (400, 2))[:, [0] * 6 + [1] * 4] * ([1] * 6 + [3] * 4)
    runs = depth + offset + rng.normal(0, 1, (400, 10)) * ([0.0] * 6 + [0.01] * 4)
    asked = {}
    monkeypatch.setattr(abrupt, "abrupt_power", lambda points, **options: asked.update(options) or 0.5)
    point = replace(change_point(points, runs[:5], axis="log_density"), critical_sparsity=0.955)
    assert abrupt.power_at(point, points, runs, axis="log_density", simulations=8) == 0.5
    assert asked["corner"] == 0.955 and asked["axis"] == "log_density"
    assert asked["runs"] == 400 and asked["simulations"] == 8 and asked["drop"] == pytest.approx(0.4, rel=0.02)
    before, after = slice(0, 6), slice(6, 10)
    assert asked["noise"][before] == pytest.approx(0, abs=1e-9)
    assert asked["noise"][after] == pytest.approx(0.01, rel=0.1)
    assert asked["offset"][before] == pytest.approx(0.02, rel=0.1)
    assert asked["offset"][after] == pytest.approx(0.06, rel=0.1)


def test_offsets_of_whole_runs_do_not_cost_power_but_noise_does():
    points = [*SEVEN[:5], 0.95, 0.97, 0.98, 0.99, 0.995]
    options = {"runs": 3, "corner": 0.95, "drop": 0.4, "axis": "log_density", "simulations": 6}
    assert abrupt_power(points, **options, noise=0.002, offset=0.02) >= 0.8
    assert abrupt_power(points, **options, noise=0.1) <= 0.5


def test_a_single_run_and_a_line_have_no_power():
    point = change_point(SEVEN, [[0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.2]])
    assert power_at(point, SEVEN, [[0.9] * 7], simulations=1) is None
    level = [[0.5] * 7, [0.51] * 7]
    assert power_at(change_point(SEVEN, level), SEVEN, level, simulations=1) is None
