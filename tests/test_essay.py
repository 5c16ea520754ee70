"""Sentences made of the table of verdicts, and the notebook that is nothing else."""

import re
from functools import partial
from pathlib import Path

import IPython.display
import matplotlib
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ccprune import results
from ccprune.reporting import essay, essay_figures
from ccprune.results import Cell
from ccprune.suite import notebooks

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "13_does_it_replicate.ipynb"


def trial(number, method, published, ours, *, table="1", more=""):
    verdict = "not_published" if published is None else "identical"
    note = f"trial {number}{more}"
    return Cell("legcnet", table, "cancer", method, "epochs", published, ours, None, None, 1, verdict, note, "authors")


def claim(dataset, method, *numbers, verdict="not_reproduced", note):
    return Cell("legcnet", "fewer_epochs", dataset, method, "epochs_minus_dense", *numbers, verdict, note, "paper")


def measured(table, dataset, method, quantity, *numbers, note):
    return Cell("causal", table, dataset, method, quantity, None, *numbers, "not_published", note, "paper")


LEGCNET = [
    trial(1, "dense", None, 76),
    trial(2, "dense", 70, 70),
    trial(3, "dense", None, 33),
    trial(1, "ft", None, 78),
    trial(2, "ft", 38, 38, more="; found by search"),
    trial(3, "ft", None, None, more="; benchmark not reached in 100 epochs"),
    trial(4, "dense", None, None, more="; benchmark not reached in 100 epochs"),
    trial(4, "ft", None, 50),
    trial(2, "ft", 38, 38, table="2"),
    Cell("legcnet", "1", "cancer", "ft", "epochs", 38, 49.0, 46.5, 51.8, 200, "within_noise", "", "paper"),
    claim("cancer", "ft", -32, 2.79, 0.36, 5.39005, 200, note="claim does not hold; sign-flip p = 0.029"),
    claim("titanic", "pt", -7, 15.4, 11.9, 19.1, 200, verdict="underspecified", note="claim does not hold; not found"),
    claim("iris", "ft", -16, -1.2, -4, 1.7, 50, note="claim undecided; sign-flip p = 0.44"),
]
_KEPT = "kept to a percentage point"
CAUSAL = [
    measured("curve-lenet", "mnist", "causal - magnitude at 0.9", "difference", 0.04, 0.01, 0.08, 3, note=_KEPT),
    measured("curve-lenet", "mnist", "causal - magnitude at 0.95", "difference", -0.04, -0.07, -0.01, 3, note=_KEPT),
    measured("curve-lenet", "mnist", "causal at 0.9", "accuracy", 0.9, None, None, 1, note=""),
    measured("curve-lenet", "cifar10", "causal - magnitude at 0.9", "difference", 0.19, None, None, 1, note=_KEPT),
    measured("flatness-lenet", "mnist", "causal / dense at 0.9, all", "trace", 0.5, 0.4, 0.6, 3, note="mean; flatter"),
    measured("phase_shift-lenet", "mnist5k", "causal", "critical", 0.98, 0.7, 1, 3, note="BIC 30: abrupt; 5% before"),
    measured("phase_shift-lenet", "mnist", "causal", "critical", 0.98, 0.7, 1, 3, note="BIC: not shown to be abrupt"),
]


def written(folder: Path, *, empty: bool = False) -> Path:
    """A folder with the table of verdicts of these cells, or of none, as `ccprune report` writes it."""
    for name, cells in (("01", LEGCNET), ("03", CAUSAL)):
        path = folder / "replication" / "results" / f"{name}.paper.json"
        more = {"parameters": {"profile": "paper"}, "seeds": [], "data_checksums": {}}
        results.write(path, notebook=f"{name}.ipynb", cells=[] if empty else cells, **more)
    return results.write_verdicts(folder / "replication")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return essay.read(written(tmp_path_factory.mktemp("project")))


def test_the_table_is_read_as_it_was_written(table):
    assert list(table) == [*results.COLUMNS, "whose"]
    first = table.iloc[0]
    assert (first.table, first.method, first.ours, first.note, first.n) == ("1", "dense", 76, "trial 1", 1)
    assert pd.isna(first.published) and pd.isna(first.ci_low)
    assert table.whose.value_counts().to_dict() == {"ours": 11, "authors' files": 9}
    assert table.note.tolist().count("") == 2, "no note is an empty one"


def test_a_path_is_looked_for_above_the_working_folder(tmp_path, monkeypatch):
    path = tmp_path / "replication" / "verdicts.csv"
    path.parent.mkdir()
    path.touch()
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    for place in ("notebooks/deep", "notebooks", "."):
        monkeypatch.chdir(tmp_path / place)
        assert essay.locate("replication/verdicts.csv") == path
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no replication/verdicts.csv in .* or above it"):
        essay.read("replication/verdicts.csv")


def test_a_missing_column_is_named(tmp_path, table):
    path = tmp_path / "old.csv"
    path.write_text(",".join(results.COLUMNS).replace("ci_low", "low") + "\n")
    with pytest.raises(ValueError, match="the table has no column 'ci_low'.*it has paper, table, dataset"):
        essay.read(path)
    with pytest.raises(ValueError, match=r"no column 'datset' \(did you mean dataset\?\)"):
        essay.select(table, datset="iris")
    without = table.drop(columns=["note", "verdict", "method", "ci_low"])
    for function, name in (
        (essay.said, "note"),
        (essay.beyond, "ci_low"),
        (essay.tally, "verdict"),
        (essay.counted, "outcome"),
        (partial(essay.parted, pattern="x"), "method"),
    ):
        with pytest.raises(ValueError, match=f"no column '{name}'"):
            function(without)


def test_rows_are_selected_by_one_value_or_several(table):
    assert len(essay.select(table, table="fewer_epochs")) == 3
    assert essay.select(table, table="fewer_epochs", dataset=["iris", "cancer"]).dataset.tolist() == ["cancer", "iris"]
    assert essay.select(table, dataset="nowhere").empty


def test_verdicts_are_counted(table):
    counts = essay.tally(table, "paper", "whose")
    assert counts.index.tolist() == [("legcnet", "authors' files"), ("legcnet", "ours"), ("causal", "ours")]
    assert list(counts) == ["identical", "within_noise", "not_reproduced", "underspecified", "not_published"]
    assert counts.loc[("legcnet", "authors' files")].tolist() == [3, 0, 0, 0, 6]
    assert counts.to_numpy().sum() == len(table)
    ours = essay.select(table, paper="legcnet", whose="ours")
    assert essay.counted(ours, "verdict") == "within noise in 1, not reproduced in 2, underspecified in 1 of 4"


def test_outcomes_as_the_notes_say_them(table):
    outcomes = essay.said(essay.select(table, table="fewer_epochs")).outcome
    assert outcomes.tolist() == ["does not hold", "cannot be known", "undecided"]
    assert essay.said(essay.select(table, quantity="critical")).outcome.tolist() == ["holds", "undecided"]
    assert essay.said(essay.select(table, quantity="trace")).outcome.tolist() == ["holds"]
    with pytest.raises(ValueError, match="note of ft must say what became of its claim, got ''"):
        essay.said(essay.select(table, profile="paper", table="1"))


def test_outcomes_of_the_committed_table_are_those_of_its_intervals():
    """Two ways to the same answer, wherever the claim is about one side of a number; flatter is below 1."""
    table = essay.read(ROOT / "replication" / results.TABLE)
    for names, turned, at in ((["beats_random", "beats_magnitude"], 1, 0.0), (["fewer_epochs"], -1, 0.0)):
        claims = essay.said(essay.select(table, table=names, verdict=["within_noise", "not_reproduced"]))
        ends = claims[["ci_low", "ci_high"]] * turned
        by_interval = essay.beyond(claims.assign(ci_low=ends.min(axis=1), ci_high=ends.max(axis=1)), at=at).outcome
        # An interval that ends at 0 has no part on the claim's side.
        by_interval = by_interval.mask(ends.max(axis=1) == at, "does not hold")
        assert len(claims) and claims.outcome.tolist() == by_interval.tolist()
    flat = essay.said(essay.select(table, quantity="relative_trace"))
    turned = flat.assign(ci_low=-flat.ci_high, ci_high=-flat.ci_low)
    assert len(flat) and flat.outcome.tolist() == essay.beyond(turned, at=-1.0).outcome.tolist()


def test_outcomes_as_the_intervals_have_them(table):
    curves = essay.parted(table, r"causal - (?P<reference>\w+) at (?P<level>[\d.]+)")
    assert curves.dataset.tolist() == ["mnist", "mnist", "cifar10"]
    assert curves.reference.tolist() == ["magnitude"] * 3 and curves.level.tolist() == [0.9, 0.95, 0.9]
    assert essay.parted(table, "(?P<score>causal)").dataset.tolist() == ["mnist5k", "mnist"], "the whole method fits"
    assert essay.beyond(curves).outcome.tolist() == ["holds", "does not hold", "undecided"]
    assert essay.beyond(curves, at=0.02).outcome.tolist() == ["undecided", "does not hold", "undecided"]


def test_the_authors_trials_and_the_place_of_the_printed_one(table):
    found = essay.trials(table)
    # FT's trial 3 never reached the benchmark; the dense network of trial 4 did not; table 2's ft repeats table 1's.
    assert found[["trial", "printed", "place"]].values.tolist() == [["1", False, 2], ["2", True, 1], ["3", False, 3]]
    assert found.difference.tolist()[:2] == [2, -32] and pd.isna(found.difference.iloc[2])
    assert found.chance.tolist() == pytest.approx([1 / 3] * 3)
    assert essay.trials(essay.select(table, paper="causal")).empty


def test_numbers_are_told_by_the_least_and_the_largest():
    assert essay.spread(pd.Series([0.2512, 0.9, 0.3])) == "0.251 to 0.9"
    assert essay.spread(pd.Series([200.0, 200.0])) == "200"


def test_what_has_no_rows_was_not_run(table):
    rows = essay.said(essay.select(table, table="fewer_epochs"))
    assert essay.tell({"Epochs": rows, "None": rows.iloc[:0]}, essay.counted).splitlines() == [
        "- Epochs: does not hold in 1, undecided in 1, cannot be known in 1 of 3.",
        "- None: not run.",
    ]
    lines = essay.summary({"epochs": rows, "none": rows.iloc[:0]})
    assert lines.loc["epochs"].tolist() == [0, 1, 1, 1, 3, "50 to 200"]
    assert lines.loc["none"].tolist() == ["", "", "", "", "not run", ""]


def test_records_have_none_for_no_number(table):
    first = essay.records(table.iloc[:1])[0]
    assert first["ci_low"] is None and first["published"] is None and first["ours"] == 76


def test_the_picture_of_trials_has_a_mark_for_each(table):
    epochs = essay.select(table, table="fewer_epochs")
    ax = essay_figures.printed_and_ours(epochs, essay.trials(table))
    drawn = [line for line in ax.lines if line.get_marker() == "|"]
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "iris, FT",
        "titanic, PT (underspecified)",
        "cancer, FT",
    ]
    assert [len(line.get_xdata()) for line in drawn] == [0, 0, 3] and list(drawn[2].get_xdata()[:2]) == [2, -32]
    rings = [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines if line.get_markerfacecolor() == "none"]
    assert rings == [(-16, 0), (-7, 1), (-32, 2)]
    assert "n = 50 to 200" in ax.get_xlabel()
    plt.close("all")


def test_the_picture_of_differences_has_a_line_for_each_reference(table):
    curves = essay.parted(table, r"causal - (?P<reference>\w+) at (?P<level>[\d.]+)")
    ax = essay_figures.differences_by_sparsity(essay.select(curves, dataset="mnist"), title="LeNet")
    assert len(ax.containers) == 1 and ax.get_legend_handles_labels()[1] == ["magnitude"]
    line, _, (bars,) = ax.containers[0]
    assert list(line.get_ydata()) == [0.04, -0.04]
    assert [[y for _, y in bar] for bar in bars.get_segments()] == [
        pytest.approx([0.01, 0.08]),
        pytest.approx([-0.07, -0.01]),
    ]
    assert "n = 3 seeds" in ax.get_ylabel()
    plt.close("all")


def read_aloud(monkeypatch, folder, **parameters):
    """What notebook 13 displays when its cells are run from top to bottom in a folder, and its names then."""
    shown, names = [], {}
    monkeypatch.setattr(IPython.display, "display", shown.append)
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    monkeypatch.chdir(folder)
    matplotlib.use("agg")
    for cell in notebooks.cells(NOTEBOOK):
        if cell.kind == "code":
            exec(compile(cell.source, NOTEBOOK.name, "exec"), names)
            names |= parameters if "parameters" in cell.tags else {}
    plt.close("all")
    return shown, names


def markdown(shown) -> list[str]:
    return "\n".join(one.data for one in shown if isinstance(one, IPython.display.Markdown)).splitlines()


def test_the_essay_reads_the_committed_table(monkeypatch, tmp_path):
    out = tmp_path / "does_it_replicate.smoke.json"
    shown, names = read_aloud(monkeypatch, ROOT / "notebooks", out=str(out), profile="smoke")
    # Of paper B's authors nothing is run again. Any other line would be a misspelt question.
    missing = [line for line in markdown(shown) if "not run" in line]
    assert missing == ["- The authors' files, run again: not run."]
    for claims in (names["claims_a"], names["claims_b"]):
        assert essay.NOT_RUN not in essay.summary(claims).cases.tolist()
    assert sum(isinstance(one, plt.Figure) for one in shown) == 2
    rows = len((ROOT / "replication" / results.TABLE).read_text().splitlines()) - 1
    assert f"{rows:,} numbers" in markdown(shown)[0]
    content = results.read(out)
    assert content["cells"] == [], "they would enter the table that they were counted in"
    assert sum(sum(content["figures"]["counts"][verdict]) for verdict in names["table"].verdict.unique()) == rows


def test_the_essay_of_an_empty_table_says_so(monkeypatch, tmp_path):
    written(tmp_path, empty=True)
    shown, _ = read_aloud(monkeypatch, tmp_path)
    lines = [line for line in markdown(shown) if line.startswith("- ")]
    assert lines and all(line.endswith(": not run.") for line in lines)


def test_the_essay_has_no_number_typed_by_hand():
    """A decimal or per cent in its text stands in a formula, names a paper's section, or is the intervals' level."""
    for cell in notebooks.cells(NOTEBOOK):
        if cell.kind == "markdown" and not {"exercise", "solution"} & set(cell.tags):
            text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|arXiv:\S+", "", cell.source, flags=re.S)
            assert set(re.findall(r"\d+\.\d+|\d+ ?%", text)) <= {"95%", "3.4", "3.6"}, cell.source
