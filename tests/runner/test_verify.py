"""`ccprune verify` on a small project: every number changed by hand must be found."""

import json
import shutil
from dataclasses import replace as replace_fields

import pandas as pd
import pytest

from ccprune import cli
from replication import ledger as results
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
    told = capfd.readouterr().out.splitlines()
    assert told[0] == "files: as the commands wrote them"
    assert told[1].startswith("re-run (--seed 3): ") and told[2] == "numbers: confirmed"
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "old", "new", "finding"),
    [
        ("results/one.default.json", '"ours": 3', '"ours": 4', "results/one.default.json: the file was changed after"),
        (
            "results/one.default.json",
            '"wall_seconds": ',
            '"wall_seconds": 1',
            "results/one.default.json: the file was chan",
        ),
        ("verdicts.csv", ",3,3,", ",3,2,", "verdicts.csv: it differs from the results (line 2 reads 'legcnet,1,good"),
        ("measurements.csv", "paper,", "papers,", "measurements.csv: it differs from the results (line 1 reads"),
        ("README.md", "| our runs | 2 |", "| our runs | 3 |", "README.md: it differs from the results (line "),
        (
            "tables/legcnet_table_1.md",
            "| 3 |",
            "| 2 |",
            "tables/legcnet_table_1.md: it differs from the results (line ",
        ),
        ("verdicts.svg", "</svg>", "<!-- 3 --></svg>", "verdicts.svg: it differs from the results"),
        ("reports/one.default.html", "good", "better", "reports/one.default.html: it was changed after"),
    ],
)
def test_what_was_changed_by_hand_is_found(root, capfd, name, old, new, finding):
    replace(root / "replication" / name, old, new)
    assert cli.main(["verify", "--no-rerun"]) == 1
    told = capfd.readouterr().out.splitlines()
    assert told[0] == "files: 1 problem" and told[1].strip().startswith(finding), told


def test_a_number_changed_and_signed_anew_is_found_by_running_again(root, capfd):
    """And the report digest, verdicts and index with it: from the files alone nothing is wrong."""
    path = root / "replication" / "results" / "one.default.json"
    content = results.read(path)
    content["cells"][0]["ours"] = 2
    results.save(path, content)
    assert cli.main(["report"]) == 0
    assert cli.main(["verify", "--no-rerun"]) == 0
    assert cli.main(["verify", "--seed", "0"]) == 1
    told = capfd.readouterr().out
    assert "numbers: 1 differ\n  one.default: legcnet 1 good.ipynb ft epochs: 2 committed, 3 in the re-run" in told


def test_files_that_are_too_many_or_too_few(root, capfd):
    folder = root / "replication"
    shutil.copy(folder / "results" / "one.default.json", folder / "results" / "gone.default.json")
    (folder / "reports" / "two.default.html").rename(folder / "reports" / "extra.default.html")
    assert cli.main(["verify", "--no-rerun"]) == 1
    told = capfd.readouterr().out
    for finding in (
        "results/gone.default.json: its report reports/gone.default.html is missing",
        "results/gone.default.json: no such run in the suite",
        "results/two.default.json: its report reports/two.default.html is missing",
        "reports/extra.default.html: it belongs to no result",
    ):
        assert finding in told


def test_benchmarks_are_held_against_their_results(root, capfd):
    folder = root / "benchmarks"
    (folder / "results").mkdir(parents=True)
    results.save(folder / "results" / "speed.json", {"seconds": 3})
    (folder / "plot.py").write_text("def results():\n    return 3\ndef readme(found):\n    return f'{found} s\\n'\n")
    (folder / "README.md").write_text("3 s\n")
    assert cli.main(["verify", "--no-rerun"]) == 0
    (folder / "README.md").write_text("2 s\n")
    assert cli.main(["verify", "--no-rerun"]) == 1
    assert "benchmarks/README.md: it differs from the results (line 1 reads '2 s', not '3 s')" in capfd.readouterr().out
    replace(folder / "results" / "speed.json", "3", "2")
    assert cli.main(["verify", "--no-rerun"]) == 1
    assert "benchmarks/results/speed.json: it was changed after it was written" in capfd.readouterr().out


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
    content = results.read(path)
    results.place(path, content | {"raw": {name: frame[name].tolist() for name in frame}})
    assert cli.main(["report"]) == 0
    assert cli.main(["verify", "--no-rerun"]) == 0
    raw = folder / "raw" / "one.default.parquet"
    shutil.copy(raw, folder / "raw" / "extra.default.parquet")
    frame.assign(accuracy=0.8).to_parquet(raw)
    capfd.readouterr()
    assert cli.main(["verify", "--no-rerun"]) == 1
    told = capfd.readouterr().out
    assert "one.default.parquet: the file with the raw runs of one.default.json was changed" in told
    assert "raw/extra.default.parquet: it belongs to no result" in told


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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ours": 3 + 1e-9}, []),
        ({"ours": 3.4}, []),  # within its interval
        ({"ours": 3.6}, ["legcnet 1 good.ipynb ft epochs: 3 [2.5, 3.5] committed, 3.6 in the re-run"]),
        (
            {"ours": None, "ci_low": None, "ci_high": None},
            ["legcnet 1 good.ipynb ft epochs: 3 [2.5, 3.5] committed, None in the re-run"],
        ),
        ({"published": 4}, ["legcnet 1 good.ipynb ft epochs: published 3 committed, 4 in the re-run"]),
        (
            {"method": "pt"},
            [
                "legcnet 1 good.ipynb ft epochs: committed, but not in the re-run",
                "legcnet 1 good.ipynb pt epochs: in the re-run, but not committed",
            ],
        ),
    ],
)
def test_what_another_run_confirms(root, change, told):
    content = json.loads((root / "replication" / "results" / "one.default.json").read_text())
    committed = results.Cell.from_dict(content["cells"][0] | {"ci_low": 2.5, "ci_high": 3.5})
    assert rerun.differences([committed], [replace_fields(committed, **change)]) == told
