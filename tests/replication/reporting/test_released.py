"""Released figures on the pages: counted apart from those that are answered, and in a section of their own."""

import json
from pathlib import Path

from replication import ledger
from replication.causal import released as figures
from replication.causal.released.rows import rows as made
from replication.reporting import counts, essay, released, statements, write_report

ROOT = Path(__file__).parents[3]


def output(folder, change=lambda content: None):
    """An output folder with the released figures and one result without cells."""
    content = json.loads(figures.PATH.read_text(encoding="utf-8"))
    change(content)
    (folder / "paper").mkdir(parents=True)
    (folder / "paper" / figures.FILE).write_text(json.dumps(content), encoding="utf-8")
    path = folder / "results" / "a.default.json"
    ledger.write(path, notebook="01.ipynb", parameters={"profile": "default"}, seeds=[], data_checksums={}, cells=[])
    write_report(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_index_has_both_counts_and_every_statement(tmp_path):
    text = output(tmp_path)
    rows = made(figures.load())
    assert f"| B: released in files | our runs | {len(rows)} | 28 | 0 | 0 | 4 | {len(rows) - 32} |" in text
    assert (
        "586 figures in 23 groups, from which 815 more" in text
        and f"makes {len(rows)} rows of the table of verdicts" in text
    )
    for one in released.statements(figures.load()):
        assert f"### {one.title}\n\n{one.text}\n" in text and f"*Caveat: {one.caveat}*" in text
    table = (tmp_path / "verdicts.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == len(rows) + 1 and "causal_figures.md" in text
    assert not (tmp_path / "verdicts.svg").exists()  # a picture of printed figures


def test_a_changed_figure_changes_the_page(tmp_path):
    before = output(tmp_path / "before")

    def change(content):
        next(cell for cell in content["cells"] if cell.get("rep") == 2)["value"] = 0.6

    assert output(tmp_path / "after", change) != before


def test_a_folder_without_the_file_has_no_such_rows(tmp_path):
    assert released.declared_cells(tmp_path) == [] and released.read(tmp_path) is None


def test_counts_are_the_same_from_the_committed_table():
    table = essay.read(ROOT / "replication")
    rows = counts.released_rows(essay.records(table))
    whole = figures.load()
    assert len(rows) == len(made(whole))
    assert released.overview(whole, rows) in (ROOT / "replication" / "README.md").read_text(encoding="utf-8")
    found = statements.facts(rows)
    assert sum(found.released.values()) == len(rows) and found.designed == (30, 28)


def test_a_row_that_a_run_answers_is_counted_as_answered():
    whole = figures.load()
    rows = [vars(row.cell) | {"verdict": "not_run"} for row in made(whole)]
    assert "0 rows (0 figures) have a verdict" in released.overview(whole, rows)
    rows[0] |= {"verdict": "within_noise", "ours": 0.9, "profile": "paper"}
    assert f"1 rows ({len(made(whole)[0].figures)} figures) have a verdict" in released.overview(whole, rows)
    assert "1 stand beside our runs: 1 lie in" in statements.bullets([row | {"trial": None} for row in rows])


def _one_shot(**values):
    where = {"table": "one_shot-resnet20", "quantity": "top-5 accuracy", "sparsity": 0.5, "n": 1}
    return [where | {"method": method, "ours": value} for method, value in values.items()]


def test_our_run_of_shrinkbenchs_design_stands_below_theirs_and_says_no_more_than_it_shows():
    one = next(one for one in released.statements(figures.load()) if one.title == released.SHRINKBENCH)
    others = {"fisher": 0.5, "random": 0.5, "magnitude": 0.98}
    *_, near = released.statement(one, _one_shot(screen=0.5, ridge=0.52, **others))
    assert "0.50 to 0.52 with the masks of 2 causal fits" in near and "on 1 network only" in near
    *_, far = released.statement(one, _one_shot(screen=0.5, ridge=0.9, **others))
    assert "0.50 to 0.90" in far and "fault" not in far
    assert released.statement(one, [])[-1].startswith("*Caveat")


def test_each_claim_is_answered_twice():
    rows = essay.records(essay.read(ROOT / "replication"))
    table = released.answered_twice(figures.load(), rows)
    assert table.count("\n") == 4 and "0 of 7 causal networks" in table
    assert "Not run here." not in table
    assert released.answered_twice(figures.load(), []).count("Not run here.") == 3
