"""Oracles: SciPy's t-test on block covariances; all 2^8 models of small layers; planted effects. Nulls: no effect."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

import ccprune
from ccprune.lasso import BlockCovariance
from ccprune.stats import posterior


def test_block_statistics_are_those_of_scipy():
    rng = np.random.default_rng(0)
    losses, changes = rng.standard_normal(67), rng.standard_normal((67, 3))
    changes[:, 1] = 0.0
    screen = BlockCovariance(block=10)
    for loss, change in zip(losses, changes, strict=True):
        screen.update(float(loss), {"a": torch.from_numpy(change[:2]), "b": torch.from_numpy(change[2:])})
    blocks = [np.cov(losses[s : s + 10], changes[s : s + 10, k] ** 2)[0, 1] for k in (0, 2) for s in range(0, 60, 10)]
    found = stats.ttest_1samp(np.reshape(blocks, (2, 6)), 0, axis=1)
    z = torch.cat(list(screen.z.values())).numpy()
    np.testing.assert_allclose(z[[0, 2]], stats.norm.isf(found.pvalue / 2) * np.sign(found.statistic), rtol=1e-9)
    assert z[1] == 0 and screen.blocks == 6  # a weight that never changes


def test_null_of_dependent_records_is_kept_where_a_plain_correlation_fails():
    rng = np.random.default_rng(1)
    series = rng.standard_normal((2000, 201))
    for t in range(1, 2000):
        series[t] = 0.9 * series[t - 1] + np.sqrt(1 - 0.81) * series[t]
    screen = BlockCovariance(block=40)
    for row in torch.from_numpy(series):
        screen.update(row[0], {"a": row[1:].exp()})
    assert float((screen.z["a"].abs() > 1.96).double().mean()) < 0.09  # 10 of 200 expected, standard deviation 3
    plain = np.corrcoef(series[:, 0], np.exp(2 * series[:, 1:]), rowvar=False)[0, 1:]
    assert np.mean(np.abs(plain) * np.sqrt(2000) > 1.96) > 0.15


def test_probabilities_are_those_of_all_models_of_small_layers():
    rng, records, weights, layers, share, slab = np.random.default_rng(2), 400, 8, 40, 0.5, 0.2
    models = np.array(list(itertools.product((0, 1), repeat=weights)), dtype=float)
    z, exact = [], []
    for _ in range(layers):
        x = rng.standard_normal((records, weights))
        gamma = (rng.random(weights) < share) * slab * rng.standard_normal(weights)
        y = x @ gamma + rng.standard_normal(records)
        gram, moment = x.T @ x, x.T @ y
        # Evidence of the model D: N(y; 0, I + slab^2 X D X'), up to a common factor, by Woodbury's identity.
        inner = np.eye(weights) + slab**2 * models[:, :, None] * gram * models[:, None, :]
        pulled = models * moment
        fit = np.einsum("ma,ma->m", pulled, np.linalg.solve(inner, pulled[..., None])[..., 0])
        log = 0.5 * slab**2 * fit - 0.5 * np.linalg.slogdet(inner)[1]
        evidence = np.exp(log - log.max())
        exact.append(evidence @ models / evidence.sum())
        r = moment / np.sqrt(np.diag(gram) * (y @ y))
        z.append(np.sqrt(records) * np.arctanh(r))
    found = posterior({"layers": torch.from_numpy(np.array(z))})
    difference = np.abs(found.probability["layers"].numpy() - np.array(exact))
    assert difference.mean() < 0.08 and np.quantile(difference, 0.95) < 0.3
    assert found.non_null == pytest.approx(share, abs=0.15)


@pytest.mark.parametrize("idle", [0.1, 0.5, 0.9])
def test_planted_effects_are_calibrated_and_wrong_removals_are_expected(idle):
    generator = torch.Generator().manual_seed(3)
    matters = torch.rand(5000, generator=generator) >= idle
    z = torch.randn(5000, generator=generator) + 3 * matters * torch.randn(5000, generator=generator)
    found = posterior({"a": z[:2000].reshape(40, 50), "b": z[2000:]})
    probability = torch.cat([value.flatten() for value in found.probability.values()])
    for low in np.arange(0, 1, 0.2):
        near = (probability >= low) & (probability < low + 0.2)
        if near.sum() >= 100:
            assert float(matters[near].double().mean()) == pytest.approx(float(probability[near].mean()), abs=0.12)
    mask = ccprune.Mask.from_scores(found.probability, sparsity=idle)
    wrong = int((matters & ~torch.cat([mask.keep[name].flatten() for name in ("a", "b")]).bool()).sum())
    assert found.wrong_removals(idle) == pytest.approx(wrong, rel=0.2)
    sparsity = found.sparsity(wrong=0.1)
    assert found.wrong_removals(sparsity) <= 0.1 * 5000 * sparsity


def test_null_without_any_effect_has_small_probabilities():
    z = torch.randn(5000, generator=torch.Generator().manual_seed(4))
    found = posterior({"a": z})
    assert found.non_null < 0.1 and found.probability["a"].median() < 0.1
    assert (
        posterior({"a": torch.cat([z, torch.tensor([torch.inf, -torch.inf, 60.0])])}).probability["a"][-3:].min()
        > 0.999
    )


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="z must hold at least one"):
        posterior({})
    with pytest.raises(ValueError, match=r"z\['a'\] must not be NaN"):
        posterior({"a": torch.tensor([0.0, torch.nan])})
    with pytest.raises(ValueError, match="wrong must lie in"):
        posterior({"a": torch.zeros(3)}).sparsity(2)
    with pytest.raises(ValueError, match="block must be"):
        BlockCovariance(block=1)
    screen = BlockCovariance(block=2)
    with pytest.raises(ValueError, match="at least 2 full blocks"):
        _ = screen.z
    for _ in range(4):
        screen.update(float("nan"), {"a": torch.ones(1)})
    with pytest.raises(ValueError, match="must be finite"):
        _ = screen.z
