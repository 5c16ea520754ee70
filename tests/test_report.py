import json
from dataclasses import asdict, replace

import matplotlib
import pytest
from matplotlib.figure import Figure

from ccprune import plots, results
from ccprune.reporting import figure, write_report
from ccprune.results import Cell

OURS = Cell("legcnet", "1", "cancer", "ft", "epochs", 38, 41.515151, 36.25, 47, 50, "within_noise", "", "default")
TRIALS = [
    replace(OURS, published=38 if k == 2 else None, ours=ours, ci_low=None, ci_high=None, n=1, profile="authors",
            verdict="identical" if k == 2 else "not_published", note=f"trial {k}")
    for k, ours in ((1, 78), (2, 38), (3, None))
]  # fmt: skip
CLAIM = replace(
    OURS, table="fewer_epochs", quantity="saved", published=None, verdict="not_published", note="a | b holds"
)


def save(folder, name, *cells, profile="default", **more):
    path = folder / "results" / f"{name}.{profile}.json"
    return results.write(
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


def test_a_line_per_cell_with_all_trials(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS)
    line = "| cancer | ft | epochs | 38 | 78, **38**, – | identical | 41.52 [36.25, 47] (50) | within noise | "
    line += "authors' files: trial 2 |"
    assert line in index(tmp_path)


def test_cells_of_one_source_only(tmp_path):
    save(tmp_path, "a", OURS, replace(TRIALS[1], dataset="iris", note=""))
    lines = index(tmp_path)
    assert "| cancer | ft | epochs | 38 | – | – | 41.52 [36.25, 47] (50) | within noise |  |" in lines
    assert "| iris | ft | epochs | 38 | 38 | identical | – | – |  |" in lines


def test_counts_of_verdicts(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS, CLAIM, replace(OURS, paper="causal", verdict="not_reproduced"))
    lines = index(tmp_path)
    assert lines[lines.index("## Verdicts") + 2] == (
        "| paper | cells | identical | within noise | not reproduced | underspecified | not published |"
    )
    assert "| legcnet | authors' files re-run | 1 | 0 | 0 | 0 | 2 |" in lines
    assert "| legcnet | ours | 0 | 1 | 0 | 0 | 1 |" in lines
    assert "| causal | ours | 0 | 0 | 1 | 0 | 0 |" in lines


def test_counts_of_each_table_link_the_notebook(tmp_path):
    save(tmp_path, "a", OURS, *TRIALS, CLAIM)
    assert "| Table 1 | authors' files | 1 |  |  |  | 2 | 01.ipynb |" in index(tmp_path)
    write_report(tmp_path, notebooks="../notebooks")
    lines = (tmp_path / "README.md").read_text().splitlines()
    for line in (
        "| Table 1 | authors' files | 1 |  |  |  | 2 | [01](../notebooks/01.ipynb) |",
        "| Table 1 | ours |  | 1 |  |  |  | [01](../notebooks/01.ipynb) |",
        "| Fewer epochs | ours |  |  |  |  | 1 | [01](../notebooks/01.ipynb) |",
    ):
        assert line in lines


def test_a_claim_is_told_with_its_sentence(tmp_path):
    save(tmp_path, "a", CLAIM)
    lines = index(tmp_path)
    assert "### Fewer epochs" in lines
    assert "| cancer | ft | saved | – | 41.52 [36.25, 47] (50) | default | not published | a \\| b holds |" in lines
    assert not (tmp_path / "verdicts.svg").exists()
    assert not any("verdicts.svg" in line for line in lines)


def test_runs_are_linked_where_there_is_a_report(tmp_path):
    save(tmp_path, "a-iris", OURS)
    save(tmp_path, "b")
    results.write_atomic(tmp_path / "reports" / "a-iris.default.html", "page")
    lines = index(tmp_path)
    assert any(
        line.startswith("| a-iris | default | [a-iris.default.html](reports/a-iris.default.html) |") for line in lines
    )
    assert any(line.startswith("| b | default | – |") for line in lines)
    assert any(line.startswith("- 2 of 2 runs: Python 3.") for line in lines)


def test_what_is_missing_is_told(tmp_path):
    save(tmp_path, "a", OURS, skipped=[{"what": "authors' masks", "why": "not released"}])
    results.write_atomic(tmp_path / "skipped.json", json.dumps({"vowel.default": "no network"}))
    results.write_atomic(tmp_path / "reports" / "c.default.failed.ipynb", "{}")
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
    names = ("README.md", "verdicts.csv", "verdicts.svg")
    write_report(tmp_path)
    first = [(tmp_path / name).read_bytes() for name in names]
    write_report(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_the_figure_has_a_panel_per_quantity(tmp_path):
    accuracy = replace(OURS, quantity="accuracy", ours=0.8, ci_low=None, ci_high=None, verdict="not_reproduced")
    never = replace(OURS, dataset="iris", ours=None, ci_low=None, ci_high=None, verdict="underspecified")
    save(tmp_path, "a", OURS, *TRIALS, accuracy, never)
    write_report(tmp_path)
    svg = (tmp_path / "verdicts.svg").read_text()
    assert svg.count('<g id="axes_') == 2
    assert "epochs (1 without a figure)" in svg
    for words, there in (
        ("identical", True),
        ("within noise", True),
        ("not reproduced", True),
        ("underspecified", False),
    ):
        assert (words in svg) == there


def test_a_panel_has_a_mark_per_cell():
    axis = Figure().subplots()
    figure._panel(axis, [asdict(OURS), asdict(TRIALS[1])], "epochs")
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
    with pytest.raises(ValueError, match="both give"):
        write_report(tmp_path)


def test_the_figure_is_the_same_whatever_style_the_caller_has_set():
    rows = [asdict(OURS), asdict(TRIALS[1])]
    plain = figure.verdict_figure(rows)
    with matplotlib.rc_context():
        plots.style()
        assert figure.verdict_figure(rows) == plain
