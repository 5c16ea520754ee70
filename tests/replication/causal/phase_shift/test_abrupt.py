"""What it takes to call a drop abrupt: power by simulation, and the project's own curve taken apart."""

from pathlib import Path

import pytest

from replication import ledger
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


def test_the_power_at_a_curves_own_corner_is_that_of_the_simulation_with_its_depth_and_noise():
    """Two sides of a corner at a point: noise free on the plateau, of known size on the fall."""
    points = [*SEVEN[:5], 0.95, 0.97, 0.98, 0.99, 0.995]
    depth = [0.0] * 6 + [-0.1, -0.2, -0.3, -0.4]
    noise = [0.0] * 6 + [0.01] * 4
    runs = [[d + side * n for d, n in zip(depth, noise, strict=True)] for side in (-1, 0, 1)]
    point = change_point(points, runs, axis="log_density")
    found = power_at(point, points, runs, axis="log_density", simulations=8)
    options = {"runs": 3, "corner": point.critical_sparsity, "drop": 0.4, "noise": noise, "axis": "log_density"}
    assert found == abrupt_power(points, **options, simulations=8)


def test_a_single_run_and_a_line_have_no_power():
    assert power_at(change_point(SEVEN, [[0.9, 0.9, 0.9, 0.9, 0.8, 0.7, 0.2]]), SEVEN, [[0.9] * 7]) is None
    level = [[0.5] * 7, [0.51] * 7]
    assert power_at(change_point(SEVEN, level), SEVEN, level) is None
