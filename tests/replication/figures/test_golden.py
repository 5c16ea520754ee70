"""Figures against pictures of them (golden/), and what every figure must say; inputs are closed forms, no training.

The pictures hold what stands for data only. `bare` takes out all words and legends, more than `remove_text` does: text
moves with the releases of freetype and matplotlib. What is left is the same to the pixel in matplotlib 3.9, 3.10 and
3.11. The tolerance, an RMS of 0.5 of 255, leaves room for rounding elsewhere; a band that is missing makes 0.9, a
series 2 or more. The words are asked for in letters, below.

After a wanted change: python -m pytest tests/replication/figures/test_golden.py \
--mpl-generate-path=tests/replication/figures/golden, and look.
"""

import itertools
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from replication import figures
from replication.diagnostics.shap_runs import NOISE_FLOOR
from replication.reporting import figure as report

DRAWN = {}
# Levels and names; a network's accuracy falls where 1 / (1 + (d / x)^2) does, d the density where half is lost.
LEVELS = np.array([0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995])
METHODS = ("causal", "lamp", "magnitude", "wanda", "snip", "grasp", "fisher", "random")


def drawn(draw):
    """A figure to be asked about: `draw` fills an Axes of a fixed place."""
    DRAWN[draw.__name__] = draw
    return draw


def figure_of(name, *, size=(6.0, 3.0), place=(0.08, 0.1, 0.86, 0.84)):
    figures.style()
    figure = plt.figure(figsize=size)
    DRAWN[name](figure.add_axes(place))
    return figure


def bare(figure):
    for text in figure.findobj(Text):
        text.set_visible(False)
    for ax in figure.axes:
        if ax.get_legend():
            ax.get_legend().remove()
    return figure


def waves(count, length):
    t = torch.arange(length, dtype=torch.float64) / length
    return torch.stack([torch.sin((i + 1) * t * 3 + i) + 0.3 * i for i in range(count)], dim=1)


@drawn
def weight_series(ax):
    figures.weight_series(waves(9, 200), steps_per_epoch=10, ax=ax)


@drawn
def stretching(ax):
    k = torch.arange(11, dtype=torch.float64)
    curves = torch.stack([-5 + i / 4 + (1 - torch.exp(-k * (i + 1) / 3)) for i in range(5)])
    figures.stretching(curves, labels=[f"weight {i}" for i in range(5)], ax=ax)


@drawn
def exponents_and_risk(ax):
    k = torch.arange(80, dtype=torch.float64)
    figures.exponents_and_risk(1 - torch.exp(-k / 20) + 0.1 * torch.sin(k), torch.exp(-k / 15), label="weight 3", ax=ax)


@drawn
def p_values(ax):
    figures.p_values(torch.logspace(-7, -0.1, 30), ax=ax)


@drawn
def separations(ax):
    t, i = torch.arange(100) / 100, torch.arange(1, 6)[:, None]
    figures.separations(torch.exp(i * t / 2), torch.exp(-i * t), steps_per_epoch=10, ax=ax)


@drawn
def pruned_by_lag(ax):
    figures.pruned_by_lag({1: 25, 2: 24, 3: 20, 8: 9, 20: 2}, weights=42, ax=ax)


@drawn
def by_method(ax):
    parts = [
        pd.DataFrame({"method": name, "accuracy": 0.9 - i / 10 - np.arange(6) ** 2 / 100})
        for i, name in enumerate("abcd")
    ]
    figures.points_by_method(pd.concat(parts), "accuracy", label="test accuracy", ax=ax)


@drawn
def paired_epochs(ax):
    dense = 30 + np.arange(25)
    wide = {"dense": dense, "ft": 100 - dense + 5 * np.cos(dense)}
    parts = [pd.DataFrame({"network": range(25), "method": name, "epochs": v}) for name, v in wide.items()]
    figures.paired_epochs(pd.concat(parts), "ft", budget=100, ax=ax)


@drawn
def differences(ax):
    rows = [
        ("epochs", method, reference, i - j, i - j - 1.5, i - j + 1 + i / 2, 20)
        for i, method in enumerate(("ft", "pt"))
        for j, reference in enumerate(("dense", "random"))
    ]
    columns = ["quantity", "method", "reference", "estimate", "low", "high", "n"]
    figures.differences(pd.DataFrame(rows, columns=columns), "epochs", ax=ax)


@drawn
def rejection_rates(ax):
    ways = ["one_lag", "smallest_p", "bic_lag", "corrected", "augmented", "smallest_p_f", "both"]
    table = pd.DataFrame({way: [0.05 + i / 10, 0.9 - i / 9, 0.3] for i, way in enumerate(ways)}, index=list("abc"))
    figures.rejection_rates(table, n="40 risks of 60 series", ax=ax)


@drawn
def exponent_spread(ax):
    figures.exponent_spread({f"noise {i}": waves(1, 200) * (i + 1) / 4 + i for i in range(3)}, ax=ax)


@drawn
def jaccards(ax):
    table = pd.DataFrame(np.linspace(0, 1, 12).reshape(3, 4), index=list("abc"), columns=list("wxyz"))
    figures.jaccards(table, n="20 trials", ax=ax)


@drawn
def accuracy_against_sparsity(ax):
    rows = [
        (method, seed, level, 0.9 / (1 + (0.004 * (i + 1) / (1 - level)) ** 2) + 0.02 * seed * level)
        for i, method in enumerate((*METHODS, "dense"))
        for seed in range(2)
        for level in LEVELS
    ]
    table = pd.DataFrame(rows, columns=["method", "seed", "level", "test_accuracy"])
    figures.accuracy_against_sparsity(table, marks={"causal": 0.99, "random": 0.93}, ax=ax)


@drawn
def step_prediction(ax):
    x = -(np.linspace(0, 1, 30) ** 2)
    figures.step_prediction(x, {"same mini-batch": x * 1.05, "consecutive": x + 0.3 * np.sin(40 * x)}, ax=ax)


@drawn
def score_agreements(ax):
    names = list("abcd")
    table = pd.DataFrame(np.cos(np.subtract.outer(np.arange(4), np.arange(4))), index=names, columns=names)
    figures.score_agreements(table, n="3 seeds", ax=ax)


@drawn
def selection_frequencies(ax):
    at = np.linspace(0, 1, 2000)
    values = {f"statistic {i}": at ** (i + 1) for i in range(4)}
    figures.selection_frequencies(values, threshold=0.75, ax=ax)


@drawn
def intervals(ax):
    rows = [(f"row {i}", 2.0**i, 1.6**i, 2.5**i, "ab"[i // 3]) for i in range(6)]
    table = pd.DataFrame(rows, columns=["name", "estimate", "low", "high", "group"])
    label = "ratio to the dense network at sparsity 0.9, 95% interval (n = 3 seeds)"
    figures.intervals(table, label=label, reference=1.0, log=True, ax=ax)


@drawn
def loss_slices(ax):
    at = np.linspace(-0.5, 0.5, 11)
    found = {name: (at, [i / 2 + (j + i + 1) * at**2 for j in range(3)]) for i, name in enumerate(METHODS[:4])}
    figures.loss_slices(found, label="loss (nats)", ax=ax)


@drawn
def loss_surface(ax):
    at = np.linspace(-1, 1, 15)
    figures.loss_surface(at, at[:, None] ** 2 + 2 * at**2 + at[:, None] * at, title="dense", top=3.0, ax=ax)


@drawn
def known_answer(ax):
    at = np.linspace(0, 1, 9)
    rows = [(name, s, x, 1 - x ** (8 - i)) for i, name in enumerate(METHODS[:6]) for s in range(2) for x in at]
    curves = pd.DataFrame(rows, columns=["method", "seed", "sparsity", "r2"])
    figures.known_answer(curves, idle=0.5, title="dead", ax=ax)


@drawn
def roc_areas(ax):
    rows = [
        (c, p, (i + 2 * j) / 7, (i + 2 * j) / 8, (i + 2 * j + 0.5) / 7.5, 3)
        for i, c in enumerate(METHODS[:4])
        for j, p in enumerate(("dead", "noise, only"))
    ]
    figures.roc_areas(pd.DataFrame(rows, columns=["criterion", "problem", "auc", "low", "high", "seeds"]), ax=ax)


@drawn
def shap_bars(ax):
    found = {name: np.arange(1, 4) / (i + 2) for i, name in enumerate(METHODS)}
    figures.shap_bars(found, names=("width", "length", "height"), n="10 networks", ax=ax)


@drawn
def shap_agreements(ax):
    at = np.linspace(-1, 1, 8)
    values = {"ft": 0.6 + 0.2 * at, "pt": 0.2 + 0.1 * at, "random": 0.4 * at, NOISE_FLOOR: -0.5 + 0.1 * at}
    parts = [pd.DataFrame({"network": range(8), "method": name, "spearman": v}) for name, v in values.items()]
    figures.shap_agreements(pd.concat(parts), ax=ax)


@drawn
def epsilon_by_width(ax):
    rows = [
        (method, width, seed, "retrained", 1, x * (1 + seed / 4), x * (1 + seed / 4), 2 * x)
        for i, method in enumerate(("pt", "random", "magnitude", "dense"))
        for width in (4, 16, 64)
        for seed in range(3)
        for x in [(i + 1) / width]
    ]
    names = ["method", "width", "seed", "when", "removed", "epsilon_test", "epsilon_ball", "epsilon_ball_upper"]
    figures.epsilon_by_width(pd.DataFrame(rows, columns=names), ax=ax)


@drawn
def time_against_operations(ax):
    rows = [
        (form, work, t, 0.8 * t, 1.5 * t, 20, t / 2)
        for i, form in enumerate(("dense", "masked", "sparse"))
        for work in (0.01, 0.1, 1.0)
        for t in [2 * (1 + i * work)]
    ]
    columns = ["form", "work", "median", "low", "high", "n", "relative"]
    figures.time_against_operations(pd.DataFrame(rows, columns=columns), ax=ax)


@drawn
def spectral_densities(ax):
    values = np.geomspace(0.1, 10, 40)
    row = {"xmin": 0.5, "mp_edge": 4.0, "alpha": 2.5, "alpha_error": 0.2, "measurable": True, "traps": 1.0}
    table = pd.DataFrame(row, index=["fc1.weight"])
    figures.spectral_densities({"fc1.weight": (values, np.sqrt(values[5:]))}, table, axes=[ax])


@drawn
def alphas(ax):
    rows = [
        (layer, method, 2 + i + j, 1.5 + i + j, 2.6 + i + j, 3.0 + j)
        for j, layer in enumerate(("layer 1", "layer 2"))
        for i, method in enumerate(METHODS[:3])
    ]
    columns = ["parameter", "method", "estimate", "low", "high", "published"]
    figures.alphas(pd.DataFrame(rows, columns=columns), n="5 networks", ax=ax)


@drawn
def verdicts(ax):
    rows = [
        {"published": p, "ours": p + d, "ci_low": p + d - 4, "ci_high": p + d + 4, "verdict": verdict, "profile": who}
        for p, (verdict, d) in enumerate(zip(report._MARKS, (0, 3, 9, -9), strict=True))
        for p, who in ((10 * p, "default"), (10 * p + 5, "authors"))
    ]
    report._panel(ax, rows, "epochs")


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.mpl_image_compare(
    baseline_dir="golden",
    style="default",
    backend="agg",
    tolerance=0.5,
    savefig_kwargs={"dpi": 60, "metadata": {"Software": None}},
)
def test_picture(name):
    return bare(figure_of(name))


def test_pictures_are_compared(pytestconfig):
    assert pytestconfig.getoption("--mpl"), "without --mpl pictures are drawn and compared with nothing"


@pytest.fixture(scope="module", params=DRAWN)
def figure(request):
    """A figure with its words, drawn, with room for them."""
    with plt.rc_context():
        figure = figure_of(request.param, size=(10.0, 6.0), place=(0.2, 0.2, 0.45, 0.55))
        figure.set_dpi(100)
        figure.canvas.draw()
        yield figure
        plt.close(figure)


def test_axes_are_labelled_and_say_how_many(figure):
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            ticks = [text.get_text() for text in axis.get_ticklabels()] if axis.get_visible() else []
            # Rows and columns that have names need no label.
            named = any(re.search("[a-z]", tick) and "$" not in tick for tick in ticks)
            assert not ticks or named or axis.get_label_text()
    assert "n = " in " ".join(text.get_text() for text in figure.findobj(Text))


def test_words_stay_in_the_figure_and_legends_clear_of_the_rest(figure):
    for ax in figure.axes:
        axes = [axis.get_tightbbox() for axis in (ax.xaxis, ax.yaxis) if axis.get_visible()]
        titles = [title.get_window_extent() for title in (ax.title, ax._left_title) if title.get_text()]
        legend = [ax.get_legend().get_window_extent()] if ax.get_legend() else []
        for box in filter(None, axes + titles + legend):
            assert figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1)
        for place in legend:
            assert not any(box.overlaps(place) for box in [*axes, *titles, *(ax.bbox for ax in figure.axes)] if box)


def test_samples_in_the_legend_differ_in_grey(figure):
    grey = np.asarray(figure.canvas.buffer_rgba())[..., :3] @ [0.2126, 0.7152, 0.0722]
    for ax in figure.axes:
        samples = []
        for text in ax.get_legend().get_texts() if ax.get_legend() else []:
            box, em = text.get_window_extent(), text.get_fontsize() / 72 * 100
            right, middle = round(box.x0 - 0.7 * em), round(len(grey) - (box.y0 + box.y1) / 2)
            samples.append(grey[middle - 6 : middle + 7, right - 30 : right])
        for sample, other in itertools.combinations(samples, 2):
            assert sample.shape == (13, 30) and np.abs(sample - other).mean() > 3


@pytest.mark.parametrize(("high", "said"), [(0.5, ["0.02", "0.05", "0.1", "0.2", "0.5"]), (50, ["0.1", "1", "10"])])
def test_logarithmic_intervals_have_a_few_numbers(high, said):
    table = pd.DataFrame({"name": ["a"], "estimate": [high / 2], "low": [0.02], "high": [high]})
    ax = figures.intervals(table, label="ratio, 95% interval (n = 3 seeds)", log=True)
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert [text.get_text() for text in ax.get_xticklabels() if low <= text.get_position()[0] <= high] == said
    assert not any(text.get_text() for text in ax.get_xticklabels(minor=True))
    plt.close(ax.figure)


def test_a_table_of_agreements_names_its_quantity_and_starts_at_its_least_value():
    ax = figures.score_agreements(pd.DataFrame(np.eye(2)), label="overlap", low=0.0, n="3 seeds")
    _, bar = ax.figure.axes
    assert bar.get_ylabel() == "overlap\n(n = 3 seeds)" and ax.collections[0].get_clim() == (0, 1)
    plt.close(ax.figure)
