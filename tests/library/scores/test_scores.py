"""Oracles: the definitions, written out; statsmodels' p-values for `legcnet`. Null: a random score knows nothing."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from ccprune import scores
from ccprune.mask import Mask, prunable


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))


def evidence(windows=60):
    rng = np.random.default_rng(0)
    risk = rng.standard_normal(windows)
    exponents = {"0.weight": rng.standard_normal((windows, 2, 3)), "2.weight": rng.standard_normal((windows, 1, 2))}
    risk[1:] += 0.9 * exponents["0.weight"][:-1, 1, 2]
    exponents["2.weight"][:, 0, 1] = 0.0  # cannot be tested
    return {name: torch.from_numpy(value) for name, value in exponents.items()}, torch.from_numpy(risk)


def test_legcnet_score_is_one_minus_the_smallest_p_of_statsmodels():
    grangercausalitytests = pytest.importorskip("statsmodels.tsa.stattools").grangercausalitytests
    exponents, risk = evidence()
    found = scores.legcnet(exponents, risk, max_lag=3)
    for name, series in exponents.items():
        assert found[name].shape == series.shape[1:]
        for index in np.ndindex(*series.shape[1:]):
            if name == "2.weight" and index == (0, 1):
                expected = 1.0
            else:
                pair = np.column_stack([risk, series[(slice(None), *index)]])
                p = min(result[0]["ssr_chi2test"][1] for result in grangercausalitytests(pair, 3).values())
                expected = 1 - p
            assert float(found[name][index]) == pytest.approx(expected, abs=1e-8)
    assert found["0.weight"][1, 2] > 0.999


def test_legcnet_passes_its_test_on():
    exponents, risk = evidence()
    plain = scores.legcnet(exponents, risk, max_lag=2)["0.weight"]
    assert not torch.equal(scores.legcnet(exponents, risk, max_lag=2, test="ssr_f")["0.weight"], plain)
    with pytest.raises(ValueError, match="exponents must name at least one parameter"):
        scores.legcnet({}, risk, max_lag=2)


def test_magnitude_is_the_absolute_value_and_a_copy():
    model = network()
    found = scores.magnitude(model)
    for name, weight in prunable(model).items():
        assert torch.equal(found[name], torch.where(weight < 0, -weight, weight).detach())
        found[name].fill_(-1.0)
        assert not (weight == -1).any() and not found[name].requires_grad


def test_null_random_scores_are_uniform_and_independent_of_the_weights():
    model = nn.Linear(100, 50)
    found = scores.random(model, seed=1)["weight"].flatten().numpy()
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert stats.spearmanr(found, model.weight.detach().abs().flatten().numpy()).pvalue > 0.01


def test_random_depends_on_the_seed_alone():
    one, again, other = (scores.random(network(), seed=seed) for seed in (1, 1, 2))
    state = torch.get_rng_state()
    scores.random(network(), seed=3)
    for name in one:
        assert torch.equal(one[name], again[name])
        assert not torch.equal(one[name], other[name])
    torch.manual_seed(0)
    network()
    assert torch.equal(torch.get_rng_state(), state)  # drawn from a generator of its own


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "score",
    [
        scores.magnitude,
        scores.lamp,
        lambda model: scores.random(model, seed=0),
        lambda model: scores.fisher(model, torch.randn(9, 1, 6, 6), torch.arange(9) % 3),
    ],
)
def test_scoring_does_not_change_the_model(score, training):
    model = network().train(training)
    before = copy.deepcopy(model.state_dict())
    found = score(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {name: value.shape for name, value in found.items()} == {n: w.shape for n, w in prunable(model).items()}
    mask = Mask.from_scores(found, sparsity=0.5)
    assert mask.kept == mask.total // 2


def test_lamp_is_its_equation_and_keeps_the_largest_of_each_layer():
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0, 0] = 0.25  # ties
        model[0].weight[1, 0, 0] = 0.0  # pruned
        model[3].weight *= 1e-6  # a layer that global magnitude would empty
    found = scores.lamp(model)
    for name, weight in prunable(model).items():
        flat = weight.detach().double().flatten().numpy() ** 2
        order = np.argsort(flat, kind="stable")
        expected = [flat[u] / sum(flat[v] for v in order[list(order).index(u) :]) for u in range(len(flat))]
        assert found[name].flatten().numpy() == pytest.approx(expected, rel=1e-12)
        assert float(found[name].max()) == pytest.approx(1.0)
    density = Mask.from_scores(found, sparsity=0.9).check(model)["density"]
    assert (density > 0).all()
    assert Mask.from_scores(scores.magnitude(model), sparsity=0.9).check(model)["density"]["3.weight"] == 0


def test_lamp_of_equal_layers_ranks_as_magnitude():
    torch.manual_seed(0)
    model = nn.Linear(8, 9)
    assert torch.equal(
        Mask.from_scores(scores.lamp(model), sparsity=0.7).keep["weight"],
        Mask.from_scores(scores.magnitude(model), sparsity=0.7).keep["weight"],
    )


@pytest.mark.parametrize("chunk", [2, 64])
def test_fisher_is_the_mean_of_squared_gradients_taken_one_by_one(chunk):
    model = network().eval()
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(7, 1, 6, 6, generator=generator), torch.randint(0, 3, (7,), generator=generator)
    found = scores.fisher(model, x, y, chunk=chunk)
    expected = {name: torch.zeros_like(weight) for name, weight in prunable(model).items()}
    for sample, label in zip(x, y, strict=True):
        loss = nn.functional.cross_entropy(model(sample[None]), label[None])
        for name, gradient in zip(expected, torch.autograd.grad(loss, list(prunable(model).values())), strict=True):
            expected[name] += gradient**2 / 7
    for name, value in expected.items():
        assert found[name].numpy() == pytest.approx(value.numpy(), rel=1e-4, abs=1e-12)
    with pytest.raises(ValueError, match="same length"):
        scores.fisher(model, x, y[:-1])


def test_null_fisher_of_a_weight_whose_input_is_always_zero_is_zero():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    x = torch.randn(20, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    x[:, :, :3] = 0
    found = scores.fisher(model, x, torch.arange(20) % 3)["1.weight"]
    assert (found[:, :18] == 0).all() and (found[:, 18:] > 0).all()


@pytest.mark.parametrize("within", ["layer", "row"])
def test_ranks_are_scipys_with_ties_in_the_order_of_the_index(within):
    rng = np.random.default_rng(0)
    found = {"conv": rng.integers(0, 5, (4, 3, 2)).astype(float), "linear": rng.standard_normal((2, 7))}
    found["linear"][0, :3] = -np.inf  # pruned before
    ranked = scores.ranks({name: torch.from_numpy(value) for name, value in found.items()}, within=within)
    for name, value in found.items():
        rows = value.reshape(len(value), -1) if within == "row" else value.reshape(1, -1)
        expected = (stats.rankdata(rows, method="ordinal", axis=1) - 0.5) / rows.shape[1]
        np.testing.assert_allclose(ranked[name].numpy(), expected.reshape(value.shape))


def test_ranks_over_all_layers_prune_as_the_uniform_allocation_does():
    magnitude = scores.magnitude(network())
    for sparsity in (0.25, 0.5, 0.75):
        of_ranks = Mask.from_scores(scores.ranks(magnitude, within="layer"), sparsity=sparsity)
        of_layers = Mask.from_scores(magnitude, sparsity=sparsity, allocation="uniform")
        assert all(abs(of_ranks.counts[name] - kept) <= 1 for name, kept in of_layers.counts.items())
    with pytest.raises(ValueError, match=r"within must be one of \('layer', 'row'\), got 'column'"):
        scores.ranks(magnitude, within="column")
    with pytest.raises(ValueError, match=r"scores\['w'\] holds NaN"):
        scores.ranks({"w": torch.tensor([torch.nan])}, within="layer")
