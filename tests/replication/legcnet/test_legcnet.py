"""Oracles: Python sets for counts and overlaps, `record` with `windowed_exponents` for the streamed evidence; where the
authors' files are at hand, the masks that the authors published, which come from TISEAN, MATLAB and statsmodels.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from statsmodels.stats.multitest import multipletests

from ccprune.granger import granger_test
from ccprune.lyapunov import windowed_exponents
from replication.data import Dataset, authors, load
from replication.legcnet import procedure as legcnet
from replication.legcnet.settings import SETTINGS, Settings, WindowSettings, with_recording
from replication.networks.ensemble import initialise, stack_mlps
from replication.networks.masks import jaccard_pruned, masks_from_lists, remove_lowest, remove_random
from replication.networks.training import accuracy, advance
from replication.networks.trajectory import record

RECORDING = WindowSettings(epochs=9, window=20, steps=3, max_lag=3)
SMALL = Settings(hidden=4, lr=0.6, benchmark=0.9, budget=20, ft=RECORDING, pt=replace(RECORDING, epochs=5, max_lag=1))


def dataset(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 3))
    y = (x[:, :1] + 0.8 * rng.standard_normal((60, 1)) > 0).astype(float)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return Dataset("small", x[:40], y[:40], x[40:], y[40:], ("a", "b", "c"), 2, "standard", "packaged")


ENSEMBLE = initialise((3, 4, 1), 4, seed=0, scale=0.5)
WEIGHTS = 16


@pytest.mark.parametrize("risk", legcnet.RISKS)
def test_evidence_is_what_the_whole_record_gives(risk):
    data = dataset()
    found = legcnet.exponents_and_risk(ENSEMBLE, data, SMALL, RECORDING, risk=risk)
    cut = 30 if risk == "heldout" else 40
    x, y = data.x_train[:cut], data.y_train[:cut]
    judged = {
        "test": (data.x_test, data.y_test),
        "train": (x, y),
        "heldout": (data.x_train[cut:], data.y_train[cut:]),
    }[risk]
    rows = record(ENSEMBLE, x, y, steps=9 * cut, lr=0.6)
    count = (9 * cut + 1 - 20) // 18 + 1
    assert found.exponents.shape == (4, count, WEIGHTS) and found.risk.shape == (4, count)
    for b in range(4):
        expected = windowed_exponents(rows[b], window=20, stride=18, steps=3, decimals=6)
        assert torch.equal(found.exponents[b], expected)
    for k in (0, 5, count - 1):
        stopped = ENSEMBLE.select(range(4))
        advance(stopped, x, y, lr=0.6, first=0, steps=18 * k + 19)
        assert torch.equal(found.risk[:, k], 1 - accuracy(stopped, *judged))


def test_the_three_risks_differ_and_only_theirs_sees_the_test_set():
    data = dataset()
    found = {risk: legcnet.exponents_and_risk(ENSEMBLE, data, SMALL, RECORDING, risk=risk) for risk in legcnet.RISKS}
    masks = {risk: legcnet.masks(ENSEMBLE, data, SMALL, risk=risk) for risk in legcnet.RISKS}
    assert torch.equal(found["test"].exponents, found["train"].exponents)
    assert not torch.equal(found["test"].risk, found["train"].risk)
    assert not torch.equal(masks["test"], masks["train"]) and not torch.equal(masks["train"], masks["heldout"])
    flipped = replace(data, x_test=-data.x_test, y_test=1 - data.y_test)
    for risk in legcnet.RISKS:
        other = legcnet.exponents_and_risk(ENSEMBLE, flipped, SMALL, RECORDING, risk=risk)
        assert torch.equal(other.exponents, found[risk].exponents)
        assert torch.equal(other.risk, found[risk].risk) == (risk != "test")


def test_heldout_rows_are_judged_but_never_trained_on():
    data = dataset()
    x, y = data.x_train.clone(), data.y_train.clone()
    x[30:], y[30:] = 5 * x[30:].flip(0), 1 - y[30:]
    other = replace(data, x_train=x, y_train=y)
    one, two = (legcnet.exponents_and_risk(ENSEMBLE, d, SMALL, RECORDING, risk="heldout") for d in (data, other))
    assert torch.equal(one.exponents, two.exponents) and not torch.equal(one.risk, two.risk)
    one, two = (legcnet.exponents_and_risk(ENSEMBLE, d, SMALL, RECORDING, risk="train") for d in (data, other))
    assert not torch.equal(one.exponents, two.exponents)


def test_a_network_does_not_depend_on_its_batch():
    data = dataset()
    whole = legcnet.exponents_and_risk(ENSEMBLE, data, SMALL, RECORDING)
    alone = legcnet.exponents_and_risk(ENSEMBLE.select([2]), data, SMALL, RECORDING)
    assert torch.equal(alone.exponents[0], whole.exponents[2]) and torch.equal(alone.risk[0], whole.risk[2])


def planted(seed=0, windows=80):
    """Exponents of 12 weights; weight 3 causes the risk, weight 5 never moves."""
    rng = np.random.default_rng(seed)
    exponents, risk = rng.standard_normal((windows, 12)), rng.standard_normal(windows)
    risk[1:] += exponents[:-1, 3]
    exponents[:, 5] = 0.0
    return torch.from_numpy(exponents), torch.from_numpy(risk)


def test_the_two_directions_are_complementary_where_a_test_was_possible():
    exponents, risk = planted()
    result = granger_test(risk, exponents, max_lag=2)
    noncausal, causal = (legcnet.keep_masks([result], 12, prune=prune)[0] for prune in legcnet.PRUNE)
    assert bool(noncausal[5]) and bool(causal[5])  # there is no finding against it
    feasible = torch.arange(12) != 5
    assert torch.equal(noncausal[feasible], ~causal[feasible])
    assert bool(noncausal[3]) and not bool(causal[3])
    rounded = result.min_p.numpy().round(4)
    assert noncausal.tolist() == [p < 0.05 or m == 5 for m, p in enumerate(rounded)]


def test_correction_for_the_number_of_weights_equals_statsmodels():
    exponents, risk = planted()
    p = torch.tensor([0.001, 0.004, 0.02, 0.03, 0.04, *torch.linspace(0.2, 0.9, 7).tolist()], dtype=torch.float64)
    result = replace(granger_test(risk, exponents, max_lag=2), min_p=p, infeasible=torch.zeros(12, dtype=torch.bool))
    plain, corrected = (legcnet.keep_masks([result], 12, corrected=flag)[0] for flag in (False, True))
    assert corrected.tolist() == [bool(q < 0.05) for q in multipletests(p.numpy(), method="fdr_bh")[1]]
    assert corrected.sum() < plain.sum() == 5


def test_p_is_rounded_to_four_decimals_before_it_is_compared():
    exponents, risk = planted()
    result = granger_test(risk, exponents, max_lag=2)
    p = torch.linspace(0.0, 1.0, 12, dtype=torch.float64)
    p[:4] = torch.tensor([0.0499, 0.04994, 0.04996, 0.05])  # 0.04996 is 0.05 to four decimals
    result = replace(result, min_p=p, infeasible=torch.zeros(12, dtype=torch.bool))
    assert legcnet.keep_masks([result], 12)[0, :4].tolist() == [True, True, False, False]
    assert legcnet.keep_masks([result], 12, p_decimals=None)[0, :4].tolist() == [True, True, True, False]


def test_networks_that_cannot_be_tested_keep_every_weight():
    exponents, risk = planted()
    found = legcnet.ExponentsAndRisk(
        torch.stack([exponents, exponents]), torch.stack([risk, torch.full_like(risk, 0.3)])
    )
    results = legcnet.granger_tests(found, max_lag=2)
    assert results[0] is not None and results[1] is None
    keep = legcnet.keep_masks(results, 12)
    assert keep[1].all() and not keep[0].all()
    assert legcnet.granger_tests(found, max_lag=26)[0] is not None
    assert legcnet.granger_tests(found, max_lag=27)[0] is None  # 80 windows are too few
    assert legcnet.granger_tests(found, max_lag=26, augment=1)[0] is None


def test_masks_go_from_recording_to_mask():
    data = dataset()
    for method, recording in (("ft", SMALL.ft), ("pt", SMALL.pt)):
        found = legcnet.exponents_and_risk(ENSEMBLE, data, SMALL, recording)
        expected = legcnet.keep_masks(legcnet.granger_tests(found, max_lag=recording.max_lag), WEIGHTS)
        assert torch.equal(legcnet.masks(ENSEMBLE, data, SMALL, method=method), expected)
    ft, pt = (legcnet.masks(ENSEMBLE, data, SMALL, method=method) for method in ("ft", "pt"))
    assert not torch.equal(ft, pt)
    assert 0 < int((~ft).sum()) < ft.numel()
    changed = with_recording(SMALL, "ft", max_lag=1)
    assert changed.ft == replace(SMALL.ft, max_lag=1) and changed.pt == SMALL.pt
    assert not torch.equal(legcnet.masks(ENSEMBLE, data, changed), ft)


REMOVED = torch.tensor([0, 1, 7, 16])


def test_magnitude_masks_remove_the_smallest_exactly_and_ties_by_index():
    weights = ENSEMBLE.weights
    weights[2, :10] = weights[2, 0]
    keep = remove_lowest(weights.abs(), REMOVED)
    for row, values, removed in zip(keep, weights.tolist(), REMOVED.tolist(), strict=True):
        smallest = sorted(range(WEIGHTS), key=lambda m, values=values: (abs(values[m]), m))[:removed]
        assert set(torch.nonzero(~row)[:, 0].tolist()) == set(smallest)


def test_random_masks_have_the_count_and_depend_on_seed_and_network_alone():
    keep = remove_random(REMOVED, WEIGHTS, seed=3)
    assert (~keep).sum(1).tolist() == REMOVED.tolist()
    assert torch.equal(remove_random(REMOVED[:3], WEIGHTS, seed=3), keep[:3])
    assert torch.equal(remove_random(REMOVED[2:], WEIGHTS, seed=3, first=2), keep[2:])
    assert not torch.equal(remove_random(REMOVED, WEIGHTS, seed=4), keep)


def test_null_random_masks_remove_every_weight_equally_often():
    removed = torch.full((4000,), 4)
    share = (~remove_random(removed, WEIGHTS, seed=0)).double().mean(0)
    assert (share - 0.25).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5


def test_smallest_p_masks_remove_the_most_causal_weights():
    exponents, risk = planted()
    result = granger_test(risk, exponents, max_lag=2)
    keep = legcnet.smallest_p_masks([result, result, None], torch.tensor([1, 5, 0]), 12)
    assert (~keep).sum(1).tolist() == [1, 5, 0]
    assert not bool(keep[0, 3])
    assert set(torch.nonzero(~keep[1])[:, 0].tolist()) == set(result.min_p.argsort()[:5].tolist())


def test_masks_from_lists_and_jaccard_equal_sets():
    rng = np.random.default_rng(0)
    lists = [[set(rng.choice(20, rng.integers(0, 20), replace=False).tolist()) for _ in range(30)] for _ in range(2)]
    lists[0][0], lists[1][0] = set(), set()
    one, two = (masks_from_lists(part, 20) for part in lists)
    for row, removed in zip(one, lists[0], strict=True):
        assert set(torch.nonzero(~row)[:, 0].tolist()) == removed
    expected = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in zip(*lists, strict=True)]
    assert jaccard_pruned(one, two).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: legcnet.exponents_and_risk(ENSEMBLE, dataset(), SMALL, RECORDING, risk="none"), "risk must be one of"),
        (lambda: legcnet.masks(ENSEMBLE, dataset(), SMALL, method="st"), "method must be 'ft' or 'pt', got 'st'"),
        (lambda: legcnet.keep_masks([], 12, prune="all"), "prune must be one of"),
        (lambda: masks_from_lists([[1], [-1, 3]], 20), r"lists must hold indices in 0..19, got \[-1, 3\]"),
        (lambda: masks_from_lists([[20]], 20), r"lists must hold indices in 0..19, got \[20\]"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def overlap_with_published(name, method):
    data, settings = load(name, preprocessing="authors"), SETTINGS[name]
    found = legcnet.masks(stack_mlps(authors.initial_weights(name)[:5]), data, settings, method=method)
    return jaccard_pruned(found, masks_from_lists(authors.masks(name, method), found.shape[1]))


@pytest.mark.usefixtures("authors_files")
@pytest.mark.parametrize(
    "name, method",
    [("cancer", "ft"), ("titanic", "ft"), ("iris", "ft"), ("iris3f", "ft"), ("iris", "pt"), ("iris3f", "pt")],
)
def test_masks_from_scratch_are_the_published_ones(name, method):
    assert overlap_with_published(name, method).tolist() == [1.0] * 5


@pytest.mark.usefixtures("authors_files")
def test_masks_of_banknote_pt_are_nearly_the_published_ones():
    assert overlap_with_published("banknote", "pt").mean() >= 0.97
