"""The 0-1 test for chaos, against a plain loop and on series whose dynamics are known."""

import math

import numpy as np
import pytest
import torch
from trajectories import walks

from ccprune.lyapunov import (
    zero_one_test,
)


def known_dynamics(n, count, seed=0):
    """Series (count, n) of each kind, from random initial conditions and phases."""
    rng = np.random.default_rng(seed)
    found = {}
    for r in (3.55, 3.83, 3.97, 4.0):
        x = [rng.uniform(0.1, 0.9, count)]
        for _ in range(n + 499):
            x.append(r * x[-1] * (1 - x[-1]))
        found[f"logistic {r}"] = np.array(x[500:]).T
    phase, t = rng.uniform(0, 2 * np.pi, (2, count, 1)), np.arange(n)
    found["sine"] = np.sin(0.7 * t + phase[0])
    found["two sines"] = np.sin(0.7 * t + phase[0]) + np.sin(math.sqrt(2) * t + phase[1])
    found["white noise"] = rng.standard_normal((count, n))
    found["AR(1)"] = rng.standard_normal((count, n))
    for t in range(1, n):
        found["AR(1)"][:, t] += 0.8 * found["AR(1)"][:, t - 1]
    return {kind: torch.from_numpy(np.ascontiguousarray(series)) for kind, series in found.items()}


def zero_one_reference(series, c):
    """K_c by equations of Gottwald and Melbourne (2009): p, q, M_c - V_osc, correlation with n = 1..N/10."""
    size, most, mean = len(series), len(series) // 10, series.mean()
    j = np.arange(1, size + 1)
    p, q = (series * np.cos(j * c)).cumsum(), (series * np.sin(j * c)).cumsum()
    displaced = []
    for n in range(1, most + 1):
        moved = [(p[i + n] - p[i]) ** 2 + (q[i + n] - q[i]) ** 2 for i in range(size - most)]
        displaced.append(np.mean(moved) - mean**2 * (1 - math.cos(n * c)) / (1 - math.cos(c)))
    return np.corrcoef(np.arange(1, most + 1), displaced)[0, 1]


def test_zero_one_equals_the_plain_loop():
    draws = torch.rand(9, generator=torch.Generator().manual_seed(3), dtype=torch.float64).numpy()
    frequencies = np.pi / 5 + 3 * np.pi / 5 * draws
    for kind, series in known_dynamics(150, 2).items():
        centred = (series - series.mean(1, keepdim=True)).numpy()
        expected = [np.median([zero_one_reference(one, c) for c in frequencies]) for one in centred]
        found = zero_one_test(series + 7, frequencies=9, seed=3)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-8, err_msg=kind)
        assert torch.equal(found, zero_one_test(series + 7, frequencies=9, seed=3, max_bytes=8 * 16 * 9 * 150))


@pytest.mark.parametrize("n, count", [(150, 40), (1000, 6)])
def test_zero_one_separates_chaos_from_regular_series_and_takes_noise_for_chaos(n, count):
    found = {kind: zero_one_test(series) for kind, series in known_dynamics(n, count, seed=1).items()}
    for regular in ("logistic 3.55", "logistic 3.83", "sine"):  # null: no series exceeds 1/2
        assert (found[regular].abs() < 0.35).all(), regular
    # 150 points do not separate two frequencies, and the value is wrong.
    assert (found["two sines"] > 0.5).all() if n == 150 else (found["two sines"].abs() < 0.35).all()
    for chaotic in ("logistic 3.97", "logistic 4.0"):  # power: every series does
        assert (found[chaotic] > 0.95).all(), chaotic
    for noise in ("white noise", "AR(1)"):
        assert (found[noise] > 0.5).double().mean() > 0.9, noise
    assert zero_one_test(torch.full((1, n), 0.7)).tolist() == [0.0]


def test_zero_one_errors_name_the_argument():
    series = walks(2, 150)
    with pytest.raises(ValueError, match="series must have at least 100 points, got 99"):
        zero_one_test(series[:, :99])
    with pytest.raises(ValueError, match="frequencies must be an integer of at least 1"):
        zero_one_test(series, frequencies=0)
    with pytest.raises(ValueError, match="max_bytes=1000 is too little: one series needs"):
        zero_one_test(series, max_bytes=1000)
