"""Weights that training does not change, and weights that are no numbers.

Oracle: the scores of the same network with all weights trained, and the frozen weights themselves.
"""

import pytest
import torch
from torch import nn

import ccprune
from ccprune import criteria, flatness
from ccprune.mask import Mask, prunable
from ccprune.recording import PAIRINGS, Recorder, SquaredUpdates

CE = nn.functional.cross_entropy
X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
STEPS = 500
RECORDED = [name for name, criterion in criteria.list_criteria().items() if criterion.store is not None]
OTHERS = [name for name, criterion in criteria.list_criteria().items() if criterion.store is None]


def network(*, frozen: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    model[0].requires_grad_(not frozen)
    return model


def recorded(model: nn.Module, names, steps: int = STEPS) -> criteria.Recording:
    """Record training of the weights that are not frozen."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    with ccprune.record(model, optimizer, names=names) as recording:
        for step in range(steps):
            rows = torch.arange(8) + 8 * (step % 8)
            loss = CE(model(X[rows]), Y[rows])
            optimizer.zero_grad()
            loss.backward()
            recording.before_step(loss)
            optimizer.step()
            if recording.pairing == "same_batch":
                recording.after_step(CE(model(X[rows]), Y[rows]))
    return recording


def test_recorded_criteria_leave_frozen_weights_out():
    model = network()
    recording, frozen = recorded(model, RECORDED), model[0].weight.clone()
    for name in RECORDED:
        scores = ccprune.score(name, model, recording=recording, lr=0.05)
        assert list(scores) == ["2.weight"], name
        mask = ccprune.prune(model, scores, sparsity=0.5)
        assert mask.counts == {"2.weight": 16} and torch.equal(model[0].weight, frozen)
        with pytest.raises(ValueError, match=r"not so for \['0.weight'\] .weights that were frozen or left out"):
            ccprune.score(name, model, recording=recording, lr=0.05, frozen=True)


@pytest.mark.parametrize("name", OTHERS)
def test_other_criteria_leave_frozen_weights_out_unless_asked(name):
    model, whole = network(), network(frozen=False)
    options = {"x": X, "y": Y, "loss": CE}
    assert list(ccprune.score(name, model, **options)) == ["2.weight"]
    found, expected = (ccprune.score(name, one, frozen=True, **options) for one in (model, whole))
    assert found.keys() == expected.keys() == {"0.weight", "2.weight"}
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert not model[0].weight.requires_grad and model[0].weight.grad is None


def test_weights_frozen_or_thawed_between_recording_and_score():
    model = network(frozen=False)
    recording = recorded(model, ["squared_updates"], 9)
    model[0].requires_grad_(False)
    assert list(ccprune.score("squared_updates", model, recording=recording)) == ["2.weight"]
    model = network()
    recording = recorded(model, ["squared_updates"], 9)
    model[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"not so for \['0.weight'\]"):
        ccprune.score("squared_updates", model, recording=recording)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_weights_thawed_while_recording_are_an_error(pairing):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    recorder = Recorder(model, optimizer, [SquaredUpdates()], pairing=pairing)
    model[0].requires_grad_(True)
    recorder.before_step(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"'0.weight'\] are not the weights with which .* or were frozen then"):
        optimizer.step()


def test_a_model_in_which_all_is_frozen():
    model = network().requires_grad_(False)
    with pytest.raises(ValueError, match=r"must not be frozen, got \['0.weight', '2.weight'\].*frozen=True"):
        ccprune.score("magnitude", model)
    assert ccprune.prune(model, ccprune.score("magnitude", model, frozen=True), sparsity=0.5).kept == 64


def test_flatness_keeps_frozen_weights_that_a_mask_does_not_name():
    model = network()
    mask = Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.5)
    whole = Mask({"0.weight": torch.ones(16, 6, dtype=torch.bool), **mask.keep})
    found, expected = (flatness.top_eigenvalues(model, CE, (X, Y), mask=one) for one in (mask, whole))
    assert found.weights == expected.weights == 96 + 16 and torch.equal(found.values, expected.values)


def test_a_comparison_leaves_a_frozen_backbone_alone():
    kept = []

    def metric(model, x, y):
        kept.append(torch.equal(model[0].weight, network()[0].weight))
        return 0.0

    ccprune.compare(
        lambda seed: network(),
        (X, Y),
        (X, Y),
        optimizer=lambda p: torch.optim.SGD([one for one in p if one.requires_grad], 0.1),
        criteria=["squared_updates", "magnitude", "snip"],
        sparsities=[0.5],
        seeds=1,
        before=1,
        after=1,
        batch_size=8,
        metric=metric,
    )
    assert len(kept) == 4 and all(kept)


class Packed(nn.Linear):
    """A linear layer that stores codes of its weights, as quantised layers do."""

    def __init__(self, dtype):
        super().__init__(6, 6)
        del self.weight
        self.weight = nn.Parameter(torch.arange(36).reshape(6, 6).to(dtype), requires_grad=False)

    def forward(self, x):
        return x @ self.weight.to(x.dtype).T + self.bias


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.bool])
def test_packed_weights_are_refused_with_their_name(dtype):
    model = nn.Sequential(nn.Linear(6, 6), Packed(dtype), nn.Linear(6, 2))
    keep = torch.zeros(6, 6, dtype=torch.bool)
    calls = [lambda name=name: ccprune.score(name, model, x=X, y=Y, loss=CE) for name in OTHERS]
    calls += [
        lambda: ccprune.record(model, torch.optim.SGD(model[0].parameters(), 0.1)),
        lambda: flatness.trace(model, CE, (X, Y)),
        lambda: prunable(model),
        lambda: Mask({"1.weight": keep}).apply_(model),
        lambda: Mask({"1.weight": keep}).check(model),
    ]
    before = model[1].weight.clone()
    for call in calls:
        with pytest.raises(TypeError, match=f"model's '1.weight' must be floating point, got {dtype}"):
            call()
    assert torch.equal(model[1].weight, before)
