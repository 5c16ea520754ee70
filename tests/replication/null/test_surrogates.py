"""Oracles: what each surrogate must keep, computed by numpy, and what it must not."""

import numpy as np
import pytest
import torch

from ccprune.granger import granger_test
from replication.null import surrogates


def memory(points=200, count=3, coefficient=0.9, seed=0):
    rng = np.random.default_rng(seed)
    series = rng.standard_normal((points, count))
    for row in range(1, points):
        series[row] += coefficient * series[row - 1]
    return torch.from_numpy(series + 5.0)


def autocorrelation(series):
    centred = series - series.mean(0)
    return ((centred[1:] * centred[:-1]).sum(0) / centred.square().sum(0)).numpy()


@pytest.mark.parametrize("points", [200, 201], ids=["even", "odd"])
def test_phase_randomisation_keeps_the_power_spectrum_and_the_mean(points):
    series = memory(points)
    found = surrogates.phase_randomised(series, seed=1)
    power, expected = (np.abs(np.fft.fft(value.numpy(), axis=0)) ** 2 for value in (found, series))
    np.testing.assert_allclose(power, expected, rtol=1e-9)
    np.testing.assert_allclose(found.mean(0).numpy(), series.mean(0).numpy(), rtol=1e-12)
    np.testing.assert_allclose(autocorrelation(found), autocorrelation(series), atol=0.05)
    for column in range(3):  # and nothing else
        assert abs(np.corrcoef(found[:, column].numpy(), series[:, column].numpy())[0, 1]) < 0.5


def test_phases_are_uniform_and_each_columns_own():
    series = memory(400, 2)
    before, after = (
        np.angle(np.fft.rfft(s.numpy(), axis=0))[1:-1] for s in (series, surrogates.phase_randomised(series, seed=3))
    )
    turned = (after - before) % (2 * np.pi)
    assert abs(np.exp(1j * turned).mean(0)).max() < 0.15
    assert abs(np.exp(1j * (turned[:, 0] - turned[:, 1])).mean()) < 0.15


def test_the_seed_decides_on_every_device(device):
    surrogate = surrogates.phase_randomised
    series = memory().to(torch.float32)
    found = surrogate(series.to(device), seed=1)
    assert found.dtype == torch.float32 and found.device.type == device
    np.testing.assert_allclose(found.cpu().numpy(), surrogate(series, seed=1).numpy(), atol=1e-5)
    assert not torch.equal(found, surrogate(series.to(device), seed=2))
    state = torch.get_rng_state()
    surrogate(series, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_errors_name_the_argument():
    for series in (torch.zeros(5), torch.zeros(1, 2), torch.zeros(5, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="series must have shape"):
            surrogates.phase_randomised(series, seed=0)
    with pytest.raises(ValueError, match="series must be finite"):
        surrogates.phase_randomised(torch.full((9, 2), torch.nan), seed=0)


def test_null_p_values_of_noise_are_uniform():
    generator = torch.Generator().manual_seed(0)
    effect = torch.randn(60, generator=generator, dtype=torch.float64)
    causes = torch.randn(60, 300, generator=generator, dtype=torch.float64)
    draws = [causes, *(surrogates.phase_randomised(causes, seed=seed) for seed in range(19))]
    statistics = torch.stack([granger_test(effect, draw, max_lag=1).statistic[0] for draw in draws])
    p_value = (statistics >= statistics[0]).double().mean(0)
    assert 0.45 < float(p_value.mean()) < 0.6
    assert 0.02 < float((p_value <= 0.05).double().mean()) < 0.09
