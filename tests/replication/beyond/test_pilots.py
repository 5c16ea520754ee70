"""The tasks of the pilots: their data have the stated form, and their results become cells."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

import ccprune
from replication.beyond import TASKS, checksum, pilot_cells, pilot_settings
from replication.beyond.pilots import perplexity

SMALL = {"seeds": 2, "before": 2, "recorded": 1, "after": 1, "sparsities": (0.5,), "schedules": ("one_shot",)}
SMALL |= {"criteria": ("magnitude",), "progress": False}


@pytest.mark.parametrize("task", sorted(TASKS.keys() - {"cifar10"}))  # whose images are no package's
def test_a_task_is_accepted_and_repeatable(task, tmp_path):
    settings = pilot_settings(task, samples=300, folder=tmp_path)
    same = pilot_settings(task, samples=300, folder=tmp_path)
    assert checksum(settings) == checksum(same)
    if task not in ("iris",):  # 150 flowers, all of which are taken
        other = pilot_settings(task, samples=300, folder=tmp_path, seed=1)
        assert checksum(settings) != checksum(other)
    found = ccprune.pilot(**settings, **SMALL, folder=tmp_path / "page")
    assert len(found.runs) == 4 and found.recommendation.answer in ("prune", "do_not_prune", "nothing_learned")
    assert (found.folder / "index.html").is_file()


def test_perplexity_is_the_exponential_of_the_mean_loss():
    settings = pilot_settings("text", samples=60, folder=None)
    (x, y), model = settings["validation"], settings["make"](0)
    expected = cross_entropy(model(x).flatten(0, 1), y.flatten()).exp().item()
    assert perplexity(model, x, y) == pytest.approx(expected, rel=1e-5)
    assert 0.5 * 256 < expected < 2 * 256  # before training all bytes are about as likely


def test_the_adding_problem_has_its_answer():
    x, y = pilot_settings("sequence", samples=100, folder=None)["train"]
    assert torch.equal(x[:, :, 1].sum(1), torch.full((60,), 2.0))
    torch.testing.assert_close((x[:, :, 0] * x[:, :, 1]).sum(1), y[:, 0])


def test_cells_are_the_rows_of_the_table(tmp_path):
    found = ccprune.pilot(**pilot_settings("iris", samples=150, folder=tmp_path), **SMALL, folder=tmp_path / "page")
    cells = pilot_cells(found, "iris", "smoke")
    metric = {cell.method: cell for cell in cells if cell.quantity == "metric"}
    row = found.table.loc["magnitude", "one_shot", 0.5]
    assert metric["magnitude, one_shot"].ours == pytest.approx(row["validation"])
    assert metric["magnitude, one_shot"].ci_low == pytest.approx(row["validation_low"])
    assert metric["dense"].sparsity == 0 and metric["dense"].n == 2
    quantities = ("metric", "share of dense operations", "top 5 features shared with dense")
    assert {cell.quantity for cell in cells} == set(quantities)
    assert all(math.isfinite(cell.ours) for cell in cells)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task must be one of"):
        pilot_settings("poetry", samples=10, folder=None)
