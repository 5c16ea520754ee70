"""What the figures draw, read back from their Axes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ccprune.stats import mean_interval
from replication.diagnostics.shap_runs import NOISE_FLOOR
from replication.figures import explanations


@pytest.fixture
def ax():
    figure, axes = plt.subplots(1, 2)
    yield axes[1]
    plt.close(figure)


def test_beeswarm_has_a_dot_for_each_sample_and_leaves_the_random_numbers_alone(ax):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 3)) * [0.1, 3.0, 1.0]
    state = np.random.get_state()[1].copy()
    drawn = explanations.beeswarm(values, rng.standard_normal((40, 3)), names=("a", "b", "c"), label="output 0", ax=ax)
    assert drawn is ax and (np.random.get_state()[1] == state).all()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "c", "b"]  # from the bottom up
    assert "output 0" in ax.get_xlabel()
    dots = [np.asarray(dots.get_offsets()) for dots in ax.collections if len(dots.get_offsets()) == 40]
    assert len(dots) == 3
    for row, column in enumerate((0, 2, 1)):
        at = next(found for found in dots if abs(found[:, 1].mean() - row) < 0.3)
        assert np.sort(at[:, 0]) == pytest.approx(np.sort(values[:, column]))


def test_bars_are_as_long_as_the_importance_and_sorted_by_the_first_method(ax):
    importances = {f"method {i}": np.array([0.2, 0.5, 0.1]) + 0.01 * i for i in range(8)}
    assert explanations.bar(importances, names=("a", "b", "c"), ax=ax) is ax
    assert [text.get_text() for text in ax.get_yticklabels()] == ["c", "a", "b"]
    assert len(ax.containers) == 8
    for i, bars in enumerate(ax.containers):
        assert [bar.get_width() for bar in bars] == pytest.approx(np.array([0.1, 0.2, 0.5]) + 0.01 * i)
        assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx(
            [r + 0.35 - 0.1 * i for r in range(3)]
        )
    looks = {(bars[0].get_facecolor(), bars[0].get_hatch()) for bars in ax.containers}
    assert len(looks) == 8  # there are only seven colours


def test_agreements_show_means_with_intervals_and_the_noise_floor(ax):
    rng = np.random.default_rng(0)
    values = {
        "ft": rng.uniform(0.7, 0.9, 12),
        "random": rng.uniform(0.4, 0.9, 12),
        NOISE_FLOOR: rng.uniform(0, 0.5, 12),
    }
    parts = [pd.DataFrame({"network": range(12), "method": name, "kendall": found}) for name, found in values.items()]
    drawn = explanations.agreements(pd.concat(parts), quantity="kendall", label="Kendall's tau", ax=ax)
    assert drawn is ax and "12 initialisations" in ax.get_xlabel() and "Kendall's tau" in ax.get_xlabel()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["random", "ft"]
    lines = {tuple(line.get_xdata()) for line in ax.lines}
    for name in ("ft", "random"):
        interval = mean_interval(values[name])
        assert {(interval.low, interval.high), (interval.estimate,), tuple(values[name])} <= lines
    floor = mean_interval(values[NOISE_FLOOR])
    assert (floor.estimate, floor.estimate) in lines
    band = ax.patches[0].get_bbox()
    assert (band.x0, band.x1) == pytest.approx((floor.low, floor.high))
