"""Passages of README and docs that come out of the results."""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from replication import ledger
from replication.reporting import manifest, passages, statements
from replication.reporting.index import write_report
from replication.reporting.verify import NOTEBOOKS_LINK, expected_runs, problems
from replication.runner import plan

ROOT = Path(__file__).parents[3]


def lines(text: str, name: str) -> list[list[str]]:
    """The cells of a passage's table, without its head."""
    block = re.search(rf"<!-- ccprune report: {name} -->\n(.*?)<!-- ccprune report: end -->", text, re.DOTALL)[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()[2:]]


@pytest.fixture
def tree(tmp_path):
    """A folder with some of the committed results, their tables, and a page of its own."""
    for part in ("results", "raw", "reports"):
        (tmp_path / "replication" / part).mkdir(parents=True)
        for path in (ROOT / "replication" / part).glob("legcnet_tables-iris.default.*"):
            shutil.copy(path, tmp_path / "replication" / part)
    return tmp_path


def page(tree: Path, text: str) -> Path:
    path = tree / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def committed() -> list[dict]:
    with (ROOT / "replication" / "verdicts.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_readme_counts_are_those_of_the_table():
    found = lines((ROOT / "README.md").read_text(encoding="utf-8"), "figures")
    expected = []
    for name, numbers in (("A: 1–3", "123"), ("A: 4", "4")):
        for whose, authors in (("the authors' files, re-run", True), ("our runs", False)):
            chosen = [row for row in committed() if row["kind"] == "figure" and row["table"] in numbers]
            count = Counter(row["verdict"] for row in chosen if (row["profile"] == "authors") == authors)
            expected.append([name, whose, str(count.total()), *(str(count[verdict]) for verdict in ledger.VERDICTS)])
    count = Counter(row["verdict"] for row in committed() if row["table"].startswith("released_"))
    verdicts = [str(count[verdict]) for verdict in ledger.VERDICTS]
    expected.append(["B: released in files", "our runs", str(count.total()), *verdicts])
    assert found == expected


def test_the_distinct_figures_of_tables_1_to_3():
    """112 of them. The authors' files: 69 identical, 3 different, 40 that need what was not released.

    Ours: of the 96 on the six small datasets 82 within noise, 6 outside, and 8 whose settings were not found; the 16 on
    MNIST depend on rows that were not released.
    """
    count = Counter(
        (row["profile"] == "authors", row["dataset"] == "mnist", row["verdict"])
        for row in committed()
        if row["kind"] == "figure" and row["table"] in ("1", "2", "3")
    )
    theirs, ours = ({key[1:]: n for key, n in count.items() if key[0] == whose} for whose in (True, False))
    by_verdict = Counter()
    for (_, verdict), n in theirs.items():
        by_verdict[verdict] += n
    assert by_verdict == {"identical": 69, "outside": 3, "underspecified": 40}
    assert ours == {
        (False, "within_noise"): 82,
        (False, "outside"): 6,
        (False, "underspecified"): 8,
        (True, "underspecified"): 16,
    }


def test_no_case_is_decided_alone_without_a_p_below_the_level():
    decided = [row for row in committed() if row["outcome_alone"] in ("holds", "does_not_hold")]
    decided = [row for row in decided if row["table"] != "well_trained"]  # which is decided by an interval
    assert decided and all(row["p_value"] and float(row["p_value"]) < 0.05 for row in decided)


def test_chance_would_put_about_two_figures_outside():
    with (ROOT / "replication" / "measurements.csv").open(encoding="utf-8") as file:
        rows = committed() + list(csv.DictReader(file))
    seen, expected, low, high = statements.count_outside([row | {"ours": float(row["ours"] or "nan")} for row in rows])
    assert seen == 6 and 1.5 <= expected <= 3.5 and low <= 1 and 6 <= high <= 9


def test_readme_counts_the_outcomes_of_claims():
    found = lines((ROOT / "README.md").read_text(encoding="utf-8"), "claims")
    claims = [row for row in committed() if row["kind"] == "claim"]
    assert sum(int(line[1]) for line in found) == len(claims)
    count = Counter(row["outcome"] for row in claims)
    for column, outcome in enumerate(ledger.OUTCOMES, start=2):
        assert sum(int(line[column]) for line in found) == count[outcome]


def test_japanese_pages_have_the_numbers_of_the_english_ones():
    english, japanese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))
    for name in ("figures", "claims"):
        numbers = [[cell for line in lines(text, key) for cell in line if cell.isdigit()] for text, key in (
            (english, name), (japanese, f"{name}-ja"))]  # fmt: skip
        assert numbers[0] == numbers[1], name


def test_japanese_tables_hold_the_rows_of_the_claims():
    text, rows = (ROOT / "docs" / "ja" / "questions.md").read_text(encoding="utf-8"), committed()
    claims = {(row["dataset"], row["method"]): row for row in rows if row["table"] == "keeps_accuracy"}
    found = lines(text, "legcnet-ja")
    words = dict(zip(ledger.OUTCOMES, ("成り立つ", "成り立たない", "判定できない", "設定が不明"), strict=True))
    assert [(line[0], line[1][-2:].lower()) for line in found] == list(claims)
    for line, claim in zip(found, claims.values(), strict=True):
        assert float(line[2].split()[0]) == pytest.approx(float(claim["ours"]), rel=1e-3)
        assert line[2].split()[-1] == words[claim["outcome"]]
    drops = [
        r for r in rows if r["table"].startswith("abrupt_drop_") and "lenet" in r["table"] and r["kind"] == "claim"
    ]
    assert [line[0] for line in lines(text, "causal-ja")] == [row["dataset"] for row in drops]


def test_null_without_results_a_table_has_no_lines(tmp_path):
    (tmp_path / "replication" / "results").mkdir(parents=True)
    path = page(tmp_path, "<!-- ccprune report: legcnet-ja -->\nold\n<!-- ccprune report: end -->\n")
    passages.write_passages(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "old" not in text and "| データ |" in text and lines(text, "legcnet-ja") == []


def test_what_is_written_by_hand_stays_and_a_second_call_changes_nothing(tree):
    path = page(tree, "before\n<!-- ccprune report: figures -->\n<!-- ccprune report: end -->\nafter\n")
    passages.write_passages(tree)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n<!--") and text.endswith("-->\nafter\n") and "| A: 1–3 | our runs |" in text
    written = path.stat().st_mtime_ns
    passages.write_passages(tree)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- ccprune report: figure -->\n<!-- ccprune report: end -->\n",
            "a passage must be one of .* got 'figure'",
        ),
        ("<!-- ccprune report: figures -->\nno end\n", "every passage must end with"),
    ],
)
def test_a_passage_that_cannot_be_made_is_told_and_nothing_is_written(tree, text, message):
    path = page(tree, text)
    with pytest.raises(ValueError, match=message):
        passages.write_passages(tree)
    assert path.read_text(encoding="utf-8") == text


def test_verify_tells_a_passage_edited_by_hand(tree):
    runs = [run for profile in ("smoke", "default", "paper") for run in plan(ROOT, profile=profile)]
    write_report(tree / "replication", notebooks=NOTEBOOKS_LINK, expected=expected_runs(runs))
    path = page(tree, "<!-- ccprune report: figures -->\n<!-- ccprune report: end -->\n")
    passages.write_passages(tree)
    manifest.write_manifest(tree)
    assert problems(tree, runs) == []
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("| our runs | 16 |", "| our runs | 17 |"), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    found = problems(tree, runs)
    assert len(found) == 1 and found[0].startswith("README.md: it differs from the results")
