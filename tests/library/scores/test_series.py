"""Oracle: LEGCNet's score of a recorded run against the same made from weights and losses kept by hand. Null: weights
of a random walk that has nothing to do with the loss. The store of exponents is held against that of the whole series,
bit for bit.
"""

import numpy as np
import pytest
import torch
from torch import nn

import ccprune
from ccprune import scores
from ccprune.lyapunov import windowed_exponents
from ccprune.mask import prunable
from ccprune.recording import Recorder

WINDOW, LAGS = 20, 2


class WeightSeries:
    """Weights after every step and the loss since the first, kept whole."""

    def __init__(self, model):
        self.weights, self.rows, self.losses = prunable(model), [], []

    def update(self, delta_loss, delta_weights):
        wide = [weight.detach().to(delta_weights[name].dtype) for name, weight in self.weights.items()]
        self.rows.append(torch.cat([weight.flatten() for weight in wide]))
        self.losses.append(delta_loss.clone())

    def scores(self, **settings):
        rows, loss = torch.stack(self.rows), torch.stack(self.losses).cumsum(0)
        exponents = windowed_exponents(rows, window=WINDOW, stride=18, steps=3, **settings)
        risk = loss[torch.arange(len(exponents)) * 18 + WINDOW - 1]
        parts = exponents.split([weight.numel() for weight in self.weights.values()], 1)
        named = {name: part.unflatten(1, w.shape) for (name, w), part in zip(self.weights.items(), parts, strict=True)}
        return scores.legcnet(named, risk, max_lag=LAGS, test="ssr_f")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Dropout(0.2), nn.Linear(30, 2))


def train(model, recorder, optimizer, steps, dtype=torch.float32):
    """Yield the weights and the loss before each step; weights and loss after a step are the next ones."""
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        x, y = torch.randn(8, 4, generator=generator).to(dtype), torch.randint(0, 2, (8,), generator=generator)
        loss = nn.functional.cross_entropy(model(x), y)
        yield torch.cat([model[i].weight.detach().flatten() for i in (0, 3)]), loss.detach().double()
        optimizer.zero_grad()
        loss.backward()
        recorder.before_step(loss)
        optimizer.step()


def recorded(steps=200):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    store, weights, losses = scores.WeightExponents(model, window=WINDOW), [], []
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        for step in range(steps + 1):
            generator = torch.Generator().manual_seed(step)
            x, y = torch.randn(8, 4, generator=generator), torch.randint(0, 2, (8,), generator=generator)
            loss = nn.functional.cross_entropy(model(x), y)
            weights.append(torch.cat([model[i].weight.detach().flatten() for i in (0, 2)]))
            losses.append(loss.detach().double())
            optimizer.zero_grad()
            loss.backward()
            recorder.before_step(loss)
            optimizer.step()
    return store, torch.stack(weights[1:]), torch.stack(losses[1:]) - losses[0]


def test_score_is_legcnets_with_the_loss_as_risk():
    store, weights, losses = recorded()
    found = scores.legcnet_of_exponents(store, max_lag=LAGS)
    exponents = windowed_exponents(weights, window=WINDOW, stride=18, steps=3)
    risk = torch.stack([losses[18 * k + WINDOW - 1] for k in range(len(exponents))])
    named = {"0.weight": exponents[:, :12].reshape(-1, 3, 4), "2.weight": exponents[:, 12:].reshape(-1, 2, 3)}
    expected = scores.legcnet(named, risk, max_lag=LAGS, test="ssr_f")
    for name, score in expected.items():
        np.testing.assert_allclose(found[name].numpy(), score.numpy(), atol=1e-9)
        assert len(score.unique()) > 1


def test_null_of_random_walks_every_score_is_as_likely():
    model, generator = nn.Linear(150, 1, bias=False), torch.Generator().manual_seed(0)
    store = scores.WeightExponents(model)
    for _ in range(500):
        change = 1e-2 * torch.randn(1, 150, generator=generator)
        with torch.no_grad():
            model.weight += change
        store.update(torch.randn((), generator=generator, dtype=torch.float64), {"weight": change})
    found = scores.legcnet_of_exponents(store, max_lag=1)["weight"]
    assert 0.4 < float(found.mean()) < 0.6 and float((found > 0.95).double().mean()) < 0.15


def test_too_few_records_are_told():
    store, *_ = recorded(30)
    with pytest.raises(ValueError, match="store must hold 8 windows for max_lag=2, it has 1"):
        scores.legcnet_of_exponents(store, max_lag=LAGS)
    with pytest.raises(ValueError, match="delta_weights must have the names and shapes"):
        store.update(torch.tensor(0.0), {"0.weight": torch.zeros(3, 4)})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("restart", [None, 70])
def test_exponents_window_by_window_are_those_of_the_whole_series(dtype, restart):
    model = network().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    whole = WeightSeries(model)
    stores = [
        whole,
        scores.WeightExponents(model, window=WINDOW, max_bytes=120_000),  # not all of the 180 weights at once
        scores.WeightExponents(model, window=WINDOW, min_range=0.1),
        scores.WeightExponents(model, window=WINDOW, dtype=torch.float32),
    ]
    with Recorder(model, optimizer, stores, pairing="consecutive") as recorder:
        for step, _ in enumerate(train(model, recorder, optimizer, 200, dtype)):
            if step == restart:
                recorder.restart()
    for store, settings in zip(stores[1:], ({}, {"min_range": 0.1}, {}), strict=True):
        found = scores.legcnet_of_exponents(store, max_lag=LAGS)
        expected = whole.scores(**settings)
        assert found.keys() == expected.keys()
        for name, score in expected.items():
            if store is stores[-1]:
                np.testing.assert_allclose(found[name].numpy(), score.numpy(), atol=1e-5)
            else:
                assert torch.equal(found[name], score)
            assert found[name].shape == score.shape and len(score.unique()) > 1
    held = stores[1].state_dict()
    assert held["_rows"].shape == (WINDOW, 180) and len(held["_exponents"]) == 10


def test_exponents_go_on_from_a_saved_state():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    straight, first = (scores.WeightExponents(model, window=WINDOW) for _ in range(2))
    second, weights = scores.WeightExponents(model, window=WINDOW), dict(model.named_parameters())
    with Recorder(model, optimizer, [straight, first], pairing="consecutive") as recorder:
        for step, _ in enumerate(train(model, recorder, optimizer, 200)):
            if step == 95:
                state = first.state_dict()
                recorder._stores = (straight, second)
                second.load_state_dict(state, weights)
    assert len(state["_exponents"]) < len(second.windows()[1])
    for name, score in scores.legcnet_of_exponents(straight, max_lag=LAGS).items():
        assert torch.equal(scores.legcnet_of_exponents(second, max_lag=LAGS)[name], score)


def test_risk_is_that_of_the_users_data_at_the_windows_ends():
    model, calls = network(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    x, y = torch.randn(40, 4), torch.randint(0, 2, (40,))

    def risk(network):
        calls.append([network.training, torch.is_grad_enabled(), recorder.records + 1])
        torch.randn(3)
        return nn.functional.cross_entropy(network(x), y)

    options = {"legcnet": {"window": WINDOW, "risk": risk}}
    weights, risks, plain = [], [], network()
    with ccprune.record(model, optimizer, names=["legcnet"], options=options) as recording:
        (recorder,) = recording._recorders
        for now, _ in train(model, recording, optimizer, 400):
            weights.append(now)
            with torch.no_grad():
                plain.load_state_dict(model.state_dict())
                risks.append(nn.functional.cross_entropy(plain.eval()(x), y).double())
    assert calls == [[False, False, 18 * k + WINDOW] for k in range(len(calls))] and len(calls) == 22
    assert model.training
    exponents = windowed_exponents(torch.stack(weights[1:]), window=WINDOW, stride=18, steps=3)
    risk_at_ends = torch.stack([risks[1:][18 * k + WINDOW - 1] for k in range(len(exponents))])
    named = {"0.weight": exponents[:, :120].reshape(-1, 30, 4), "3.weight": exponents[:, 120:].reshape(-1, 2, 30)}
    expected = scores.legcnet(named, risk_at_ends, max_lag=5, test="ssr_f")
    for name, found in ccprune.score("legcnet", model, recording=recording).items():
        assert torch.equal(found, expected[name])

    torch.manual_seed(0)
    unwatched, optimizer = network(), None
    optimizer = torch.optim.SGD(unwatched.parameters(), lr=0.2)
    with ccprune.record(unwatched, optimizer, names=["legcnet"]) as recording:
        *_, (last, _) = train(unwatched, recording, optimizer, 400)
    assert torch.equal(last, weights[-1])  # neither dropout's random numbers nor the training were changed


def test_store_of_exponents_names_bad_arguments():
    model = nn.Linear(2, 1)
    loss, change = torch.tensor(1.0, dtype=torch.float64), {"weight": torch.ones(1, 2)}
    with pytest.raises(ValueError, match="window must be an integer of at least 6, got 5"):
        scores.WeightExponents(model, window=5)
    with pytest.raises(ValueError, match="max_bytes=100 is too little"):
        scores.WeightExponents(model, max_bytes=100)
    with pytest.raises(TypeError, match="risk must be a function of the model, got float"):
        scores.WeightExponents(model, risk=0.5)
    store = scores.WeightExponents(model, window=6, risk=lambda _: float("nan"))
    with pytest.raises(ValueError, match="the store holds no window of 6 records"):
        scores.legcnet_of_exponents(store)
    with pytest.raises(ValueError, match="risk must return one finite number, got nan"):
        for _ in range(6):
            store.update(loss, change)
    store = scores.WeightExponents(model, window=6)
    for _ in range(30):
        store.update(loss, change)
    with pytest.raises(ValueError, match="store must hold 17 windows for max_lag=5, it has 5"):
        scores.legcnet_of_exponents(store)
    with pytest.raises(ValueError, match="options must be for criteria that are recorded, .* got \\['causal'\\]"):
        ccprune.record(model, torch.optim.SGD(model.parameters(), lr=1.0), names=["legcnet"], options={"causal": {}})
