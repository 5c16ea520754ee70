"""Oracles: what each surrogate must keep, computed by numpy, and what it must not."""

import numpy as np
import pytest
import torch

from ccprune.granger import granger_test
from ccprune.lyapunov import windowed_exponents
from ccprune.stats import surrogates

ALL = {
    "shuffled": (surrogates.shuffled, {}),
    "phase_randomised": (surrogates.phase_randomised, {}),
    "block_bootstrap": (surrogates.block_bootstrap, {"block": 7}),
}


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


def test_shuffling_keeps_the_values_and_no_memory():
    series = memory(1000)
    found = surrogates.shuffled(series, seed=1)
    assert torch.equal(found.sort(0).values, series.sort(0).values)
    assert np.abs(autocorrelation(found)).max() < 0.1 and autocorrelation(series).min() > 0.8


@pytest.mark.parametrize("block", [1, 7, 100, 200])
def test_blocks_are_pieces_of_the_series(block):
    series = torch.arange(200, dtype=torch.float64)[:, None].expand(-1, 4) + torch.tensor([0.0, 1e3, 2e3, 3e3])
    found = surrogates.block_bootstrap(series, block=block, seed=2)
    assert found.shape == series.shape
    for column in range(4):
        values = found[:, column] - 1e3 * column
        assert set(values.tolist()) <= set(range(200))
        for first in range(0, 200, block):
            assert bool((values[first : first + block].diff() == 1).all())
    if block == 200:
        assert torch.equal(found, series)
    elif block == 7:
        assert not torch.equal(found[:, 0], found[:, 1] - 1e3)  # columns are cut apart


def test_every_block_is_as_likely():
    series = torch.arange(10, dtype=torch.float64)[:, None].expand(-1, 3000)
    starts = surrogates.block_bootstrap(series, block=4, seed=0)[0]
    counts = torch.bincount(starts.long(), minlength=7)
    assert len(counts) == 7 and counts.min() > 350 and counts.max() < 510


def test_blocks_keep_the_memory_within_them():
    series = memory(3000, 1)
    kept = {
        block: float(autocorrelation(surrogates.block_bootstrap(series, block=block, seed=0))[0])
        for block in (1, 5, 50)
    }
    assert abs(kept[1]) < 0.1 and kept[1] + 0.4 < kept[5] < kept[50] < 0.95


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides_on_every_device(name, device):
    surrogate, options = ALL[name]
    series = memory().to(torch.float32)
    found = surrogate(series.to(device), seed=1, **options)
    assert found.dtype == torch.float32 and found.device.type == device
    np.testing.assert_allclose(found.cpu().numpy(), surrogate(series, seed=1, **options).numpy(), atol=1e-5)
    assert not torch.equal(found, surrogate(series.to(device), seed=2, **options))
    state = torch.get_rng_state()
    surrogate(series, seed=3, **options)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ALL)
def test_errors_name_the_argument(name):
    surrogate, options = ALL[name]
    for series in (torch.zeros(5), torch.zeros(1, 2), torch.zeros(5, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match="series must have shape"):
            surrogate(series, seed=0, **options)
    with pytest.raises(ValueError, match="series must be finite"):
        surrogate(torch.full((9, 2), torch.nan), seed=0, **options)


def test_a_block_fits_into_the_series():
    with pytest.raises(ValueError, match="block must be at most the series' 5 rows, got 6"):
        surrogates.block_bootstrap(torch.zeros(5, 1), block=6, seed=0)
    with pytest.raises(ValueError, match="block must be an integer of at least 1"):
        surrogates.block_bootstrap(torch.zeros(5, 1), block=0, seed=0)


def exponents(series):
    return windowed_exponents(series, window=len(series), stride=len(series), steps=3)[0]


def test_the_logistic_maps_exponent_is_smaller_than_noises_of_the_same_spectrum():
    """The map's spectrum is flat, its surrogates are noise: neighbours part faster there (one-sided, so negated)."""
    rows = [np.linspace(0.2, 0.4, 4)]
    for _ in range(299):
        rows.append(3.99 * rows[-1] * (1 - rows[-1]))
    found = surrogates.surrogate_test(lambda s: -exponents(s), torch.from_numpy(np.array(rows)), count=19)
    assert found.surrogates.shape == (19, 4) and torch.equal(
        found.observed, -exponents(torch.from_numpy(np.array(rows)))
    )
    assert found.p_value.tolist() == [1 / 20] * 4


@pytest.mark.parametrize("name", ALL)
def test_null_p_values_of_noise_are_uniform(name):
    surrogate, options = ALL[name]
    generator = torch.Generator().manual_seed(0)
    effect = torch.randn(60, generator=generator, dtype=torch.float64)
    causes = torch.randn(60, 300, generator=generator, dtype=torch.float64)
    found = surrogates.surrogate_test(
        lambda s: granger_test(effect, s, max_lag=1).statistic[0], causes, surrogate=surrogate, count=19, **options
    )
    assert 0.45 < float(found.p_value.mean()) < 0.6
    assert 0.02 < float((found.p_value <= 0.05).double().mean()) < 0.09
    again = (1 + (found.surrogates >= found.observed).sum(0)) / 20
    np.testing.assert_allclose(found.p_value.numpy(), again.numpy())


def test_a_statistic_of_another_shape_is_refused():
    for statistic in (lambda s: s.mean(), lambda s: torch.full((s.shape[1],), torch.nan)):
        with pytest.raises(ValueError, match="statistic must give 3 numbers"):
            surrogates.surrogate_test(statistic, memory(), count=2)
    with pytest.raises(ValueError, match="count must be an integer of at least 1"):
        surrogates.surrogate_test(exponents, memory(), count=0)
