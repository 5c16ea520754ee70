"""The registry, and the page that says how to add to it, which runs as it stands."""

import inspect
import re
from pathlib import Path

import pytest
import small_models
import torch
from torch import nn

from ccprune import criteria, lasso, scores
from ccprune.criteria import _registry as registry
from ccprune.mask import Mask, prunable
from ccprune.recording import InMemory, Recorder, SquaredUpdates

PAGE = Path(__file__).parents[2] / "docs" / "add_a_criterion.md"
NAMES = [*criteria.list_criteria()]
RATE = 0.1


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_CRITERIA", dict(registry._CRITERIA))


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)


def train(model, recorder, optimizer, steps):
    for step in range(steps):
        x, y = batch(step)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        recorder.before_step(loss)
        optimizer.step()
        if recorder.pairing == "same_batch":
            with torch.no_grad():
                recorder.after_step(nn.functional.cross_entropy(model(x), y))


@pytest.fixture(scope="module")
def recorded():
    model = small_models.mlp((6, 5, 3), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with criteria.Recording(model, optimizer) as recording:
        train(model, recording, optimizer, 400)
    return model, recording


@pytest.mark.parametrize("name", NAMES)
def test_every_criterion_scores_a_recorded_model_and_makes_a_mask(name, recorded):
    model, recording = recorded
    x, y = batch(1000)
    found = criteria.score(name, model, x=x, y=y, lr=RATE, seed=1, store=recording.stores.get(name))
    assert {key: value.shape for key, value in found.items()} == {k: w.shape for k, w in prunable(model).items()}
    assert len(torch.cat([value.flatten() for value in found.values()]).unique()) > 5
    assert Mask.from_scores(found, sparsity=0.5).kept == 22
    source = inspect.getdoc(criteria.list_criteria()[name].function).split("\n\n")[0]
    assert re.search(r"\d{4}|section|lasso\.|control|within", source), "it names its source"


def test_each_name_stands_for_its_function(recorded):
    model, recording = recorded
    x, y = batch(1000)
    for name in ("magnitude", "lamp"):
        assert_same(criteria.score(name, model), getattr(scores, name)(model))
    for name in ("snip", "grasp", "fisher", "obd"):
        assert_same(criteria.score(name, model, x=x, y=y), getattr(scores, name)(model, x, y))
        other = criteria.score(
            name, model, x=x, y=y, loss=lambda outputs, y: 3 * nn.functional.cross_entropy(outputs, y)
        )
        key = next(iter(other))
        assert not torch.allclose(other[key].float(), criteria.score(name, model, x=x, y=y)[key].float())
    for name in ("synflow", "wanda"):
        assert_same(criteria.score(name, model, x=x), getattr(scores, name)(model, x))
    assert_same(criteria.score("random", model, seed=5), scores.random(model, seed=5))
    rows, layer = (
        scores.ranks(scores.wanda(model, x), within="row"),
        scores.ranks(scores.magnitude(model), within="layer"),
    )
    assert_same(criteria.score("wanda_row", model, x=x), rows)
    assert_same(criteria.score("magnitude_layer", model), layer)
    series = recording.stores["legcnet"]
    assert_same(criteria.score("legcnet", model, store=series), scores.legcnet_of_exponents(series))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    ("name", "store", "pairing"),
    [
        ("causal", lasso.Screen, "same_batch"),
        ("causal_consecutive", lasso.Screen, "consecutive"),
        ("squared_updates", SquaredUpdates, "consecutive"),
    ],
)
def test_scores_are_those_of_a_store_with_a_recorder_of_its_own(name, store, pairing, recorded):
    model, alone = small_models.mlp((6, 5, 3), seed=0), store()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with Recorder(model, optimizer, [alone], pairing=pairing) as recorder:
        train(model, recorder, optimizer, 400)
    trained, recording = recorded
    assert_same(prunable(model), prunable(trained))  # several recorders at once change nothing
    assert_same(criteria.score(name, trained, store=recording.stores[name]), alone.scores)


def test_recording_keeps_one_store_for_criteria_that_share_it(recorded):
    _, recording = recorded
    stores = recording.stores
    assert stores["causal_exact"] is stores["causal_sgd"] and isinstance(stores["causal_sgd"], InMemory)
    assert stores["causal"] is not stores["causal_consecutive"] and isinstance(stores["causal"], lasso.Screen)
    assert isinstance(stores["squared_updates"], SquaredUpdates) and "magnitude" not in stores
    assert len(stores["causal"]._rows) == 400 and len(stores["causal_consecutive"]._rows) == 399


def test_recording_asks_for_a_second_loss_only_where_a_criterion_does():
    model = small_models.mlp((6, 5, 3), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with criteria.Recording(model, optimizer, ["movement", "magnitude"]) as recording:
        assert recording.pairing == "consecutive" and list(recording.stores) == ["movement"]
    with criteria.Recording(model, optimizer, ["causal"]) as recording:
        assert recording.pairing == "same_batch"
    with criteria.Recording(model, optimizer, ["magnitude"]) as recording:
        train(model, recording, optimizer, 2)
        assert recording.stores == {}
    with pytest.raises(RuntimeError, match="no step"), criteria.Recording(model, optimizer, ["causal"]):
        raise RuntimeError("no step")
    optimizer.step()  # every hook is gone


def test_restart_reaches_every_recorder():
    model = small_models.mlp((6, 5, 3), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with criteria.Recording(model, optimizer, ["causal_consecutive"]) as recording:
        train(model, recording, optimizer, 3)
        recording.restart()
        train(model, recording, optimizer, 3)
    assert recording.stores["causal_consecutive"].records == 4


def test_what_a_criterion_needs_is_asked_for_by_name():
    model = nn.Linear(3, 2)
    for name, message in (
        ("snip", r"\['x', 'y'\] must be given: the criterion 'snip'"),
        ("wanda", r"\['x'\] must be given: the criterion 'wanda'"),
        ("causal", "recording must be of the criterion 'causal'"),
    ):
        with pytest.raises(ValueError, match=message):
            criteria.score(name, model)
    with pytest.raises(ValueError, match=r"\['lr'\] must be given: the criterion 'causal_sgd'"):
        criteria.score("causal_sgd", model, store=InMemory())
    with pytest.raises(ValueError, match="name must be one of .*'wanda'.*, got 'hessian'"):
        criteria.score("hessian", model)
    with pytest.raises(ValueError, match="name must be one of"):
        criteria.Recording(model, torch.optim.SGD(model.parameters(), lr=1.0), ["hessian"])


def test_what_cannot_be_registered_is_refused():
    def zeros(model):
        return {name: torch.zeros_like(weight) for name, weight in prunable(model).items()}

    with pytest.raises(ValueError, match="must not be one of the library's own criteria, got 'snip'"):
        criteria.register("snip", zeros)
    with pytest.raises(ValueError, match=r"'new' also takes \['gradients'\]"):
        criteria.register("new", lambda model, gradients: {})
    with pytest.raises(ValueError, match="argument store if and only if"):
        criteria.register("new", zeros, store=lambda _: InMemory(), pairing="consecutive")
    with pytest.raises(ValueError, match="argument store if and only if"):
        criteria.register("new", lambda store: store.scores)
    for pairing in (None, "both"):
        with pytest.raises(ValueError, match="pairing must be one of"):
            criteria.register("new", lambda store: store.scores, store=lambda _: InMemory(), pairing=pairing)
    with pytest.raises(ValueError, match="and None without, got 'consecutive'"):
        criteria.register("new", zeros, pairing="consecutive")
    assert "new" not in criteria.list_criteria()
    criteria.register("new", zeros)
    criteria.register("new", scores.magnitude)  # a notebook's cell is run again
    assert criteria.list_criteria()["new"].function is scores.magnitude


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"weight": torch.zeros(3)},
            r"must return a score for each weight; this is not so for \['weight'\]",
        ),
        ({}, r"must return a score for each weight; this is not so for \['weight'\]"),
        (torch.zeros(2, 3), r"must return \{parameter name: Tensor\}, got Tensor"),
        ({"weight": torch.full((2, 3), torch.nan)}, "must not return NaN, it does for 'weight'"),
    ],
    ids=["shape", "name", "type", "nan"],
)
def test_scores_that_do_not_fit_are_refused_with_the_criterions_name(found, message):
    criteria.register("broken", lambda model: found)
    with pytest.raises(ValueError, match=f"the criterion 'broken' {message}"):
        criteria.score("broken", nn.Linear(3, 2))


def test_the_registry_itself_cannot_be_changed_from_outside():
    criteria.list_criteria().clear()
    assert list(criteria.list_criteria()) == NAMES


def test_the_page_runs_but_for_the_table_of_the_replication(capsys):
    """That table, and what the page adds to it, is tested in tests/replication/null/test_own_criteria.py."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    code = "\n".join(block for block in blocks if "from replication" not in block)
    assert code.count("criteria.register(") == 2
    variables = {}
    exec(compile(code, PAGE.name, "exec"), variables)
    printed = capsys.readouterr().out
    assert "37 of 368 weights stay" in printed
    model = variables["model"]
    centred = {n: (w - w.mean()).abs() for n, w in prunable(model).items()}
    assert_same(criteria.score("centred_magnitude", model), {n: v.detach() for n, v in centred.items()})
    assert all(bool((score > 0).all()) for score in variables["scores"].values())


def test_the_page_names_what_a_function_may_ask_for():
    rows = re.findall(r"^\| (`.*?`) \|", PAGE.read_text(), flags=re.M)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == [*criteria.GIVEN]
