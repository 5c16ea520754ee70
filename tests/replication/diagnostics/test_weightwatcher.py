"""Oracles: matrices built from known eigenvalues, the powerlaw package, NumPy's decomposition, Marchenko and Pastur's
edge in closed form, weightwatcher called by itself. Nulls: random matrices and untrained networks.
"""

import copy
import logging
import os
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn

from ccprune.mask import Mask, prunable
from replication.diagnostics import weightwatcher as subject
from replication.figures import spectra as plots


@pytest.fixture(autouse=True)
def afresh(one_thread):
    torch.manual_seed(0)
    yield
    plt.close("all")


def layer(matrix):
    linear = nn.Linear(matrix.shape[1], matrix.shape[0], dtype=torch.float64)
    linear.weight.data = torch.as_tensor(np.array(matrix))
    return linear


def layers(matrices):
    return nn.Sequential(*map(layer, matrices))


def gaussian(*shape, seed=0, scale=0.1):
    return np.random.default_rng(seed).normal(0, scale, shape)


def with_eigenvalues(values, rows, seed=0):
    """U diag(sqrt(values)) V^T with random orthogonal U and V."""
    left, right = (np.linalg.qr(gaussian(n, len(values), seed=seed))[0] for n in (rows, len(values)))
    return left * np.sqrt(values) @ right.T


def pareto(alpha, count, seed=0):
    """Density ~ x^-alpha from 1 up."""
    return np.random.default_rng(seed).uniform(size=count) ** (-1 / (alpha - 1))


def eigenvalues(matrix):
    return np.sort(np.linalg.svd(matrix, compute_uv=False) ** 2)


def edge(matrix):
    """Of entries with mean 0: variance * (sqrt(N) + sqrt(M))^2."""
    return (matrix**2).mean() * (np.sqrt(matrix.shape[0]) + np.sqrt(matrix.shape[1])) ** 2


def mlp(seed, bias=True):
    """The 784-50-30-10 network as torch initialises it."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(784, 50, bias), nn.Sigmoid(), nn.Linear(50, 30, bias), nn.Sigmoid(), nn.Linear(30, 10, bias)
    )


# alpha


@pytest.mark.parametrize("alpha", [1.8, 2.5, 3.5])
def test_alpha_of_a_pareto_tail_is_recovered_within_its_standard_error(alpha):
    table = subject.summary(layers([with_eigenvalues(pareto(alpha, 150, seed), 180, seed) for seed in range(12)]))
    z = (table.alpha - alpha) / table.alpha_error
    assert (z.abs() < 3).all()
    assert z.abs().median() < 1 and abs(z.mean()) < 0.7
    assert (table.alpha_error < 0.35 * (alpha - 1)).all()


@pytest.mark.parametrize("count", [10, 25, 80])
def test_alpha_is_that_of_the_powerlaw_package(count):
    powerlaw = pytest.importorskip("powerlaw")
    matrices = [with_eigenvalues(pareto(2.0, count, seed), count + 5, seed) for seed in range(4)]
    table = subject.summary(layers(matrices), small_n_correction=False)
    compared = 0
    for matrix, row in zip(matrices, table.itertuples(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = powerlaw.Fit(eigenvalues(matrix), verbose=False)
        if row.alpha < 3 and fit.xmin == pytest.approx(row.xmin):  # powerlaw 2 looks no further than 3
            compared += 1
            assert row.alpha == pytest.approx(fit.power_law.alpha, rel=1e-6)
            assert row.ks_distance == pytest.approx(fit.power_law.D, rel=1e-6)
            assert row.in_tail == (eigenvalues(matrix) >= fit.xmin * (1 - 1e-9)).sum()
    assert compared >= 3


def test_below_20_eigenvalues_alpha_is_corrected_or_not():
    matrices = [gaussian(30, count, seed=count) for count in (10, 19, 20)]
    tables = {kind: subject.summary(layers(matrices), small_n_correction=kind) for kind in (True, False)}
    for i, matrix in enumerate(matrices):
        for corrected, table in tables.items():
            row = table.iloc[i]
            tail = eigenvalues(matrix)[-row.in_tail :]
            count = len(tail) - (corrected and len(matrix.T) < 20)
            assert row.alpha == pytest.approx(1 + count / np.log(tail / tail[0]).sum())
            assert row.xmin == pytest.approx(tail[0])
            assert row.alpha_error == pytest.approx((row.alpha - 1) / np.sqrt(len(tail)))
    assert tables[True].in_tail.iloc[0] >= 8 > tables[False].in_tail.iloc[0]
    pd.testing.assert_series_equal(tables[True].iloc[2], tables[False].iloc[2])
    assert abs(tables[True].alpha.iloc[0] - tables[False].alpha.iloc[0]) > 0.3


def test_untrained_layers_are_often_called_well_trained():
    tables = [subject.summary(mlp(seed)) for seed in range(10)]
    inside = pd.DataFrame([table.alpha.between(2, 6) for table in tables]).mean()
    assert inside["2.weight"] >= 0.6 and inside["4.weight"] >= 0.3
    assert inside["0.weight"] <= 0.3  # 784 x 50: too narrow a spectrum, alpha far above 6
    assert (pd.concat(tables).traps.isna()).all()


# norms and spectra


def test_norms_are_those_of_numpy():
    matrix = gaussian(40, 25)
    row = subject.summary(layer(matrix)).loc["weight"]
    assert row.log_norm == pytest.approx(np.log10(np.linalg.norm(matrix) ** 2))
    assert row.log_spectral_norm == pytest.approx(2 * np.log10(np.linalg.norm(matrix, 2)))
    assert row.alpha_weighted == pytest.approx(row.alpha * row.log_spectral_norm)
    assert (row.eigenvalues, row.fitted, row.min_evals, row.measurable, row.why) == (25, 25, 10, True, "")


@pytest.mark.parametrize("shape", [(7, 12), (12, 7), (4, 3, 5), (3, 6, 2, 3), (2, 3, 2, 2, 2)])
def test_spectrum_is_numpys(shape, device):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    found = subject.spectrum(weight)
    assert found.dtype == torch.float64 and found.device == weight.device
    slices = weight.cpu().double().numpy().reshape(shape[0], shape[1], -1)
    expected = np.concatenate([eigenvalues(slices[:, :, k]) for k in range(slices.shape[2])])
    expected = np.sort(expected) * (0.5 if len(shape) > 2 else 1)
    np.testing.assert_allclose(found.cpu(), expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(7, 12), (3, 6, 2, 3)])
def test_randomised_spectrum_permutes_within_each_kernel_position(shape, device):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    before = weight.clone()
    found = subject.randomised_spectrum(weight, seed=3)
    assert torch.equal(weight, before) and found.device == weight.device
    assert torch.equal(found, subject.randomised_spectrum(weight, seed=3))
    assert torch.allclose(found.cpu(), subject.randomised_spectrum(weight.cpu(), seed=3))
    assert not torch.allclose(found, subject.randomised_spectrum(weight, seed=4))
    own = subject.spectrum(weight)
    assert len(found) == len(own) and not torch.allclose(found, own)
    assert found.sum() == pytest.approx(float(own.sum()))
    with torch.no_grad():  # one position has all the weight: permuting within it moves none elsewhere
        alone = torch.zeros(4, 3, 5)
        alone[:, :, 2] = 1.0
    assert int((subject.randomised_spectrum(alone, seed=0) > 1e-9).sum()) == 1


def test_the_randomised_spectrum_shows_correlations_and_nothing_else():
    rng = np.random.default_rng(0)
    noise = gaussian(200, 60)
    correlated = noise + 0.1 * rng.normal(size=(200, 2)) @ rng.normal(size=(2, 60))
    for matrix, spikes in ((noise, 0), (correlated, 2)):
        own, permuted = (
            subject.spectrum(torch.as_tensor(matrix)),
            subject.randomised_spectrum(torch.as_tensor(matrix), seed=0),
        )
        assert int((own > 1.1 * edge(matrix)).sum()) == spikes
        assert int((permuted > 1.1 * edge(matrix)).sum()) == 0
        assert (ks_2samp(own, permuted).pvalue > 0.2) == (spikes == 0)
    assert subject.summary(layer(correlated), seed=0).traps.item() == 0.0


# traps


def test_random_matrices_have_no_traps_and_marchenko_and_pasturs_edge():
    matrices = [gaussian(150, 30, seed=1), gaussian(40, 30, seed=2), gaussian(120, 110, seed=3)]
    table = subject.summary(layers(matrices), seed=0)
    assert (table.traps <= 0.2).all() and table.traps.sum() <= 0.2
    np.testing.assert_allclose(table.mp_edge.astype(float), [edge(matrix) for matrix in matrices], rtol=0.1)


def test_the_edge_of_a_convolution_is_that_of_one_kernel_position():
    conv = nn.Conv2d(40, 20, 2)
    found = subject.summary(conv, seed=0).mp_edge.item()
    assert found == pytest.approx(edge(conv.weight[:, :, 0, 0].detach().numpy()) / 2, rel=0.1)


def test_a_large_entry_is_a_trap_and_so_is_a_mean():
    few, many, shifted = gaussian(60, 20), gaussian(130, 110), gaussian(60, 20) + 0.1
    few[3, 5] = many[3, 5] = 4.0  # five permutations of the one, one of the other
    table = subject.summary(layers([few, many, shifted]), seed=1)
    assert table.traps.tolist() == [1.0, 1.0, 1.0]


def test_sparsity_alone_gives_traps():
    sparse = gaussian(60, 30)
    sparse[np.random.default_rng(0).random(sparse.shape) < 0.95] = 0
    assert subject.summary(layer(sparse), min_evals=5, seed=0).traps.item() > 1


def test_where_no_edge_can_be_fitted_there_are_no_traps():
    conv = nn.Conv1d(1, 2, 2000)  # one kernel position outweighs the others
    with torch.no_grad():
        conv.weight[:] = torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(0)) * 1e-3 + 1
        conv.weight[..., 7] = 90.0
    row = subject.summary(conv, seed=0).iloc[0]
    assert row.measurable and row.traps is pd.NA and row.mp_edge is pd.NA


# which layers


def test_layers_too_small_are_reported():
    model = mlp(0).append(nn.Linear(10, 3)).append(nn.Conv2d(3, 1, 1))
    table = subject.summary(model)
    assert list(table.index) == list(prunable(model))
    assert table.measurable.tolist() == [True, True, True, False, False]
    assert table.eigenvalues.tolist() == [50, 30, 10, 3, 1]
    assert table.why["5.weight"] == "3 of 3 eigenvalues are above 1e-05, fewer than 10"
    assert table.loc["5.weight", "alpha":"traps"].isna().all()
    assert not table.drop(columns=["mp_edge", "traps"]).iloc[:3].isna().any().any()
    lowered = subject.summary(model, min_evals=3)
    assert lowered.measurable.tolist() == [True, True, True, True, False]
    assert (lowered.min_evals == 3).all() and (table.min_evals == subject.MIN_EVALS).all()
    small = lowered.loc["5.weight"]
    assert 1 < small.alpha < np.inf and small.alpha_error == pytest.approx((small.alpha - 1) / np.sqrt(small.in_tail))


def test_eigenvalues_that_are_zero_are_not_fitted():
    matrices = [np.zeros((20, 12)), gaussian(20, 12), gaussian(20, 12, scale=1e-4)]
    matrices[1][:, :4] = 0
    table = subject.summary(layers(matrices))
    assert table.eigenvalues.tolist() == [12, 12, 12]
    assert table.fitted.tolist() == [0, 8, 0] and not table.measurable.any()
    assert table.why.iloc[1] == "8 of 12 eigenvalues are above 1e-05, fewer than 10"


@pytest.mark.parametrize("correction", [True, False])
def test_equal_eigenvalues_have_no_tail(correction):
    matrices = [np.eye(12), np.eye(25), with_eigenvalues(np.ones(25), 40)]
    table = subject.summary(layers(matrices), small_n_correction=correction)
    assert table.why.tolist() == ["no tail: the eigenvalues from xmin up are equal"] * 3
    assert not table.measurable.any() and table.alpha.isna().all()


def test_pruned_weights_are_zeros_of_the_matrix():
    model = mlp(1)
    scores = {name: weight.detach().abs() for name, weight in prunable(model).items()}
    Mask.from_scores(scores, sparsity=0.6).apply_(model)
    table = subject.summary(model)
    for name, weight in prunable(model).items():
        matrix = weight.detach().double().numpy()
        assert (matrix == 0).any()
        assert table.eigenvalues[name] == min(matrix.shape)
        assert table.log_norm[name] == pytest.approx(np.log10((matrix**2).sum()))
        assert table.log_spectral_norm[name] == pytest.approx(np.log10(eigenvalues(matrix)[-1]))


CONVOLUTIONS = {
    "odd": (5, 9, 3),
    "even, more inputs": (9, 5, 2),
    "one output": (8, 1, 4),
    "kernel larger than channels": (2, 3, 5),
    "depthwise": (16, 16, 5, 1, 0, 1, 16),
}


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU weightwatcher by itself reads float16")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_as_weightwatcher_by_itself_has_them(name):
    conv = nn.Conv2d(*CONVOLUTIONS[name])
    row = subject.summary(conv).iloc[0]
    with subject._quietly(0):
        import weightwatcher

        expected = weightwatcher.WeightWatcher().analyze(model=copy.deepcopy(conv), min_evals=10).iloc[0]
    assert row.eigenvalues == len(subject.spectrum(conv.weight))
    assert row.alpha == pytest.approx(expected.alpha, rel=1e-4)
    assert row.log_norm == pytest.approx(expected.log_norm, abs=1e-6)
    assert row.log_norm == pytest.approx(float(subject.spectrum(conv.weight).sum().log10()))
    assert row.log_spectral_norm == pytest.approx(float(subject.spectrum(conv.weight)[-1].log10()))


def test_convolutions_of_other_dimensions_are_measured_like_those_of_two():
    one, three = nn.Conv1d(6, 4, 5), nn.Conv3d(6, 4, (1, 5, 1))
    two = nn.Conv2d(6, 4, (5, 1))
    for conv in (one, three):
        conv.weight.data = two.weight.data.reshape(conv.weight.shape)
    table = subject.summary(nn.Sequential(one, two, three))
    assert table.measurable.all() and table.eigenvalues.tolist() == [20] * 3
    assert table.alpha.nunique() == table.log_norm.nunique() == 1


def test_a_convolution_of_one_input_and_one_output_is_reported():
    table = subject.summary(nn.Conv2d(1, 1, 5))
    assert table.why.tolist() == ["weightwatcher leaves out layers with one input and one output"]


def test_the_seed_counts_but_not_precision_or_device(device):
    model = nn.Linear(20, 12)
    expected = subject.summary(model, seed=0)
    pd.testing.assert_frame_equal(subject.summary(copy.deepcopy(model).to(device).double(), seed=0), expected)
    assert (subject.summary(model, seed=1).mp_edge != expected.mp_edge).all()
    finer = copy.deepcopy(model).to(device).double()
    with torch.no_grad():
        finer.weight += 1e-10  # float32 would lose it
    assert abs(subject.summary(finer).log_norm - expected.log_norm).item() > 1e-13


# what is left behind


def test_nothing_is_left_behind(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Linear(20, 12), nn.Dropout(), nn.Linear(12, 5)).double()
    model[1].eval()
    state, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    attributes = [set(vars(module)) for module in model.modules()]
    for name in [name for name in sys.modules if name.split(".")[0] == "weightwatcher"]:
        monkeypatch.delitem(sys.modules, name)  # its import is what sets logging up
    root, figures = logging.getLogger(), logging.getLogger("matplotlib")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.ERROR)
    monkeypatch.setattr(figures, "level", logging.NOTSET)
    np.random.seed(7)
    numbers, torchs, filters = np.random.get_state()[1].copy(), torch.get_rng_state(), list(warnings.filters)

    subject.summary(model, seed=0)

    assert (root.handlers, root.level, figures.level) == ([], logging.ERROR, logging.NOTSET)
    assert not logging.getLogger("weightwatcher").disabled
    assert (np.random.get_state()[1] == numbers).all() and torch.equal(torch.get_rng_state(), torchs)
    assert warnings.filters == filters
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == [] and plt.get_fignums() == []
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert attributes == [set(vars(module)) for module in model.modules()]
    assert sys.modules["weightwatcher.WW_powerlaw"].SMALL_N_CUTOFF == 20


def broken():
    model = mlp(0)
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: subject.summary(broken()), "model's '2.weight' must be finite"),
        (lambda: subject.summary(mlp(0), min_evals=1), "min_evals must be an integer of at least 2, got 1"),
        (lambda: subject.summary(mlp(0), seed=-1), "seed must be an integer of at least 0, got -1"),
        (lambda: subject.summary(nn.ReLU()), "model has no prunable weights"),
        (lambda: subject.spectrum(torch.ones(3)), r"weight must have at least 2 dimensions, got shape \(3,\)"),
        (lambda: subject.randomised_spectrum(torch.ones(3, 3), seed=-1), "seed must be an integer of at least 0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# figures


def test_spectral_densities_draw_every_layer():
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 3))
    with torch.no_grad():
        model[0].weight[:5] = 0
    table = subject.summary(model, seed=0)
    pairs = {
        name: (subject.spectrum(weight), subject.randomised_spectrum(weight, seed=0))
        for name, weight in prunable(model).items()
    }
    axes = plots.spectral_densities(pairs, table)
    assert [ax.get_title("left") for ax in axes] == list(pairs)
    for ax, row in zip(axes, table.itertuples(), strict=True):
        drawn = [
            line.get_xdata()[0] for line in ax.lines if line.get_label() in ("xmin of alpha", "Marchenko-Pastur edge")
        ]
        assert drawn == ([np.log10(row.xmin), np.log10(row.mp_edge)] if row.measurable else [])
        assert f"alpha {row.alpha:.2f}" in ax.get_xlabel() if row.measurable else "not measurable" in ax.get_xlabel()
    assert axes[0].get_legend_handles_labels()[1][0] == "as it is (and 5 of 0)"
    ticks = [line for line in axes[0].lines if line.get_marker() == "|"]
    assert [len(line.get_xdata()) for line in ticks] == [15, 20]
    with pytest.raises(ValueError, match="axes must be as many as spectra, 2, got 1"):
        plots.spectral_densities(pairs, table, axes=axes[:1])
    with pytest.raises(ValueError, match=r"spectra\['0.weight'\] must have an eigenvalue above 0"):
        plots.spectral_densities({"0.weight": (np.zeros(3), np.zeros(3))}, table)


def test_alphas_draws_what_there_is():
    columns = ["parameter", "method", "estimate", "low", "high", "published"]
    rows = [
        ("fc1", "dense", 3.0, 2.5, 3.5, 2.2),
        ("fc1", "ft", 4.0, 3.9, 4.4, None),
        ("fc2", "dense", pd.NA, pd.NA, pd.NA, 1.5),
    ]
    ax = plots.alphas(pd.DataFrame(rows, columns=columns))
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}
    assert drawn["dense"] == [3.0] and drawn["ft"] == [4.0] and "published" in drawn
    ends = [segment[:, 1].tolist() for collection in ax.collections for segment in collection.get_segments()]
    assert ends == [[2.5, 3.5], [3.9, 4.4]]
    assert [text.get_text() for text in ax.texts] == ["not measurable"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["fc1", "fc2"]
    assert ax.patches[0].get_y() == 2 and ax.patches[0].get_height() == 4
