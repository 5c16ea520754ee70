"""The page of costs: its interval against the binomial distribution, its memory against stores, and its text."""

import re

import numpy as np
import pytest
import torch
from scipy.stats import binom

from ccprune.lasso import Screen
from ccprune.scores import WeightExponents
from replication.beyond import scale


def test_the_interval_lies_between_the_order_statistics_of_the_binomial_distribution():
    scores, sparsity = np.random.default_rng(0).permutation(1000) + 1.0, 0.9  # a score is its rank
    threshold, low, high = scale.threshold_interval(scores, sparsity)
    assert threshold == 900
    # P(low rank <= number below the threshold < high rank), and no narrower interval of equal tails has 95%.
    assert binom.cdf(low - 1, 1000, sparsity) <= 0.025 < binom.cdf(low, 1000, sparsity)
    assert binom.sf(high - 1, 1000, sparsity) <= 0.025 < binom.sf(high - 2, 1000, sparsity)


@pytest.mark.parametrize("kind", scale.populations(10, seed=0))
def test_intervals_of_samples_hold_the_threshold_of_all_weights(kind):
    population = scale.populations(20_000, seed=3)[kind]
    assert scale.coverage(population, 0.8, sample=500, draws=150, seed=4) >= 0.95 - 3 * (0.05 * 0.95 / 150) ** 0.5


def test_thresholds_of_another_population_are_mostly_missed():
    scores = scale.populations(5_000, seed=3)["magnitudes"]
    _, low, high = scale.threshold_interval(scores, 0.8)
    assert not low <= np.quantile(1.1 * scores, 0.8) <= high
    with pytest.raises(ValueError, match=r"sparsity must lie in \(0, 1\), got 1.0"):
        scale.threshold_interval(scores, 1.0)


def test_stores_hold_the_stated_bytes():
    model = torch.nn.Linear(30, 20)
    exponents, screen = WeightExponents(model, window=scale.WINDOW), Screen()
    generator = torch.Generator().manual_seed(0)
    for _ in range(scale.WINDOW + scale.STRIDE * (scale.WINDOWS - 1)):
        change = {"weight": torch.randn(20, 30, generator=generator) / 100}
        with torch.no_grad():
            model.weight += change["weight"]
        for store in (exponents, screen):
            store.update(torch.randn((), generator=generator, dtype=torch.float64), change)
    columns, _ = exponents.windows()
    assert len(columns) == scale.WINDOWS
    held = sum(part.nbytes for part in (*columns, exponents.state_dict()["_rows"])) / model.weight.numel()
    sums = sum(score.nbytes for score in screen.scores.values()) / model.weight.numel()
    before = model.weight.element_size()  # the recorder's copy
    assert (before + held, before + sums) == (scale.HELD["LEGCNet"], scale.HELD["causal"])


def test_the_page_is_what_the_command_writes():
    def without_coverage(text):
        return re.sub(r"(\| 0\.\d+ \| )[01]\.\d{3}", r"\1", re.sub(r"share of [\d,]+", "", " ".join(text.split())))

    written = scale.PAGE.read_text()
    assert without_coverage(written) == without_coverage(scale.page(draws=2))
