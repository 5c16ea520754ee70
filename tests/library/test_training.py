"""Oracles: the same training written out as a plain loop, bit for bit; and whole-set evaluation in one pass."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from ccprune.recording import PAIRINGS, InMemory, Recorder
from ccprune.training import Evaluation, evaluate, fit, has_converged

N, SIZE = 30, 8


def samples(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (N, 1, 6, 6), generator=generator, dtype=torch.uint8)
    return x, (x.flatten(1).float().mean(1) > 127).long()


def normalise(x):
    return x.float() / 255 - 0.5


def batches(epoch):
    x, y = samples()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch))
    for part in order.split(SIZE):  # the last is smaller
        yield normalise(x[part]), y[part]


def network(dropout=0.0):
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(64, 2)
    )


def sgd(model, lr=0.05):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_fit_equals_a_plain_loop():
    model, other = network(), network()
    model.eval()  # it is trained in train mode whatever it was in
    optimizer, theirs = sgd(model), sgd(other)
    mask = Mask.from_scores({n: w.detach().abs() for n, w in prunable(model).items()}, sparsity=0.5)
    smooth = functools.partial(cross_entropy, label_smoothing=0.1)
    history = fit(
        model,
        batches,
        epochs=3,
        optimizer=optimizer,
        loss=smooth,
        mask=mask,
        scheduler=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12),
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 12)
    mask.apply_(other)
    means = []
    for epoch in range(3):
        total = 0.0
        for x, y in batches(epoch):
            loss = smooth(other(x), y)
            theirs.zero_grad()
            loss.backward()
            theirs.step()
            mask.apply_(other)
            scheduler.step()
            total += loss.item() * len(x)
        means.append(total / N)
    assert same(model, other) and mask.check(model).loc["all", "violations"] == 0
    assert history.loss == pytest.approx(means, rel=1e-6) and history.steps == 3 * 4
    fit(model, batches, epochs=1, optimizer=sgd(model))
    assert mask.check(model).loc["all", "violations"] > 0  # enforced only while it was given


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_training_is_the_same_bit_for_bit_with_a_recorder(pairing):
    model, other, store = network(0.5), network(0.5), InMemory()
    plain, optimizer = sgd(model), sgd(other)
    for noisy in (plain, optimizer):
        noisy.register_step_post_hook(lambda *_: torch.rand(1))  # an optimiser may draw random numbers, too
    alone = fit(model, batches, epochs=2, optimizer=plain, seed=4)
    with Recorder(other, optimizer, [store], pairing=pairing) as recorder:
        watched = fit(other, batches, epochs=2, optimizer=optimizer, seed=4, recorder=recorder)
    assert same(model, other)  # buffers of the batch norm, updated once a step, are among them
    assert alone == watched
    assert len(store) == watched.steps - (pairing == "consecutive")


def test_the_second_evaluation_sees_the_same_dropout():
    store, model = InMemory(), network(0.5)
    optimizer = sgd(model, lr=0.0)
    with Recorder(model, optimizer, [store]) as recorder:
        fit(model, batches, epochs=2, optimizer=optimizer, recorder=recorder)
    assert (store.records()[1] == 0).all()  # nothing moved, so neither may the loss


def test_same_batch_losses_are_those_before_and_after_each_step():
    store, model = InMemory(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with Recorder(model, optimizer, [store]) as recorder:
        fit(model, batches, epochs=1, optimizer=optimizer, recorder=recorder)
    other = network()
    theirs = torch.optim.SGD(other.parameters(), lr=0.05)
    expected = []
    for x, y in batches(0):
        first = cross_entropy(other(x), y)
        theirs.zero_grad()
        first.backward()
        theirs.step()
        expected.append((cross_entropy(other(x), y).double() - first.double()).item())
    assert store.records()[1].tolist() == expected and max(expected) < 0


def test_a_mask_applied_by_fit_is_no_recorded_change():
    store, model = InMemory(), network()
    optimizer = sgd(model)
    mask = Mask.from_scores({n: torch.rand(w.shape) for n, w in prunable(model).items()}, sparsity=0.7)
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        for given in (None, mask):
            fit(model, batches, epochs=1, optimizer=optimizer, recorder=recorder, mask=given)
    keep = torch.cat([mask.keep[name].flatten() for name in store.layout.columns])
    X, _ = store.records()
    assert X.shape[0] == 3 + 3 and (X[3:, ~keep] == 0).all() and (X[:3, ~keep] > 0).any()


def test_random_numbers_come_from_the_seed_alone():
    ends = []
    for noise, seed in ((0, 1), (1, 1), (0, 2)):
        model = network(0.5)
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        fit(model, batches, epochs=1, optimizer=sgd(model), seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        ends.append(model)
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])


def test_autocast_computes_the_loss_from_float32_outputs():
    model, seen = network(), []

    def loss(outputs, y):
        seen.append(outputs)
        return cross_entropy(outputs, y)

    fit(model, batches, epochs=1, optimizer=sgd(model, lr=0.0), loss=loss, autocast=torch.bfloat16)
    assert all(outputs.dtype == torch.float32 for outputs in seen)
    assert all(torch.equal(outputs, outputs.bfloat16().float()) for outputs in seen)  # the forward pass was in bfloat16
    assert model[0].weight.dtype == torch.float32


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_channels_last_is_another_layout_of_the_same_training(pairing):
    def colour(epoch):
        return ((torch.cat([x, -x, x.square()], 1), y) for x, y in batches(epoch))

    torch.manual_seed(5)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    other, seen, stores = copy.deepcopy(model), [], [InMemory(), InMemory()]
    model[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].stride(1)))
    for net, store, layout in ((model, stores[0], True), (other, stores[1], False)):
        optimizer = sgd(net)
        with Recorder(net, optimizer, [store], pairing=pairing) as recorder:
            fit(net, colour, epochs=1, optimizer=optimizer, recorder=recorder, channels_last=layout)
    assert set(seen) == {1} and model[0].weight.stride(1) == 1  # channels lie next to each other
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(stores[0].records()[0], stores[1].records()[0], rtol=1e-3, atol=1e-9)


def test_stop_ends_training():
    model = network()
    history = fit(model, batches, epochs=9, optimizer=sgd(model), stop=lambda losses: len(losses) == 2)
    assert len(history.loss) == 2 and history.steps == 8
    history = fit(model, lambda epoch: batches(0), epochs=40, optimizer=sgd(model, lr=0.0), stop=has_converged)
    assert len(history.loss) == 6  # the first epoch has nothing to be compared with; five more do not improve


@pytest.mark.parametrize(
    "losses, expected",
    [
        ([], False),
        ([1.0] * 5, False),
        ([1.0] * 6, True),
        ([1.0 - 0.00009 * i for i in range(6)], True),  # slow progress is none
        ([1.0 - 0.00011 * i for i in range(50)], False),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 0.5], False),
        ([1.0, 2.0, 3.0, 2.0, 1.5, 1.2], True),  # worse is not better
        ([1.0] * 5 + [0.9] + [0.9] * 4, False),  # counted anew after an improvement
        ([1.0] * 5 + [0.9] + [0.9] * 5, True),
    ],
)
def test_converged(losses, expected):
    assert has_converged(losses) is expected


def test_converged_takes_other_values():
    assert has_converged([1.0, 0.95, 0.94], tol=0.1, patience=2) and not has_converged([1.0, 0.95], patience=2)


def test_evaluate_equals_one_pass_and_leaves_the_model_as_it_was():
    model = network(0.5)
    fit(model, batches, epochs=1, optimizer=sgd(model))
    model[1].eval()  # frozen statistics in a model in train mode
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = samples()
    found = evaluate(model, x, y, normalise=normalise, batch_size=7)
    assert [module.training for module in model] == [True, False, True, True, True, True] and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        outputs = model(normalise(x))
    assert found.accuracy == pytest.approx(float((outputs.argmax(1) == y).double().mean()), abs=1e-15)
    assert found.loss == pytest.approx(float(cross_entropy(outputs, y)), rel=1e-6)
    assert evaluate(model, x, y, normalise=normalise).accuracy == found.accuracy


def test_a_model_that_knows_nothing_is_right_by_chance():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    nn.init.zeros_(model[1].weight), nn.init.zeros_(model[1].bias)
    x, y = samples()
    found = evaluate(model, x, y, normalise=normalise)
    assert found == Evaluation(float((y == 0).double().mean()), pytest.approx(float(torch.tensor(2.0).log()), rel=1e-6))


MODEL = network()
X, Y = samples()


def run(**changes):
    options = {"epochs": 1, "optimizer": sgd(MODEL, lr=0.0)} | changes
    return lambda: fit(MODEL, options.pop("batches", batches), **options)


@pytest.mark.parametrize(
    "call, message",
    [
        (run(epochs=0), "epochs must be an integer of at least 1, got 0"),
        (run(epochs=2.0), "epochs must be an integer of at least 1, got 2.0"),
        (run(batches=lambda epoch: []), r"batches\(0\) gave no samples"),
        (run(loss=lambda a, b: cross_entropy(a, b) * float("nan")), "training loss of epoch 0 is nan"),
        (lambda: evaluate(MODEL, X[:0], Y[:0], normalise=normalise), "x and y must have the same number of samples"),
        (lambda: evaluate(MODEL, X, Y[:-1], normalise=normalise), "at least 1, got 30 and 29"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_a_loss_that_is_not_finite_is_divergence(value):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with pytest.raises(ValueError, match=f"training loss of epoch 0 is {value}: training diverged"):
        fit(
            model,
            lambda epoch: [(torch.ones(1, 2), torch.zeros(1, dtype=torch.long))],
            epochs=2,
            optimizer=optimizer,
            loss=lambda outputs, y: 0 * outputs.sum() + value,
        )
