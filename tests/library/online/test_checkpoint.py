"""A stream that was interrupted, stored and gone on with equals one that was not, bit for bit."""

import copy
import functools
import io
import math

import pytest
import small_models
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask
from ccprune.online import OnlinePruner
from ccprune.scores import magnitude

OPTIMIZERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01, amsgrad=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
}
OPTIONS = {"sparsity": 0.6, "ramp": 3, "every": 4, "fraction": 0.3, "half_life": 8.0, "seed": 1}


def stream(steps):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        yield torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)


class Training:
    """A model, its optimiser and its pruner."""

    def __init__(self, kind="sgd", *, seed=0, dtype=torch.float32, **options):
        self.model = small_models.mlp((6, 10, 3), seed=seed).to(dtype)
        self.optimizer = OPTIMIZERS[kind](self.model.parameters())
        self.pruner = OnlinePruner(self.model, self.optimizer, **OPTIONS | options)

    def run(self, steps):
        dtype = self.model.fc1.weight.dtype
        for x, y in stream(steps):
            loss = cross_entropy(self.model(x.to(dtype)).float(), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.pruner.before_step(loss)
            self.optimizer.step()
            if self.pruner.pairing == "same_batch":
                with torch.no_grad():
                    self.pruner.after_step(cross_entropy(self.model(x.to(dtype)).float(), y))
        return self

    def state(self):
        parts = {"model": self.model, "optimizer": self.optimizer, "pruner": self.pruner}
        return {name: part.state_dict() for name, part in parts.items()}

    def load(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.pruner.load_state_dict(state["pruner"])
        return self


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_same(one, other):
    """Nested states, bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    else:
        assert one == other


@functools.cache
def unbroken(**options):
    return Training(**options).run(range(30)).state()


@pytest.mark.parametrize("stop", [0, 6, 8, 19, 20])
@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
@pytest.mark.parametrize(("kind", "grow"), [("sgd", "gradient"), ("adam", "random"), ("adamw", "gradient")])
def test_a_resumed_stream_equals_an_unbroken_one(kind, grow, pairing, stop):
    """Stopped before the first step, in the ramp, at a change of the mask, and between and at exchanges."""
    options = {"kind": kind, "grow": grow, "pairing": pairing, "end": 40}
    state = through_a_file(Training(**options).run(range(stop)).state())
    resumed = Training(seed=5, **options).load(state).run(range(stop, 30))
    assert_same(resumed.state(), unbroken(**options))
    assert resumed.pruner.exchanges == 4


def test_a_ramp_goes_on_whatever_mask_the_new_pruner_was_made_with_and_the_state_is_not_written_to():
    state = through_a_file(Training().run(range(6)).state())
    kept = copy.deepcopy(state["pruner"])
    resumed = Training(seed=5, mask=Mask.from_state_dict(state["pruner"]["mask"])).load(state).run(range(6, 30))
    assert_same(resumed.state(), Training().run(range(30)).state())
    assert_same(state["pruner"], kept)


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": torch.bfloat16},
        {"scope": "global", "min_per_layer": 2, "protect": ["fc2"]},
        {"statistic": "squared_updates"},
    ],
)
def test_in_half_precision_and_with_other_settings(options):
    whole = Training("adamw", **options).run(range(30))
    state = through_a_file(Training("adamw", **options).run(range(18)).state())
    assert_same(Training("adamw", seed=5, **options).load(state).run(range(18, 30)).state(), whole.state())


def test_taking_a_state_changes_nothing_and_it_stays_as_it_was_taken():
    whole, looked_at = Training().run(range(30)), Training()
    states = []
    for step in range(30):
        looked_at.run([step])
        states.append((looked_at.pruner.state_dict(), copy.deepcopy(looked_at.pruner.state_dict())))
    assert_same(looked_at.state(), whole.state())
    for state, copied in states:
        assert_same(state, copied)


def test_a_pruner_that_began_from_a_mask_is_made_before_the_model_is_loaded():
    mask = Mask.from_scores(magnitude(small_models.mlp((6, 10, 3), seed=0)), sparsity=0.6)
    begun = {"mask": mask, "sparsity": None}
    whole = Training(**begun).run(range(30))
    state = through_a_file(Training(**begun).run(range(18)).state())
    for first in (mask, Mask.from_state_dict(state["pruner"]["mask"])):
        # A copy: optimisers go on in the tensors that they are given.
        resumed = Training(seed=5, mask=first, sparsity=None).load(copy.deepcopy(state)).run(range(18, 30))
        assert_same(resumed.state(), whole.state())
    late = Training(seed=5)
    late.pruner.close()
    late.model.load_state_dict(state["model"])
    late.optimizer.load_state_dict(state["optimizer"])
    pruner = OnlinePruner(late.model, late.optimizer, **OPTIONS | begun)  # has applied the first mask
    with pytest.raises(
        ValueError, match=r"state\['beside'\]\['model'\] must be .*: load the model's state of the same"
    ):
        pruner.load_state_dict(state["pruner"])


def test_between_a_step_and_its_second_loss_there_is_no_state():
    training = Training(pairing="same_batch").run(range(3))
    (x, y), *_ = stream([3])
    loss = cross_entropy(training.model(x), y)
    loss.backward()
    training.pruner.before_step(loss)
    training.pruner.state_dict()
    training.optimizer.step()
    with pytest.raises(RuntimeError, match=r"after_step\(\) has not been called for step 4"):
        training.pruner.state_dict()
    training.pruner.after_step(loss)
    assert training.pruner.state_dict()["recorder"]["records"] == 4


@pytest.mark.parametrize("instead", ["load", "restart"])
def test_a_change_that_waited_for_its_second_loss_is_given_up_with_it(instead):
    training = Training(pairing="same_batch").run(range(13))
    state, mask = copy.deepcopy(training.state()), training.pruner.mask
    training.run(range(13, 15))
    (x, y), *_ = stream([15])
    training.pruner.before_step(cross_entropy(training.model(x), y))
    training.optimizer.step()  # the 16th, after whose second loss weights would be exchanged
    if instead == "load":
        training.load(state).run(range(13, 30))
        assert_same(training.state(), Training(pairing="same_batch").run(range(30)).state())
    else:
        training.pruner.restart()
        training.run(range(16, 19))
        assert training.pruner.mask is mask


def changed(state, path, value):
    """The state with another value at the place that the path names."""
    *above, last = path
    state = copy.deepcopy(state)
    inner = state
    for name in above:
        inner = inner[name]
    inner[last] = value
    return state


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["more"], 1, r"state must have the parts \['begin', .*\], missing \[\] and unknown \['more'\]"),
        (["settings", "every"], 5, r"state\['settings'\]\['every'\] is 5, here it is 4"),
        (["settings", "grow"], "random", r"state\['settings'\]\['grow'\] is 'random', here it is 'gradient'"),
        (["settings", "protect"], ["fc1.weight"], r"state\['settings'\]\['protect'\] is \['fc1.weight'\]"),
        (
            ["mask"],
            {"fc1.weight": torch.ones(10, 6).bool()},
            r"state\['mask'\] must have the parts .* missing \['fc2.weight",
        ),
        (["mask", "fc2.weight"], torch.ones(3, 9).bool(), r"state\['mask'\]\['fc2.weight'\] must have shape \(3, 10\)"),
        (["mask", "fc2.weight"], torch.ones(3, 10), r"state\['mask'\]\['fc2.weight'\] must have .*torch.bool, got"),
        (
            ["mask", "fc2.weight"],
            torch.zeros(3, 10).bool(),
            r"state\['mask'\] must keep \[24, 12\] weights after 18 steps",
        ),
        (
            ["mask", "fc1.weight"],
            torch.ones(10, 6).bool(),
            r"state\['mask'\] must keep .* after 18 steps, got \[60, 12\]",
        ),
        (["begin"], [60], r"state\['begin'\] must be 2 counts of 0 to 2\^53, got \[60\]"),
        (["begin"], [10**30, 30], r"state\['begin'\] must be 2 counts of 0 to 2\^53, got"),
        (["begin"], [70, 30], r"state\['begin'\] must lie between the goal \[24, 12\] and \[60, 30\], got \[70, 30\]"),
        (["exchanged"], 10**9, r"state\['exchanges' and 'exchanged'\] must fit 18 steps, got 1 and 1000000000"),
        (["goal"], [10, 10], r"state\['goal'\] is to keep 20 weights, here it is 36"),
        (["exchanges"], -1, r"state\['exchanges' and 'exchanged'\] must be 2 counts"),
        (
            ["beside", "optimizer"],
            "0",
            r"state\['beside'\]\['optimizer'\] must be .*load the optimizer's state of the same",
        ),
        (["generator"], torch.zeros(3), r"state\['generator'\] must be the state of a torch.Generator"),
        (["recorder", "steps"], 1.5, r"state\['recorder'\]\['steps' and 'records'\] must be 2 counts"),
        (["recorder", "steps"], 10**30, r"state\['recorder'\]\['steps' and 'records'\] must be 2 counts of 0 to 2\^53"),
        (["recorder", "steps"], 1, r"state\['recorder'\]\['records'\] must be at most the 1 steps, got"),
        (["statistic", "records"], 18, r"state\['records'\] must be the recorder's \d+, got 18"),
        (["recorder", "loss"], "1", r"state\['recorder'\]\['loss'\] must be a number or None, got str"),
        (["recorder", "loss"], None, r"state\['recorder'\]\['before'\] must have the parts \[\]"),
        (["recorder", "before", "fc1.weight"], torch.zeros(2), r"state\['recorder'\]\['before'\]\['fc1.weight'\] must"),
        (["statistic", "settings", "half_life"], 9.0, r"\['half_life'\] is 9.0, here it is 8.0"),
        (
            ["statistic", "sums", "fc1.weight"],
            torch.full((10, 6), math.nan).double(),
            r"\['fc1.weight'\] must be finite",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_the_pruner_left_as_it_was(path, value, message):
    training, whole = Training().run(range(18)), Training().run(range(30))
    state = changed(training.pruner.state_dict(), path, value)
    with pytest.raises((TypeError, ValueError), match=message):
        training.pruner.load_state_dict(state)
    assert_same(training.run(range(18, 30)).state(), whole.state())


def test_weights_that_live_in_the_model_are_not_pruned_by_a_state_of_the_right_counts():
    training = Training().run(range(18))
    state, whole = training.pruner.state_dict(), copy.deepcopy(training.state())
    keep = state["mask"]["fc1.weight"].flatten()
    live, pruned = training.model.fc1.weight.flatten().nonzero()[0], (~keep).nonzero()[0]
    keep[live], keep[pruned] = False, True
    with pytest.raises(
        ValueError, match=r"state\['mask'\] must prune weights that are 0 in the model, 1 of them are not"
    ):
        training.pruner.load_state_dict(state)
    assert_same(training.state(), whole)


def test_sums_of_squares_are_not_negative():
    training = Training(statistic="squared_updates").run(range(18))
    sums = training.pruner.state_dict()["statistic"]["sums"]["fc1.weight"]
    state = changed(training.pruner.state_dict(), ["statistic", "sums", "fc1.weight"], -sums)
    with pytest.raises(
        ValueError, match=r"state\['sums'\]\['fc1.weight'\] must be sums of squares, got negative values"
    ):
        training.pruner.load_state_dict(state)


@pytest.mark.parametrize("late", ["model", "optimizer"])
def test_states_of_different_steps_are_refused_before_anything_is_changed(late):
    early = copy.deepcopy(Training("adam").run(range(18)).state())
    resumed = Training("adam", seed=5).load(copy.deepcopy(early))
    resumed.run(range(18, 25))
    for part in {"model", "optimizer"} - {late}:
        getattr(resumed, part).load_state_dict(copy.deepcopy(early[part]))
    before = copy.deepcopy(resumed.state())
    with pytest.raises(ValueError, match=rf"state\['beside'\]\['{late}'\] must be the digest of the {late}: load the"):
        resumed.pruner.load_state_dict(early["pruner"])
    assert_same(resumed.state(), before)


def test_another_models_state_and_no_state_are_refused():
    training = Training()
    other = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))
    pruner = OnlinePruner(other, OPTIMIZERS["sgd"](other.parameters()), **OPTIONS)
    with pytest.raises(
        ValueError, match=r"state\['mask'\] must have the parts \['fc1.weight', 'fc2.weight'\].* unknown \['0.w"
    ):
        training.pruner.load_state_dict(pruner.state_dict())
    with pytest.raises(TypeError, match="state must be what state_dict gave, got NoneType"):
        training.pruner.load_state_dict(None)
