"""`ccprune.pilot` as a whole, on a small table: the page, the stored units, and what is refused before any training."""

import copy
import functools
import json
import re
import sys

import cloudpickle
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import ccprune
from ccprune import export
from ccprune._pilot import OutOfTime, _runs
from ccprune._pilot._metrics import accuracy

TIMES = ["seconds_dense", "seconds_exported", "seconds_to_dense", "speed", "speed_low", "speed_high", "price"]
TIMES += ["joules_dense", "joules_exported"]


def planted(count=400, *, signal=3.0, seed=0):
    """Two classes, told apart by 2 of 12 features, or by none."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = torch.randn(count, 12, generator=generator)
    x[:, :2] += signal * (y[:, None] - 0.5)
    return x, y


def make(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 2))


def settings(folder, **changed):
    x, y = planted()
    return {
        "make": make,
        "train": (x[:200], y[:200]),
        "validation": (x[200:300], y[200:300]),
        "test": (x[300:], y[300:]),
        "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
        "criteria": ("magnitude", "causal", "random"),
        "sparsities": (0.5, 0.9),
        "schedules": ("one_shot",),
        "seeds": 2,
        "before": 6,
        "recorded": 1,
        "after": 2,
        "batch_size": 50,
        "folder": folder,
        "progress": False,
    } | changed


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot")
    return ccprune.pilot(**settings(folder / "page", schedules=("one_shot", "gradual")))


def test_the_page_and_its_numbers_agree(finished):
    stored = json.loads((finished.folder / "pilot.json").read_text())
    assert stored["recommendation"]["answer"] == finished.recommendation.answer
    page = (finished.folder / "index.html").read_text()
    assert finished.sentence in page and all(sentence in page for sentence in stored["sentences"])
    table = pd.read_csv(finished.folder / "table.csv")
    assert len(table) == 1 + 3 * 2 * 2 == len(finished.table)
    pd.testing.assert_series_equal(table["validation"], finished.table["validation"].reset_index(drop=True))
    for name in ("panels.svg", "layers.svg"):
        assert (finished.folder / name).read_text().startswith("<?xml")


def test_every_network_has_its_exact_sparsity_and_every_measure(finished):
    runs = finished.runs[finished.runs["method"] != "dense"]
    assert len(runs) == 2 * 12
    weights = 12 * 24 + 24 * 2
    assert ((runs["achieved"] - runs["sparsity"]).abs() * weights <= 0.5 + 1e-9).all()
    measures = finished.table[["validation", "test", "macs", "file", "agreement", "top_k"]]
    assert measures.notna().all().all()
    assert finished.table["speed"].notna().sum() == 12  # all but dense
    assert (finished.table.loc["dense"]["macs"] == 1).all()
    assert (finished.table["macs"].drop("dense", level="method") < 0.6).all()


def test_the_reasons_name_every_weight_with_its_rank_and_threshold(finished):
    table = pd.read_parquet(finished.folder / "reasons.parquet")
    assert len(table) == 12 * 24 + 24 * 2
    assert table.loc[table["kept"], "score"].min() >= table["threshold"].iloc[0]
    assert table.loc[~table["kept"], "score"].max() <= table["threshold"].iloc[0]
    assert sorted(table["rank"]) == list(range(1, len(table) + 1))
    assert table["kept"].sum() == (table["rank"] <= table["kept"].sum()).sum()


def test_the_planted_table_is_pruned_and_noise_is_not(finished, tmp_path):
    # 2 of 12 features matter: at most a sixth of the first layer's weights is needed.
    assert finished.recommendation.answer == "prune" and finished.recommendation.sparsity == 0.9
    x, y = planted(signal=0.0)
    parts = {"train": (x[:200], y[:200]), "validation": (x[200:300], y[200:300]), "test": (x[300:], y[300:])}
    noise = ccprune.pilot(**settings(tmp_path / "noise", seeds=3, criteria=("magnitude",), **parts))
    assert noise.recommendation.answer == "nothing_learned"
    assert not noise.recommendation.better


def test_a_pilot_that_was_interrupted_gives_the_same_numbers(tmp_path, monkeypatch):
    whole = ccprune.pilot(**settings(tmp_path / "whole"))
    branch, calls = _runs.branch, []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt
        return branch(*args, **kwargs)

    monkeypatch.setattr(_runs, "branch", failing)
    for _ in range(20):
        try:
            parts = ccprune.pilot(**settings(tmp_path / "parts"))
            break
        except KeyboardInterrupt:
            pass
    assert len(calls) > 14  # it was interrupted, and went on
    columns = [name for name in whole.runs if name not in TIMES]
    pd.testing.assert_frame_equal(parts.runs[columns], whole.runs[columns])
    assert parts.recommendation == whole.recommendation


def test_two_workers_give_the_numbers_of_one(tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test
    one = ccprune.pilot(**settings(tmp_path / "one", criteria=("magnitude",)))
    two = ccprune.pilot(**settings(tmp_path / "two", criteria=("magnitude",), workers=2))
    columns = [name for name in one.runs if name not in TIMES]
    pd.testing.assert_frame_equal(two.runs[columns], one.runs[columns])


def test_time_that_ends_leaves_units_from_which_the_next_call_goes_on(tmp_path):
    with pytest.raises(OutOfTime, match="0 of 8 units are stored"):
        ccprune.pilot(**settings(tmp_path / "page", criteria=("magnitude", "random", "causal"), seeds=1, seconds=0.0))
    found = ccprune.pilot(**settings(tmp_path / "page", seeds=1))
    assert found.recommendation.answer == "unknown"


def test_a_dry_run_stores_nothing(tmp_path):
    assert ccprune.pilot(**settings(tmp_path / "page", dry_run=True)) > 0
    assert not (tmp_path / "page").exists()


def test_other_settings_do_not_take_the_stored_units(tmp_path):
    first = ccprune.pilot(**settings(tmp_path / "page", criteria=("magnitude",)))
    other = ccprune.pilot(**settings(tmp_path / "page", criteria=("magnitude",), before=7))
    assert first.table["validation"].tolist() != other.table["validation"].tolist()


def test_functions_are_known_by_what_they_do(tmp_path, monkeypatch):
    x, y = planted()
    started, starts = _runs.start, []
    monkeypatch.setattr(_runs, "start", lambda *args: starts.append(1) or started(*args))
    generator = torch.Generator()

    def call(power, **changed):
        loader = DataLoader(TensorDataset(x[:200], y[:200]), batch_size=50, shuffle=True, generator=generator)
        metric = functools.partial(
            lambda model, x, y, power: (model(x).argmax(1) == y).double().mean() ** power, power=power
        )
        options = {"train": loader, "metric": metric, "margin": 0.1, "criteria": ("magnitude",), "seeds": 1}
        return ccprune.pilot(**settings(tmp_path, **options | {"sparsities": (0.5,), "before": 1} | changed)).table

    first = call(1)
    pd.testing.assert_frame_equal(call(1), first)  # the same function, loader and generator, in another state
    assert len(starts) == 1
    assert call(2)["validation"].iloc[0] != first["validation"].iloc[0]
    both = call(1, criteria=("magnitude", "random"))  # the stored network has no scores of the second
    assert both.loc["magnitude"]["validation"].item() == first.loc["magnitude"]["validation"].item()


def test_networks_whose_metric_overflows_are_the_worst_and_do_not_end_the_pilot(tmp_path):
    def perplexity(model, x, y):
        empty = (model[0].weight == 0).double().mean()
        return float("nan") if empty > 0.7 else (model(x).argmax(1) != y).double().mean()

    options = {"metric": perplexity, "better": "smaller", "margin": 1.0, "criteria": ("magnitude",)}
    found = ccprune.pilot(**settings(tmp_path / "page", **options))
    assert (found.recommendation.answer, found.recommendation.sparsity) == ("prune", 0.5)
    assert found.table.loc["magnitude", "one_shot", 0.9]["validation"] == float("inf")


def test_loaders_own_loops_and_own_metrics_are_taken(tmp_path):
    x, y = planted()
    loader = DataLoader(TensorDataset(x[:200], y[:200]), batch_size=50, shuffle=True)

    def fit(model, optimizer, epochs, recorder, seed):
        torch.manual_seed(seed)
        for _ in range(epochs):
            for part, labels in loader:
                loss = cross_entropy(model(part), labels)
                optimizer.zero_grad()
                loss.backward()
                if recorder is not None:
                    recorder.before_step(loss)
                optimizer.step()
                if recorder is not None and recorder.pairing == "same_batch":
                    recorder.after_step(cross_entropy(model(part), labels).detach())

    def error(model, x, y):
        return (model(x).argmax(1) != y).double().mean()

    options = {"fit": fit, "train": loader, "metric": error, "better": "smaller", "margin": 0.05}
    found = ccprune.pilot(**settings(tmp_path / "page", criteria=("causal",), **options))
    assert found.table.loc["dense"]["validation"].item() < 0.2
    for row in found.runs.to_dict("records"):
        goal = next(one[-1] for one in found.runs.query(f"seed == {row['seed']}")["before"].dropna())
        reached = [epoch for epoch, value in enumerate(row["curve"], 1) if value <= goal]
        assert row["epochs_to_dense"] == (reached[0] if reached else None) or not reached
    assert found.recommendation.answer in ("prune", "do_not_prune")


def test_a_single_sample_that_is_left_over_does_not_break_batch_norm(tmp_path):
    def normed(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    loader = DataLoader(TensorDataset(X[:151], Y[:151]), batch_size=50, shuffle=True)
    small = {"make": normed, "criteria": ("causal",), "sparsities": (0.5,), "seeds": 1, "before": 1}
    found = ccprune.pilot(**settings(tmp_path / "page", train=loader, **small))
    assert found.table["validation"].notna().all()


@pytest.mark.parametrize(
    ("samples", "recorded", "schedule", "expected"),
    [
        (378, 2, "one_shot", False),  # 378 steps, but only 376 records
        (382, 2, "one_shot", True),
        (382, 2, "gradual", False),  # which records one epoch for each new score
        (755, 1, "gradual", False),  # 378 mini-batches, but 377 steps, because a single sample is left over
    ],
)
def test_legcnet_is_a_default_criterion_only_if_the_records_suffice(samples, recorded, schedule, expected, tmp_path):
    small = {"batch_size": 2, "schedules": (schedule,), "sparsities": (0.5,), "seeds": 1, "criteria": None}
    epochs = {"before": recorded, "recorded": recorded}
    found = ccprune.pilot(**settings(tmp_path / "page", train=planted(samples), **small, **epochs))
    assert ("legcnet" in set(found.runs["method"])) == expected


def test_trained_weights_are_pruned_and_the_page_says_what_the_seeds_change(tmp_path):
    trained = make(0)
    optimizer = torch.optim.Adam(trained.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(trained(GOOD[0]), GOOD[1]).backward()
        optimizer.step()
    options = {"make": lambda seed: copy.deepcopy(trained), "pretrained": True, "before": 1, "criteria": ("magnitude",)}
    found = ccprune.pilot(**settings(tmp_path / "page", **options))
    assert found.recommendation.answer == "prune"
    assert "begin from the same trained weights" in (found.folder / "index.html").read_text()
    first, second = found.runs[found.runs["method"] == "dense"]["importance"]
    assert first != second  # the order of the samples differs


def test_what_is_recommended_is_stored_as_a_network(finished):
    found, model = finished.recommendation, make(0)
    mask = export.load(finished.folder / "pruned.safetensors", model)
    assert mask.sparsity == pytest.approx(found.sparsity, abs=1 / mask.total)
    validation = settings(None)["validation"]
    row = finished.runs.query("seed == 0 and method == @found.method and schedule == @found.schedule")
    assert accuracy(model, *validation) == row.set_index("sparsity")["validation"][found.sparsity]


def test_planted_weights_are_what_is_left(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 20, generator=generator)
    y = x[:, :2].sum(1, keepdim=True) + 0.1 * torch.randn(400, 1, generator=generator)
    cuts = {"train": slice(200), "validation": slice(200, 300), "test": slice(300, 400)}
    options = {name: (x[rows], y[rows]) for name, rows in cuts.items()} | {"criteria": ("magnitude", "causal")}
    options |= {"sparsities": (0.5, 0.8, 0.9, 0.95), "optimizer": lambda p: torch.optim.Adam(p, lr=0.05), "before": 20}

    def linear(seed):
        torch.manual_seed(seed)
        return nn.Linear(20, 1)

    found = ccprune.pilot(**settings(tmp_path / "page", make=linear, **options)).recommendation
    assert (found.answer, found.sparsity) == ("prune", 0.9)  # 2 of 20 weights matter


def test_regression_tables_need_no_model(tmp_path):
    x, _ = planted()
    table = pd.DataFrame(x.numpy()).rename(columns=str).assign(target=(x[:, 0] - 2 * x[:, 1]).numpy())
    options = {"train": table, "target": "target", "validation": None, "test": None, "make": None}
    found = ccprune.pilot(**settings(tmp_path / "page", criteria=("magnitude",), before=20, **options))
    assert found.table.loc["dense"]["validation"].item() > 0.8  # R squared


def test_the_page_is_japanese_on_request(tmp_path):
    found = ccprune.pilot(**settings(tmp_path / "page", criteria=("magnitude",), language="ja"))
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert '<html lang="ja">' in page and "枝刈り" in found.sentence
    assert not re.search(r"\{\w+[:}]|\$\w", page)  # no place that was not filled


X, Y = planted()
GOOD = (X[:200], Y[:200])
SAME = make(0)
LOADER = DataLoader(TensorDataset(*GOOD), batch_size=50)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": (X[:200] * float("nan"), Y[:200])}, "train must be finite"),
        ({"validation": (X[:50][Y[:50] == 0], Y[:50][Y[:50] == 0])}, "validation must have samples of every class"),
        ({"validation": (X[:50], Y[:49])}, "validation must have as many x as y"),
        ({"validation": None}, "validation must be given"),
        ({"make": lambda seed: make(0)}, "make must use its seed"),
        ({"make": lambda seed: nn.Linear(12, 2)}, "make must return the same model"),
        ({"make": lambda seed: "model"}, "make must return a Module"),
        ({"make": lambda seed: SAME, "pretrained": True}, "make must return a new model"),
        ({"make": lambda seed: make(0), "pretrained": True, "train": LOADER}, "train must be shuffled"),
        ({"train": (X[:200].to(torch.complex64), Y[:200])}, "train must be real, got torch.complex64"),
        ({"make": None}, "make must be given"),
        (
            {"optimizer": lambda p: torch.optim.SGD(p, lr=1e20)},
            "loss, optimizer must fit, but a trial failed.*diverged",
        ),
        ({"criteria": ("magnitudes",)}, "name must be one of"),
        ({"sparsities": (0.5, 1.5)}, "sparsities must be"),
        ({"schedules": ("slow",)}, "schedules must be"),
        ({"recorded": 9}, "recorded must be at most before"),
        ({"metric": lambda model, x, y: 1.0}, "margin must be given"),
        ({"better": "smaller"}, "better must be 'larger'"),
        ({"margin": -1}, "margin must be"),
        ({"language": "fr"}, "language must be one of"),
        ({"target": "y"}, "target is for tables"),
        ({"seeds": 0}, "seeds must be an integer of at least 1"),
        ({"seconds": float("nan")}, "seconds must be a number"),
        ({"criteria": ("random", "random")}, "criteria must be different"),
        ({"after": 1, "schedules": ("gradual",)}, "after must be at least 2 with the gradual"),
        ({"train": (part for part in [GOOD])}, "train must be readable in every epoch"),
        ({"train": (X[:200], Y[:200] * 0)}, "train must have samples of 2 or more classes"),
        ({"metric": lambda model, x, y: float("nan"), "margin": 0.1}, "metric must be a number"),
        ({"metric": lambda model, x, y: model(x), "margin": 0.1}, "metric must return one number"),
        (
            {"fit": lambda model, optimizer, epochs, recorder, seed: None},
            "fit must train the model, got one",
        ),
        ({"optimizer": torch.optim.LBFGS}, "optimizer must fit, but a trial failed.*closure"),
        # R squared and squared errors would give numbers for these, but not what they mean.
        ({"train": (X, X[:, 0]), "validation": (X, X[:, 0]), "test": None}, "y must have the shape of the outputs"),
        (
            {"train": (X, X[:, :2].gt(0).float()), "validation": (X, X[:, :2].gt(0).float()), "test": None}
            | {"loss": binary_cross_entropy_with_logits},
            "metric must be given for targets that are whole numbers or only 0 and 1",
        ),
    ],
)
def test_bad_arguments_are_refused_before_any_training(tmp_path, monkeypatch, changed, message):
    monkeypatch.setattr(_runs, "start", lambda *args: pytest.fail("training began"))
    with pytest.raises((ValueError, TypeError), match=message):
        ccprune.pilot(**settings(tmp_path / "page", **changed))
    assert not (tmp_path / "page").exists()


def test_a_folder_of_other_files_is_refused_and_left(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="folder must be new, empty or of an earlier pilot"):
        ccprune.pilot(**settings(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
