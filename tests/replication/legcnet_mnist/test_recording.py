"""Oracle: the whole trajectory recorded by a plain loop, cut by `lyapunov.windowed_exponents`."""

import pytest
import torch
from torch.nn.functional import mse_loss, one_hot

from ccprune.lyapunov import windowed_exponents
from replication.legcnet import procedure as legcnet
from replication.legcnet.mnist.recording import ALL, LAST_TWO, exponents_and_risk, keep_mask, whole_masks
from replication.legcnet.mnist.rows import order
from replication.legcnet.procedure import ExponentsAndRisk
from replication.legcnet.settings import WindowSettings
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import stack_models

RECORDING = WindowSettings(epochs=12, window=50, steps=3, max_lag=2)


@pytest.fixture(scope="module")
def network():
    return stack_models([legcnet_mnist(seed=2)])


@pytest.fixture(scope="module")
def found(network, small):
    return exponents_and_risk(network, small, RECORDING, seed=2, names=ALL, batch_size=16)


@pytest.fixture(scope="module")
def trajectory(small):
    model = legcnet_mnist(seed=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    rows, risk = [], []
    batches = order(len(small.y_train), batch_size=16, seed=2)
    for _ in range(RECORDING.epochs):
        for chosen in next(batches):
            rows.append(torch.cat([model.get_parameter(name).detach().flatten() for name in LAST_TWO]))
            risk.append(float((model(small.x_test).argmax(1) != small.y_test).double().mean()))
            loss = mse_loss(model(small.x_train[chosen]), one_hot(small.y_train[chosen], 10).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return torch.stack(rows).double(), torch.tensor(risk, dtype=torch.float64)


def test_exponents_are_those_of_the_whole_trajectory(found, trajectory):
    weights, _ = trajectory
    expected = windowed_exponents(weights, window=50, stride=45, steps=3, decimals=6)
    ours = found.exponents[0, :, -1800:]
    assert ours.shape == expected.shape == (3, 1800)
    # Another order of float32 sums moves a weight by 1e-8, and a value rounded to 6 decimals now and then by 1e-6.
    assert float((ours - expected).abs().median()) < 1e-3 and float((ours - expected).abs().quantile(0.9)) < 0.05
    assert float((ours - ours.mean()).abs().median()) > 0.1


def test_risk_is_that_at_the_last_row_of_each_window(found, trajectory):
    _, risk = trajectory
    torch.testing.assert_close(found.risk[0], risk[[49, 94, 139]], rtol=0, atol=2 / 90)


def test_the_last_two_layers_alone_are_the_same(found, network, small):
    part = exponents_and_risk(network, small, RECORDING, seed=2, batch_size=16)
    assert torch.equal(part.exponents, found.exponents[..., -1800:]) and torch.equal(part.risk, found.risk)


def made_up(seed=0, windows=40, weights=1800):
    generator = torch.Generator().manual_seed(seed)
    exponents = torch.randn(1, windows, weights, generator=generator, dtype=torch.float64)
    return exponents, torch.randn(1, windows, generator=generator, dtype=torch.float64)


def test_a_planted_cause_is_kept_and_null_weights_go(network):
    exponents, noise = made_up()
    risk = noise.clone()
    risk[:, 1:] += 5 * exponents[:, :-1, 1700]  # one weight's exponent, a window ahead
    recording = WindowSettings(epochs=5, window=50, steps=3, max_lag=1)
    keep = keep_mask(ExponentsAndRisk(exponents, risk), network, recording)
    assert bool(keep[0, 39_200 + 1700]) and bool(keep[0, :39_200].all())
    # With one lag 5% of the weights without an effect are kept by chance, a little more in a short series.
    assert 0.02 < float(keep[0, 39_200:].double().mean()) < 0.12
    (result,) = legcnet.granger_tests(ExponentsAndRisk(exponents, risk), max_lag=1)
    assert torch.equal(keep[0, 39_200:], result.min_p.round(decimals=4) < 0.05)


def test_without_a_change_of_risk_nothing_is_removed(network):
    exponents, noise = made_up()
    assert bool(keep_mask(ExponentsAndRisk(exponents, torch.full_like(noise, 0.1)), network, RECORDING).all())


def test_masks_of_some_layers_become_masks_of_all(network):
    keep = torch.zeros(2, 1800, dtype=torch.bool)
    keep[1, 3] = True
    whole = whole_masks(keep, network)
    assert whole.shape == (2, 41_000) and bool(whole[:, :39_200].all())
    assert whole[0, 39_200:].sum() == 0 and whole[1, 39_200:].nonzero().tolist() == [[3]]


def test_bad_arguments_are_named(network, small):
    with pytest.raises(ValueError, match="network must be a stack of one, got 2"):
        exponents_and_risk(network.select([0, 0]), small, RECORDING, seed=0)
    with pytest.raises(ValueError, match=r"names must be among .* got \['fc3.weight'\]"):
        exponents_and_risk(network, small, RECORDING, seed=0, names=["fc3.weight"])
    with pytest.raises(ValueError, match="recording must hold a window of 50, 14 updates were made"):
        exponents_and_risk(network, small, WindowSettings(1, 50, 3, 2), seed=0, batch_size=16)
