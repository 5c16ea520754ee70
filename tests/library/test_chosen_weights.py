"""Weights that are chosen or left out, by names or modules, in every criterion, mask and measurement.

Oracles: the scores of all weights, of which a choice is a part where weights are scored alone, and closed forms.
"""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

import ccprune
from ccprune import criteria, flatness
from ccprune.mask import Mask, prunable

CE = nn.functional.cross_entropy
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
CRITERIA = criteria.list_criteria()


class Auxiliary(nn.Module):
    """Has a head that a forward pass does not call."""

    def __init__(self):
        super().__init__()
        self.body, self.last, self.auxiliary = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 4)

    def forward(self, x):
        return self.last(torch.tanh(self.body(x)))


def made() -> Auxiliary:
    torch.manual_seed(0)
    return Auxiliary()


def recorded(model, name: str, **options) -> criteria.Recording:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with ccprune.record(model, optimizer, names=[name], **options) as recording:
        for step in range(380 if name == "legcnet" else 40):  # LEGCNet needs 377 records
            rows = torch.arange(6) + 6 * (step % 4)
            loss = CE(model(X[rows]), Y[rows])
            optimizer.zero_grad()
            loss.backward()
            recording.before_step(loss)
            optimizer.step()
            recording.after_step(CE(model(X[rows]), Y[rows]))
    return recording


@pytest.mark.parametrize("name", [name for name, criterion in CRITERIA.items() if criterion.store is None])
def test_every_criterion_scores_the_chosen_weights(name):
    model = made()
    given = {"x": X, "y": Y, "skip": ["auxiliary"]}
    found = ccprune.score(name, model, **given)
    assert list(found) == ["body.weight", "last.weight"]
    same = [
        {"skip": [model.auxiliary]},
        {"only": ["body", "last.weight"]},
        {"only": [model], "skip": ["auxiliary.weight"]},
    ]
    for choice in same:
        other = ccprune.score(name, model, x=X, y=Y, **choice)
        assert list(other) == list(found) and all(torch.equal(other[key], found[key]) for key in found), choice
    assert all(w.requires_grad for w in model.parameters())
    assert list(prunable(model)) == ["body.weight", "last.weight", "auxiliary.weight"]


@pytest.mark.parametrize("name", [name for name, criterion in CRITERIA.items() if criterion.store is not None])
def test_recorded_criteria_score_the_chosen_weights(name):
    model = made()
    recording = recorded(model, name, skip=["auxiliary"])
    assert list(ccprune.score(name, model, recording=recording, lr=0.05)) == ["body.weight", "last.weight"]
    part = ccprune.score(name, model, recording=recording, lr=0.05, only=["body"])
    assert list(part) == ["body.weight"]
    with pytest.raises(ValueError, match=r"not so for \['auxiliary.weight'\] .*frozen or left out during"):
        criteria.score(name, model, store=recording.stores[name], lr=0.05)


def test_a_criterion_of_the_user_sees_the_chosen_weights(monkeypatch):
    monkeypatch.setattr(criteria._registry, "_CRITERIA", dict(criteria._registry._CRITERIA))
    criteria.register("signed", lambda model: {name: w.detach().clone() for name, w in prunable(model).items()})
    model = made()
    assert list(ccprune.score("signed", model, only=["last", "body.bias"])) == ["last.weight", "body.bias"]
    assert list(ccprune.score("signed", model)) == list(prunable(model))


def test_masks_flatness_reports_and_comparisons_of_chosen_weights():
    model = made()
    mask = Mask.from_scores(ccprune.score("magnitude", model, only=["body"]), sparsity=0.5)
    assert mask.counts == {"body.weight": 24} and Mask.ones_like(model, skip=["body"]).total == 16 + 32
    found = ccprune.report(model, mask, X)
    assert found.layers.loc["all", "weights"] == 48
    assert {"last.weight", "auxiliary.weight"} <= set(found.left_out.index)
    assert flatness.trace(model, CE, (X, Y), probes=2, mask=mask, only=["body"]).weights == 24
    assert flatness.sharpness(model, CE, (X, Y), radius=0.1, skip=[model.body]).weights == 16 + 32
    assert flatness.slice_1d(model, CE, (X, Y), radius=0.1, points=3, only=["last"]).samples == 24
    runs = ccprune.compare(
        lambda _: made(), (X, Y), (X, Y), optimizer=lambda p: torch.optim.SGD(p, 0.1), criteria=["wanda", "causal"],
        reference="dense", sparsities=[0.5], seeds=1, before=1, after=1, skip=["auxiliary"],
    ).runs  # fmt: skip
    assert runs[runs.method != "dense"].achieved.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    "choice, error, message",
    [
        ({"only": ["boddy"]}, ValueError, r"only must name modules or parameters of the model, got \['boddy'\]"),
        ({"skip": [nn.Linear(2, 2)]}, ValueError, r"skip must name .*, got \['Linear'\]"),
        ({"skip": "body"}, TypeError, "skip must be a collection of names or modules, got str"),
        ({"only": []}, ValueError, "model has no prunable weights"),
    ],
)
def test_other_choices_are_refused(choice, error, message):
    with pytest.raises(error, match=message):
        ccprune.score("magnitude", made(), **choice)


def test_tied_weights_are_left_out_under_all_names_and_frozen_ones_are_named():
    model = made()
    model.auxiliary.weight = nn.Parameter(torch.zeros(4, 8))
    model.table = nn.Embedding(4, 8)
    model.table.weight = model.auxiliary.weight
    assert "auxiliary.weight" not in prunable(model, skip=["table"])
    chosen = (["table"], ["table.weight"], [model.table], ["auxiliary"], ["auxiliary.weight"], ["table", "auxiliary"])
    assert all(list(prunable(model, only=only)) == ["auxiliary.weight"] for only in chosen)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with ccprune.record(model, optimizer, names=["movement"], only=["table"]) as recording:
        for _ in range(3):
            recording.before_step(CE(model(X), Y))
            optimizer.step()
    assert list(ccprune.score("movement", model, recording=recording, only=["auxiliary"])) == ["auxiliary.weight"]
    model.body.requires_grad_(False)
    with pytest.raises(ValueError, match=r"must not be frozen, got \['body.weight'\]"):
        prunable(model, only=["body.weight", "last"])
    assert list(prunable(model, only=["body.weight", "last"], frozen=True)) == ["body.weight", "last.weight"]


@pytest.mark.parametrize(
    "wrap, remedy",
    [
        (spectral_norm, r"torch.nn.utils.remove_spectral_norm\(module, 'weight'\)"),
        (weight_norm, r"torch.nn.utils.remove_weight_norm\(module, 'weight'\)"),
        (parametrizations.spectral_norm, r"parametrize.remove_parametrizations\(module, 'weight'\)"),
        (parametrizations.weight_norm, r"parametrize.remove_parametrizations\(module, 'weight'\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_computed_weights_have_the_right_remedy_or_are_left_out(wrap, remedy):
    model = nn.Sequential(nn.Linear(6, 8), wrap(nn.Linear(8, 2)))
    with pytest.raises(ValueError, match=f"'1.weight' is not a parameter .*{remedy} first, or leave it out with skip"):
        ccprune.score("magnitude", model)
    assert list(ccprune.score("snip", model, x=X, y=Y, skip=["1"])) == ["0.weight"]


def test_packed_layers_can_be_left_out():
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2))
    model[1].weight = nn.Parameter(torch.zeros(2, 8, dtype=torch.uint8), requires_grad=False)
    assert list(ccprune.score("magnitude", model, skip=[model[1]])) == ["0.weight"]


def test_grasp_names_the_operation_without_second_derivative():
    model = nn.Sequential(nn.Linear(6, 8), nn.Hardsigmoid(), nn.Linear(8, 2))
    assert len(ccprune.score("snip", model, x=X, y=Y)) == 2
    with pytest.raises(ValueError, match="twice differentiable, torch has no second derivative of hardsigmoid"):
        ccprune.score("grasp", model, x=X, y=Y)
    with pytest.raises(ValueError, match="twice differentiable, .* hardsigmoid"):
        flatness.trace(model, CE, (X, Y), probes=2)
