"""Oracles: counting with NumPy and plain sorting; and what is observed on models trained with real optimisers."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ccprune
from ccprune.mask import Mask, prunable


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 5))


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 1, 6, 6, generator=generator), torch.randint(0, 5, (8,), generator=generator)


def random_scores(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}


OPTIMISERS = {
    "sgd with momentum and decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def step(model, optimiser):
    x, y = batch()
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimiser.step()


@pytest.mark.parametrize("seed", range(20))
def test_count_is_exact_and_ties_go_by_index(seed):
    rng = np.random.default_rng(seed)
    shapes = {f"p{i}": tuple(rng.integers(1, 7, rng.integers(1, 4))) for i in range(rng.integers(1, 4))}
    levels = int(rng.choice([1, 3, 10_000]))  # 1: all scores are equal
    scores = {name: torch.from_numpy(rng.integers(0, levels, shape).astype(float)) for name, shape in shapes.items()}
    flat = np.concatenate([score.numpy().ravel() for score in scores.values()])
    for sparsity in (0.0, 0.5, 0.9, 1.0, float(rng.random())):
        mask = Mask.from_scores(scores, sparsity=sparsity)
        pruned = int(np.floor(sparsity * flat.size + 0.5))
        expected = np.ones(flat.size, dtype=bool)
        expected[sorted(range(flat.size), key=lambda i: (flat[i], i))[:pruned]] = False
        found = np.concatenate([keep.numpy().ravel() for keep in mask.keep.values()])
        np.testing.assert_array_equal(found, expected)
        assert (mask.total, mask.kept) == (flat.size, flat.size - pruned)
        assert mask.sparsity == pytest.approx(pruned / flat.size, abs=1e-15)
        layered = Mask.from_scores(scores, sparsity=sparsity, allocation="uniform")
        for name, score in scores.items():
            alone = Mask.from_scores({name: score}, sparsity=sparsity)
            assert torch.equal(layered.keep[name], alone.keep[name])
            assert alone.kept == score.numel() - int(np.floor(sparsity * score.numel() + 0.5))


def test_every_count_can_be_had():
    scores = {"a": torch.rand(60, generator=torch.Generator().manual_seed(0))}
    for pruned in range(61):
        assert Mask.from_scores(scores, sparsity=pruned / 60).kept == 60 - pruned


def test_higher_sparsity_prunes_a_superset():
    scores = random_scores(network())
    masks = [Mask.from_scores(scores, sparsity=sparsity) for sparsity in (0.1, 0.5, 0.9)]
    for few, many in zip(masks, masks[1:], strict=False):
        assert all(bool((few.keep[name] | ~many.keep[name]).all()) for name in scores)


def test_infinite_scores_are_extreme_and_nan_is_refused():
    scores = {"a": torch.tensor([0.0, float("inf"), -float("inf"), 1.0])}
    assert Mask.from_scores(scores, sparsity=0.25).keep["a"].tolist() == [True, True, False, True]
    assert Mask.from_scores(scores, sparsity=0.75).keep["a"].tolist() == [False, True, False, False]
    scores["b"] = torch.tensor([float("nan")])
    with pytest.raises(ValueError, match=r"scores\['b'\] holds NaN"):
        Mask.from_scores(scores, sparsity=0.5)


def test_scores_of_several_precisions_are_compared_as_numbers():
    scores = {"half": torch.tensor([0.5, 2.0]).half(), "double": torch.tensor([1.0, 3.0]).double()}
    mask = Mask.from_scores(scores, sparsity=0.5)
    assert mask.keep["half"].tolist() == [False, True] and mask.keep["double"].tolist() == [False, True]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_enforced_mask_is_true_after_every_step(name):
    model = network()
    mask = Mask.from_scores(random_scores(model), sparsity=0.7)
    optimiser = OPTIMISERS[name](model.parameters())
    for _ in range(3):  # momentum of weights that are pruned only now
        step(model, optimiser)
    with mask.enforce(model, optimiser):
        assert mask.check(model).loc["all", "violations"] == 0
        for _ in range(5):
            before = {n: w.detach().clone() for n, w in prunable(model).items()}
            step(model, optimiser)
            assert mask.check(model).loc["all", "violations"] == 0
            moved = sum(int((w != before[n]).sum()) for n, w in prunable(model).items())
            assert moved == mask.kept
    step(model, optimiser)
    assert mask.check(model).loc["all", "violations"] > 0  # enforcement ended with its context


@pytest.mark.parametrize("name", OPTIMISERS)
def test_without_enforcement_the_report_finds_violations(name):
    model = network()
    mask = Mask.from_scores(random_scores(model), sparsity=0.7)
    mask.apply_(model)
    step(model, OPTIMISERS[name](model.parameters()))
    assert mask.check(model).loc["all", "violations"] > 0.9 * (mask.total - mask.kept)


def test_remove_stops_enforcing():
    model = network()
    mask = Mask.from_scores(random_scores(model), sparsity=0.5)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = mask.enforce(model, optimiser)
    step(model, optimiser)
    assert mask.check(model).loc["all", "violations"] == 0
    handle.remove()
    step(model, optimiser)
    assert mask.check(model).loc["all", "violations"] > 0


def test_apply_sets_pruned_weights_to_zero_and_leaves_the_rest():
    model = network()
    mask = Mask.from_scores(random_scores(model), sparsity=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model[4].weight[~mask.keep["4.weight"]] = float("inf")  # 0 times infinity would be NaN
    assert mask.apply_(model) is model
    for name, value in model.state_dict().items():
        if name in mask.keep:
            assert torch.equal(value, torch.where(mask.keep[name], before[name], 0.0))
        else:
            assert torch.equal(value, before[name])


def test_apply_changes_nothing_when_it_refuses():
    model = network()
    keep = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="model has no parameter '9.weight'"):
        Mask(keep | {"9.weight": torch.ones(1, dtype=torch.bool)}).apply_(model)
    with pytest.raises(ValueError, match=r"'4.weight' has shape \(5, 48\), the mask \(48, 5\)"):
        Mask(keep | {"4.weight": keep["4.weight"].T}).apply_(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def same(a, b):
    return list(a.keep) == list(b.keep) and all(torch.equal(a.keep[name], b.keep[name]) for name in a.keep)


def test_a_mask_survives_state_dict_file_deepcopy_and_pickle():
    mask = Mask.from_scores(random_scores(network()), sparsity=0.3)
    file = io.BytesIO()
    torch.save(mask.state_dict(), file)
    file.seek(0)
    whole = io.BytesIO()
    torch.save({"epoch": 3, "mask": mask}, whole)
    whole.seek(0)
    others = [
        Mask.from_state_dict(torch.load(file, weights_only=True)),
        torch.load(whole, weights_only=True)["mask"],
        copy.deepcopy(mask),
        pickle.loads(pickle.dumps(mask)),
    ]
    assert all(same(mask, other) and other.requested == 0.3 for other in others)
    assert Mask.from_state_dict(Mask(mask.keep).state_dict()).requested is None
    mask.state_dict()["4.weight"].fill_(False)
    assert same(mask, others[0])


def test_tied_weights_are_counted_once_and_masked_everywhere():
    first = nn.Linear(4, 4)
    second = nn.Linear(4, 4)
    second.weight = first.weight
    model = nn.Sequential(first, nn.Tanh(), second)
    assert list(prunable(model)) == ["0.weight"]
    mask = Mask.from_scores({"0.weight": torch.rand(4, 4)}, sparsity=0.5)
    mask.apply_(model)
    assert int((model[2].weight == 0).sum()) == 8
    other_name = Mask({"2.weight": mask.keep["0.weight"]})
    assert other_name.check(model).loc["all", "violations"] == 0


def test_prunable_names_linear_and_convolution_weights_in_the_models_order():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Linear(4, 3), nn.Sequential(nn.Conv2d(1, 1, 1)))
    names = list(prunable(model))
    assert names == ["0.weight", "2.weight", "3.0.weight"]
    assert prunable(model)["2.weight"] is model[2].weight
    assert list(prunable(nn.Linear(2, 2))) == ["weight"]
    with pytest.raises(ValueError, match="model has no prunable weights"):
        prunable(nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()))


def test_report_counts():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    first, second = torch.tensor([[1, 0, 0], [1, 1, 0]]), torch.tensor([[1, 0]])
    mask = Mask({"0.weight": first == 1, "1.weight": second == 1})
    mask.apply_(model)
    with torch.no_grad():
        model[0].weight[0, 1] = 0.25
    table = ccprune.report(model, mask).layers
    assert table[["weights", "kept", "pruned", "violations"]].to_numpy().tolist() == [
        [6, 3, 3, 1],
        [2, 1, 1, 0],
        [8, 4, 4, 1],
    ]
    assert table["density"].tolist() == [0.5, 0.5, 0.5] and list(table.index) == ["0.weight", "1.weight", "all"]


SCORES = {"a": torch.arange(4.0)}


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: Mask.from_scores(SCORES, sparsity=1.01), ValueError, r"sparsity must lie in \[0, 1\], got 1.01"),
        (lambda: Mask.from_scores(SCORES, sparsity=float("nan")), ValueError, "sparsity must lie"),
        (lambda: Mask.from_scores(SCORES, sparsity=True), ValueError, "sparsity must lie"),
        (lambda: Mask.from_scores(SCORES, sparsity=0.5, allocation="all"), ValueError, "allocation must be one of"),
        (lambda: Mask.from_scores({}, sparsity=0.5), ValueError, "scores must name at least one parameter"),
        (lambda: Mask({}), ValueError, "keep must name at least one parameter"),
        (lambda: Mask(SCORES), TypeError, r"keep\['a'\] must be a bool Tensor, got torch.float32"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
