"""The two tables: which rows stand where, once each, and corrected over the cases of a claim."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ccprune.stats import sign_flip_p
from replication import ledger
from replication.ledger import Cell
from replication.ledger.claims import SIGNIFICANCE
from replication.reporting import tables
from replication.reporting.judging import judge

ROOT = Path(__file__).parents[3]

FIGURE = Cell(
    paper="legcnet", table="1", dataset="cancer", method="ft", quantity="epochs", kind="figure", origin="printed",
    published=38, ours=41.5, ci_low=36.25, ci_high=47.0, n=50, verdict="within_noise", profile="default",
)  # fmt: skip
TRIAL = replace(FIGURE, ours=38, ci_low=None, ci_high=None, n=1, verdict="identical", trial=2, profile="authors")
CLAIM = replace(
    FIGURE,
    table="fewer_epochs",
    reference="dense",
    kind="claim",
    published=-32,
    verdict="",
    outcome="holds",
    p_value=0.01,
)
MEASURED = replace(FIGURE, table="mask", kind="measurement", origin="", published=None, verdict="")


def save(folder: Path, name: str, *cells: Cell, profile: str = "default") -> Path:
    return ledger.write(
        folder / "results" / f"{name}.{profile}.json",
        notebook="01_tables.ipynb",
        parameters={"profile": profile},
        seeds=[],
        data_checksums={},
        cells=cells,
    )


def write(folder: Path) -> list[tables.Row]:
    """Write both tables and return their rows."""
    rows = tables.rows(folder, judge=judge)
    for name, text in tables.texts(rows).items():
        (folder / name).write_text(text, encoding="utf-8")
    return rows


def test_what_is_compared_and_what_is_measured_stand_in_tables_of_their_own(tmp_path):
    null = replace(MEASURED, table="null_rejections", kind="null_test")
    save(tmp_path, "tables", FIGURE, TRIAL, CLAIM, replace(CLAIM, table="beats_random", kind="control"), MEASURED, null)
    written = write(tmp_path)
    kinds = {}
    for name in (tables.VERDICTS_TABLE, tables.MEASUREMENTS_TABLE):
        with (tmp_path / name).open() as file:
            found = list(csv.DictReader(file))
        assert tuple(found[0]) == tables.COLUMNS
        kinds[name] = {row["kind"] for row in found}
    assert kinds == {"verdicts.csv": {"figure", "claim", "control"}, "measurements.csv": {"measurement", "null_test"}}
    assert len(written) == 6
    with (tmp_path / tables.VERDICTS_TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["table"], row["trial"], row["verdict"], row["outcome"]) for row in rows] == [
        ("1", "2", "identical", ""),
        ("1", "", "within_noise", ""),
        ("beats_random", "", "", "holds"),
        ("fewer_epochs", "", "", "holds"),
    ]


def test_the_largest_profile_of_a_run_wins_and_smoke_never_enters(tmp_path):
    other = replace(FIGURE, dataset="iris")
    save(tmp_path, "cancer", FIGURE)
    save(tmp_path, "iris", other)
    save(tmp_path, "cancer", replace(FIGURE, ours=40, profile="paper"), profile="paper")
    save(tmp_path, "cancer", replace(FIGURE, ours=1, profile="smoke"), profile="smoke")
    save(tmp_path, "more", replace(FIGURE, table="2", profile="smoke"), profile="smoke")
    found = [(row["dataset"], row["ours"], row["profile"]) for row in tables.rows(tmp_path, judge=judge)]
    assert found == [("cancer", 40, "paper"), ("iris", 41.5, "default")]


def test_smoke_enters_where_there_is_nothing_else(tmp_path):
    save(tmp_path, "tables", replace(FIGURE, profile="smoke"), profile="smoke")
    assert [row["profile"] for row in tables.rows(tmp_path, judge=judge)] == ["smoke"]


def test_one_number_of_two_runs_is_the_larger_profiles(tmp_path):
    save(tmp_path, "small", FIGURE, TRIAL)
    save(tmp_path, "large", replace(FIGURE, ours=40, profile="paper"), replace(TRIAL, ours=37), profile="paper")
    assert [(row["profile"], row["ours"]) for row in tables.rows(tmp_path, judge=judge)] == [
        ("authors", 37),
        ("paper", 40),
    ]


def test_trials_stand_in_their_order(tmp_path):
    save(tmp_path, "tables", *[replace(TRIAL, trial=k, ours=30 + k) for k in (10, 2, 1)])
    assert [row["trial"] for row in tables.rows(tmp_path, judge=judge)] == [1, 2, 10]


def test_two_runs_may_not_give_the_same_number(tmp_path):
    save(tmp_path, "a", FIGURE)
    save(tmp_path, "b", FIGURE)
    with pytest.raises(ValueError, match="a.default.json and b.default.json both have legcnet 1 cancer ft epochs"):
        tables.rows(tmp_path, judge=judge)


def test_rows_come_in_the_papers_order(tmp_path):
    names = [("causal", "1", "iris"), ("legcnet", "null", "iris"), ("legcnet", "10", "iris")]
    names += [("legcnet", "2", "zoo"), ("legcnet", "2", "vowel"), ("legcnet", "2", "cancer")]
    save(tmp_path, "t", *[replace(FIGURE, paper=p, table=t, dataset=d) for p, t, d in names])
    found = [(row["paper"], row["table"], row["dataset"]) for row in tables.rows(tmp_path, judge=judge)]
    assert found == names[::-1]
    methods = ("dense", "ft", "pt", "random", "magnitude", "causal_ft")
    save(tmp_path, "t", *[replace(FIGURE, method=method) for method in reversed(methods)])
    assert [row["method"] for row in tables.rows(tmp_path, judge=judge)] == list(methods)


def test_a_claim_is_corrected_over_its_cases_and_no_others(tmp_path):
    p = {"cancer": 0.01, "iris": 0.03, "vowel": 0.2, "titanic": 0.02}
    cases = [replace(CLAIM, dataset=name, p_value=value) for name, value in p.items()]
    cases[2] = replace(cases[2], outcome="undecided")
    other = replace(CLAIM, table="keeps_accuracy", p_value=0.04, margin=0.01)
    control = replace(CLAIM, kind="control", table="beats_random", p_value=0.04)
    save(tmp_path, "t", *cases, other, control)
    found = {(row["table"], row["dataset"]): row for row in tables.rows(tmp_path, judge=judge)}
    theirs = dict(zip(p, multipletests(list(p.values()), method="holm")[1], strict=True))
    for name in p:
        row = found["fewer_epochs", name]
        assert row["p_holm"] == pytest.approx(theirs[name])
        assert row["outcome_alone"] == ("undecided" if name == "vowel" else "holds")
        assert row["outcome"] == ("holds" if theirs[name] < 0.05 else "undecided")
    assert found["fewer_epochs", "iris"]["outcome"] == "undecided", "its p of .03 is one of four"
    for table in ("keeps_accuracy", "beats_random"):
        assert found[table, "cancer"]["p_holm"] == pytest.approx(0.04) and found[table, "cancer"]["outcome"] == "holds"


def test_paper_b_is_corrected_over_networks_and_schedules_for_each_reference(tmp_path):
    where = {"paper": "causal", "method": "causal", "published": None, "origin": "", "quantity": "accuracy"}
    cases = [
        replace(CLAIM, **where, table=table, reference=reference, sparsity=sparsity, p_value=0.03)
        for table in ("accuracy_path-lenet", "accuracy_totals-mlp")
        for reference in ("magnitude", "dense")
        for sparsity in (0.5, 0.9)
    ]
    save(tmp_path, "t", *cases)
    assert [row["p_holm"] for row in tables.rows(tmp_path, judge=judge)] == [pytest.approx(0.12)] * 8


def test_each_question_of_a_table_of_paper_a_is_corrected_alone(tmp_path):
    """Repaired rankings by reference and quantity, margins of methods and of random masks, SHAP without the floor."""
    control = replace(CLAIM, kind="control", published=None, origin="", p_value=0.03)
    repaired = [
        replace(control, table="repaired", reference=reference, quantity=quantity)
        for reference in ("random", "magnitude")
        for quantity in ("accuracy", "epochs")
    ]
    margins = [replace(control, table="margins", margin=0.01, method=method) for method in ("ft", "random")]
    shap = [
        replace(control, table="shap_difference", reference=name, quantity="spearman")
        for name in ("random", "magnitude", tables.NOISE_FLOOR)
    ]
    save(tmp_path, "t", *repaired, *margins, *shap)
    found = {(row["table"], row["reference"]): row["p_holm"] for row in tables.rows(tmp_path, judge=judge)}
    twice = {key for key, p in found.items() if p == pytest.approx(0.06)}
    assert twice == {("shap_difference", "random"), ("shap_difference", "magnitude")}
    assert all(p == 0.03 for key, p in found.items() if key not in twice)


def test_a_committed_family_is_small_enough_for_its_test():
    """The sign-flip test has a smallest p-value: a family that it cannot pass even there decides nothing."""
    with (ROOT / "replication" / tables.VERDICTS_TABLE).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["p_value"] and row["kind"] in ("claim", "control")]
    sizes = Counter(tables.family(row) for row in rows if row["paper"] == "legcnet")
    least = sign_flip_p(np.arange(1.0, 200.0))
    assert sizes and all(size * least < SIGNIFICANCE for size in sizes.values()), sizes.most_common(3)


@pytest.mark.parametrize(("n", "ends"), [(2, (None, None)), (50, (0.5, 0.5))])
def test_two_equal_runs_have_no_interval_of_zero_width(n, ends, tmp_path):
    save(tmp_path, "t", replace(MEASURED, ours=0.5, ci_low=0.5, ci_high=0.5, n=n))
    [row] = tables.rows(tmp_path, judge=judge)
    assert (row["ci_low"], row["ci_high"]) == ends


def test_null_without_a_p_value_nothing_is_corrected(tmp_path):
    save(tmp_path, "t", replace(CLAIM, p_value=None), replace(CLAIM, dataset="iris", p_value=0.04))
    found = {row["dataset"]: (row["p_holm"], row["outcome"]) for row in tables.rows(tmp_path, judge=judge)}
    assert found == {"cancer": (None, "holds"), "iris": (0.04, "holds")}


def test_tables_are_the_same_text_again(tmp_path):
    save(tmp_path, "tables", FIGURE, TRIAL, CLAIM, MEASURED)
    first, second = (tables.texts(tables.rows(tmp_path, judge=judge)) for _ in range(2))
    assert list(first) == [tables.VERDICTS_TABLE, tables.MEASUREMENTS_TABLE] and first == second


def test_a_misspelt_paper_is_named_with_its_file(tmp_path):
    save(tmp_path, "t", replace(MEASURED, paper="legnet"))
    with pytest.raises(ValueError, match=r"paper must be one of .*'legcnet'.*, got 'legnet' in t\.default\.json"):
        tables.rows(tmp_path, judge=judge)


@pytest.mark.parametrize(("paper", "name"), [("legcnet", "jaccard_pruned"), ("causal", "jaccard_kept")])
def test_an_older_name_of_a_quantity_becomes_the_present_one(paper, name, tmp_path):
    save(tmp_path, "t", replace(MEASURED, paper=paper, quantity="jaccard"))
    [row] = tables.rows(tmp_path, judge=judge)
    assert row["quantity"] == name
