"""Rankings by repaired tests.

Oracles: planted exponents that drive a risk with known strengths, `legcnet.keep_masks`, the library's score of
one network, multiply-adds counted by hand. Null: exponents that have nothing to do with the risk, nor with the weights.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ccprune import scores
from ccprune.granger import granger_test
from replication.data import load
from replication.legcnet import procedure as legcnet
from replication.legcnet import (
    rankings as legcnet_rankings,
)
from replication.legcnet import (
    repaired as legcnet_repaired,
)
from replication.legcnet import repaired_verdicts as judge
from replication.legcnet.rankings import shifted_p_value
from replication.legcnet.repaired import MATCHED, RANDOM, TESTS, mask, operations, rankings
from replication.legcnet.runs import run
from replication.legcnet.settings import SETTINGS, with_recording
from replication.networks.ensemble import initialise
from replication.null import series

SMALL = with_recording(SETTINGS["iris"], "ft", epochs=40, max_lag=4)
# Trained in few epochs: enough to tell a good mask from a bad one.
FAST = replace(SMALL, lr=0.5, budget=25)
SIZES, WEIGHTS = (4, 6, 3), 42
DATA = load("iris", preprocessing="authors", source="packaged")
NETWORKS = 6
START = initialise(SIZES, NETWORKS, seed=1)


@pytest.fixture(scope="module")
def ranked():
    return rankings(START, START.weights, DATA, SMALL, shifts=9, seed=1)


@pytest.fixture(scope="module")
def runs():
    return pd.concat(legcnet_repaired.runs(DATA, FAST, seeds=NETWORKS, shares=[0.1, 0.5], shifts=9, seed=1))


def planted(strengths, networks, *, windows=160, seed=0):
    """Evidence in which the exponents of each network drive its risk two windows later, by `strengths` (M,)."""
    rng = np.random.default_rng(seed)
    exponents = rng.standard_normal((networks, windows, len(strengths)))
    risk = rng.standard_normal((networks, windows))
    risk[:, 2:] += exponents[:, :-2] @ strengths
    return legcnet.ExponentsAndRisk(torch.from_numpy(exponents), torch.from_numpy(risk))


def ranked_from(found, monkeypatch, *, shifts=39):
    monkeypatch.setattr(legcnet_rankings.legcnet, "exponents_and_risk", lambda *_, **__: found)
    networks = found.risk.shape[0]
    start = initialise(SIZES, networks, seed=0)
    return rankings(start, start.weights, DATA, SMALL, shifts=shifts)


def test_planted_causes_are_kept_longest_and_the_stronger_ones_longer(monkeypatch):
    strengths = np.zeros(WEIGHTS)
    strengths[[3, 17, 40]] = [0.9, 1.5, 2.7]
    ranks = ranked_from(planted(strengths, 8), monkeypatch).ranks
    for test in ("smallest_p", "bic_f", "augmented_heldout"):
        strongest, weakest = ranks[test][:, 40], ranks[test][:, 3]
        assert (strongest == WEIGHTS - 1).all() and (ranks[test][:, 17] == WEIGHTS - 2).all(), test
        assert weakest.double().mean() > 0.8 * WEIGHTS, test
        assert (ranks[f"{test}_reversed"][:, 40] == 0).all()
    assert (ranks["surrogate"][:, [17, 40]] > 0.85 * WEIGHTS).all()


def test_null_idle_and_other_weights_are_ranked_alike(monkeypatch):
    ranks = ranked_from(planted(np.zeros(WEIGHTS), 40, windows=80), monkeypatch, shifts=5).ranks
    idle = torch.arange(WEIGHTS) < WEIGHTS // 2
    for name, order in ranks.items():
        if name.removesuffix("_reversed") in (*TESTS, *RANDOM):
            advantage = order[:, ~idle].double().mean(1) - order[:, idle].double().mean(1)
            assert abs(advantage.mean()) < 3.5 * advantage.std() / len(advantage) ** 0.5, name


def test_null_random_exponents_give_masks_no_better_than_random_ones(monkeypatch):
    monkeypatch.setattr(
        legcnet_rankings.legcnet, "exponents_and_risk", lambda *_, **__: planted(np.zeros(WEIGHTS), 30, windows=60)
    )
    rows = pd.concat(legcnet_repaired.runs(DATA, FAST, seeds=30, shares=[0.4], shifts=5, seed=5))
    cells = judge.control_cells(rows.assign(study="repaired"), "iris", profile="default")
    asked = [cell for cell in cells if cell.reference == "random" and cell.method.removesuffix("_reversed") in TESTS]
    assert len(asked) == 2 * len(TESTS) * 2 + len(TESTS)
    # p < 0.05 occurs in one of twenty tests, p < 0.001 in one of a thousand.
    assert all(cell.p_value > 0.001 for cell in asked)
    better = [cell for cell in cells if (cell.method, cell.reference) == ("magnitude", "random")]
    assert all(cell.outcome == "holds" for cell in better), "with as many networks a real difference is found"


def test_smallest_p_prunes_what_keep_masks_prunes_first(ranked):
    found = legcnet.exponents_and_risk(START, DATA, SMALL, SMALL.ft)
    expected = legcnet.keep_masks(legcnet.granger_tests(found, max_lag=SMALL.ft.max_lag), WEIGHTS)
    removed = (~expected).sum(1)
    assert (removed > 0).any()
    assert torch.equal(ranked.ranks["smallest_p"] >= removed[:, None], expected)


def test_ranks_are_permutations_and_the_reverse_is_the_reverse(ranked):
    assert set(ranked.ranks) == {
        *(name + end for name in (*TESTS, "magnitude", "snip") for end in ("", "_reversed")),
        *RANDOM,
    }
    for name, ranks in ranked.ranks.items():
        assert torch.equal(ranks.sort(1).values, torch.arange(WEIGHTS).expand(NETWORKS, -1)), name
        if not name.endswith("_reversed") and name not in RANDOM:
            assert torch.equal(ranked.ranks[f"{name}_reversed"], WEIGHTS - 1 - ranks)
    assert torch.equal(ranked.ranks["magnitude"].argsort(1), START.weights.abs().argsort(1))


def test_p_values_are_those_of_the_tests_named(ranked):
    exponents, risk = (
        getattr(legcnet.exponents_and_risk(START, DATA, SMALL, SMALL.ft), name)[2] for name in ("exponents", "risk")
    )
    exact = granger_test(risk, exponents, max_lag=4, test="ssr_f")
    assert torch.equal(ranked.p_values["bic_f"][2], exact.p_at(exact.best_lag("bic")))
    held_out = legcnet.exponents_and_risk(START, DATA, SMALL, SMALL.ft, risk="heldout")
    plain = granger_test(held_out.risk[2], held_out.exponents[2], max_lag=4, test="ssr_f")
    augmented = granger_test(held_out.risk[2], held_out.exponents[2], max_lag=4, test="ssr_f", augment=1)
    assert torch.equal(ranked.p_values["augmented_heldout"][2], augmented.p_at(plain.best_lag("bic")))
    surrogate = ranked.p_values["surrogate"] * 10
    assert torch.allclose(surrogate, surrogate.round()) and (surrogate > 0.9).all()


def test_ties_are_random_and_untestable_weights_are_kept_longest(monkeypatch):
    found = planted(np.zeros(WEIGHTS), 4)
    found.exponents[:, :, 7] = 0.5  # never changes
    found.risk[3] = 0.1  # a network that cannot be tested at all
    result = ranked_from(found, monkeypatch, shifts=5)
    for test in TESTS:
        assert (result.ranks[test][:3, 7] == WEIGHTS - 1).all()
        assert result.p_values[test][:3, 7].isnan().all() and result.p_values[test][3].isnan().all()
    orders = [result.ranks[name][3] for name in (*TESTS, *RANDOM)]
    assert len({tuple(order.tolist()) for order in orders}) == len(orders)


def test_a_network_has_the_same_ranks_in_another_chunk(ranked):
    alone = rankings(START.select([4]), START.weights[[4]], DATA, SMALL, shifts=9, seed=1, first=4)
    for name, ranks in alone.ranks.items():
        assert torch.equal(ranks[0], ranked.ranks[name][4]), name


def test_snip_is_that_of_the_library_on_one_network():
    w1, b1, w2, b2 = (getattr(START, name)[0] for name in ("w1", "b1", "w2", "b2"))
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Sigmoid(), torch.nn.Linear(6, 3), torch.nn.Sigmoid())
    model = model.double()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), (w1, b1, w2, b2), strict=True):
            parameter.copy_(value)
    squared = lambda guess, y: (guess - y).square().sum(1).mean()  # noqa: E731
    expected = torch.cat([s.flatten() for s in scores.snip(model, DATA.x_train, DATA.y_train, loss=squared).values()])
    torch.testing.assert_close(legcnet_rankings.snip(START, DATA)[0], expected, rtol=1e-9, atol=0)


def test_operations_leave_out_units_without_inputs_or_outputs():
    keep = torch.ones(4, 2 * 3 + 2 * 1, dtype=torch.bool)  # two inputs, three hidden units would be 9; here (3, 2, 1)
    keep[1, [0, 1, 2]] = False  # the first unit has no inputs
    keep[2, 7] = False  # the second unit has no output
    keep[3, 0] = False  # a weight alone
    assert operations(keep, (3, 2, 1)).tolist() == [8, 4, 4, 7]


def test_masks_have_equal_counts_or_the_fewest_removed_for_the_operations(ranked):
    for ranks in ranked.ranks.values():
        for share, removed in ((0.1, 4), (0.3, 13), (0.5, 21)):
            assert ((~mask(ranks, share, SIZES)).sum(1) == removed).all()
            keep = mask(ranks, share, SIZES, matched="operations")
            assert (operations(keep, SIZES) <= WEIGHTS - removed).all()
            one_more = ranks >= ((~keep).sum(1) - 1)[:, None]
            assert (operations(one_more, SIZES) > WEIGHTS - removed).all()
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\), got 30"):
        mask(ranked.ranks["snip"], 30, SIZES)
    with pytest.raises(ValueError, match="matched must be one of"):
        mask(ranked.ranks["snip"], 0.3, SIZES, matched="flops")


def test_each_row_is_the_run_it_names(runs):
    assert not runs.duplicated(["network", "ranking", "matched", "share"]).any()
    assert len(runs) == NETWORKS * (1 + 2 * (2 * 6 + 5) + 2 * (6 + 5))
    assert set(runs.matched) == set(MATCHED)
    dense = run(DATA, FAST, START, torch.ones_like(START.weights, dtype=torch.bool)).ensemble.weights
    ranks = rankings(START, dense, DATA, FAST, shifts=9, seed=1).ranks
    for name, matched in (("bic_f", "count"), ("random_2", "count"), ("smallest_p", "operations")):
        keep = mask(ranks[name], 0.5, SIZES, matched=matched)
        stopped, whole = (run(DATA, FAST, START, keep, stop=stop) for stop in (True, False))
        rows = runs[(runs.ranking == name) & (runs.matched == matched) & (runs.share == 0.5)].sort_values("network")
        assert rows.kept.tolist() == keep.sum(1).tolist() and rows.epochs.tolist() == stopped.epochs.tolist()
        assert rows.accuracy.tolist() == stopped.test_accuracy.tolist() and rows.f1.tolist() == stopped.test_f1.tolist()
        if matched == "count":
            assert rows.accuracy_at_budget.tolist() == whole.test_accuracy.tolist()
        else:
            assert rows.accuracy_at_budget.isna().all()


def test_benjamini_hochberg_prunes_at_least_as_many_and_changes_no_ranking(runs):
    tested = runs[runs.ranking.isin(TESTS)]
    assert (tested.pruned_alone_corrected >= tested.pruned_alone).all()
    assert (tested.pruned_alone_corrected > tested.pruned_alone).any()
    assert (tested.testable > 0).all() and runs[runs.ranking == "magnitude"].pruned_alone.isna().all()


def test_cells_are_the_comparisons_of_their_rows(runs):
    content = {"parameters": {"dataset": "iris"}, "profile": "default"}
    cells = judge.cells(runs.assign(study="repaired"), content)
    assert len({cell.key for cell in cells}) == len(cells)
    part = runs[(runs.matched == "count") & (runs.share == 0.5)].pivot(index="network", columns="ranking")
    named = {(c.table, c.method, c.reference, c.sparsity, c.quantity): c for c in cells}
    cell = named["repaired", "bic_f", "random", 0.5, "accuracy"]
    expected = part.accuracy["bic_f"] - part.accuracy[list(RANDOM)].mean(axis=1)
    assert cell.ours == pytest.approx(expected.mean()) and (cell.kind, cell.n) == ("control", NETWORKS)
    epochs = part.epochs.astype(float).where(part.reached.astype(bool), np.inf)
    better = (epochs["magnitude"] < epochs["random_1"]).sum() - (epochs["magnitude"] > epochs["random_1"]).sum()
    cell = named["repaired", "magnitude", "random", 0.5, "epochs"]
    assert cell.outcome == ("undecided" if cell.p_value >= 0.05 else "holds" if better > 0 else "does_not_hold")
    alone = named["repaired_alone", "smallest_p", "", None, "share_pruned_alone"]
    mean = runs[(runs.ranking == "smallest_p")].groupby("network").pruned_alone.first().mean()
    assert alone.ours == pytest.approx(mean / WEIGHTS)
    assert not any(cell.method in RANDOM or cell.method == "dense" for cell in cells)


def test_shifted_p_value_is_that_of_shifts_made_one_by_one():
    exponents, risk = (
        t[0] for t in (planted(np.r_[2.0, np.zeros(4)], 1).exponents, planted(np.r_[2.0, 0, 0, 0, 0], 1).risk)
    )
    found = shifted_p_value(risk, exponents, max_lag=3, shifts=19, generator=np.random.default_rng(3))
    drawn = np.random.default_rng(3).choice(np.arange(4, 157), size=19, replace=False)
    smallest = granger_test(risk, exponents, max_lag=3).min_p
    moved = torch.stack([granger_test(risk, exponents.roll(int(s), 0), max_lag=3).min_p for s in drawn])
    torch.testing.assert_close(found, (1 + (moved <= smallest).sum(0)) / 20)
    assert found[0] == 1 / 20 and (found[1:] > 1 / 20).any()


@pytest.mark.parametrize("kind", ["white noise", "AR(1)"])
def test_null_false_rate_of_the_surrogate_test_is_its_level_where_the_smallest_p_is_far_above(kind):
    risks = series.noise("random walk", 100, 60, seed=1)
    causes = series.noise(kind, 100, 20, seed=2)
    shifted, smallest = [], []
    for effect in risks.T:
        generator = np.random.default_rng(7)
        p = shifted_p_value(effect, causes, max_lag=5, shifts=19, generator=generator)
        shifted.append(float((p <= 0.05).double().mean()))
        smallest.append(float((granger_test(effect, causes, max_lag=5).min_p <= 0.05).double().mean()))
    assert 0.02 <= np.mean(shifted) <= 0.08
    assert np.mean(smallest) > 0.12


def test_untestable_weights_can_be_kept_or_pruned():
    found = planted(np.r_[2.0, np.zeros(5)], 1)
    found.exponents[0, :, 4] = 0.5
    score = {
        rule: scores.legcnet({"weight": found.exponents[0]}, found.risk[0], max_lag=2, untestable=rule)["weight"]
        for rule in ("keep", "prune")
    }
    assert score["keep"][4] == 1 and score["prune"][4] == 0
    others = [0, 1, 2, 3, 5]
    assert torch.equal(score["keep"][others], score["prune"][others]) and score["prune"].argmax() == 0
    assert torch.equal(
        scores.legcnet({"weight": found.exponents[0]}, found.risk[0], max_lag=2)["weight"], score["keep"]
    )
    with pytest.raises(ValueError, match="untestable must be one of .*, got 'drop'"):
        scores.legcnet({"weight": found.exponents[0]}, found.risk[0], max_lag=2, untestable="drop")
