"""Oracles: scipy's rank correlation and permutation test; null: records without any relation."""

import numpy as np
import pytest
import torch
from scipy import stats

from ccprune import lasso
from ccprune.recording import InMemory
from replication.causal import evidence
from replication.causal.setting import Setting
from replication.networks.models import mlp

SETTING = Setting(batch_size=50, label_smoothing=0.0)


def recorded(images, pairing="consecutive", epochs=3):
    model = mlp((64, 20, 10), seed=0)
    SETTING.train(model, images, epochs=3, optimizer=SETTING.sgd(model), seed=0)
    stores = (InMemory(), lasso.Screen())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = evidence.record(model, images, SETTING, stores, epochs=epochs, lr=1e-3, pairing=pairing, seed=1)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not torch.equal(before["fc1.weight"], after.state_dict()["fc1.weight"])
    return stores


def test_rank_correlations_are_scipys():
    generator = torch.Generator().manual_seed(0)
    a = {"p": torch.rand(6, 5, generator=generator), "q": torch.rand(40, generator=generator)}
    b = {name: (value * 4).round() + torch.rand(value.shape, generator=generator).round() for name, value in a.items()}
    c = {name: -value for name, value in a.items()}
    table = evidence.rank_correlations({"a": a, "b": b, "c": c})
    flat = {n: torch.cat([v.flatten() for v in s.values()]).numpy() for n, s in (("a", a), ("b", b), ("c", c))}
    for one in "abc":
        for other in "abc":
            assert table.loc[one, other] == pytest.approx(stats.spearmanr(flat[one], flat[other]).statistic, abs=1e-12)


def test_null_rank_correlation_of_random_scores_is_about_zero():
    scores = {name: {"p": torch.rand(5000, generator=torch.Generator().manual_seed(i))} for i, name in enumerate("ab")}
    assert abs(evidence.rank_correlations(scores).loc["a", "b"]) < 4 / 5000**0.5


def test_rank_correlations_refuse():
    score = {"p": torch.arange(4.0)}
    with pytest.raises(ValueError, match=r"scores\['b'\] names other weights"):
        evidence.rank_correlations({"a": score, "b": {"q": torch.arange(4.0)}})
    with pytest.raises(ValueError, match=r"scores\['b'\] is constant"):
        evidence.rank_correlations({"a": score, "b": {"p": torch.ones(4)}})


def test_permutation_p_is_uniform_without_and_small_with_a_relation():
    generator = torch.Generator().manual_seed(0)
    X, y = torch.randn(60, 400, generator=generator).square(), torch.randn(60, generator=generator) - 0.5
    p = evidence.permutation_p(X, y, permutations=99, seed=0)
    assert p.min() >= 0.01 and p.max() <= 1
    assert stats.kstest(p.numpy(), "uniform").pvalue > 0.001
    X[:, :3] += 3 * y[:, None]
    assert (evidence.permutation_p(X, y, permutations=99, seed=0)[:3] < 0.03).all()
    # scipy's, on one column, in distribution
    found = stats.permutation_test(
        (y.numpy(),),
        lambda v: abs(np.cov(v, X[:, 50].numpy())[0, 1]),
        permutation_type="pairings",
        n_resamples=2000,
        alternative="greater",
        rng=0,
    )
    ours = evidence.permutation_p(X[:, 50:51], y, permutations=2000, seed=0)
    assert float(ours) == pytest.approx(found.pvalue, abs=0.05)


def test_a_mean_alone_is_no_evidence():
    X = torch.rand(40, 50, generator=torch.Generator().manual_seed(1))
    assert (evidence.permutation_p(X, torch.full((40,), -1.0), permutations=50, seed=0) == 1).all()


def test_compare_solvers(digits):
    store, screen = recorded(digits)
    table = evidence.compare_solvers(store, screen, sparsities=[0.5, 0.9])
    assert list(table.tensor.unique()) == list(screen.scores) and len(table) == 2 * len(screen.scores)
    assert table.sparsity.tolist() == pytest.approx([0.5, 0.9] * (len(table) // 2), abs=0.01)
    assert (table.jaccard_sgd > 0.8).all() and screen.condition().holds
    # one row by hand
    row = table.iloc[1]
    X, y = store.records()
    columns = store.layout.columns[row.tensor]
    by_hand = (y[:, None] * X[:, columns].double()).sum(0).abs() / len(y)
    assert float((by_hand > row.alpha).double().mean()) == pytest.approx(1 - row.sparsity, abs=0.002)
    fit = lasso.truncated_gradient(X[:, columns], y, row.alpha, seed=0)
    assert 1 - float(fit.support.double().mean()) == row.sparsity_sgd


def test_compare_exponents(digits):
    store, screen = recorded(digits)
    table = evidence.compare_exponents(store, screen, sparsities=[0.5, 0.9], powers=[0.25, 0.1, 0.0])
    assert len(table) == 6 * len(screen.scores) and (table.passes == 3).all()
    # with the weights of the records it is the same mask, and with equal steps so is the screen's, but for the weight
    # whose score is lambda itself
    assert (table[table.power_t > 0].jaccard_weighted == 1).all() and (
        table[table.power_t == 0].jaccard_kept > 0.99
    ).all()
    means = table.groupby("power_t")[["jaccard_kept", "spread"]].mean()
    assert means.jaccard_kept[0.25] < means.jaccard_kept[0.1] < 1 and means.spread[0.25] > 3 * means.spread[0.1]
    solvers = evidence.compare_solvers(store, screen, sparsities=[0.5, 0.9])
    assert solvers.jaccard_sgd.tolist() == table[table.power_t == 0.25].jaccard_kept.tolist()
    assert solvers.alpha.tolist() == table[table.power_t == 0.25].alpha.tolist()


def test_certified_solutions_have_no_gap_and_the_authors_have_one(digits):
    store, screen = recorded(digits)
    table = evidence.compare_exact(store, fractions=(1.0, 0.5, 0.1))
    assert (table.gap_exact <= 1e-6).all() and (table.kept_exact <= 59).all()
    assert (table[table.fraction < 1].gap_sgd > 1e-3).all()
    assert (table[table.fraction == 1].kept_exact == 0).all()  # null: nothing passes the largest penalty
    assert (table[table.fraction == 0.1].kept_exact > 0).all()
    X, y = store.records()
    for row in table.itertuples():
        part = X[:, store.layout.columns[row.tensor]]
        assert row.alpha == pytest.approx(row.fraction * float((y @ part.double()).abs().max()) / len(y), rel=1e-6)
