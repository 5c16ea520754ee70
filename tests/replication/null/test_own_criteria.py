"""Criteria that a reader registers, as docs/add_a_criterion.md shows it, in the tables of planted problems."""

import re
from pathlib import Path

import pytest

from ccprune import criteria
from ccprune.criteria import _registry as registry
from replication import null

PAGE = Path(__file__).parents[3] / "docs" / "add_a_criterion.md"
NAMES = [*criteria.list_criteria()]


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_CRITERIA", dict(registry._CRITERIA))


def test_what_the_page_adds_is_in_the_tables():
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S))
    variables = {}
    exec(compile(code, PAGE.name, "exec"), variables)
    assert set(variables["found"].table.criterion) == {"centred_magnitude", "magnitude", "random"}
    # Without names a table has every criterion, these two among them; recording ones only where training was recorded.
    everything = null.roc({"dead": null.planted.questions()["dead"]}, seeds=2, steps=400).table
    assert list(everything[everything.state == "trained"].criterion) == [*NAMES, "centred_magnitude", "largest_step"]
    assert "largest_step" not in list(everything[everything.state == "start"].criterion)
    best = everything[everything.state == "trained"].set_index("criterion").auc
    assert best["largest_step"] == 1.0  # a dead weight never moves
