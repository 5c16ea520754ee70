"""Online pruning.

Oracles: a training loop with momentum, weight decay, statistic and exchanges written out by hand in float64, and
training under a mask that does not change.
"""

import copy
import math

import pytest
import torch
from online_training import FAST, OPTIMIZERS, batch, equal, network, train, values
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from ccprune.online import OnlinePruner
from ccprune.scores import magnitude


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
                pruner.before_step(loss)
                optimizer.step()
        return pruner.mask.keep["weight"].flatten()[:30].double()

    state = torch.get_rng_state()
    found = torch.stack([after_one_exchange(seed) for seed in range(300)])
    assert torch.equal(after_one_exchange(7), found[7]) and not torch.equal(found[7], found[8])
    assert bool((found.sum(1) == 6).all())
    assert (found.mean(0) - 0.2).abs().max() < 4 * 0.023
    assert torch.equal(torch.get_rng_state(), state)
