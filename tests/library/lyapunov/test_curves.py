"""Stretching curves.

Oracles: curves printed by TISEAN 3.0.0's `lyap_r`, a C program that shares no line with this package; a brute-force
NumPy reference, which compares every pair and knows nothing of sorting, batching or early exits; closed forms
(geometric series, the logistic map, pairs of independent Gaussian points).
"""

import json
import math
import platform
import re
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from trajectories import walks

from ccprune.lyapunov import _cpu as _lyapunov_cpu
from ccprune.lyapunov import _torch as _lyapunov_torch
from ccprune.lyapunov import (
    exponents_of,
    stretching_curves,
    windowed_exponents,
)

ORACLE = json.loads((Path(__file__).parents[1] / "oracles" / "tisean_lyap_r.json").read_text())


RUNS = [
    pytest.param(
        run, id="{series}-m{embed_dim}-d{delay}-t{theiler}-s{steps}".format(**run) + ("-grown" * (not run["epsilon"]))
    )
    for run in ORACLE["runs"]
]


OPTIONS = [
    {"embed_dim": m, "delay": d, "theiler": t, "steps": s}
    for m, d, t, s in [
        (1, 1, 0, 1),
        (2, 1, 0, 20),
        (2, 1, 0, 3),
        (2, 3, 0, 5),
        (3, 1, 4, 7),
        (3, 2, 10, 5),
        (4, 2, 1, 2),
    ]
]


def reference(series, embed_dim, delay, theiler, steps, neighbourhood=math.inf):
    """S(0..steps) of one series, pair by pair."""
    extent = series.max() - series.min()
    x = (series - series.min()) / extent
    points = len(x) - delay * (embed_dim - 1) - steps
    embedded = np.stack([x[c * delay : c * delay + points + steps] for c in range(embed_dim)], 1)
    logs = [[] for _ in range(steps + 1)]
    for i in range(points - theiler):
        squared = ((embedded[i] - embedded[:points]) ** 2).sum(1)
        squared[max(0, i - theiler) : i + theiler + 1] = np.inf
        twins = (squared == 0).any()
        squared[squared == 0] = np.inf
        if np.isinf(squared.min()) or (twins and squared.min() > (neighbourhood / extent) ** 2):
            continue
        j = np.flatnonzero(squared == squared.min())[-1]
        for k in range(steps + 1):
            distance = np.linalg.norm(embedded[i + k] - embedded[j + k])
            if distance > 0:
                logs[k].append(math.log(distance))
    return np.array([np.mean(values) if values else np.nan for values in logs])


def logistic(n):
    x = np.empty(n)
    x[0] = 0.4
    for t in range(1, n):
        x[t] = 4 * x[t - 1] * (1 - x[t - 1])
    return x


def by_torch(series, *, embed_dim=2, delay=1, theiler=0, steps=20, neighbourhood=None):
    limit = math.inf if neighbourhood is None else neighbourhood
    return _lyapunov_torch.stretching_curves(series, embed_dim, delay, theiler, steps, steps, limit, 2**22)


def searched(series, width, *, embed_dim=2, delay=1, theiler=0, steps=20, neighbourhood=None):
    limit = math.inf if neighbourhood is None else neighbourhood
    arguments = embed_dim, delay, theiler, steps, steps, limit
    return torch.from_numpy(_lyapunov_cpu.stretching_curves(series.numpy(), *arguments, width))


def by_sorting(series, **options):
    return searched(series, 0, **options)


def on_cuda(series, **options):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    curves = stretching_curves(series.cuda(), **options)
    assert curves.is_cuda
    return curves.cpu()


paths = pytest.mark.parametrize(
    "curves", [stretching_curves, by_sorting, by_torch, on_cuda], ids=["compiled", "sorted", "torch", "cuda"]
)


@paths
@pytest.mark.parametrize("run", RUNS)
def test_equals_tisean_within_its_printed_precision(run, curves):
    series = torch.tensor([ORACLE["series"][run["series"]]], dtype=torch.float64)
    extent = float(series.max() - series.min())
    options = {name: run[name] for name in ("embed_dim", "delay", "theiler", "steps")}
    ours = curves(series, **options, neighbourhood=run["epsilon"] or extent / 1000)[0].numpy()
    # No point of these series has an exact copy, so that the neighbourhood does not matter, and none is the default.
    assert torch.equal(curves(series, **options)[0], torch.from_numpy(ours))
    theirs = np.array(run["S"])
    assert run["k"] == list(range(run["steps"] + 1))
    # "%e" prints 7 significant digits; the last 1e-12 is for the conversion of the decimals themselves.
    half_unit = 0.5 * 10.0 ** (np.floor(np.log10(np.abs(theirs))) - 6)
    assert np.all(np.abs(ours - theirs) <= half_unit * (1 + 1e-6) + 1e-12)


@paths
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("decimals", [None, 1])  # rounded walks are full of ties and twins
def test_equals_brute_force(options, decimals, curves):
    series = walks(6, 70, decimals=decimals)
    expected = np.array([reference(row, **options) for row in series.numpy()])
    np.testing.assert_allclose(curves(series, **options).numpy(), expected, rtol=0, atol=1e-12)


def difficult(n):
    """Series with ties, twins, constants, jumps, trends, values whose squares underflow, and both ends of float64."""
    rng = np.random.default_rng(n)
    walk = rng.standard_normal((40, n)).cumsum(1)
    still = np.where(np.arange(n) < n - 2, 0.0, walk[:5])
    ends = np.where(rng.random((3, n)) < 0.5, -1.7e308, 1.7e308)
    parts = [walk, walk.cumsum(1), walk[:20].round(), walk[:9] > 0, np.full((7, n), 0.1), still, walk[:3] * 5e-324]
    parts += [
        np.arange(n)[None] ** 1.5,
        10.0 ** rng.uniform(-200, 0, (9, n)),
        np.sign(walk[:9]) * 1e-170 + (walk[:9] > 1),
        ends,
    ]
    return torch.from_numpy(rng.permutation(np.concatenate(parts)))


@pytest.mark.parametrize("options", [o for o in OPTIONS if o["embed_dim"] > 1], ids=str)
@pytest.mark.parametrize("n", [31, 50, 90, 200])
def test_both_compiled_searches_give_the_same_bits(options, n):
    series = difficult(n)
    expected = by_sorting(series, **options).numpy()
    for width in (1, 3, 8, 16):
        np.testing.assert_array_equal(searched(series, width, **options).numpy(), expected)
    np.testing.assert_array_equal(stretching_curves(series, **options).numpy(), expected)


def test_short_series_are_compared_side_by_side_in_vector_registers():
    assert _lyapunov_cpu.block_width(46, 2, math.inf) > 8 and _lyapunov_cpu.block_width(5000, 2, math.inf) == 0
    if platform.machine() != "x86_64":
        pytest.skip("names the instructions of x86-64")
    compiled = numba.njit(_lyapunov_cpu._compare_pairs.py_func)
    block = np.zeros((5, 48 * 16))
    compiled(block[4], 16, 2, 1, 0, 46, block[:4], np.zeros(46 * 16, np.int64))
    (code,) = compiled.inspect_asm().values()
    # Sums of several squares that are compared at once; squares alone are vectorised even where the search is not.
    assert re.search(r"\bv?addpd\b.*\n(.*\n){0,8}.*\bv?cmp\w*pd\b", code)


@paths
def test_twins_count_only_with_a_neighbour_within_the_neighbourhood(curves):
    series = walks(8, 90, seed=3, decimals=1)
    distinct = set()
    for neighbourhood in (0.05, 0.15, 0.25, 1.0, None):
        limit = math.inf if neighbourhood is None else neighbourhood
        expected = np.array([reference(row, 2, 1, 0, 4, limit) for row in series.numpy()])
        ours = curves(series, embed_dim=2, delay=1, theiler=0, steps=4, neighbourhood=neighbourhood).numpy()
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
        distinct.add(ours.tobytes())
    assert len(distinct) >= 3  # the neighbourhood did matter


@paths
def test_zero_distances_on_the_way_are_left_out(curves):
    # The second half repeats the first but for one value, so pairs meet again and their later distances are 0.
    half = walks(1, 40, seed=5)[0]
    series = torch.cat([half, half])
    series[10] += 0.3
    expected = reference(series.numpy(), 2, 1, 0, 6)
    np.testing.assert_allclose(curves(series[None], steps=6)[0].numpy(), expected, rtol=0, atol=1e-12)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("base", [1.1, 1.03, 0.9])
def test_geometric_series_diverge_by_their_base(base):
    # The neighbour of a^i is a power next to it, and both shrink or grow by a per step: S(k) = S(0) + k ln a.
    series = base ** torch.arange(80, dtype=torch.float64)[None]
    curve = stretching_curves(series, steps=20)[0]
    k = torch.arange(21, dtype=torch.float64)
    torch.testing.assert_close(curve, curve[0] + k * math.log(base), rtol=0, atol=1e-9)
    assert float(exponents_of(series, steps=20)) == pytest.approx(math.log(base), abs=1e-9)
    assert float(exponents_of(series, steps=20, fit=(3, 17))) == pytest.approx(math.log(base), abs=1e-9)


def test_logistic_map_has_exponent_ln_2():
    series = torch.from_numpy(logistic(4000))[None]
    assert float(exponents_of(series, steps=20, fit=(1, 6))) == pytest.approx(math.log(2), rel=0.03)
    linear = exponents_of(series, steps=20, fit="linear")
    assert torch.equal(linear, exponents_of(series, steps=20, fit=(0, 20)))
    curve = stretching_curves(series, steps=20)[0].numpy()
    assert float(linear) == pytest.approx(np.polyfit(range(21), curve, 1)[0], rel=1e-9)


def test_white_noise_ends_at_the_distance_of_independent_pairs():
    # |difference of two independent points|^2 = 2 sigma^2 chi^2_2, and E ln chi^2_2 = ln 2 - gamma.
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((20, 1500)))
    rescaled = noise.std(1) / (noise.amax(1) - noise.amin(1))
    expected = 0.5 * (math.log(2) + math.log(2) - np.euler_gamma) + rescaled.log()
    found = stretching_curves(noise, steps=12)[:, 3:] - expected[:, None]
    assert found.mean().abs() < 0.02


def test_null_white_noise_has_a_positive_first_step_exponent():
    """Contradiction 7: with no dynamics at all the authors' exponent is far above 0, and always about the same."""
    means = []
    for seed in (0, 1):
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal((200 * 500, 1)))
        found = windowed_exponents(noise, window=200, stride=200, steps=20)[:, 0]
        assert (found > 0).all()
        means.append((found.mean().item(), found.std().item() / len(found) ** 0.5))
    (first, error), (second, _) = means
    assert first == pytest.approx(second, abs=5 * error)
    assert 1.0 < first < 2.0
    # And it is a matter of the window's length, not of the noise: fewer candidates are further away.
    short = windowed_exponents(noise, window=50, stride=50, steps=3)[:, 0].mean().item()
    assert 0.3 < short < first - 0.3


@pytest.mark.parametrize("scale, shift", [(2.0, 0.0), (-0.5, 3.0), (1e6, -7.0), (1e-4, 0.25)])
def test_affine_invariance(scale, shift):
    series = walks(5, 120)
    # Not bit for bit: the shift costs digits.
    torch.testing.assert_close(stretching_curves(series * scale + shift), stretching_curves(series), rtol=0, atol=1e-6)


def test_one_series_alone_equals_itself_in_a_batch_for_any_thread_count():
    series = walks(1100, 60)
    threads = numba.get_num_threads()
    try:
        found = []
        for count in sorted({1, threads}):
            numba.set_num_threads(count)
            found.append(stretching_curves(series, steps=5))
    finally:
        numba.set_num_threads(threads)
    for index in (0, 1, 499, 999):
        found.append(found[0].clone())
        found[-1][index] = stretching_curves(series[index : index + 1], steps=5)[0]
    assert all(torch.equal(other, found[0]) for other in found)


def test_float32_is_computed_in_float64():
    series = walks(3, 80).float()
    found = stretching_curves(series)
    assert found.dtype == torch.float64
    assert torch.equal(found, stretching_curves(series.double()))


def test_strided_input_equals_a_copy():
    series = walks(80, 40)
    assert torch.equal(stretching_curves(series.T, steps=4), stretching_curves(series.T.clone(), steps=4))


@paths
def test_constant_series_have_no_curve(curves):
    series = torch.cat([torch.full((1, 60), 0.7, dtype=torch.float64), walks(1, 60)])
    found = curves(series)
    assert found[0].isnan().all() and found[1].isfinite().all()
