import json
from dataclasses import asdict, replace

import matplotlib
import pytest
from matplotlib.figure import Figure

from ccprune._util.files import write_atomic
from replication import figures, ledger
from replication.ledger import Cell, units
from replication.reporting import counts, figure, write_report
from replication.reporting.markdown import number
from replication.runner.spec import Run

OURS = Cell(
    paper="legcnet", table="1", dataset="cancer", method="ft", quantity="epochs", kind="figure", origin="printed",
    published=38, ours=41.515151, ci_low=36.25, ci_high=47, n=50, verdict="within_noise", profile="default",
)  # fmt: skip
_ALONE = {"ci_low": None, "ci_high": None, "n": 1, "profile": "authors"}
TRIALS = [replace(OURS, **_ALONE, ours=38, verdict="identical", trial=2)]
TRIALS += [
    replace(OURS, **_ALONE, ours=ours, trial=k, kind="measurement", origin="", published=None, verdict="")
    for k, ours in ((1, 78), (3, None))
]
CLAIM = replace(
    OURS, table="fewer_epochs", reference="dense", kind="claim", published=-32, verdict="", outcome="holds",
    p_value=0.012, note="a | b",
)  # fmt: skip


def save(folder, name, *cells, profile="default", **more):
    path = folder / "results" / f"{name}.{profile}.json"
    return ledger.write(
        path,
        notebook="01.ipynb",
        parameters={"profile": profile},
        seeds=[],
        data_checksums={},
        cells=cells,
        **more,
    )


def index(folder) -> list[str]:
    write_report(folder)
    return (folder / "README.md").read_text().splitlines()


def page(folder, name: str) -> list[str]:
    write_report(folder)
    return (folder / "tables" / name).read_text().splitlines()


def test_a_line_per_figure_with_all_trials_on_a_page_of_its_own(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS)
    line = "| cancer | ft | epochs | 38 | 78, **38**, – | identical | 41.52 [36.25, 47] (50) | within noise |  |"
    assert line in page(tmp_path, "legcnet_table_1.md")
    lines = index(tmp_path)
    assert line not in lines and "- [legcnet table 1](tables/legcnet_table_1.md)" in lines


def test_figures_of_one_source_only(tmp_path):
    save(tmp_path, "a", OURS, replace(TRIALS[0], dataset="iris"))
    lines = page(tmp_path, "legcnet_table_1.md")
    assert "| cancer | ft | epochs | 38 | – | – | 41.52 [36.25, 47] (50) | within noise |  |" in lines
    assert "| iris | ft | epochs | 38 | **38** | identical | – | – |  |" in lines


def test_figures_and_claims_are_counted_apart(tmp_path):
    undecided = replace(CLAIM, dataset="iris", outcome="undecided", p_value=0.6)
    lost = replace(CLAIM, dataset="vowel", p_value=0.04)
    save(tmp_path, "a", OURS, *TRIALS, CLAIM, undecided, lost, replace(OURS, table="4", verdict="underspecified"))
    lines = index(tmp_path)
    start = lines.index("## Figures") + 2
    assert lines[start] == (
        "| figures | compared with | distinct figures | identical | within noise | outside | underspecified | not run |"
    )
    assert lines[start + 2 : start + 5] == [
        "| A: 1–3 | the authors' files, re-run | 1 | 1 | 0 | 0 | 0 | 0 |",
        "| A: 1–3 | our runs | 1 | 0 | 1 | 0 | 0 | 0 |",
        "| A: 4 | our runs | 1 | 0 | 0 | 0 | 1 | 0 |",
    ]
    start = lines.index("## Claims of the papers") + 2
    # p = .04 is the second of three, and .08 after Holm's correction.
    assert lines[start + 2] == "| A: fewer epochs than dense | 3 | 1 | 0 | 2 | 0 | 2 | 0 | 50 |"


def test_controls_are_no_claims(tmp_path):
    save(tmp_path, "a", replace(CLAIM, kind="control", table="beats_random", published=None, origin=""))
    lines = index(tmp_path)
    assert "No claim was tested." in lines
    start = lines.index("## Controls and other tests")
    assert lines[start + 4].startswith("| A: more accurate than random masks of the same count | 1 | 1 |")


def test_repaired_rankings_have_a_table_of_their_own(tmp_path):
    where = {"kind": "control", "table": "repaired", "reference": "random", "published": None, "origin": ""}
    numbers = {"quantity": "accuracy", "ours": 0.1, "ci_low": 0.05, "ci_high": 0.15, "p_value": 0.001}
    cases = [
        replace(CLAIM, **where, **numbers, method=method, sparsity=share, outcome=outcome)
        for method, outcome in (("smallest_p", "holds"), ("bic_f", "does_not_hold"))
        for share in (0.1, 0.3)
    ]
    save(tmp_path, "a", *cases)
    lines = index(tmp_path)
    assert "| smallest p | 2, 0 of 2 | – | – | – | – |" in lines and "| bic f | 0, 2 of 2 | – | – | – | – |" in lines
    assert not any(line.startswith("| A: repaired") for line in lines)


def test_a_claims_cases_stand_below_it(tmp_path):
    save(tmp_path, "a", CLAIM)
    lines = index(tmp_path)
    assert "### A: fewer epochs than dense" in lines
    assert "| cancer ft | -32 | 41.52 [36.25, 47] (50) | 0.012 | 0.012 | holds | holds | – | a \\| b |" in lines
    assert not (tmp_path / "verdicts.svg").exists()
    assert not any("verdicts.svg" in line for line in lines)


def test_many_cases_are_gathered_by_dataset_and_network(tmp_path):
    where = {"paper": "causal", "table": "accuracy_path-lenet", "method": "causal", "reference": "magnitude"}
    cases = [
        replace(CLAIM, **where, quantity="accuracy", sparsity=k / 40, published=None, origin="", ours=k / 100,
                ci_low=k / 100, ci_high=k / 100, p_value=0.001)
        for k in range(20)
    ]  # fmt: skip
    save(tmp_path, "a", *cases)
    assert "| cancer, lenet, path, causal | 20 | 0 to 0.19 | 20 | 0 | 0 | 20 | 0 |" in index(tmp_path)


def test_the_index_opens_with_what_the_rows_say(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS, CLAIM)
    lines = index(tmp_path)
    opening = lines[2:6]
    assert opening[0].startswith(
        "- **Most of paper A's figures are reproduced.** 1 distinct figure of tables 1 to 3 was compared. A re-run"
    )
    assert opening[1].startswith(
        "- **Paper A's claims.** That more pairs of networks need fewer epochs than need more is shown"
    )
    assert opening[2] == "- Nothing of paper B was run here."


def test_notebooks_are_linked_with_their_tables(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS, CLAIM)
    assert "| 01.ipynb | Table 1, Fewer epochs |" in index(tmp_path)
    write_report(tmp_path, notebooks="../notebooks")
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert "| [01](../notebooks/01.ipynb) | Table 1, Fewer epochs |" in lines


def test_a_page_of_an_older_report_is_removed(tmp_path):
    save(tmp_path, "a", OURS, CLAIM)
    write_report(tmp_path)
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == ["legcnet_claims.md", "legcnet_table_1.md"]
    save(tmp_path, "a", OURS)
    write_report(tmp_path)
    assert [path.name for path in (tmp_path / "tables").iterdir()] == ["legcnet_table_1.md"]


def test_runs_are_linked_where_there_is_a_report(tmp_path):
    save(tmp_path, "a-iris", OURS)
    save(tmp_path, "b")
    write_atomic(tmp_path / "reports" / "a-iris.default.html", "page")
    lines = index(tmp_path)
    assert any(
        line.startswith("| a-iris | default | [a-iris.default.html](reports/a-iris.default.html) |") for line in lines
    )
    assert any(line.startswith("| b | default | – |") for line in lines)
    assert any(line.startswith("- 2 of 2 runs: Python 3.") for line in lines)


def test_what_is_missing_is_told(tmp_path):
    save(tmp_path, "a", OURS, skipped=[{"what": "authors' masks", "why": "not released"}])
    write_atomic(tmp_path / "skipped.json", json.dumps({"vowel.default": "no network"}))
    write_atomic(tmp_path / "reports" / "c.default.failed.ipynb", "{}")
    lines = index(tmp_path)
    table = lines[lines.index("## Not run") + 4 :]
    assert table[0] == "| vowel.default | all | no network |"
    assert table[1] == "| a.default | authors' masks | not released |"
    assert table[2].startswith("| c.default | the last run | failed; see reports/c.default.failed.ipynb.")
    (tmp_path / "skipped.json").unlink()
    (tmp_path / "reports" / "c.default.failed.ipynb").unlink()
    save(tmp_path, "a", OURS)
    assert "## Not run" not in index(tmp_path)


def test_smoke_is_called_smoke(tmp_path):
    save(tmp_path, "a", replace(OURS, profile="smoke"), profile="smoke")
    assert any(line.startswith("**Smoke profile") for line in index(tmp_path))
    save(tmp_path, "a", OURS)
    assert not any(line.startswith("**Smoke profile") for line in index(tmp_path))


def test_the_same_results_give_the_same_bytes(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS, CLAIM)
    names = ("README.md", "verdicts.csv", "measurements.csv", "verdicts.svg", "tables/legcnet_table_1.md")
    write_report(tmp_path)
    first = [(tmp_path / name).read_bytes() for name in names]
    written = (tmp_path / "verdicts.csv").stat().st_mtime_ns
    write_report(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == first
    assert (tmp_path / "verdicts.csv").stat().st_mtime_ns == written


def test_the_figure_has_a_panel_per_quantity(tmp_path):
    accuracy = replace(OURS, quantity="accuracy", ours=0.8, ci_low=None, ci_high=None, verdict="outside")
    never = replace(OURS, dataset="iris", ours=None, ci_low=None, ci_high=None, verdict="underspecified")
    save(tmp_path, "a", OURS, *TRIALS, accuracy, never, CLAIM)
    write_report(tmp_path)
    svg = (tmp_path / "verdicts.svg").read_text()
    assert svg.count('<g id="axes_') == 2
    assert "epochs (1 without a figure)" in svg
    for words, there in (("identical", True), ("within noise", True), ("outside", True), ("underspecified", False)):
        assert (words in svg) == there


def test_a_panel_has_a_mark_per_figure():
    axis = Figure().subplots()
    figure._panel(axis, [asdict(OURS), asdict(TRIALS[0])], "epochs")
    drawn = [
        (line.get_marker(), line.get_fillstyle(), list(line.get_xdata()), list(line.get_ydata()))
        for line in axis.lines[1:]
    ]
    assert drawn == [
        ("None", "full", [38, 38], [36.25, 47]),
        ("s", "none", [38], [41.515151]),
        ("o", "full", [38], [38]),
    ]


def test_contradicting_results_are_refused(tmp_path):
    save(tmp_path, "a", OURS)
    save(tmp_path, "b", OURS)
    with pytest.raises(ValueError, match="both have"):
        write_report(tmp_path)


def test_the_figure_is_the_same_whatever_style_the_caller_has_set():
    rows = [asdict(OURS), asdict(TRIALS[0])]
    plain = figure.verdict_figure(rows)
    with matplotlib.rc_context():
        figures.style()
        assert figure.verdict_figure(rows) == plain


def test_every_claim_and_control_that_is_counted_has_its_kind_in_the_name():
    for (paper, _, _), name in counts.NAMES.items():
        assert name.startswith({"legcnet": "A: ", "causal": "B: "}[paper])


@pytest.mark.parametrize(("value", "text"), [(40861.5, "40862"), (0.123456, "0.1235"), (None, "–"), (9999.49, "9999")])
def test_counts_are_shown_in_full_and_other_numbers_with_four_digits(value, text):
    assert number(value) == text


def test_runs_that_were_not_made_are_listed_with_their_hours(tmp_path):
    save(tmp_path, "a", OURS)
    write_report(
        tmp_path, expected=[Run("a", "default", "x.ipynb", {}), Run("long", "paper", "x.ipynb", {}, seconds=20_000)]
    )
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert "| long.paper | all | not made yet; it takes about 5.6 h on two cores |" in lines
    assert not any("not made yet" in line and "a.default" in line for line in lines)


def test_kept_units_are_listed_until_there_is_a_result_of_the_same_parameters(tmp_path):
    units = ledger.units.Units(tmp_path / "units" / "a.paper")
    units.get({"seed": 0}, lambda: [{"accuracy": 0.9}])

    def listed(**parameters) -> list[str]:
        write_report(tmp_path, expected=[Run("a", "paper", "x.ipynb", {"profile": "paper"} | parameters)])
        lines = (tmp_path / "README.md").read_text().splitlines()
        return [line for line in lines if line.startswith("| a.paper | the rest")]

    row = "| a.paper | the rest of a long run | 1 of its units are stored; the next call resumes. |"
    assert listed() == [row]
    save(tmp_path, "a", replace(OURS, profile="paper"), profile="paper")
    assert listed() == []
    assert listed(seeds=3) == [row.removesuffix(" |") + " A result above is from an earlier run. |"]


def test_seconds_of_units_stand_beside_their_run(tmp_path):
    save(tmp_path, "a", OURS)
    (path,) = (tmp_path / "results").glob("*.json")
    stored = units.Units(tmp_path / units.FOLDER / path.stem)
    for seed in (0, 1):
        stored.store({"study": "s", "seed": seed}, [], commit=None, seconds=1000.0)
    (line,) = (line for line in index(tmp_path) if line.startswith("| a |"))
    assert line.split(" | ")[7] == "2: 2000"
    (tmp_path / units.FOLDER / path.stem / "damaged.json").write_text("{")
    (line,) = (line for line in index(tmp_path) if line.startswith("| a |"))
    assert line.split(" | ")[7] == "3: 2000"
