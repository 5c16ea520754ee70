"""`ccprune verify` on a small project: every number changed by hand must be found."""

import shutil
from dataclasses import replace as replace_fields

import pandas as pd
import pytest

from ccprune import cli
from replication import ledger
from replication.ledger.units import Units
from replication.runner import rerun


@pytest.fixture(scope="module")
def made(new_project, tmp_path_factory):
    """A project whose results were really run, once for all tests here."""
    project = new_project(tmp_path_factory.mktemp("made"))
    project.write_notebook("more.ipynb")
    second = project.entry("two", "more.ipynb", default="{ size = 4 }", after='["one"]')
    project.write_suite(project.entry("one"), second)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert cli.main(["replicate"]) == 0
    return project.root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    copy = shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(copy)
    return copy


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_was_made_is_confirmed(root, capfd):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert cli.main(["verify", "--seed", "3"]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[0] == "files: as the commands wrote them"
    assert printed[1].startswith("re-run (--seed 3): ") and printed[2] == "results: confirmed"
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "old", "new", "finding"),
    [
        ("results/one.default.json", '"ours": 3', '"ours": 4', "it cannot be used: the file was changed after"),
        (
            "results/one.default.json",
            '"wall_seconds": ',
            '"wall_seconds": 1',
            "it cannot be used: the file was changed",
        ),
        (
            "results/one.default.json",
            '"ours": 3',
            '"ours": 4, "ours": 3',
            "it cannot be used: keys must be unique, got",
        ),
        ("results/one.default.json", '"n": 1,', '"n": 1 ,', "it has other digits, spaces or order than the package"),
        ("verdicts.csv", ",3,3,", ",3,2,", "it differs from the results (line 2 reads 'legcnet,1,good"),
        ("measurements.csv", "paper,", "papers,", "it differs from the results (line 1 reads"),
        ("README.md", "| our runs | 2 |", "| our runs | 3 |", "it differs from the results (line "),
        ("tables/legcnet_table_1.md", "| 3 |", "| 2 |", "it differs from the results (line "),
        ("verdicts.svg", "</svg>", "<!-- 3 --></svg>", "it differs from the results"),
        ("reports/one.default.html", "good", "better", "the report of one.default.json was changed after it"),
        ("manifest.json", '"one.default"', '"won.default"', "it does not list the run one.default"),
    ],
)
def test_what_was_changed_by_hand_is_found(root, capfd, name, old, new, finding):
    replace(root / "replication" / name, old, new)
    assert cli.main(["verify", "--no-rerun"]) == 1
    printed = capfd.readouterr().out.splitlines()
    assert any(line.startswith(f"  replication/{name}: {finding}") for line in printed), printed
    assert printed[0] == ("files: 2 problems" if name == "manifest.json" else "files: 1 problem"), printed


def sign(root, change):
    """Change the content of a result, sign it again, and renew the report."""
    path = root / "replication" / "results" / "one.default.json"
    content = ledger.read(path)
    change(content)
    ledger.save(path, content)
    assert cli.main(["report"]) == 0


def test_a_verdict_that_does_not_follow_is_found_though_it_is_signed_again(root, capfd):
    sign(root, lambda content: content["cells"][0].update(ours=2))
    assert cli.main(["verify", "--no-rerun"]) == 1
    printed = capfd.readouterr().out
    assert "results/one.default.json: legcnet 1 good.ipynb ft epochs has verdict 'identical', but 'outside'" in printed


def test_what_no_file_contradicts_is_found_by_running_again(root, capfd):
    """The digests, the tables and the index are renewed with it: from the files alone nothing is wrong."""

    def change(content):
        content["cells"][0].update(verdict="outside", ours=2, n=100_000, note="within the range")
        content.update(seeds=[7], data_checksums={"iris": "0" * 64})

    sign(root, change)
    assert cli.main(["verify", "--no-rerun"]) == 0
    assert cli.main(["verify", "--seed", "0", "--seconds", "5"]) == 1
    printed = capfd.readouterr().out
    assert "results: 3 differences" in printed
    for finding in (
        f"data_checksums.iris: '{'0' * 64}' committed, 'nothing' in the re-run",
        "seeds[0]: 7 committed, 0 in the re-run",
        "legcnet 1 good.ipynb ft epochs: n 100000 committed, 1 in the re-run; note 'within the range' committed, '' in "
        "the re-run; ours 2 committed, 3 in the re-run; verdict 'outside' committed, 'identical' in the re-run",
    ):
        assert f"  one.default: {finding}\n" in printed


def test_files_that_are_too_many_or_too_few(root, capfd):
    folder = root / "replication"
    shutil.copy(folder / "results" / "one.default.json", folder / "results" / "gone.default.json")
    (folder / "reports" / "two.default.html").rename(folder / "reports" / "extra.default.html")
    assert cli.main(["verify", "--no-rerun"]) == 1
    printed = capfd.readouterr().out
    for finding in (
        "reports/gone.default.html: the report of gone.default.json is missing",
        "results/gone.default.json: no such run in the suite",
        "reports/two.default.html: the report of two.default.json is missing",
        "reports/extra.default.html: it belongs to no result",
    ):
        assert finding in printed


def test_a_suite_that_asks_for_something_else(root, capfd):
    replace(root / "replication" / "suite.toml", "size = 4", "size = 5")
    assert cli.main(["verify", "--no-rerun"]) == 1
    assert "two.default.json: its parameters differ from the suite's (size); run it" in capfd.readouterr().out
    # While parts of the new run are stored, the older result stands and the index says so.
    Units(root / "replication" / "units" / "two.default").get({"seed": 0}, lambda: [{"accuracy": 0.9}])
    assert cli.main(["report"]) == 0
    assert cli.main(["verify", "--no-rerun"]) == 0
    index = (root / "replication" / "README.md").read_text()
    assert "| two.default | the rest of a long run | 1 of its units are stored" in index


def test_raw_runs_that_were_changed_swapped_or_left_over(root, capfd):
    folder = root / "replication"
    path = folder / "results" / "one.default.json"
    frame = pd.DataFrame({"study": ["fresh"], "network": [0], "accuracy": [0.9]})
    content = ledger.read(path)
    ledger.place(path, content | {"raw": {name: frame[name].tolist() for name in frame}})
    assert cli.main(["report"]) == 0
    assert cli.main(["verify", "--no-rerun"]) == 0
    raw = folder / "raw" / "one.default.parquet"
    shutil.copy(raw, folder / "raw" / "extra.default.parquet")
    frame.assign(accuracy=0.8).to_parquet(raw)
    capfd.readouterr()
    assert cli.main(["verify", "--no-rerun"]) == 1
    printed = capfd.readouterr().out
    changed = "it cannot be used: the file with the raw runs of one.default.json was changed"
    assert f"raw/one.default.parquet: {changed}" in printed
    assert "raw/extra.default.parquet: it belongs to no result" in printed


def test_nothing_to_verify(project, monkeypatch, capfd):
    monkeypatch.chdir(project.root)
    project.write_suite(project.entry("one"))
    assert cli.main(["verify"]) == 1
    assert "no results" in capfd.readouterr().out


def test_the_sample_is_drawn_by_its_seed_within_its_budget(root):
    from replication.runner import plan

    runs, folder = plan(root, profile="default"), root / "replication"
    assert {run.name for run in rerun.sample(runs, folder, seconds=10, seed=0)} == {"one", "two"}
    assert rerun.sample(runs, folder, seconds=4, seed=0) == []
    drawn = [rerun.sample(runs, folder, seconds=5, seed=seed)[0].name for seed in range(20)]
    assert set(drawn) == {"one", "two"}
    assert drawn == [rerun.sample(runs, folder, seconds=5, seed=seed)[0].name for seed in range(20)]
    (folder / "results" / "one.default.json").unlink()
    assert [run.name for run in rerun.sample(runs, folder, seconds=10, seed=0)] == ["two"]


CELL = ledger.Cell(
    paper="legcnet", table="1", dataset="iris", method="ft", quantity="epochs", kind="claim", ours=3.0, ci_low=2.5,
    ci_high=3.5, n=5, outcome="holds", profile="default",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ours": 3 + 1e-9}, []),
        ({"ours": 3.1}, ["legcnet 1 iris ft epochs: ours 3.0 committed, 3.1 in the re-run"]),  # within its interval
        ({"ours": None}, ["legcnet 1 iris ft epochs: ours 3.0 committed, None in the re-run"]),
        ({"ci_high": 3.6}, ["legcnet 1 iris ft epochs: ci_high 3.5 committed, 3.6 in the re-run"]),
        ({"n": 6}, ["legcnet 1 iris ft epochs: n 5 committed, 6 in the re-run"]),
        ({"note": "x"}, ["legcnet 1 iris ft epochs: note '' committed, 'x' in the re-run"]),
        (
            {"outcome": "undecided"},
            ["legcnet 1 iris ft epochs: outcome 'holds' committed, 'undecided' in the re-run"],
        ),
        (
            {"method": "pt"},
            [
                "legcnet 1 iris ft epochs: committed, but not in the re-run",
                "legcnet 1 iris pt epochs: in the re-run, but not committed",
            ],
        ),
    ],
)
def test_what_another_run_confirms(change, expected):
    assert rerun.cell_differences([CELL], [replace_fields(CELL, **change)]) == expected


def test_null_of_times_only_what_is_measured_is_not_compared():
    timed = replace_fields(CELL, quantity="time_over_dense", kind="measurement", outcome="")
    assert rerun.cell_differences([timed], [replace_fields(timed, ours=9.0, ci_low=8.0, ci_high=9.5, note="2 s")]) == []
    assert rerun.cell_differences([timed], [replace_fields(timed, n=6)]) != []


def test_raw_runs_are_compared_row_by_row():
    frame = pd.DataFrame({"method": ["ft", "pt"], "epochs": [3.0, None], "reached": [True, False]})
    assert rerun.raw_differences(frame, frame.assign(epochs=[3 + 1e-9, None])) == []
    assert rerun.raw_differences(frame, frame.assign(epochs=[3.0, 7.0], reached=[True, True])) == [
        "raw runs: epochs differs in 1 of 2 rows: row 2 None committed, 7.0 in the re-run",
        "raw runs: reached differs in 1 of 2 rows: row 2 False committed, True in the re-run",
    ]
    assert len(rerun.raw_differences(frame, frame.drop(columns="epochs"))) == 1
    assert rerun.raw_differences(frame, None) == ["raw runs: 'some' committed, 'none' in the re-run"]
