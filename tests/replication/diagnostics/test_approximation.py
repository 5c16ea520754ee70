"""Oracles: closed forms of the largest distance on a ball, a fine grid in two dimensions, forward passes in NumPy.

Null: equal models, and models equal but for the order of their hidden units.
"""

import copy
from dataclasses import replace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ccprune.stats import mean_interval
from replication import data
from replication.diagnostics import _ball_bound, approximation
from replication.diagnostics.approximation import largest_in_ball, largest_on, upper_bound
from replication.figures.approximation import epsilon_by_width
from replication.legcnet import procedure as legcnet
from replication.legcnet import runs as legcnet_runs
from replication.legcnet.settings import SETTINGS
from replication.networks.ensemble import initialise
from replication.networks.masks import remove_lowest

OUTPUTS = {"none": [], "sigmoid": [nn.Sigmoid()], "softmax": [nn.Softmax(-1)]}


pytestmark = pytest.mark.usefixtures("one_thread")


def network(sizes, *, seed, scale=1.0, output="sigmoid"):
    inputs, hidden, outputs = sizes
    model = nn.Sequential(nn.Linear(inputs, hidden), nn.Sigmoid(), nn.Linear(hidden, outputs), *OUTPUTS[output])
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.double().parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def changed(model, *, seed, share=0.3):
    """Some weights set to 0 and the others moved, as after pruning and retraining."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for parameter in other.parameters():
        keep = torch.rand(parameter.shape, generator=generator) >= share
        parameter.data *= keep * (1 + 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return other


def grid_on_disc(radius, points):
    angle = torch.linspace(0, 2 * torch.pi, points, dtype=torch.float64)[:-1]
    r = radius * torch.linspace(0, 1, points // 4, dtype=torch.float64)
    return torch.cartesian_prod(r, angle)[:, :1] * torch.stack([angle.cos(), angle.sin()], 1).repeat(len(r), 1)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def forward(model, x):
    """NumPy's own way through Linear, Sigmoid, Linear and the output unit."""
    w1, b1, w2, b2 = (parameter.detach().numpy() for parameter in model.parameters())
    z = sigmoid(x @ w1.T + b1) @ w2.T + b2
    if isinstance(model[-1], nn.Sigmoid):
        return sigmoid(z)
    return np.exp(z) / np.exp(z).sum(1, keepdims=True) if isinstance(model[-1], nn.Softmax) else z


@pytest.mark.parametrize("output", OUTPUTS)
def test_largest_on_inputs_is_that_of_numpy(output, device):
    f = network((3, 5, 4), seed=0, output=output)
    g = changed(f, seed=1)
    x = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    distances = np.sqrt(((forward(f, x.numpy()) - forward(g, x.numpy())) ** 2).sum(1))
    found = largest_on(f.to(device), g.to(device), x.to(device))
    assert found.distance == pytest.approx(distances.max(), rel=1e-12) and found.index == distances.argmax()


def test_one_outgoing_weight_less_has_a_closed_form(device):
    """The difference is |v| sigmoid(w.x + b), largest at x = radius w / |w|; both bounds meet there."""
    f = network((4, 6, 3), seed=3, output="none")
    g = copy.deepcopy(f)
    g[2].weight.data[1, 2] = 0.0
    w, b, v = (parameter.detach() for parameter in (f[0].weight[2], f[0].bias[2], f[2].weight[1, 2]))
    b, v = float(b), float(v)
    for radius in (1.0, 0.3):
        truth = abs(v) * sigmoid(b + radius * float(w.norm()))
        pair = (copy.deepcopy(f).to(device), copy.deepcopy(g).to(device))
        found = largest_in_ball(*pair, inputs=4, radius=radius)
        assert found.distance == pytest.approx(truth, rel=1e-6) and found.distance <= truth * (1 + 1e-12)
        torch.testing.assert_close(found.point.cpu(), radius * w / w.norm(), rtol=0, atol=1e-3 * radius)
        assert found.point.device.type == device
        assert upper_bound(*pair, radius=radius, boxes=1) == pytest.approx(truth, rel=1e-12)


def test_linear_models_differ_most_along_the_first_singular_vector():
    f, g = nn.Linear(7, 5).double(), nn.Linear(7, 5).double()
    g.bias.data = f.bias.data.clone()
    gap = (f.weight - g.weight).detach().numpy()
    found = largest_in_ball(f, g, inputs=7, radius=2.0, starts=16, steps=300)
    assert found.distance == pytest.approx(2.0 * np.linalg.svd(gap)[1][0], rel=1e-9)
    # There are two maxima, at the vector and at its opposite: every start comes to one of them.
    assert float(found.reached.min()) == pytest.approx(found.distance, rel=1e-3)


def test_starts_fill_the_ball_and_half_of_them_are_the_best_of_a_sample():
    """The distance of x from 0 is |x|: one step of a quarter of the radius from each start."""
    f, g = nn.Linear(5, 5, bias=False).double(), nn.Linear(5, 5, bias=False).double()
    f.weight.data, g.weight.data = torch.eye(5).double(), torch.zeros(5, 5).double()
    found = largest_in_ball(f, g, inputs=5, radius=2.0, starts=400, steps=1)
    even, best = (found.reached / 2.0 - 0.25).split(200)
    for norm in (0.5, 0.6, 0.7):
        share = norm**5  # of the ball's volume
        assert abs(float((even <= norm).double().mean()) - share) < 4 * (share * (1 - share) / 200) ** 0.5
    assert (best > 0.75 - 1e-9).all() and 1.99 < found.sampled < 2.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("output", OUTPUTS)
def test_ascent_and_bound_enclose_the_maximum_of_a_grid(seed, output):
    f = network((2, 4, 3), seed=seed, scale=2.0, output=output)
    g = changed(f, seed=seed + 10)
    grid = largest_on(f, g, grid_on_disc(1.0, 400)).distance
    found = largest_in_ball(f, g, inputs=2)
    assert grid - 1e-9 <= found.distance <= grid * 1.001
    assert found.sampled <= found.distance and found.point.norm() <= 1 + 1e-12
    whole, few, many = (upper_bound(f, g, boxes=boxes) for boxes in (1, 60, 4000))
    assert whole >= few >= many >= found.distance
    # A softmax's Lipschitz constant stands for its slope everywhere, so that boxes alone do not close that gap.
    assert many < (1.05 if output != "softmax" else 4.0) * found.distance


@pytest.mark.parametrize("scale", [0.3, 3.0])
@pytest.mark.parametrize("output", OUTPUTS)
def test_no_point_of_a_ball_exceeds_the_bound(scale, output):
    generator = torch.Generator().manual_seed(0)
    for seed in range(10):
        sizes = [int(torch.randint(1, most, (), generator=generator)) for most in (6, 9, 5)]
        f = network(sizes, seed=seed, scale=scale, output=output)
        g = changed(f, seed=seed) if seed % 2 else network(sizes, seed=seed + 100, scale=scale, output=output)
        radius = 0.5 + 2 * float(torch.rand((), generator=generator))
        x = torch.randn(4000, sizes[0], generator=generator, dtype=torch.float64)
        x *= radius / x.norm(dim=1, keepdim=True) * torch.linspace(0.3, 1, 4000)[:, None]
        found = largest_in_ball(f, g, inputs=sizes[0], radius=radius, starts=8, steps=20)
        highest = max(found.distance, largest_on(f, g, x).distance)
        for boxes in (1, 30, 300):
            bound = upper_bound(f, g, radius=radius, boxes=boxes)
            assert bound >= highest * (1 - 1e-12)
            # That far apart are two corners of the cube, or two distributions.
            assert bound <= {"none": np.inf, "sigmoid": sizes[2] ** 0.5, "softmax": 2**0.5}[output] + 1e-12


def test_ranges_of_the_sigmoid_are_those_of_a_fine_grid():
    rng = np.random.default_rng(0)
    low = rng.uniform(-6, 4, 200)
    high = low + rng.uniform(0.1, 8, 200)
    slope = rng.uniform(0, 0.25, 200)
    z = np.linspace(low, high, 20_001)
    ends = (torch.from_numpy(low), torch.from_numpy(high))
    cases = [
        (_ball_bound._residual(ends, torch.from_numpy(slope)), sigmoid(z) - slope * z),
        (_ball_bound._steepness(*ends), sigmoid(z) * sigmoid(-z)),
    ]
    for found, values in cases:
        np.testing.assert_allclose(found[0], values.min(0), rtol=0, atol=1e-7)
        np.testing.assert_allclose(found[1], values.max(0), rtol=0, atol=1e-7)


def test_largest_rise_of_a_sigmoid_is_that_of_a_fine_grid():
    rng = np.random.default_rng(1)
    for _ in range(200):
        base = np.sort(rng.uniform(-6, 6, 2))
        gap, top = rng.uniform(0, 6), base[0] + rng.uniform(0, 12)
        b = np.linspace(*base, 20_001)
        truth = max(0.0, (sigmoid(np.minimum(top, b + gap)) - sigmoid(b)).max())
        found = _ball_bound._sigmoid_gap(*torch.tensor([gap, top]).double(), tuple(torch.from_numpy(base)))
        # Between two points of the grid the rise changes by no more than a quarter of the step.
        assert truth - 1e-12 <= float(found) <= truth + 0.25 * (b[1] - b[0])


def test_bound_of_a_sigmoid_knows_how_far_its_input_goes():
    """One hidden unit, constant: outputs sigmoid(10) and sigmoid(5), far from the steep place."""
    f = network((3, 1, 1), seed=0)
    g = copy.deepcopy(f)
    for model, bias in ((f, 10.0), (g, 5.0)):
        for parameter, value in zip(model.parameters(), (0.0, 0.0, 0.0, bias), strict=True):
            parameter.data.fill_(value)
    truth = sigmoid(10) - sigmoid(5)
    for pair in ((f, g), (g, f)):
        assert upper_bound(*pair, boxes=1) == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("output", OUTPUTS)
def test_null_equal_functions(output):
    f = network((3, 6, 2), seed=5, scale=2.0, output=output)
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    same = copy.deepcopy(f)
    assert largest_on(f, same, x).distance == 0 and largest_in_ball(f, same, inputs=3).distance == 0
    assert upper_bound(f, same) == 0
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    same[0].weight.data, same[0].bias.data = f[0].weight.data[order], f[0].bias.data[order]
    same[2].weight.data = f[2].weight.data[:, order]
    assert largest_in_ball(f, same, inputs=3).distance < 1e-14
    # The bound pairs hidden units by their number: it cannot see this, but smaller boxes bring it down.
    whole, many = upper_bound(f, same, boxes=1), upper_bound(f, same, boxes=3000)
    assert 0 < many < whole / 4


def test_softmax_is_unmoved_by_a_shift_of_all_its_inputs():
    f = network((3, 6, 4), seed=6, output="softmax")
    g = copy.deepcopy(f)
    g[2].weight.data += torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert largest_in_ball(f, g, inputs=3).distance < 1e-14 and upper_bound(f, g, boxes=1) < 1e-14


def test_seed_decides_and_models_and_global_random_numbers_stay_as_they_were():
    f = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))
    g = copy.deepcopy(f)
    g[0].weight.data *= 0.5
    before, state = copy.deepcopy(f.state_dict()), torch.get_rng_state()
    options = {"inputs": 3, "starts": 4, "steps": 3}
    one, two, other = (largest_in_ball(f, g, **options, seed=seed) for seed in (0, 0, 1))
    assert one.distance == two.distance and torch.equal(one.reached, two.reached)
    assert one.distance != other.distance and one.reached.shape == (4,)
    assert torch.equal(state, torch.get_rng_state()) and f.training and f[3].training
    assert all(torch.equal(before[name], value) for name, value in f.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in f.parameters())
    assert largest_on(f, g, torch.ones(2, 3)).distance == largest_on(f, g, torch.ones(2, 3)).distance


def test_errors_name_the_argument():
    f, g = network((3, 4, 2), seed=0), network((3, 5, 2), seed=0)
    x = torch.zeros(2, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="x must hold at least one input"):
        largest_on(f, f, x[:0])
    with pytest.raises(ValueError, match=r"pruned must give outputs of shape \(2, 2\) .* got \(2, 3\)"):
        largest_on(f, network((3, 4, 3), seed=0), x)
    with pytest.raises(ValueError, match="finite outputs"):
        largest_on(f, f, x + torch.nan)
    for radius in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="radius must be positive and finite"):
            upper_bound(f, f, radius=radius)
        with pytest.raises(ValueError, match="radius must be positive and finite"):
            largest_in_ball(f, f, inputs=3, radius=radius)
    for name, least in (("inputs", 1), ("starts", 2), ("steps", 1)):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least {least}"):
            largest_in_ball(f, f, **({"inputs": 3} | {name: least - 1}))
    with pytest.raises(ValueError, match="boxes must be an integer of at least 1"):
        upper_bound(f, f, boxes=0)
    with pytest.raises(ValueError, match="pruned must have the layers of dense"):
        upper_bound(f, g)
    with pytest.raises(ValueError, match="pruned must have the layers of dense"):
        upper_bound(f, network((3, 4, 2), seed=0, output="softmax"))
    for bad in (nn.Linear(3, 2), f[:2], nn.Sequential(*f, nn.Sigmoid()), nn.Sequential(*f[:3], nn.Softmax(0))):
        with pytest.raises(TypeError, match="pruned must be Linear, Sigmoid, Linear"):
            upper_bound(f, bad)
    broken = copy.deepcopy(f)
    broken[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="dense must have finite weights"):
        upper_bound(broken, f)


@pytest.fixture(scope="module")
def iris():
    settings = SETTINGS["iris"]
    return data.load("iris", source="packaged"), replace(settings, budget=30, pt=replace(settings.pt, max_lag=8))


@pytest.fixture(scope="module")
def table(iris):
    return approximation.epsilons_by_width(*iris, widths=(9,), seeds=2, boxes=10, seed=1)


def test_by_width_has_every_case_and_bounds_in_order(table):
    assert len(table) == 2 * 7 and not table.isna().any().any()
    assert (table.epsilon_ball <= table.epsilon_ball_upper).all()
    assert (table.weights == table.width * 7).all() and set(table.radius) == {1.0}
    pruned = table[table.method != "dense"]
    assert (pruned.groupby(["width", "seed"]).removed.nunique() == 1).all() and pruned.removed.max() > 0
    assert ((pruned.epsilon_test == 0) <= (pruned.removed == 0)).all()
    assert (table[table.method == "dense"].epsilon_test > 0.001).all()


def test_by_width_measures_the_networks_of_paper_a(iris, table):
    """One row of each kind again, step by step and with NumPy's forward pass."""
    x, width = iris[0].x_test.numpy(), 9
    settings = replace(iris[1], hidden=width)
    ensemble = initialise((4, width, 3), 4, seed=1, scale=0.1)
    everything = torch.ones(4, 63, dtype=torch.bool)
    dense = legcnet_runs.run(iris[0], settings, ensemble, everything).ensemble
    mask = legcnet.masks(ensemble, iris[0], settings, method="pt")
    small = remove_lowest(dense.weights.abs(), (~mask).sum(1))
    again = legcnet_runs.run(iris[0], settings, ensemble, mask).ensemble
    cases = {
        ("dense", "other initialisation"): (dense.select([2, 3]), 2 * [0]),
        ("pt", "retrained"): (again, (~mask).sum(1).tolist()),
        ("magnitude", "cut"): (dense.with_weights(dense.weights * small), (~mask).sum(1).tolist()),
    }
    for (method, when), (other, removed) in cases.items():
        rows = table[(table.method == method) & (table["when"] == when)]
        for i in range(2):
            f, g = (forward(approximation.models.from_ensemble(e, i), x) for e in (dense, other))
            row = rows[rows.seed == i].iloc[0]
            assert row.epsilon_test == pytest.approx(np.sqrt(((f - g) ** 2).sum(1)).max(), rel=1e-9, abs=1e-15)
            assert row.removed == removed[i]
    assert (table.test_in_ball == np.mean(np.linalg.norm(x, axis=1) <= 1)).all()


def test_by_width_follows_its_seed_alone(iris, table):
    fewer = approximation.epsilons_by_width(*iris, widths=(9,), seeds=1, boxes=10, seed=1)
    same = table[(table.seed == 0) & (table.method != "dense")]
    pd.testing.assert_frame_equal(fewer[fewer.method != "dense"].reset_index(drop=True), same.reset_index(drop=True))


def test_by_width_where_nothing_is_removed(iris):
    """Without a change of the risk no weight can be tested: masks keep all, and training is the same to the bit."""
    easy = replace(iris[0], y_train=0 * iris[0].y_train, y_test=0 * iris[0].y_test)
    found = approximation.epsilons_by_width(easy, replace(iris[1], lr=1e-6), widths=(3,), seeds=1, boxes=10, radius=2.5)
    pruned = found[found.method != "dense"]
    assert (pruned[["removed", "epsilon_test", "epsilon_ball", "epsilon_ball_upper"]] == 0).all().all()
    assert set(found.radius) == {2.5} and found.test_in_ball.iloc[0] > 0.5
    untrained = initialise((4, 3, 3), 2, seed=0, scale=0.1)
    pair = [approximation.models.from_ensemble(untrained, i) for i in range(2)]
    dense = found[found.method == "dense"].iloc[0]
    assert dense.epsilon_ball == pytest.approx(largest_in_ball(*pair, inputs=4, radius=2.5).distance, rel=0.02)
    assert dense.epsilon_ball_upper == pytest.approx(upper_bound(*pair, radius=2.5, boxes=10), rel=0.02)


def test_by_width_errors_name_the_argument(iris):
    for name in ("seeds", "boxes"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
            approximation.epsilons_by_width(*iris, **{name: 0})
    with pytest.raises(ValueError, match="widths must be an integer of at least 1"):
        approximation.epsilons_by_width(*iris, widths=(4, 0))
    with pytest.raises(ValueError, match="method must be 'ft' or 'pt'"):
        approximation.epsilons_by_width(*iris, widths=(3,), method="snip")


def test_figure_shows_means_intervals_and_the_band(table):
    wider = table.assign(width=18, epsilon_ball=table.epsilon_ball / 2, epsilon_ball_upper=table.epsilon_ball_upper / 3)
    wider.loc[
        (wider.seed == 1) & (wider.method != "dense"), ["removed", "epsilon_ball", "epsilon_ball_upper", "epsilon_test"]
    ] = 0
    table = pd.concat([table, wider])
    ax = epsilon_by_width(table, when="cut")
    assert ax.get_xscale() == ax.get_yscale() == "log"
    lost = table[(table["when"] == "cut") & (table.removed > 0)]
    lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
    assert set(lines) == {*lost.method, "dense, two initialisations"}
    for name, part in lost.groupby("method"):
        np.testing.assert_allclose(lines[name].get_ydata(), part.groupby("width").epsilon_ball.mean())
        of_width = part[part.width == 9].epsilon_ball
        ends = [tuple(line.get_ydata()) for line in ax.lines if len(set(line.get_xdata())) == 1]
        interval = mean_interval(of_width)
        assert any(np.allclose(end, (interval.low, interval.high)) for end in ends)
    upper = lost[lost.method == "random"].groupby("width").epsilon_ball_upper.mean()
    band = ax.collections[list(dict.fromkeys(lost.method)).index("random")].get_paths()[0].vertices
    assert all(np.isclose(band[:, 1], value).any() for value in upper)
    test = epsilon_by_width(table, quantity="epsilon_test")
    assert not test.collections and test.get_title() == "dense and pruned, retrained: 3 of 4 networks lost weights"
    with pytest.raises(ValueError, match="quantity must be one of"):
        epsilon_by_width(table, quantity="epsilon")
    with pytest.raises(ValueError, match="when must be 'retrained' or 'cut'"):
        epsilon_by_width(table, when="other initialisation")
    plt.close("all")
