"""Statistics and p-values.

Oracles: statsmodels' `grangercausalitytests`, which fits every pair and lag by its own OLS (pseudo-inverse), and
statsmodels' OLS with `compare_f_test` for the forms that it has no function for.
"""

import numpy as np
import pytest
import torch
from granger_cases import KINDS, LAGS, WINDOWS, by_statsmodels, case, statsmodels
from scipy import stats

from ccprune.granger import _sums as _granger_sums
from ccprune.granger import granger_test

TESTS = {"ssr_chi2": "ssr_chi2test", "ssr_f": "ssr_ftest"}


@pytest.fixture(scope="module")
def statsmodels_of():
    known = {}

    def answers(kind):
        if kind not in known:
            effect, causes = case(kind)
            pairs = [np.column_stack([effect, column]) for column in causes.T]
            known[kind] = [by_statsmodels(pair, LAGS) for pair in pairs]
        return known[kind]

    return answers


@pytest.mark.parametrize("way", ["compiled", "batched"])
@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_statsmodels(kind, test, way, statsmodels_of, monkeypatch):
    if way == "batched":  # what other devices than the CPU do
        monkeypatch.setattr(_granger_sums, "_compiled_sums", _granger_sums._batched_sums)
    ours = granger_test(*case(kind), max_lag=LAGS, test=test)
    assert not ours.infeasible.any()
    for m, theirs in enumerate(statsmodels_of(kind)):
        expected = np.array([theirs[lag][0][TESTS[test]][:2] for lag in range(1, LAGS + 1)])
        np.testing.assert_allclose(ours.statistic[:, m].numpy(), expected[:, 0], rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(ours.p_value[:, m].numpy(), expected[:, 1], rtol=0, atol=1e-8)
        assert float(ours.min_p[m]) == ours.p_value[:, m].min()


@pytest.mark.parametrize("kind", ["random", "ar", "walk", "caused"])
def test_residuals_and_best_lag_equal_statsmodels(kind, statsmodels_of):
    ours = granger_test(*case(kind), max_lag=LAGS)
    for m, theirs in enumerate(statsmodels_of(kind)):
        fits = [theirs[lag][1][:2] for lag in range(1, LAGS + 1)]
        np.testing.assert_allclose(ours.own_ssr[:, m].numpy(), [own.ssr for own, _ in fits], rtol=1e-9)
        np.testing.assert_allclose(ours.joint_ssr[:, m].numpy(), [joint.ssr for _, joint in fits], rtol=1e-9)
        assert list(ours.observations) == [int(joint.nobs) for _, joint in fits]
        for criterion in ("aic", "bic"):
            per_observation = [getattr(joint, criterion) / joint.nobs for _, joint in fits]
            assert int(ours.best_lag(criterion)[m]) == np.argmin(per_observation) + 1


def test_best_lag_finds_the_lag_of_a_planted_cause_and_p_at_reads_there():
    rng = np.random.default_rng(0)
    causes = rng.standard_normal((400, 2))
    effect = rng.standard_normal(400)
    effect[4:] += causes[:-4, 1]
    found = granger_test(torch.from_numpy(effect), torch.from_numpy(causes), max_lag=8)
    lag = found.best_lag("bic")
    assert lag.tolist() == [1, 4]
    assert found.p_at(lag).tolist() == [found.p_value[0, 0], found.p_value[3, 1]]
    assert found.p_at(2).tolist() == found.p_value[1].tolist()


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("kind", ["random", "ar", "walk", "rounded", "caused"])
@pytest.mark.parametrize("augment", [1, 2])
def test_lag_augmented_form_equals_explicit_regressions(kind, test, augment):
    ols = statsmodels("regression.linear_model").OLS
    effect, causes = case(kind)
    ours = granger_test(effect, causes, max_lag=6, test=test, augment=augment)
    y, n = effect.numpy(), WINDOWS
    for m, lag in ((0, 1), (1, 3), (3, 6)):
        depth = lag + augment
        own = [y[depth - i : n - i] for i in range(1, depth + 1)]
        cross = [causes[depth - i : n - i, m].numpy() for i in range(1, depth + 1)]
        ones = np.ones(n - depth)
        joint = ols(y[depth:], np.column_stack([ones, *own, *cross])).fit()
        restricted = ols(y[depth:], np.column_stack([ones, *own, *cross[lag:]])).fit()
        if test == "ssr_f":
            statistic, p, _ = joint.compare_f_test(restricted)
        else:
            statistic = joint.nobs * (restricted.ssr - joint.ssr) / joint.ssr
            p = stats.chi2.sf(statistic, lag)
        assert float(ours.statistic[lag - 1, m]) == pytest.approx(statistic, rel=1e-8, abs=1e-8)
        assert float(ours.p_value[lag - 1, m]) == pytest.approx(p, abs=1e-8)
        assert float(ours.own_ssr[lag - 1, m]) == pytest.approx(restricted.ssr, rel=1e-9)
        assert ours.observations[lag - 1] == joint.nobs


VARIANTS = [
    {"cov_type": "HAC"},
    {"covariates": True},
    {"time_varying": "effect"},
    {"time_varying": "change"},
    {"cov_type": "HAC", "covariates": True, "time_varying": "effect", "augment": 1},
    {"covariates": True, "time_varying": "change", "augment": 1},
]


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("kind", ["ar", "rounded", "caused", "smooth"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_variants_equal_explicit_regressions(options, kind, test):
    ols = statsmodels("regression.linear_model").OLS
    effect, causes = case(kind)
    given = causes[:, 2:] if "covariates" in options else causes[:, :0]
    augment, varying = options.get("augment", 0), options.get("time_varying")
    ours = granger_test(effect, causes[:, :2], max_lag=6, test=test, **(options | {"covariates": given}))
    y, n = effect.numpy(), WINDOWS
    for m, lag in ((0, 1), (1, 6)):
        depth = lag + augment
        lagged = lambda x: [x[depth - i : n - i] for i in range(1, depth + 1)]  # noqa: B023, E731
        shared = [np.ones(n - depth), *lagged(y), *(one for column in given.numpy().T for one in lagged(column))]
        # Products with time need a cause without a mean, as the regressions have a trend.
        cause = lagged(causes[:, m].numpy() - causes[:, m].numpy().mean())
        tested, time = cause[:lag], np.arange(n - depth) / n
        if varying:
            shared.append(time)
            products = [time * one for one in tested]
            tested = products if varying == "change" else [*tested, *products]
            shared += cause[:lag] if varying == "change" else []
        shared += cause[lag:]
        X, count = np.column_stack([*tested, *shared]), len(tested)
        joint, own = ols(y[depth:], X).fit(), ols(y[depth:], np.column_stack(shared)).fit()
        if "cov_type" in options:
            bandwidth = int(np.floor(4 * ((n - depth) / 100) ** (2 / 9)))
            kwds = {"maxlags": bandwidth, "use_correction": test == "ssr_f"}
            robust = ols(y[depth:], X).fit(cov_type="HAC", cov_kwds=kwds)
            found = robust.wald_test(np.eye(count, X.shape[1]), use_f=test == "ssr_f", scalar=True)
            statistic, p = float(found.statistic), float(found.pvalue)
        elif test == "ssr_f":
            statistic, p, _ = joint.compare_f_test(own)
        else:
            statistic = joint.nobs * (own.ssr - joint.ssr) / joint.ssr
            p = stats.chi2.sf(statistic, count)
        assert float(ours.statistic[lag - 1, m]) == pytest.approx(statistic, rel=1e-6, abs=1e-7)
        # With a robust covariance statsmodels' F distribution has T - parameters degrees of freedom too.
        assert float(ours.p_value[lag - 1, m]) == pytest.approx(p, abs=1e-8)
        assert float(ours.joint_ssr[lag - 1, m]) == pytest.approx(joint.ssr, rel=1e-9)
        assert ours.lag_parameters == (X.shape[1] - 1 - bool(varying) - augment * (2 + given.shape[1])) / lag
