"""Oracles: a training loop with momentum, weight decay, statistic and exchanges written out by hand in float64, and
training under a mask that does not change.
"""

import copy
import math

import pytest
import small_models
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune import training as minibatch
from ccprune.mask import Mask, prunable
from ccprune.online import OnlinePruner
from ccprune.scores import magnitude

OPTIMIZERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01, weight_decay=0.01, amsgrad=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
}
FAST = {"ramp": 3, "every": 4, "fraction": 0.3, "half_life": 8.0}


def network(device="cpu", dtype=torch.float32, seed=0):
    return small_models.mlp((6, 10, 3), seed=seed).to(device, dtype)


def batch(step, device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
    return x.to(device, dtype), y.to(device)


def loss_of(model, x, y):
    outputs = model(x)
    return cross_entropy(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), y)


def train(model, optimizer, steps, pruner=None, after_step=None):
    """Steps of the stream with these numbers."""
    weight = next(model.parameters())
    for step in steps:
        x, y = batch(step, weight.device, weight.dtype)
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        if pruner is not None:
            pruner.before(loss)
        optimizer.step()
        if pruner is not None and pruner.pairing == "same_batch":
            optimizer.zero_grad()  # allowed here: growth has been looked at
            with torch.no_grad():
                pruner.after(loss_of(model, x, y))
        if after_step is not None:
            after_step(step + 1)


def values(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(
    ("scope", "pairing", "dtype"),
    [
        ("layer", "consecutive", torch.float32),
        ("global", "same_batch", torch.float32),
        ("layer", "same_batch", torch.bfloat16),
        ("global", "consecutive", torch.bfloat16),
    ],
)
def test_counts_are_exact_and_pruned_weights_zero_after_every_step(scope, kind, pairing, dtype, device):
    model = network(device, dtype)
    optimizer = OPTIMIZERS[kind](model.parameters())
    masks = []

    def look(step):
        mask = pruner.mask
        assert mask.check(model).loc["all", "violations"] == 0
        if step % 4 == 0 and step > 12:
            came = {n: mask.keep[n] & ~masks[-1].keep[n] for n in mask.keep}
            assert any(bool(places.any()) for places in came.values())
            for name, places in came.items():
                weight = prunable(model)[name]
                for value in (weight, *optimizer.state[weight].values()):
                    if value.shape == weight.shape:
                        assert not value[places].any() and bool(value[mask.keep[name] & ~places].any())
        masks.append(mask)

    with OnlinePruner(model, optimizer, sparsity=0.6, scope=scope, pairing=pairing, **FAST) as pruner:
        train(model, optimizer, range(40), pruner, look)
    # 90 weights; 54 go by the cubic: 54 * (1, 19 / 27, 26 / 27) rounded, in layers of 60 and 30 as here.
    assert [mask.kept for mask in masks] == 3 * [90] + 4 * [52] + 4 * [38] + 29 * [36]
    for one, two in zip(masks[:11], masks[1:12], strict=True):
        assert not any(bool((two.keep[n] & ~one.keep[n]).any()) for n in one.keep)
    for one, two in zip(masks[12:-1], masks[13:], strict=True):
        assert scope == "global" or one.counts == two.counts
    changed = [
        bool((two.keep["fc1.weight"] ^ one.keep["fc1.weight"]).any())
        for one, two in zip(masks[:-1], masks[1:], strict=True)
    ]
    assert all(not change for step, change in enumerate(changed, 2) if step % 4)
    assert (pruner.exchanges, pruner.exchanged) == (7, 7 * 11)
    assert pruner.steps == 40


def by_hand(steps, keep, *, every, fraction, half_life):
    """Weights and masks after steps of SGD (lr 0.1, momentum 0.9, decay 0.01) with consecutive records, per layer."""
    model = network(dtype=torch.float64)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    speed = {name: torch.zeros_like(value) for name, value in weights.items()}
    keep = {name: value.clone() for name, value in keep.items()}
    since = {name: torch.zeros_like(value, dtype=torch.int64) for name, value in keep.items()}
    records, last = [], None  # {name: dL dtheta^2}; loss and weights of the step before
    for name in keep:
        weights[name] *= keep[name]
    for step in range(1, steps + 1):
        x, y = batch(step - 1, dtype=torch.float64)
        leaves = {name: value.requires_grad_() for name, value in weights.items()}
        hidden = (x @ leaves["fc1.weight"].T + leaves["fc1.bias"]).relu()
        loss = cross_entropy(hidden @ leaves["fc2.weight"].T + leaves["fc2.bias"], y)
        grads = dict(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))
        weights = {name: value.detach() for name, value in weights.items()}
        if last is not None:
            records.append({n: (loss.detach() - last[0]) * (weights[n] - last[1][n]) ** 2 for n in keep})
        last = (loss.detach(), weights)
        speed = {n: 0.9 * speed[n] + grads[n] + 0.01 * weights[n] for n in weights}
        weights = {n: (w - 0.1 * speed[n]) * keep.get(n, 1.0) for n, w in weights.items()}
        if step % every:
            continue
        last = None
        for name, stays in keep.items():
            index = torch.arange(len(records))[:, None, None]
            shares = torch.where(index >= since[name], 0.5 ** ((len(records) - 1 - index) / half_life), 0.0)
            score = ((shares * torch.stack([r[name] for r in records])).sum(0) / shares.sum(0)).abs()
            count = int(fraction * int(stays.sum()) + 0.5)
            goes = score.masked_fill(~stays, math.inf).flatten().sort().indices[:count]
            comes = grads[name].abs().masked_fill(stays, -1.0).flatten().sort().indices[-count:]
            stays.view(-1)[goes], stays.view(-1)[comes] = False, True
            since[name].view(-1)[comes] = len(records)
            weights[name] = weights[name] * stays
            speed[name].view(-1)[comes] = 0.0
    return weights, keep


def test_the_stream_equals_a_loop_written_by_hand(device):
    start = network(dtype=torch.float64)
    mask = Mask.from_scores(magnitude(start), sparsity=0.5)
    options = {"every": 5, "fraction": 0.2, "half_life": 6.0}
    weights, keep = by_hand(38, mask.keep, **options)
    model = start.to(device)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, mask=mask, **options) as pruner:
        train(model, optimizer, range(38), pruner)
    assert pruner.exchanges == 7
    for name, stays in keep.items():
        assert torch.equal(pruner.mask.keep[name].cpu(), stays)
        assert not torch.equal(stays, mask.keep[name])
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.detach().cpu(), weights[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
def test_where_nothing_is_exchanged_training_is_that_under_the_mask(pairing):
    start = network()
    mask = Mask.from_scores(magnitude(start), sparsity=0.5)
    found = []
    for online in (True, False):
        model = copy.deepcopy(start)
        optimizer = OPTIMIZERS["adamw"](model.parameters())
        if online:
            with OnlinePruner(model, optimizer, mask=mask, end=1, pairing=pairing, **FAST) as pruner:
                train(model, optimizer, range(20), pruner)
                records = pruner.state_dict()["statistic"]["records"]
        else:
            with mask.enforce(model, optimizer):
                train(model, optimizer, range(20))
        found.append(values(model))
    assert equal(*found) and equal(pruner.mask.keep, mask.keep) and pruner.exchanges == 0
    assert records == 20 - (pairing == "consecutive"), "no step is lost"


def test_random_growth_follows_its_seed_and_takes_every_place_alike():
    """Of 30 pruned places k = 6 come back, so each with 1/5; over 300 seeds the standard error is 0.023."""
    model = nn.Linear(6, 10)
    mask = Mask.from_scores({"weight": torch.arange(60.0).reshape(10, 6)}, sparsity=0.5)

    def after_one_exchange(seed):
        own = copy.deepcopy(model)
        optimizer = OPTIMIZERS["sgd"](own.parameters())
        with OnlinePruner(own, optimizer, mask=mask, every=2, fraction=0.2, grow="random", seed=seed) as pruner:
            for _ in range(2):
                loss = own(torch.ones(1, 6)).square().sum()
                pruner.before(loss)
                optimizer.step()
        return pruner.mask.keep["weight"].flatten()[:30].double()

    state = torch.get_rng_state()
    found = torch.stack([after_one_exchange(seed) for seed in range(300)])
    assert torch.equal(after_one_exchange(7), found[7]) and not torch.equal(found[7], found[8])
    assert bool((found.sum(1) == 6).all())
    assert (found.mean(0) - 0.2).abs().max() < 4 * 0.023
    assert torch.equal(torch.get_rng_state(), state)


def test_frozen_and_protected_weights_are_left_as_they_are():
    model = small_models.mlp((6, 10, 8, 3), seed=0)
    model.fc2.weight.requires_grad_(False)
    frozen = model.fc2.weight.detach().clone()
    optimizer = OPTIMIZERS["sgd"]([p for p in model.parameters() if p.requires_grad])
    options = {"sparsity": 0.25, "scope": "global", **FAST}
    with OnlinePruner(model, optimizer, protect=["fc3"], **options) as pruner:
        train(model, optimizer, range(30), pruner)
        assert pruner.mask.counts == {"fc1.weight": 39, "fc3.weight": 24}  # 21 of 84 go, none of the frozen
        assert torch.equal(model.fc2.weight, frozen) and pruner.exchanges > 2
    model.fc2.weight.requires_grad_(True)
    with pytest.raises(ValueError, match="optimizer must hold the model's prunable weights, it lacks"):
        OnlinePruner(model, optimizer, **options)


def test_chosen_weights_alone_are_recorded_and_pruned_and_another_optimiser_trains_the_others():
    model = network()
    optimizer, other = (OPTIMIZERS["sgd"](layer.parameters()) for layer in (model.fc1, model.fc2))
    with pytest.raises(ValueError, match=r"optimizer must hold .* lacks \['fc2.weight'\]"):
        OnlinePruner(model, optimizer, sparsity=0.5)
    with pytest.raises(ValueError, match="skip must name modules or parameters of the model"):
        OnlinePruner(model, optimizer, sparsity=0.5, skip=["fc3"])
    dense = model.fc2.weight.clone()
    for choice in ({"only": ["fc1"]}, {"skip": [model.fc2]}):
        with OnlinePruner(model, optimizer, sparsity=0.5, **FAST | choice) as pruner:
            train(model, optimizer, range(20), pruner, after_step=lambda _: other.step())
            assert list(pruner.mask.keep) == list(pruner.scores) == ["fc1.weight"] and pruner.mask.kept == 30
        assert int(model.fc1.weight.count_nonzero()) <= 30 and int(model.fc2.weight.count_nonzero()) == 30
    assert not torch.equal(model.fc2.weight, dense)


def test_a_weight_that_is_frozen_later_keeps_its_mask_from_then_on():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(14), pruner)
        model.fc1.weight.requires_grad_(False)
        before = pruner.mask
        train(model, optimizer, range(14, 30), pruner)
        assert torch.equal(pruner.mask.keep["fc1.weight"], before.keep["fc1.weight"])
        assert not torch.equal(pruner.mask.keep["fc2.weight"], before.keep["fc2.weight"])


def test_from_a_mask_it_goes_on_to_a_higher_sparsity():
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    mask = Mask.from_scores(magnitude(model), sparsity=0.4)
    masks = []
    with OnlinePruner(model, optimizer, mask=mask, sparsity=0.8, scope="global", **FAST) as pruner:
        train(model, optimizer, range(20), pruner, lambda step: masks.append(pruner.mask))
    assert [found.kept for found in masks] == 3 * [54] + 4 * [29] + 4 * [19] + 9 * [18]
    assert not any(bool((masks[11].keep[name] & ~keep).any()) for name, keep in mask.keep.items())
    assert any(bool((masks[-1].keep[name] & ~masks[11].keep[name]).any()) for name in mask.keep)


@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
def test_a_stream_that_comes_in_pieces_is_one_stream(pairing):
    found = []
    for pieces in ([range(30)], [range(7), range(7, 12), range(12, 12), range(12, 30)]):
        model = network()
        optimizer = OPTIMIZERS["adam"](model.parameters())
        with OnlinePruner(model, optimizer, sparsity=0.5, pairing=pairing, **FAST) as pruner:
            for piece in pieces:
                train(model, optimizer, piece, pruner)
        found.append(values(model) | {f"kept {name}": keep for name, keep in pruner.mask.keep.items()})
    assert equal(*found)


def test_it_stands_where_a_recorder_is_asked_for():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, pairing="same_batch", **FAST) as pruner:
        minibatch.fit(
            model, lambda epoch: [batch(step) for step in range(10)], epochs=2, optimizer=optimizer, recorder=pruner
        )
    assert pruner.steps == 20 and pruner.mask.kept == 45 and pruner.exchanges == 2


class Tied(nn.Module):
    """The first weight is used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(self.second(self.first(x).relu()).relu())


@pytest.mark.parametrize("wrap", [Tied, lambda: torch.compile(network(), backend="eager")])
def test_tied_weights_and_compiled_models(wrap):
    torch.manual_seed(0)
    model = wrap()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(24), pruner)
        assert pruner.mask.total == sum(weight.numel() for weight in prunable(model).values())
        assert pruner.mask.sparsity == 0.5 and pruner.exchanges == 3
        assert pruner.mask.check(model).loc["all", "violations"] == 0


def test_a_step_that_a_scaler_leaves_out_changes_no_mask():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, may_skip=True, **FAST) as pruner:
        train(model, optimizer, range(3), pruner)
        for _ in range(2):  # losses without steps
            pruner.before(loss_of(model, *batch(3)))
        assert pruner.steps == 3 and pruner.mask.kept == 90
        train(model, optimizer, range(3, 20), pruner)
        assert pruner.mask.kept == 45


def test_weights_that_were_loaded_anew_are_no_record():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, statistic="squared_updates", **FAST) as pruner:
        train(model, optimizer, range(3), pruner)
        scores = pruner.scores
        with torch.no_grad():
            model.fc1.weight.add_(100.0)
        pruner.restart()
        pruner.before(loss_of(model, *batch(3)))
        optimizer.step()
    assert equal(pruner.scores, scores)


@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
def test_a_loss_that_is_not_finite_is_an_error_and_changes_nothing(pairing):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, pairing=pairing, **FAST) as pruner:
        train(model, optimizer, range(7), pruner)
        weights, mask, scores = values(model), pruner.mask, pruner.scores
        pruner.before(torch.tensor(math.nan))
        with pytest.raises(ValueError, match="loss of step 8 is nan"):
            optimizer.step()
        assert equal(values(model), weights) and pruner.mask is mask and equal(pruner.scores, scores)
        train(model, optimizer, range(7, 20), pruner)
        assert pruner.mask.kept == 45


def test_a_gradient_that_is_not_finite_is_an_error_and_the_mask_stays():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(15), pruner)
        mask = pruner.mask
        pruner.before(loss_of(model, *batch(15)))
        model.fc2.weight.grad[0, 0] = math.nan
        with pytest.raises(ValueError, match=r"growth\['fc2.weight'\] must be finite"):
            optimizer.step()
        assert pruner.mask is mask and pruner.exchanges == 0
        assert all(bool(score.isfinite().all()) for score in pruner.scores.values())


def test_closed_once_or_twice_it_does_nothing_any_more():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pruner = OnlinePruner(model, optimizer, sparsity=0.5, **FAST)
    train(model, optimizer, range(20), pruner)
    mask = pruner.mask
    pruner.close()
    pruner.close()
    train(model, optimizer, range(20, 22))
    assert pruner.mask is mask and pruner.steps == 20
    assert mask.check(model).loc["all", "violations"] > 0, "no longer enforced"
    with pytest.raises(RuntimeError, match="the recorder is closed"):
        pruner.before(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="the pruner is closed"):
        pruner.load_state_dict(pruner.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "sparsity must be given where mask is not"),
        ({"sparsity": 1.5}, r"sparsity must lie in \[0, 1\], got 1.5"),
        (
            {"sparsity": 0.9, "protect": ["fc1"]},
            "sparsity 0.9 cannot be reached with protect=.* largest reachable is 0.33",
        ),
        ({"sparsity": 0.5, "protect": ["fc3"]}, "protect must name parameters .*, got 'fc3'"),
        ({"sparsity": 0.5, "fraction": 0.0}, r"fraction must lie in \(0, 1\], got 0.0"),
        ({"sparsity": 0.5, "fraction": 1.5}, r"fraction must lie in \(0, 1\], got 1.5"),
        ({"sparsity": 0.5, "every": 1}, "every must be an integer of at least 2, got 1"),
        ({"sparsity": 0.5, "half_life": 0.0}, "half_life must be positive and finite, got 0.0"),
        ({"sparsity": 0.5, "statistic": "fisher"}, "statistic must be one of .*, got 'fisher'"),
        ({"sparsity": 0.5, "grow": "hessian"}, r"grow must be one of \('gradient', 'random'\), got 'hessian'"),
        ({"sparsity": 0.5, "scope": "row"}, "scope must be one of .*, got 'row'"),
        ({"sparsity": 0.5, "min_per_layer": -1}, "min_per_layer must be an integer of at least 0, got -1"),
        ({"sparsity": 0.5, "pairing": "both"}, "pairing must be one of .*, got 'both'"),
        (
            {"mask": Mask({"fc1.weight": torch.ones(10, 6).bool()})},
            r"mask must have the parts \['fc1.weight', 'fc2.weight'\]",
        ),
        (
            {"mask": Mask({"fc1.weight": torch.ones(2).bool(), "fc2.weight": torch.ones(2).bool()})},
            r"mask\['fc1.weight'\]",
        ),
    ],
)
def test_arguments_are_checked_and_the_model_is_left_as_it_was(options, message):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    before = values(model)
    with pytest.raises(ValueError, match=message):
        OnlinePruner(model, optimizer, **options)
    assert equal(values(model), before)
    train(model, optimizer, range(1))  # no hook was left behind


def test_a_mask_with_fewer_weights_than_are_asked_for_is_refused():
    model = network()
    mask = Mask.from_scores(magnitude(model), sparsity=0.9)
    with pytest.raises(ValueError, match="sparsity 0.5 would bring pruned weights back: previous has already 0.9"):
        OnlinePruner(model, OPTIMIZERS["sgd"](model.parameters()), sparsity=0.5, mask=mask)


def test_what_it_cannot_do_it_says(monkeypatch):
    model = network()
    with pytest.raises(TypeError, match="optimizer must keep its state by weight, got LBFGS"):
        OnlinePruner(model, torch.optim.LBFGS(model.parameters()), sparsity=0.5)
    norm = nn.LayerNorm(3)
    with pytest.raises(ValueError, match="model has no prunable weights"):
        OnlinePruner(norm, OPTIMIZERS["sgd"](norm.parameters()), sparsity=0.5)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(
        RuntimeError, match="model must be under DistributedDataParallel in several processes, got Sequential"
    ):
        OnlinePruner(model, OPTIMIZERS["sgd"](model.parameters()), sparsity=0.5)


def test_each_of_several_optimisers_has_a_pruner_of_its_own():
    model = network()
    weights = prunable(model)
    steppers = {name: OPTIMIZERS[kind]([weights[name]]) for name, kind in zip(weights, ("sgd", "adam"), strict=True)}
    with pytest.raises(ValueError, match="optimizer must hold the model's prunable weights, it lacks"):
        OnlinePruner(model, next(iter(steppers.values())), sparsity=0.5, **FAST)
    pruners = [OnlinePruner(model, one, sparsity=0.5, only=[name], **FAST) for name, one in steppers.items()]
    for step in range(40):
        loss = loss_of(model, *batch(step))
        model.zero_grad()
        loss.backward()
        for pruner, one in zip(pruners, steppers.values(), strict=True):
            pruner.before(loss)
            one.step()
    for pruner in pruners:
        assert pruner.mask.sparsity == pytest.approx(0.5, abs=0.5 / pruner.mask.total)
        assert not pruner.mask.check(model)["violations"].any() and pruner.exchanges > 1
