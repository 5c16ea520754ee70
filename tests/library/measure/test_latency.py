"""What is timed, and that the forms compute the same; never which is faster, for that is the machine's to say.

Oracle of the sparse form: the masked dense model, its outputs, gradients and a training run.
"""

import copy
import pickle
import time

import numpy as np
import pytest
import small_models
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ccprune.mask import Mask, prunable
from ccprune.measure import latency
from ccprune.measure.latency import SparseLinear, Timing


def random_mask(model, sparsity=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}
    return Mask.from_scores(scores, sparsity=sparsity)


def mlp(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 6, bias=bias), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3, bias=bias))


def batch(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, 7, generator=generator, dtype=dtype), torch.arange(shape[0]) % 3


def time_steps(model, x, y, *, mask=None, loss=nn.functional.cross_entropy, repeats=1, warmup=0):
    """Times of the training steps of `latency.compare`, of one form."""
    step = latency._step(latency.copy_model(model), x, y, mask, loss)
    return latency._time_calls({"": step}, x.device, repeats, warmup)[""]


EVAL, TRAIN = (False, False), (True, True)  # of the model and of its layer


class Log(list):
    """One for a model and its copies."""

    def __deepcopy__(self, memo):
        return self


class Counting(nn.Module):
    """Notes its calls, in which mode and with how many zeros they were; draws random numbers even in eval mode."""

    def __init__(self, wait=0.0):
        super().__init__()
        self.layer, self.norm, self.wait, self.calls = nn.Linear(7, 3), nn.BatchNorm1d(3), wait, Log()

    def forward(self, x):
        self.calls.append(
            ((self.training, self.layer.training), torch.is_grad_enabled(), int((self.layer.weight == 0).sum()))
        )
        time.sleep(self.wait)
        return self.norm(nn.functional.dropout(self.layer(x), 0.1, training=True))


def watched():
    model = Counting()
    model.eval()
    model.layer.train()
    return model, {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()


def assert_untouched(model, state, random):
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert (model.training, model.layer.training, model.norm.training) == (False, True, False)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_timing_gives_quartiles():
    timing = Timing((4.0, 1.0, 3.0, 2.0, 9.0))
    assert (timing.low, timing.median, timing.high) == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("repeats, warmup", [(3, 2), (1, 0)])
def test_inference_calls_the_model_so_often_in_eval_mode_and_times_all_but_the_warm_up(repeats, warmup, device):
    model, state, random = watched()
    model = model.to(device)
    found = latency.inference(model, batch(4)[0].to(device), repeats=repeats, warmup=warmup)
    assert model.calls == [(EVAL, False, 0)] * (repeats + warmup)
    assert len(found.seconds) == repeats and min(found.seconds) > 0
    assert_untouched(model.to("cpu"), state, random)


def test_the_time_is_that_of_the_call():
    model = Counting(wait=0.01)
    assert min(latency.inference(model, batch(4)[0], repeats=3, warmup=0).seconds) >= 0.01
    assert min(time_steps(model, *batch(4), repeats=3, warmup=0).seconds) >= 0.01


def test_the_warm_up_is_not_timed(monkeypatch):
    ticks = iter(np.cumsum([0, 100, 0, 100, 0, 1, 0, 2, 0, 3]).tolist())  # start and end of 5 calls
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    assert latency.inference(mlp(), batch(1)[0], repeats=3, warmup=2).seconds == (1, 2, 3)


@pytest.mark.parametrize("masked", [False, True])
def test_training_steps_run_in_train_mode_on_a_copy(masked, device):
    model, state, random = watched()
    mask = Mask({"layer.weight": torch.arange(21).reshape(3, 7) > 4}) if masked else None
    x, y = (part.to(device) for part in batch(4))
    found = time_steps(model.to(device), x, y, mask=mask, repeats=3, warmup=2)
    assert model.calls == [(TRAIN, True, 5 if masked else 0)] * 5
    assert len(found.seconds) == 3 and min(found.seconds) > 0
    assert_untouched(model.to("cpu"), state, random)


def test_a_training_step_goes_backward_updates_and_enforces(monkeypatch):
    """In this order, with the loss that is given; and all steps are the same work on the same numbers."""
    log, values, gradients, apply_ = [], [], [], Mask.apply_
    monkeypatch.setattr(Mask, "apply_", lambda self, model: (log.append("apply"), apply_(self, model))[1])

    def loss(outputs, target):
        outputs.register_hook(lambda gradient: log.append("backward"))
        log.append("loss")
        values.append((outputs - target[:, None]).square().mean())
        return values[-1]

    def before_step(optimiser, *_):
        log.append("step")
        gradients.append(torch.cat([p.grad.flatten() for p in optimiser.param_groups[0]["params"]]))

    model = mlp()
    model[2].p = 0.0
    handle = register_optimizer_step_pre_hook(before_step)
    try:
        time_steps(model, *batch(4), mask=random_mask(model), loss=loss, repeats=2, warmup=0)
    finally:
        handle.remove()
    assert log == ["apply"] + ["loss", "backward", "step", "apply"] * 2
    assert values[0] == values[1] and torch.equal(*gradients) and gradients[0].any()


def outputs(model, x):
    model.eval()
    with torch.no_grad():
        return model(x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sparsity", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), ()])
def test_sparse_copy_has_the_outputs_of_the_masked_model(shape, sparsity, dtype, bias, device):
    model = mlp(bias).to(device, dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(*shape, 7, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)
    mask = random_mask(model, sparsity)
    found = latency.sparse(model, mask)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())  # weights not zeroed
    expected = outputs(mask.apply_(model), x)
    torch.testing.assert_close(outputs(found, x), expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)
    assert expected.dtype == outputs(found, x).dtype == dtype


def test_sparse_layers_hold_the_kept_weights_and_no_others():
    model = mlp()
    mask = random_mask(model)
    with torch.no_grad():
        model[0].weight[mask.keep["0.weight"]] = 0.0  # a kept weight may be zero, and stays one that can be trained
    found = latency.sparse(model, mask)
    assert isinstance(found[0], SparseLinear) and isinstance(found[3], SparseLinear)
    assert {name: value.numel() for name, value in found.named_parameters() if "values" in name} == {
        "0.values": mask.counts["0.weight"],
        "3.values": mask.counts["3.weight"],
    }
    assert torch.equal(found[3].values, model[3].weight[mask.keep["3.weight"]])
    assert sum(p.numel() for p in found.parameters()) == mask.kept + 9  # and the biases


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse_copy_trains_as_the_masked_model_does(dtype):
    model = mlp().to(dtype)
    model[2].p = 0.0
    mask, (x, y) = random_mask(model), batch(12, dtype=dtype)
    found = latency.sparse(model, mask)
    for network in (model, found):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9)
        handle = mask.enforce(model, optimiser) if network is model else None
        first = nn.functional.cross_entropy(network(x), y).item()
        for _ in range(20):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimiser.step()
        assert nn.functional.cross_entropy(network(x), y).item() < 0.8 * first
        if handle is not None:
            handle.remove()
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-12}
    for i in (0, 3):
        torch.testing.assert_close(found[i].values, model[i].weight[mask.keep[f"{i}.weight"]], **tolerance)
        torch.testing.assert_close(found[i].bias, model[i].bias, **tolerance)


def test_sparse_leaves_whole_convolutions_and_unnamed_layers_dense():
    model = small_models.lenet(1, 16, 3, seed=0)
    keep = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in prunable(model).items() if name != "fc2.weight"}
    keep["fc1.weight"][:, ::2] = False
    found = latency.sparse(model, Mask(keep))
    assert isinstance(found.fc1, SparseLinear) and type(found.fc2) is nn.Linear and type(found.conv1) is nn.Conv2d
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(outputs(found, x), outputs(Mask(keep).apply_(model), x), rtol=1e-4, atol=1e-5)


def test_sparse_keeps_modes_frozen_weights_tied_weights_and_layers_under_two_names():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    model["c"] = model["a"]
    model["a"].weight.requires_grad_(False)
    model["b"].eval()
    found = latency.sparse(model, Mask({"b.weight": torch.eye(4) > 0}))
    assert found["a"] is found["c"] and found["a"] is not found["b"] and found["a"].values is found["b"].values
    assert not found["a"].values.requires_grad and found["a"].bias.requires_grad
    assert found["a"].training and not found["b"].training


def test_a_model_that_is_one_layer_can_be_sparse_and_the_result_is_a_module_like_others():
    model = nn.Linear(7, 3)
    mask, (x, _) = random_mask(model), batch(4)
    found = latency.sparse(model, mask)
    expected = outputs(found, x)
    assert isinstance(found, SparseLinear)
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found)), latency.sparse(nn.Linear(7, 3), mask)):
        other.load_state_dict(found.state_dict())
        assert torch.equal(outputs(other, x), expected)
    torch.testing.assert_close(outputs(found.double(), x.double()), outputs(mask.apply_(model), x).double())


@pytest.mark.parametrize("forms", [latency.FORMS, ("masked", "dense")])
def test_compare_has_a_row_for_each_form_and_task(forms, device):
    model = mlp().to(device)
    state, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    x, y = (part.to(device) for part in batch(5))
    table = latency.compare(model, random_mask(model), x, y, forms=forms, repeats=4, warmup=1)
    assert list(table.columns) == ["task", "form", "median", "low", "high", "n", "relative"]
    assert table["task"].tolist() == ["inference"] * len(forms) + ["training step"] * len(forms)
    assert table["form"].tolist() == list(forms) * 2 and (table["n"] == 4).all()
    assert ((0 < table["low"]) & (table["low"] <= table["median"]) & (table["median"] <= table["high"])).all()
    dense = table[table["form"] == "dense"].set_index("task")["median"]
    np.testing.assert_allclose(table["relative"], table["median"] / table["task"].map(dense).to_numpy())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.training and torch.equal(torch.get_rng_state(), random)


def test_compared_forms_take_turns_and_are_what_they_are_called():
    model, state, random = watched()
    mask = Mask({"layer.weight": torch.arange(21).reshape(3, 7) > 4})
    latency.compare(model, mask, *batch(4), forms=("dense", "masked"), repeats=2, warmup=1)
    for calls, modes in ((model.calls[:6], (EVAL, False)), (model.calls[6:], (TRAIN, True))):
        assert calls == [(*modes, zeros) for zeros in (0, 5, 5, 0, 0, 5)]  # in either order by turns
    assert_untouched(model, state, random)


def test_compared_masked_form_enforces_and_the_others_do_not(monkeypatch):
    calls = []
    monkeypatch.setattr(Mask, "enforce", lambda self, model, optimizer: calls.append(model))
    latency.compare(mlp(), random_mask(mlp()), *batch(4), repeats=1, warmup=0)
    assert len(calls) == 1 and type(calls[0][0]) is nn.Linear and (calls[0][0].weight == 0).any()


CONV = small_models.lenet(1, 16, 3, seed=0)
IMAGES = torch.zeros(2, 1, 16, 16), torch.arange(2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: latency.inference(mlp(), batch(1)[0], repeats=0), "repeats must be an integer of at least 1, got 0"),
        (lambda: latency.inference(mlp(), batch(1)[0], warmup=-1), "warmup must be an integer of at least 0, got -1"),
        (lambda: time_steps(mlp(), *batch(1), repeats=True), "repeats must be .*, got True"),
        (
            lambda: latency.sparse(CONV, random_mask(CONV)),
            r"nn.Linear only, .* got \['conv1.weight', 'conv2.weight'\]",
        ),
        (
            lambda: latency.compare(CONV, random_mask(CONV), *IMAGES, repeats=1),
            r"nn.Linear only, .* got \['conv1",
        ),
        (lambda: latency.sparse(mlp(), Mask({"0.bias": torch.arange(6) > 1})), r"got \['0.bias'\]"),
        (lambda: latency.sparse(mlp(), Mask({"9.weight": torch.arange(6) > 1})), "model has no parameter '9.weight'"),
        (
            lambda: latency.compare(mlp(), random_mask(mlp()), *batch(1), forms=("masked",)),
            r"forms must be 'dense' and any others of .*, got \('masked',\)",
        ),
        (
            lambda: latency.compare(mlp(), random_mask(mlp()), *batch(1), forms=("dense", "fast")),
            r"forms must be .*, got \('dense', 'fast'\)",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
