"""Oracles: curves printed by TISEAN 3.0.0's `lyap_r`, a C program that shares no line with this package; a brute-force
NumPy reference below, which compares every pair and knows nothing of sorting, batching or early exits; closed forms
(geometric series, the logistic map, pairs of independent Gaussian points); for jumps, all partitions enumerated.
"""

import itertools
import json
import math
import platform
import re
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from ccprune.lyapunov import _cpu as _lyapunov_cpu
from ccprune.lyapunov import (
    _exponents,
    exponents_of,
    growth_rates,
    slopes,
    stretching_curves,
    windowed_exponents,
    zero_one_test,
)
from ccprune.lyapunov import _torch as _lyapunov_torch
from ccprune.lyapunov._jumps import _least_costs, has_jump

ORACLE = json.loads((Path(__file__).parent / "oracles" / "tisean_lyap_r.json").read_text())
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


def walks(count, n, seed=0, decimals=None):
    series = np.random.default_rng(seed).standard_normal((count, n)).cumsum(1)
    return torch.from_numpy(series if decimals is None else series.round(decimals))


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


def test_exponent_is_zero_where_nothing_moves():
    still = torch.full((1, 60), 0.7, dtype=torch.float64)
    crawling = torch.linspace(0, 0.9e-5, 60, dtype=torch.float64)[None] ** 1.5
    two_values = torch.tensor([0.0, 1.0] * 30, dtype=torch.float64)[None]
    late = torch.zeros(1, 60, dtype=torch.float64)
    late[0, -3:] = torch.tensor([0.3, 0.5, 1.0])  # points with `steps` successors are all alike
    assert stretching_curves(late, steps=5).isnan().all()
    for series in (still, two_values, late):
        assert exponents_of(series, steps=5).tolist() == [0.0]
    assert exponents_of(crawling, steps=5, min_range=1e-5).item() == 0
    assert exponents_of(crawling, steps=5).item() != 0


@pytest.mark.parametrize("unit", [2.0**-80, 1e-7, 1e6])
def test_exponents_and_jumps_do_not_depend_on_the_unit(unit):
    series = walks(4, 300)
    expected, found = (windowed_exponents(s.T, window=50, stride=45, steps=3) for s in (series, series * unit))
    assert bool((found != 0).all())
    tolerance = 0.0 if unit == 2.0**-80 else 1e-6  # powers of two change no digit
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    jumps = torch.randn(4, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jumps[:2, 30:] += 5.0
    assert has_jump(jumps * unit, threshold=50.0 * unit**2).tolist() == [True, True, False, False]


def test_upto_cuts_the_curve():
    series = walks(4, 60)
    assert torch.equal(stretching_curves(series, steps=9, upto=3), stretching_curves(series, steps=9)[:, :4])


def test_windows_are_the_right_rows():
    series = walks(3, 200).T.contiguous()  # (n, M)
    found = windowed_exponents(series, window=50, stride=45, steps=3, fit=(0, 2))
    assert found.shape == (4, 3)
    for k, m in itertools.product(range(4), range(3)):
        alone = exponents_of(series[45 * k : 45 * k + 50, m][None], steps=3, fit=(0, 2))
        assert found[k, m] == alone[0]


def test_first_step_is_the_first_difference_of_the_curve():
    series = walks(4, 70)
    curve = stretching_curves(series, steps=6)
    torch.testing.assert_close(exponents_of(series, steps=6), curve[:, 1] - curve[:, 0], rtol=0, atol=1e-14)


def test_decimals_round_series_and_exponents():
    series = walks(4, 70)
    rounded = torch.from_numpy(series.numpy().round(2))
    expected = exponents_of(rounded, steps=3).numpy().round(2)
    found = exponents_of(series, steps=3, decimals=2).numpy()
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, exponents_of(series, steps=3).numpy().round(2))


def test_slopes_equal_polyfit():
    curves = walks(5, 12)
    expected = np.polyfit(np.arange(2, 9), curves[:, 2:9].numpy().T, 1)[0]
    np.testing.assert_allclose(slopes(curves, first=2, last=8).numpy(), expected, rtol=1e-10)


def test_growth_rates_of_an_exponential_and_of_two_runs_that_met():
    t = torch.arange(50, dtype=torch.float64)
    distances = torch.stack([1e-8 * torch.exp(0.2 * t), torch.exp(-0.05 * t)])
    found = growth_rates(distances, first=5, last=40)
    torch.testing.assert_close(found, torch.tensor([0.2, -0.05], dtype=torch.float64), rtol=1e-9, atol=0)
    distances[1, 30] = 0
    with pytest.raises(ValueError, match="distances must be positive"):
        growth_rates(distances, first=5, last=40)
    with pytest.raises(ValueError, match="first and last"):
        growth_rates(distances, first=5, last=50)


def cheapest_partition(values, penalty):
    """Smallest cost over all 2^(n-1) partitions, and whether it has a change point."""
    best = (math.inf, False)
    for cuts in itertools.product([False, True], repeat=len(values) - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(values)]
        pieces = [values[a:b] for a, b in itertools.pairwise(edges)]
        cost = sum(((piece - piece.mean()) ** 2).sum() for piece in pieces) + penalty * (len(pieces) - 1)
        best = min(best, (cost, len(pieces) > 1))
    return best[1]


def test_jumps_equal_the_enumeration_of_all_partitions():
    rng = np.random.default_rng(0)
    series = rng.standard_normal((60, 9)) * rng.uniform(0.1, 1.2, (60, 1))
    series[::3, 4:] += rng.uniform(0, 2, (20, 1))
    for threshold in (0.5, 1.0):
        expected = [cheapest_partition(row, threshold) for row in series]
        assert has_jump(torch.from_numpy(series), threshold=threshold).tolist() == expected
        assert 10 < sum(expected) < 50


def test_compiled_costs_of_partitions_have_the_bits_of_torch():
    series = walks(40, 61) * torch.logspace(-3, 3, 40, dtype=torch.float64)[:, None]
    sums = [torch.nn.functional.pad(values.cumsum(1), (1, 0)) for values in (series, series.square())]
    found = _lyapunov_cpu.least_costs(*(values.numpy() for values in sums), 1.0)
    assert found.tolist() == _least_costs(*sums, 1.0).tolist()


def test_jumps_as_in_matlabs_documentation():
    # MathWorks' page of ischange: A = [ones(1,5) 25*ones(1,5) 50*ones(1,5)] + rand(1,15) changes at 6 and 11.
    steps = np.repeat([1.0, 25.0, 50.0], 5)
    noise = np.random.default_rng(0).random(15)
    found = has_jump(torch.from_numpy(np.stack([steps + noise, noise, np.full(15, 3.0)])), threshold=1.0)
    assert found.tolist() == [True, False, False]


def test_jumping_windows_have_exponent_zero():
    series = walks(2, 60) * 0.01
    series[1, 30:] += 5
    found = exponents_of(series, steps=3, jump_threshold=1.0)
    plain = exponents_of(series, steps=3)
    assert found.tolist() == [plain[0].item(), 0.0] and plain[1] != 0


SERIES = walks(2, 60)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: stretching_curves(SERIES.tolist()), TypeError, "series must be a Tensor, or .*, got list"),
        (lambda: stretching_curves(SERIES[0]), ValueError, r"series must have 2 dimensions, got shape \(60,\)"),
        (lambda: stretching_curves(SERIES.long()), TypeError, "series must be floating point"),
        (lambda: stretching_curves(SERIES / 0), ValueError, "series must be finite"),
        (lambda: stretching_curves(SERIES, embed_dim=0), ValueError, "embed_dim must be an integer of at least 1"),
        (lambda: stretching_curves(SERIES, delay=1.0), ValueError, "delay must be an integer"),
        (lambda: stretching_curves(SERIES, theiler=-1), ValueError, "theiler must be an integer of at least 0"),
        (lambda: stretching_curves(SERIES, steps=True), ValueError, "steps must be an integer"),
        (lambda: stretching_curves(SERIES, steps=3, upto=4), ValueError, r"upto must lie in 0..steps=3, got 4"),
        (lambda: stretching_curves(SERIES, neighbourhood=0.0), ValueError, "neighbourhood must be positive"),
        (lambda: stretching_curves(SERIES, steps=58), ValueError, "series have 60 points.* need at least 61"),
        (lambda: exponents_of(SERIES, steps=3, fit="log"), ValueError, "fit must be 'first_step', 'linear' or a pair"),
        (lambda: exponents_of(SERIES, steps=3, fit=(1, 4)), ValueError, "fit must satisfy"),
        (lambda: slopes(SERIES, first=3, last=3), ValueError, "first and last"),
        (lambda: has_jump(SERIES, threshold=0), ValueError, "threshold must be positive"),
        (
            lambda: windowed_exponents(SERIES, window=3, stride=1, steps=1),
            ValueError,
            "window=3 does not fit into series of 2 rows",
        ),
        (lambda: windowed_exponents(SERIES.T, window=50, stride=0, steps=1), ValueError, "stride must be an integer"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_shortest_series_that_has_a_curve():
    assert stretching_curves(walks(1, 61), steps=58).isfinite().all()


def test_memory_is_limited_by_blocks(monkeypatch):
    series = walks(7, 120).T
    options = {"window": 20, "stride": 3, "steps": 3, "decimals": 4, "jump_threshold": 5.0}
    whole = windowed_exponents(series, **options)
    sizes = []

    def counted(blocks, **given):
        sizes.append(len(blocks))
        return exponents_of(blocks, **given)

    monkeypatch.setattr(_exponents, "exponents_of", counted)
    for most in (1, 5, 7, 16, 10_000):  # windows; a row of the answer has 7, and there are 34 rows
        sizes.clear()
        assert torch.equal(windowed_exponents(series, **options, max_bytes=1600 * most), whole)
        assert max(sizes) <= most and sum(sizes) == whole.numel()
    with pytest.raises(ValueError, match="max_bytes=1599 is too little: one window needs 1600"):
        windowed_exponents(series, **options, max_bytes=1599)
    points = 120 - 1 - 20
    with pytest.raises(ValueError, match=f"max_bytes=50 is too little: one series needs {28 * points**2}"):
        _lyapunov_torch.stretching_curves(series.T, 2, 1, 0, 20, 20, math.inf, 50)


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
