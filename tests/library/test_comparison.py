"""Oracle: one cell made by hand. Null: a sparsity of 0, where every criterion is the dense network."""

import copy
import itertools
import math

import pandas as pd
import pytest
import small_models
import torch
from scipy import stats
from torch.nn.functional import cross_entropy

import ccprune
from ccprune import training as minibatch
from ccprune._util.batches import Shuffled
from ccprune.comparison import accuracy
from ccprune.mask import ALLOCATIONS, Mask, prunable
from ccprune.scores import magnitude, random
from ccprune.scores.reconstruction import reconstruct

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(240, 8, generator=GENERATOR)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0.5).long()
TRAIN, TEST = (X[:160], Y[:160]), (X[160:], Y[160:])


def make(seed):
    return small_models.mlp((8, 16, 3), seed=seed)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def run(criteria=("magnitude", "random"), **options):
    options = {"sparsities": (0.0, 0.8), "seeds": 2, "before": 2, "after": 2, "batch_size": 32} | options
    return ccprune.compare(make, TRAIN, TEST, optimizer=sgd, criteria=criteria, **options)


@pytest.fixture(scope="module")
def comparison():
    return run(("magnitude", "random", "snip", "causal", "squared_updates"))


def test_one_cell_made_by_hand(comparison):
    model, seen = make(1), []
    optimizer = sgd(model.parameters())

    def epoch(number):
        order = torch.randperm(160, generator=torch.Generator().manual_seed(1_000_003 + number))
        return [(X[rows], Y[rows]) for rows in order.split(32)]

    def train(epochs, mask=None):
        for number in epochs:
            for x, y in epoch(number):
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
                if mask is not None:
                    mask.apply_(model)
                seen.append(number)

    train((0, 1))
    mask = Mask.from_scores(magnitude(model), sparsity=0.8)
    mask.apply_(model)
    train((2, 3), mask)
    rows = comparison.runs.query("method == 'magnitude' and sparsity == 0.8 and seed == 1")
    assert rows.accuracy.tolist() == [(model(TEST[0]).argmax(1) == TEST[1]).double().mean().item()]
    assert rows.achieved.tolist() == [mask.sparsity] and len(seen) == 20


def test_nothing_pruned_is_dense(comparison):
    runs = comparison.runs
    wide = runs[runs.sparsity == 0.0].pivot(index="seed", columns="method", values="accuracy")
    assert (wide.nunique(axis=1) == 1).all()
    table = comparison.table.xs(0.0, level="sparsity").drop(index="magnitude")
    assert (table.difference == 0).all() and (table.p_value == 1).all()


def test_a_criterion_does_not_depend_on_its_company(comparison):
    alone = run(("magnitude",)).runs
    for method in ("magnitude", "dense"):
        picked = [one[one.method == method].reset_index(drop=True) for one in (alone, comparison.runs)]
        assert picked[0].equals(picked[1])


def test_updated_rows_are_corrected_before_they_are_trained_and_change_no_other_row():
    found = run(("random", "wanda"), after=0, reconstruct=["random"], reference="random + update").runs
    other = run(("random", "wanda"), after=0, reference="random").runs
    pd.testing.assert_frame_equal(found[found.method != "random + update"].reset_index(drop=True), other)
    assert [*found.method.unique()] == ["dense", "random", "random + update", "wanda"]
    model = make(1)
    optimizer = sgd(model.parameters())
    orders = [torch.randperm(160, generator=torch.Generator().manual_seed(1_000_003 + i)).split(32) for i in (0, 1)]
    for rows in itertools.chain(*orders):
        optimizer.zero_grad()
        cross_entropy(model(X[rows]), Y[rows]).backward()
        optimizer.step()
    mask = Mask.from_scores(random(model, seed=1), sparsity=0.8)
    expected = [accuracy(reconstruct(copy.deepcopy(model), mask, X), *TEST), accuracy(mask.apply_(model), *TEST)]
    rows = found[(found.seed == 1) & (found.sparsity == 0.8)].set_index("method")
    assert rows.loc[["random + update", "random"], "accuracy"].tolist() == expected
    assert rows.loc["random + update", "achieved"] == mask.sparsity
    nothing = found[found.sparsity == 0.0].pivot(index="seed", columns="method", values="accuracy")
    assert nothing["random + update"].tolist() == nothing["dense"].tolist()
    trained = run(("random",), reconstruct=["random"], reference="random").runs
    assert len(trained.accuracy[(trained.seed == 1) & (trained.sparsity == 0.8)].unique()) > 1


def test_table_is_that_of_the_runs(comparison):
    table, runs = comparison.table, comparison.runs
    values = {m: runs.query(f"method == '{m}' and sparsity == 0.8").accuracy.to_numpy() for m in ("snip", "magnitude")}
    row = table.loc["snip", 0.8]
    assert row["mean"] == pytest.approx(values["snip"].mean()) and row.n == 2
    low, high = stats.t.interval(0.95, 1, values["snip"].mean(), stats.sem(values["snip"]))
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))
    assert row.difference == pytest.approx((values["snip"] - values["magnitude"]).mean())
    assert math.isnan(table.loc["magnitude", 0.8].difference)
    assert "snip" in comparison._repr_html_() and "snip" in str(comparison)


def test_one_seed_has_no_interval_and_a_metric_of_ones_own():
    def largest_weight(model, x, y):
        return max(float(parameter.detach().abs().max()) for parameter in model.parameters())

    found = run(("random",), seeds=1, sparsities=(0.5,), metric=largest_weight, reference="dense", after=0)
    assert list(found.table) == ["n", "mean", "difference"] and found.metric == "largest_weight"
    assert {"low", "p_value"}.isdisjoint(found.table)


def test_picture_has_a_line_per_criterion(comparison):
    pytest.importorskip("matplotlib")
    axes = comparison.plot()
    assert [line.get_label() for line in axes.get_lines()][:2] == ["magnitude", "random"]
    assert axes.get_ylabel().startswith("accuracy")


def test_accuracy_leaves_the_model_in_its_mode():
    model = torch.nn.Sequential(torch.nn.Dropout(0.9), make(0)).train()
    assert accuracy(model, *TEST) == minibatch.evaluate(copy.deepcopy(model), *TEST, normalise=lambda x: x).accuracy
    assert model.training


def test_the_gradual_schedule_prunes_in_three_rounds_to_the_exact_count():
    found = run(("magnitude", "causal"), schedules=("one_shot", "gradual"), sparsities=(0.8,), after=3, seeds=1)
    assert set(found.runs.method) == {"dense", "magnitude", "causal", "magnitude, gradual", "causal, gradual"}
    weights = sum(weight.numel() for weight in prunable(make(0)).values())
    assert ((found.runs.achieved - 0.8).abs() * weights)[found.runs.method != "dense"].max() <= 0.5
    wide = found.runs.set_index("method").accuracy
    assert wide["causal, gradual"] != wide["causal"] or wide["magnitude, gradual"] != wide["magnitude"]


def test_the_allocation_is_that_of_the_masks():
    options = {"seeds": 1, "before": 1, "after": 0, "reference": "magnitude", "sparsities": [0.8]}
    for allocation in ALLOCATIONS:
        runs = run(["magnitude"], allocation=allocation, **options).runs.set_index("method")
        # One epoch on the same mini-batches, by hand.
        model = make(0)
        minibatch.fit(model, Shuffled(*TRAIN, 32, seed=0), epochs=1, optimizer=sgd(model.parameters()))
        mask = ccprune.prune(model, magnitude(model), sparsity=0.8, allocation=allocation)
        assert runs.loc["magnitude", "achieved"] == mask.sparsity
        assert runs.loc["magnitude", "accuracy"] == accuracy(model, *TEST)


def test_a_loader_and_a_loop_of_ones_own_give_what_tensors_give():
    class Ordered:
        """The mini-batches of `Shuffled`, an epoch further each time."""

        def __init__(self):
            self.epoch = 0

        def __iter__(self):
            self.epoch += 1
            return iter(Shuffled(*TRAIN, 32, seed=0)(0))

    def fit(model, optimizer, epochs, recorder, seed):
        minibatch.fit(model, lambda _: iter(Ordered()), epochs=epochs, optimizer=optimizer, recorder=recorder)

    options = {"sparsities": (0.5,), "seeds": 1, "before": 2, "after": 1, "optimizer": sgd, "criteria": ("magnitude",)}
    own = ccprune.compare(make, Ordered(), TEST, fit=fit, **options)
    same = ccprune.compare(make, Ordered(), TEST, **options)
    pd.testing.assert_frame_equal(own.runs, same.runs)


def test_several_metrics_are_measured_on_the_same_networks():
    def error(model, x, y):
        return 1 - accuracy(model, x, y)

    found = run(metric=[accuracy, error])
    pd.testing.assert_series_equal(found.runs.error, 1 - found.runs.accuracy, check_names=False)
    assert found.metric == "accuracy"
    assert found.with_metric("error").table["mean"].iloc[0] == found.runs.error.iloc[0::6].mean()
    with pytest.raises(ValueError, match="metric must be one of"):
        found.with_metric("seed")


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"criteria": ("magnitude", "size")}, ValueError, "criteria must be different names from"),
        ({"criteria": "magnitude"}, ValueError, "criteria must be different names from"),
        ({"criteria": ("random", "random")}, ValueError, "criteria must be different names from"),
        ({"sparsities": (0.5, 1.5)}, ValueError, r"sparsities must be different numbers in \[0, 1\]"),
        ({"sparsities": ()}, ValueError, "sparsities must be"),
        ({"allocation": "layer"}, ValueError, "allocation must be one of .* got 'layer'"),
        ({"reference": "snip"}, ValueError, "reference must be one of"),
        ({"reconstruct": ["snip"]}, ValueError, r"reconstruct must be some of criteria=\('magnitude', 'random'\)"),
        ({"reconstruct": "random"}, ValueError, "reconstruct must be some of"),
        ({"schedules": "gradual"}, ValueError, "schedules must be some of"),
        ({"seeds": 0}, ValueError, "seeds must be an integer of at least 1"),
        ({"before": 0}, ValueError, "before must be an integer of at least 1"),
        ({"recorded": 3}, ValueError, "recorded must be at most before=2, got 3"),
    ],
)
def test_errors_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


@pytest.mark.parametrize(
    "train, error, message",
    [
        ((X, Y[:5]), ValueError, "train must have as many x as y, at least 1, got 240 and 5"),
        ((X[:0], Y[:0]), ValueError, "train must have as many x as y"),
        (X, TypeError, r"train must be a pair \(x, y\), an iterable of batches"),
        ({"x": X}, TypeError, r"train must be a pair \(x, y\), an iterable of batches"),
    ],
)
def test_bad_data_is_named(train, error, message):
    with pytest.raises(error, match=message):
        ccprune.compare(make, train, TEST, optimizer=sgd)


def test_training_that_diverges_says_so():
    with pytest.raises(ValueError, match="training diverged|is nan|is inf"):
        ccprune.compare(make, (X * 1e20, Y), TEST, optimizer=lambda p: torch.optim.SGD(p, lr=1e10))
