"""Infeasible tests, batches, threads, units, memory and arguments."""

import numpy as np
import pytest
import torch
from granger_cases import KINDS, LAGS, WINDOWS, autoregressive, by_statsmodels, case, statsmodels

from ccprune._util import threads
from ccprune.granger import benjamini_hochberg, granger_test
from ccprune.lyapunov import exponents_of


def test_a_single_pulse_is_infeasible_with_a_robust_covariance():
    effect, causes = case("random")
    pulse = (torch.arange(WINDOWS) == 70).double()[:, None]
    found = granger_test(effect, torch.cat([pulse, causes], 1), max_lag=2, cov_type="HAC")
    assert found.infeasible.tolist() == [True, False, False, False, False] and found.min_p[0] == 1
    alone = granger_test(effect, causes, max_lag=2, cov_type="HAC")
    torch.testing.assert_close(found.p_value[:, 1:], alone.p_value, rtol=0, atol=1e-12)


def test_lag_augmentation_holds_its_size_on_random_walks():
    rng = np.random.default_rng(0)
    rejected = {0: [], 1: []}
    for _ in range(300):
        both = torch.from_numpy(rng.standard_normal((120, 6)).cumsum(0))
        for augment, found in rejected.items():
            p = granger_test(both[:, 0], both[:, 1:], max_lag=1, test="ssr_f", augment=augment).min_p
            found.append((p < 0.05).double().mean().item())
    assert np.mean(rejected[1]) < 0.075  # valid without differencing ...
    assert np.mean(rejected[0]) > 0.085  # ... which the plain test is not


def infeasible_cases():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((60, 2))
    constant, late, early, perfect, trend, one_lag = (noise.copy() for _ in range(6))
    constant[:, 1] = 0.3
    late[:, 1] = np.arange(60) == 59  # changes only in a row that no lag sees
    early[:, 1] = np.arange(60) < 1  # changes only in a row that lag 1 does not see with 2 lags
    perfect[1:, 0] = 0.5 * perfect[:-1, 1]
    trend[:, 0] = np.arange(60)
    one_lag[:, 0] = 0.0
    one_lag[:3, 0] = (0.0, 1.0, 2.0)
    return {"constant": constant, "late": late, "early": early, "perfect": perfect, "trend": trend, "flat": one_lag}


@pytest.mark.parametrize("name", infeasible_cases())
def test_infeasible_where_statsmodels_raises(name):
    both = infeasible_cases()[name]
    infeasible_error = statsmodels("tools.sm_exceptions").InfeasibleTestError
    for lag in (1, 2, 4):
        try:
            by_statsmodels(both, [lag])
            feasible = True
        except infeasible_error:
            feasible = False
        causes = np.column_stack([both[:, 1], np.random.default_rng(0).standard_normal(60)])
        found = granger_test(torch.from_numpy(both[:, 0]), torch.from_numpy(causes), max_lag=lag)
        infeasible_here = bool(found.p_value[lag - 1, 0] == 1 and found.statistic[lag - 1, 0] == 0)
        assert infeasible_here != feasible, lag
        assert bool(found.infeasible[0]) or feasible
        assert torch.isfinite(found.statistic).all() and torch.isfinite(found.p_value).all()


def test_infeasible_cases_leave_their_neighbours_alone():
    effect, causes = case("random")
    with_constant = torch.cat([torch.full((WINDOWS, 1), 2.5, dtype=torch.float64), causes], 1)
    ours, alone = granger_test(effect, with_constant, max_lag=5), granger_test(effect, causes, max_lag=5)
    assert ours.infeasible.tolist() == [True, False, False, False, False]
    assert ours.min_p[0] == 1 and (ours.statistic[:, 0] == 0).all()
    torch.testing.assert_close(ours.p_value[:, 1:], alone.p_value, rtol=0, atol=1e-10)


def test_permuting_causes_permutes_results_and_batch_size_hardly_matters():
    rng = np.random.default_rng(4)
    both = torch.from_numpy(autoregressive(rng, 120, 41, 0.7))
    effect, causes = both[:, 0], both[:, 1:]
    whole = granger_test(effect, causes, max_lag=10)
    order = torch.from_numpy(rng.permutation(40))
    shuffled = granger_test(effect, causes[:, order], max_lag=10)
    alone = granger_test(effect, causes[:, 7:8], max_lag=10)
    for name in ("statistic", "p_value", "own_ssr", "joint_ssr"):
        # Not bit for bit: matrix products of another size add in another order.
        value = getattr(whole, name)
        torch.testing.assert_close(getattr(shuffled, name), value[:, order], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(getattr(alone, name), value[:, 7:8], rtol=1e-10, atol=1e-10)


def test_results_do_not_depend_on_the_number_of_threads(one_thread):
    # The last digits of LAPACK's factors do.
    effect, causes = case("walk")
    whole = granger_test(effect, causes, max_lag=LAGS)
    torch.set_num_threads(2)
    assert torch.equal(granger_test(effect, causes, max_lag=LAGS).p_value, whole.p_value)


def test_small_work_runs_on_one_thread(monkeypatch, one_thread):
    counts = []
    monkeypatch.setattr(threads.numba, "get_num_threads", lambda: 2)
    monkeypatch.setattr(threads.numba, "set_num_threads", counts.append)
    effect, causes = case("random")
    granger_test(effect, causes, max_lag=3)
    exponents_of(causes.T, steps=3)
    assert counts and counts == [1, 2] * (len(counts) // 2)
    counts.clear()
    exponents_of(causes.T.repeat(200, 1), steps=3)
    assert not counts


def test_shift_and_scale_do_not_matter():
    effect, causes = case("ar")
    plain = granger_test(effect, causes, max_lag=8)
    moved = granger_test(1e-3 * effect + 5, 1e4 * causes - 1e5, max_lag=8)
    torch.testing.assert_close(moved.statistic, plain.statistic, rtol=1e-8, atol=1e-8)


def test_single_precision_is_computed_in_double():
    effect, causes = case("random")
    found = granger_test(effect.float(), causes.float(), max_lag=3)
    assert found.p_value.dtype == torch.float64
    expected = granger_test(effect.float().double(), causes.float().double(), max_lag=3)
    assert torch.equal(found.p_value, expected.p_value)


@pytest.mark.parametrize("kind", ["random", "sparse", "near_collinear", "settled"])
def test_memory_is_limited_by_blocks(kind):
    rng = np.random.default_rng(3)
    effect, causes = case(kind)
    causes = torch.cat([causes, torch.from_numpy(rng.standard_normal((WINDOWS, 75)))], 1)  # 79: not whole blocks
    whole = granger_test(effect, causes, max_lag=LAGS, augment=1)
    parts = granger_test(effect, causes, max_lag=LAGS, augment=1, max_bytes=2**21)  # a dozen causes
    torch.testing.assert_close(parts.statistic, whole.statistic, rtol=1e-9, atol=1e-9)
    assert torch.equal(parts.infeasible, whole.infeasible)
    with pytest.raises(ValueError, match="max_bytes=1000 is too little: one cause needs"):
        granger_test(effect, causes, max_lag=LAGS, max_bytes=1000)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_equals_cpu(kind):
    effect, causes = case(kind)
    here, there = granger_test(effect, causes, max_lag=LAGS), granger_test(effect, causes.cuda(), max_lag=LAGS)
    assert there.p_value.is_cuda
    torch.testing.assert_close(there.statistic.cpu(), here.statistic, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(there.p_value.cpu(), here.p_value, rtol=0, atol=1e-8)


EFFECT, CAUSES = torch.arange(30.0).sin(), torch.arange(60.0).cos().reshape(30, 2)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (
            lambda: granger_test(EFFECT.tolist(), CAUSES, max_lag=2),
            TypeError,
            "effect must be a Tensor, .*, got list",
        ),
        (lambda: granger_test(EFFECT, CAUSES[:, 0], max_lag=2), ValueError, "causes must have 2 dimension"),
        (lambda: granger_test(EFFECT[1:], CAUSES, max_lag=2), ValueError, r"causes must have one row .*\(29\), got 30"),
        (lambda: granger_test(EFFECT, CAUSES / 0, max_lag=2), ValueError, "causes must be finite"),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=0), ValueError, "max_lag must be an integer of at least 1"),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=10), ValueError, "more than 31 windows, got 30.* here is 9"),
        (
            lambda: granger_test(EFFECT, CAUSES, max_lag=9, augment=1),
            ValueError,
            "max_lag=9 needs more than 31 windows, got 30.* here is 8",
        ),
        (
            lambda: granger_test(EFFECT, CAUSES, max_lag=2, test="lr"),
            ValueError,
            "test must be one of .'ssr_chi2'",
        ),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=2, augment=-1), ValueError, "augment must be an integer"),
        (lambda: granger_test(EFFECT * 0, CAUSES, max_lag=2), ValueError, "effect is constant"),
        (
            lambda: granger_test(EFFECT, CAUSES, max_lag=2, covariates=CAUSES[1:]),
            ValueError,
            r"covariates must have one row .*\(30\), got 29",
        ),
        (
            lambda: granger_test(EFFECT, CAUSES, max_lag=6, covariates=CAUSES, time_varying="effect"),
            ValueError,
            "max_lag=6 needs more than 38 windows, got 30.* here is 4",
        ),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=2, time_varying=True), ValueError, "time_varying must be one of"),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=2, cov_type="HC0"), ValueError, "cov_type must be one of"),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=2).best_lag("hqic"), ValueError, "criterion must be"),
        (lambda: granger_test(EFFECT, CAUSES, max_lag=2).p_at(3), ValueError, r"lag must lie in 1..2, got \[3, 3\]"),
        (lambda: benjamini_hochberg(CAUSES), ValueError, "p_value must have 1 dimension"),
        (lambda: benjamini_hochberg(EFFECT * 2), ValueError, r"p_value must lie in \[0, 1\]"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_largest_number_of_lags_is_the_one_statsmodels_allows():
    both = np.random.default_rng(0).standard_normal((32, 2))
    assert granger_test(torch.from_numpy(both[:, 0]), torch.from_numpy(both[:, 1:]), max_lag=10).p_value.shape == (
        10,
        1,
    )
    by_statsmodels(both, [10])
    with pytest.raises(ValueError, match="Insufficient observations"):
        by_statsmodels(both[:31], [10])
    with pytest.raises(ValueError, match="max_lag=10"):
        granger_test(torch.from_numpy(both[:31, 0]), torch.from_numpy(both[:31, 1:]), max_lag=10)
