"""Passages of README and docs that come out of the results."""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from ccprune.reporting import passages
from ccprune.reporting.verify import problems
from ccprune.suite import plan

ROOT = Path(__file__).parents[1]


def lines(text: str, name: str) -> list[list[str]]:
    """The cells of a passage's table, without its head."""
    block = re.search(rf"<!-- ccprune report: {name} -->\n(.*?)<!-- ccprune report: end -->", text, re.DOTALL)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()[2:]]


@pytest.fixture
def tree(tmp_path):
    """A folder with the committed results and a page of its own."""
    (tmp_path / "replication").mkdir()
    (tmp_path / "replication" / "results").symlink_to(ROOT / "replication" / "results")
    return tmp_path


def page(tree: Path, text: str) -> Path:
    path = tree / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_committed_page_is_what_the_results_say():
    found = list(passages.renewed(ROOT))
    assert [path.relative_to(ROOT).as_posix() for path, _, _ in found] == list(passages.PAGES)
    for path, old, new in found:
        assert old == new, f"{path.name}: run ccprune report"


def test_readme_counts_are_those_of_the_table():
    with (ROOT / "replication" / "verdicts.csv").open(encoding="utf-8") as file:
        counted = Counter((row["paper"], row["profile"] == "authors", row["verdict"]) for row in csv.DictReader(file))
    verdicts = ["identical", "within_noise", "not_reproduced", "underspecified"]
    told = lines((ROOT / "README.md").read_text(encoding="utf-8"), "verdicts")
    assert told == [
        [paper, whose, *(str(counted[paper, authors, verdict]) for verdict in verdicts)]
        for paper, whose, authors in (
            ("legcnet", "authors' files re-run", True),
            ("legcnet", "ours", False),
            ("causal", "ours", False),
        )
    ]


def test_japanese_tables_hold_the_rows_of_the_claims():
    text = (ROOT / "docs" / "ja" / "questions.md").read_text(encoding="utf-8")
    with (ROOT / "replication" / "verdicts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    claims = {(row["dataset"], row["method"]): row for row in rows if row["table"] == "keeps_accuracy"}
    told = lines(text, "legcnet-ja")
    assert [(line[0], line[1][-2:].lower()) for line in told] == list(claims)
    for line, claim in zip(told, claims.values(), strict=True):
        assert float(line[2].split()[0]) == pytest.approx(float(claim["ours"]), rel=1e-3)
        known = claim["verdict"] != "underspecified"
        assert ("設定が不明" in line[2]) != known
        assert ("成り立つ" in line[2]) == (known and "claim holds" in claim["note"])
    critical = [r for r in rows if (r["table"], r["method"]) == ("phase_shift-lenet", "causal") and r["n"]]
    assert {line[0] for line in lines(text, "causal-ja")} == {row["dataset"] for row in critical}


def test_null_without_results_a_table_has_no_lines(tmp_path):
    (tmp_path / "replication" / "results").mkdir(parents=True)
    path = page(tmp_path, "<!-- ccprune report: legcnet-ja -->\nold\n<!-- ccprune report: end -->\n")
    passages.write_passages(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "old" not in text and "| データ |" in text and lines(text, "legcnet-ja") == []


def test_what_is_written_by_hand_stays_and_a_second_call_changes_nothing(tree):
    path = page(tree, "before\n<!-- ccprune report: verdicts -->\n<!-- ccprune report: end -->\nafter\n")
    passages.write_passages(tree)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n<!--") and text.endswith("-->\nafter\n") and "| legcnet | ours |" in text
    written = path.stat().st_mtime_ns
    passages.write_passages(tree)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- ccprune report: verdict -->\n<!-- ccprune report: end -->\n",
            "a passage must be one of .* got 'verdict'",
        ),
        ("<!-- ccprune report: verdicts -->\nno end\n", "every passage must end with"),
    ],
)
def test_a_passage_that_cannot_be_made_is_told_and_nothing_is_written(tree, text, message):
    path = page(tree, text)
    with pytest.raises(ValueError, match=message):
        passages.write_passages(tree)
    assert path.read_text(encoding="utf-8") == text


def test_verify_tells_a_passage_edited_by_hand(tmp_path):
    shutil.copytree(ROOT / "replication", tmp_path / "replication", ignore=shutil.ignore_patterns(".*"))
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("| 117 |", "| 118 |")
    page(tmp_path, text)
    runs = [run for profile in ("smoke", "default", "paper") for run in plan(ROOT, profile=profile)]
    told = problems(tmp_path, runs)
    assert len(told) == 1 and told[0].startswith("README.md: not what the results say")
