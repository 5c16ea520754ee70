"""Oracles: curves whose corner is known; scipy's `curve_fit` from many starts. Nulls: straight and smooth curves."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from scipy.optimize import curve_fit

from replication.causal.phase_shift.change_point import change_point, is_abrupt
from replication.causal.phase_shift.choice import one_standard_error

POINTS = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98])


def stick(x, corner=0.8, before=0.05, after=-3.0, level=0.9):
    return level + before * x + (after - before) * np.clip(x - corner, 0, None)


def ramp(x, corner=0.5, end=0.9, top=0.95, bottom=0.1):
    return top - (top - bottom) * np.clip((x - corner) / (end - corner), 0, 1)


def logistic(x, middle=0.85, scale=0.05, top=0.95, bottom=0.1):
    return bottom + (top - bottom) / (1 + np.exp((x - middle) / scale))


def exponential(x, rate=10.0, level=0.95, slope=0.0, fall=0.8):
    return level + slope * x - fall * np.exp(rate * (x - 1))


def noisy(curve, runs, sd, seed):
    return curve + sd * np.random.default_rng(seed).standard_normal((runs, len(POINTS)))


@pytest.mark.parametrize(
    "corner, before, after", [(0.8, 0.0, -3.0), (0.7321, 0.05, -2.0), (0.25, -0.1, -0.9), (0.96, 0, -9)]
)
def test_a_stick_is_recovered_exactly(corner, before, after):
    found = change_point(POINTS, [stick(POINTS, corner, before, after)] * 2, resamples=99)
    assert found.shape == "stick" and found.delta_bic > 10
    assert found.critical_sparsity == pytest.approx(corner, abs=1e-7)
    assert (found.low, found.high) == pytest.approx((corner, corner), abs=1e-7)
    assert found.per_run == pytest.approx((corner, corner), abs=1e-7)
    assert (found.slope_before, found.slope_after) == pytest.approx((before, after), abs=1e-5)
    x, y = zip(*found.corners, strict=True)
    np.testing.assert_allclose(np.interp(POINTS, x, y), stick(POINTS, corner, before, after), atol=1e-7)
    assert found.p_line == 0.01  # the smallest that 99 resamples can give


@pytest.mark.parametrize("corner, end", [(0.5, 0.9), (0.41, 0.81), (0.0, 0.6)])
def test_a_ramp_is_recovered_exactly(corner, end):
    found = change_point(POINTS, [ramp(POINTS, corner, end)], resamples=99)
    assert found.shape == "ramp" and found.resampled == "residuals"
    assert found.critical_sparsity == pytest.approx(corner, abs=1e-7)
    assert (found.slope_before, found.slope_after) == pytest.approx((0, -0.85 / (end - corner)), abs=1e-5)
    x, y = zip(*found.corners, strict=True)
    np.testing.assert_allclose(np.interp(POINTS, x, y), ramp(POINTS, corner, end), atol=1e-7)


def test_of_a_fall_between_two_points_the_last_good_one_is_critical():
    found = change_point(POINTS, [np.where(POINTS > 0.82, 0.1, 0.95)] * 3, resamples=99)
    assert found.critical_sparsity == pytest.approx(0.8, abs=1e-6)
    assert found.abrupt and found.lost_before == 0


@pytest.mark.parametrize("middle", [0.11, 0.3, 0.5])
@pytest.mark.parametrize("last", [3, 8, 11])
def test_a_single_point_in_the_fall_does_not_tell_where_it_begins_so_it_is_the_last_good_one(last, middle):
    curve = np.where(np.arange(len(POINTS)) <= last, 0.95, 0.1)
    curve[last + 1] = middle
    assert change_point(POINTS, [curve], resamples=1).critical_sparsity == pytest.approx(POINTS[last], abs=1e-6)


@pytest.mark.parametrize("corner", [0.5, 0.85, 0.9321])
def test_on_the_log_density_axis_a_stick_there_is_recovered_and_on_the_other_it_comes_late(corner):
    """Why there are two axes: one curve, straight in log density on both sides, and two critical sparsities."""
    decades = -np.log10(1 - POINTS)
    curve = stick(decades, -np.log10(1 - corner), 0.0, -0.5)
    found = change_point(POINTS, [curve] * 2, axis="log_density", resamples=99)
    assert found.critical_sparsity == pytest.approx(corner, abs=1e-7)
    assert (found.low, found.high) == pytest.approx((corner, corner), abs=1e-7)
    assert (found.slope_before, found.slope_after) == pytest.approx((0, -0.5), abs=1e-5)  # per decade
    assert [x for x, _ in found.corners] == pytest.approx([0, corner, 0.98], abs=1e-7)
    late = change_point(POINTS, [curve] * 2, resamples=99)
    assert late.critical_sparsity > corner + 0.005


def ssr_by_curve_fit(curve, y, starts):
    best = np.inf
    for start in starts:
        try:
            parameters = curve_fit(curve, POINTS, y, p0=start, maxfev=4000)[0]
        except RuntimeError:
            continue
        best = min(best, np.sum((curve(POINTS, *parameters) - y) ** 2))
    return best


@pytest.mark.filterwarnings("ignore:Covariance of the parameters", "ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("truth", [stick, ramp, logistic, exponential])
def test_fits_equal_those_of_curve_fit(truth):
    y = noisy(truth(POINTS), 1, 0.02, 1)[0]
    corners = np.linspace(0.15, 0.94, 25)
    sticks = ssr_by_curve_fit(stick, y, [(c, 0, -2, 0.9) for c in corners])
    ramps = ssr_by_curve_fit(ramp, y, [(c, e, 0.9, 0.2) for c in corners[::2] for e in (c + 0.05, c + 0.2, 0.99)])
    logistics = ssr_by_curve_fit(
        logistic, y, [(m, s, 0.9, 0.2) for m in (0.6, 0.8, 0.9, 1.1) for s in (0.03, 0.1, 0.2)]
    )
    exponentials = ssr_by_curve_fit(exponential, y, [(r, 0.9, 0, 0.5) for r in (1, 4, 10, 25)])
    found = change_point(POINTS, y[None], resamples=1)
    x, fitted = zip(*found.corners, strict=True)
    ours = np.sum((np.interp(POINTS, x, fitted) - y) ** 2)
    assert found.shape == ("stick" if sticks < ramps else "ramp")
    assert ours == pytest.approx(min(sticks, ramps), rel=1e-4)
    expected = len(POINTS) * np.log(min(logistics, exponentials) / min(sticks, ramps))
    assert found.delta_bic == pytest.approx(expected, abs=0.05)
    assert change_point(POINTS, [y] * 3, resamples=1).delta_bic == pytest.approx(3 * found.delta_bic)


@pytest.mark.parametrize("runs, corner", [(3, 0.873), (5, 0.62)])
def test_interval_covers_the_corner_though_it_moves_from_run_to_run(runs, corner):
    rng, covered, widths = np.random.default_rng(0), [], []
    for trial in range(40):
        curves = np.stack([stick(POINTS, corner + 0.02 * rng.standard_normal()) for _ in range(runs)])
        found = change_point(POINTS, curves + 0.01 * rng.standard_normal(curves.shape), resamples=99, seed=trial)
        covered.append(found.low <= corner <= found.high)
        widths.append(found.high - found.low)
    assert np.mean(covered) >= 0.875  # 95% but for chance: 35 of 40 or fewer come in 3% of such simulations
    assert np.mean(widths) < 0.12


def test_interval_of_a_single_run_is_about_its_residuals():
    rng = np.random.default_rng(1)
    covered = []
    for trial in range(40):
        found = change_point(
            POINTS, stick(POINTS)[None] + 0.03 * rng.standard_normal((1, 15)), resamples=99, seed=trial
        )
        assert found.resampled == "residuals" and len(found.per_run) == 1
        covered.append(found.low <= 0.8 <= found.high)
    assert np.mean(covered) >= 0.8


@pytest.mark.parametrize("slope", [0.0, -0.3])
@pytest.mark.parametrize("runs", [1, 3])
def test_null_straight_lines_are_rarely_called_bent(slope, runs):
    p = [
        change_point(POINTS, noisy(0.9 + slope * POINTS, runs, 0.01, trial), resamples=39).p_line for trial in range(60)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.125  # 6 of 40 or more at 5%: 1% of such simulations
    assert np.mean(p) > 0.4


def test_a_bend_that_goes_up_in_some_runs_and_down_in_others_is_no_evidence():
    bend = np.clip(POINTS - 0.6, 0, None)
    runs = [0.9 - 0.2 * POINTS + size * bend for size in (1.0, -1.0, -0.6)]
    assert change_point(POINTS, runs, resamples=99).p_line > 0.2  # though the mean is a stick without any error
    assert change_point(POINTS, [runs[1]] * 3, resamples=99).p_line == 0.01


@pytest.mark.parametrize("curve", [logistic(POINTS), exponential(POINTS), logistic(POINTS, 0.6, 0.15)])
def test_null_smooth_curves_are_bent_and_rarely_called_abrupt(curve):
    found = [change_point(POINTS, noisy(curve, 3, 0.02, trial), resamples=39, seed=trial) for trial in range(30)]
    assert np.median([result.p_line for result in found]) <= 0.05
    assert np.mean([result.p_smooth <= 0.05 for result in found]) <= 0.15
    assert np.median([result.delta_bic for result in found]) < 0


def test_a_drop_is_abrupt_only_if_everything_says_so():
    # A parabola between two lines is smooth, but not in either of the two ways: p_smooth alone is misled.
    bend = np.where(POINTS < 0.8, (POINTS - 0.6).clip(0) ** 2 / 0.4, POINTS - 0.7)
    rounded = change_point(POINTS, [0.96 - 2.5 * bend] * 3, resamples=99)
    assert max(rounded.p_line, rounded.p_smooth) <= 0.05 and rounded.lost_before < 0.05
    assert rounded.delta_bic < 0 and not rounded.abrupt
    # A corner, but accuracy had fallen before it.
    falling = change_point(POINTS, [stick(POINTS, 0.6, -0.5, -2.0)] * 2, resamples=99)
    assert max(falling.p_line, falling.p_smooth) <= 0.05 and falling.delta_bic > 10
    assert falling.lost_before > 0.1 and not falling.abrupt
    # No plateau: the fall begins between the first two points.
    at_once = change_point(POINTS, [ramp(POINTS, 0.05, 0.65)] * 2, resamples=99)
    assert max(at_once.p_line, at_once.p_smooth) <= 0.05 and at_once.delta_bic > 10
    assert at_once.lost_before == 0 and not at_once.abrupt


def test_whether_a_drop_is_abrupt_is_known_sooner_and_is_the_same():
    """Curves without a drop or a plateau, bent and smooth ones, and abrupt ones, of which each test rejects some."""
    curves = (0.9 - 0.3 * POINTS, ramp(POINTS, 0.05, 0.65), logistic(POINTS), stick(POINTS), ramp(POINTS))
    answers = []
    for number, (curve, runs, axis) in enumerate(product(curves, (1, 3), ("sparsity", "log_density"))):
        for noise in (0.01, 0.1):
            data, how = noisy(curve, runs, noise, number), {"axis": axis, "resamples": 39, "seed": number}
            answers.append(is_abrupt(POINTS, data, **how))
            assert answers[-1] is change_point(POINTS, data, **how).abrupt
    assert 3 < sum(answers) < 20


@pytest.mark.parametrize("curve", [stick, ramp])
def test_power_drops_at_other_places_in_each_run_are_abrupt(curve):
    places = (0.55, 0.6, 0.65)
    runs = np.stack([curve(POINTS, place) for place in places]) + noisy(0 * POINTS, 3, 0.005, 0)
    found = change_point(POINTS, runs, resamples=99)
    assert found.abrupt and found.delta_bic > 10
    assert found.per_run == pytest.approx(places, abs=0.02)
    assert found.low < 0.6 < found.high


@pytest.mark.parametrize(
    "curve",
    [
        0 * POINTS + 0.9,
        0.9 - 0.3 * POINTS,
        0.1 + 0.3 * POINTS,
        stick(POINTS, 0.8, 0.3, 0.01),
        0.1 + 0.8 * (1 - POINTS) ** 4,
    ],
    ids=["constant", "falling", "rising", "rising slower", "falling slower"],
)
@pytest.mark.parametrize("runs", [1, 3])
def test_without_a_drop_there_is_no_critical_sparsity(curve, runs):
    found = change_point(POINTS, [curve] * runs, resamples=19)
    if "ramp" == found.shape:  # falling slower and slower: at once, down to a floor
        assert found.critical_sparsity == 0 and not found.abrupt
        return
    assert found.shape == "line" and not found.abrupt
    assert found.critical_sparsity is found.low is found.high is found.lost_before is None
    assert found.per_run == (None,) * runs
    assert found.slope_before == found.slope_after
    assert all(np.isfinite([found.p_line, found.p_smooth, found.delta_bic, found.slope_before]))


def test_an_upward_bend_is_not_evidence_of_a_drop():
    found = change_point(POINTS, [0.1 + 0.3 * POINTS**2] * 2, resamples=19)
    assert found.shape == "line" and found.p_line == found.p_smooth == 1 and found.delta_bic == 0


def test_lost_before_tells_a_late_corner_of_a_smooth_curve():
    found = change_point(POINTS, [0.96 - 0.8 * POINTS**10], resamples=9)
    at = POINTS <= found.critical_sparsity
    curve = 0.96 - 0.8 * POINTS**10
    assert found.lost_before == pytest.approx((curve[0] - curve[at][-1]) / np.ptp(curve))
    assert found.lost_before > 0.1
    assert change_point(POINTS, [stick(POINTS, before=0.0)], resamples=9).lost_before == 0


@pytest.mark.parametrize("axis", ["sparsity", "log_density"])
def test_units_and_order_of_runs_do_not_matter(axis):
    runs = noisy(stick(POINTS), 4, 0.02, 3)
    plain = change_point(POINTS, runs, axis=axis, resamples=99)
    assert change_point(POINTS, runs, axis=axis, resamples=99) == plain  # same seed
    assert change_point(POINTS, runs, axis=axis, resamples=99, seed=1) != plain
    percent = dataclasses.asdict(change_point(POINTS, 100 * runs - 3, axis=axis, resamples=99))
    for name in ("critical_sparsity", "low", "high", "p_line", "p_smooth", "delta_bic", "lost_before"):
        assert percent[name] == pytest.approx(getattr(plain, name), abs=1e-6), name
    assert percent["slope_after"] == pytest.approx(100 * plain.slope_after)
    turned = change_point(POINTS, runs[::-1], axis=axis, resamples=99)
    assert turned.critical_sparsity == pytest.approx(plain.critical_sparsity, abs=1e-7)
    assert turned.per_run == plain.per_run[::-1]
    wide = change_point(POINTS, runs, axis=axis, resamples=99, confidence_level=0.99)
    assert wide.high - wide.low > plain.high - plain.low


def test_one_standard_error_by_hand():
    sparsity = [0, 0.5, 0.8, 0.9, 0.95]
    accuracy = np.array([[0.90, 0.93, 0.91, 0.90, 0.5], [0.92, 0.95, 0.95, 0.93, 0.5], [0.91, 0.94, 0.93, 0.92, 0.5]])
    # best mean 0.94 at 0.5, standard error 0.01 / sqrt(3) = 0.0058: 0.93 at 0.8 is out
    assert one_standard_error(sparsity, accuracy) == 0.5
    wider = accuracy + 2 * (accuracy[:, 1:2] - 0.94)  # standard error 0.0173: 0.93 is in, and 0.917 is out
    assert one_standard_error(sparsity, wider) == 0.8


def test_one_standard_error_ties_dips_and_a_single_run():
    sparsity = [0, 0.5, 0.9]
    assert one_standard_error(sparsity, [[0.9, 0.9, 0.8]]) == 0.5  # a tie: the sparser; a single run: no tolerance
    assert one_standard_error(sparsity, [[0.9, 0.8, 0.9]]) == 0.9  # what lies between does not matter
    assert one_standard_error(sparsity, [[0.9, 0.89, 0.8]]) == 0.0
    thirds = [[0.1, 0.3, 0.0], [0.2, 0.1, 0.0], [0.3, 0.2, 0.0]]  # equal means but for rounding
    assert one_standard_error(sparsity, thirds) == 0.5
    # The best of a tie gives the error: 0 at 0.5, though 0.1 at 0.
    assert one_standard_error(sparsity, [[0.8, 0.9, 0.88], [1.0, 0.9, 0.88]]) == 0.5
    assert one_standard_error([0.3], [[0.9], [0.8]]) == 0.3


RUNS = noisy(stick(POINTS), 2, 0.01, 0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: change_point(POINTS[:5], RUNS[:, :5]), r"sparsity must be one-dimensional with at least 6 .* \(5,\)"),
        (lambda: change_point(POINTS[::-1], RUNS), r"sparsity must increase within \[0, 1\]"),
        (lambda: change_point(100 * POINTS, RUNS), r"sparsity must increase within \[0, 1\]"),
        (lambda: change_point(POINTS + np.nan, RUNS), r"sparsity must increase within \[0, 1\], got \[nan"),
        (lambda: change_point(POINTS, RUNS[0]), r"accuracy must have shape \(runs, 15\), got \(15,\)"),
        (lambda: change_point(POINTS, RUNS[:0]), r"accuracy must have shape \(runs, 15\), got \(0, 15\)"),
        (lambda: change_point(POINTS, RUNS * np.inf), "accuracy must be finite, got"),
        (lambda: change_point(POINTS, RUNS, axis="density"), "axis must be 'sparsity' or 'log_density', got 'density'"),
        (lambda: change_point(POINTS / POINTS[-1], RUNS, axis="log_density"), "sparsity must stay below 1"),
        (lambda: change_point(POINTS, RUNS, confidence_level=95), "level must lie between 0 and 1"),
        (lambda: change_point(POINTS, RUNS, resamples=0), "resamples must be an integer of at least 1"),
        (lambda: one_standard_error([], [[]]), "sparsity must be one-dimensional with at least 1 points"),
        (lambda: one_standard_error([0.1, 0.2], [[0.9, np.nan]]), "accuracy must be finite, got nan"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
