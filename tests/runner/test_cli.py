"""The command line as a reader types it."""

import subprocess
import sys

import pytest

from ccprune import cli
from replication import ledger


@pytest.fixture(autouse=True)
def inside(project, monkeypatch):
    monkeypatch.chdir(project.root)


def test_replicate_then_report(project, capfd):
    project.write_suite(project.entry("one", default="{}", smoke="{}"))
    out = project.out
    assert cli.main(["replicate"]) == 0
    printed = capfd.readouterr()
    assert printed.out.splitlines() == ["1 done, 0 unchanged, 0 skipped, 0 failed", str(out / "README.md")]
    assert printed.err.splitlines()[0] == "[0/1] start     one.default"
    assert printed.err.splitlines()[1].startswith("[1/1] done      one.default  (")
    made = {name: (out / name).read_bytes() for name in ("README.md", "verdicts.csv", "verdicts.svg")}
    for name in made:
        (out / name).unlink()
    assert cli.main(["report"]) == 0
    assert {name: (out / name).read_bytes() for name in made} == made

    # Smoke keeps away from the committed folder.
    assert cli.main(["replicate", "--profile", "smoke"]) == 0
    assert {name: (out / name).read_bytes() for name in made} == made
    smoke = out / ".smoke"
    assert ledger.read(smoke / "results" / "one.smoke.json")["profile"] == "smoke"
    assert "**Smoke profile" in (smoke / "README.md").read_text()
    assert ",smoke," in (smoke / "verdicts.csv").read_text()


def test_a_call_with_nothing_to_run_mends_the_index_and_draws_only_what_is_missing(project, capfd):
    project.write_suite(project.entry("one"))
    assert cli.main(["replicate"]) == 0
    index, table, figure = (project.out / name for name in ("README.md", "verdicts.csv", "verdicts.svg"))
    made = {path: path.read_bytes() for path in (index, table, figure)}
    drawn = figure.stat().st_mtime_ns
    assert cli.main(["replicate"]) == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["0 done, 1 unchanged, 0 skipped, 0 failed", str(index)]
    assert figure.stat().st_mtime_ns == drawn
    index.write_text(index.read_text() + "edited")
    figure.unlink()
    assert cli.main(["replicate"]) == 0
    figure.write_text("of an older table")
    table.write_text(table.read_text() + "edited")
    assert cli.main(["replicate"]) == 0
    assert {path: path.read_bytes() for path in made} == made
    (project.out / "reports" / "two.default.failed.ipynb").write_text("{}")
    assert cli.main(["replicate"]) == 0
    assert "two.default" in index.read_text()


def test_a_failing_run_ends_with_1_and_its_traceback(project, capfd):
    project.write_notebook("bad.ipynb", "1 / 0")
    project.write_suite(project.entry("bad", "bad.ipynb"))
    elsewhere = project.root / "elsewhere"
    assert cli.main(["replicate", "--out", str(elsewhere)]) == 1
    printed = capfd.readouterr()
    assert "FAILED bad.default: cell 3 failed:\n    1 / 0\n" in printed.err
    assert "ZeroDivisionError: division by zero" in printed.err
    assert "0 done, 0 unchanged, 0 skipped, 1 failed" in printed.out
    assert "failed; see reports/bad.default.failed.ipynb" in (elsewhere / "README.md").read_text()


def test_a_dry_run_tells_and_does_nothing(project, capfd, monkeypatch):
    monkeypatch.setattr("replication.runner.requirements.is_here", lambda need: False)
    entries = (project.entry("one"), project.entry("two", needs='["authors:data/vowel.csv"]', default="{}"))
    project.write_suite(*entries)
    assert cli.main(["replicate", "--dry-run"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "run          result  next call",
        "one.default  none    run: not run in this folder",
        "two.default  none    needs authors:data/vowel.csv: downloaded if available, otherwise skipped",
    ]
    assert sorted(path.name for path in project.out.iterdir()) == ["suite.toml"]
    assert cli.main(["replicate", "one"]) == 0
    capfd.readouterr()
    assert cli.main(["status", "one"]) == 0
    head, row = capfd.readouterr().out.splitlines()
    assert row.startswith("one.default  commit ") and row.endswith(" s  nothing") and head.startswith("run ")
    project.write_notebook("good.ipynb", project.writing("good.ipynb"), "1 / 0")
    assert cli.main(["replicate", "one"]) == 1
    assert cli.main(["status", "one"]) == 0
    line = "run: changed: notebook; the last run failed, see reports/one.default.failed.ipynb"
    assert capfd.readouterr().out.splitlines()[-1].endswith(line)
    (project.out / "results" / "one.default.json").write_text("{")
    assert cli.main(["status", "one"]) == 1
    assert "one.default.json" in capfd.readouterr().err


def test_other_parameters_need_a_folder_of_their_own(project, capfd):
    project.write_suite(project.entry("one"))
    for options in (["--seed", "3"], ["-p", "size=5"]):
        assert cli.main(["replicate", *options]) == 2
        assert "give --out FOLDER" in capfd.readouterr().err
    other = project.root / "other"
    assert cli.main(["replicate", "-p", "size=5", "-p", "names=['b']", "--seed", "3", "--out", str(other)]) == 0
    used = ledger.read(other / "results" / "one.default.json")["parameters"]
    assert (used["size"], used["names"], used["seed"]) == (5, ["b"], 3)
    assert cli.main(["replicate", "-p", "sise=5", "--out", str(other)]) == 2
    assert "the notebook has no parameter 'sise' (did you mean size" in capfd.readouterr().err
    assert cli.main(["replicate", "-p", "size=five", "--out", str(other)]) == 2
    assert "parameter 'size' must be of type int as in its default 3, got 'five'" in capfd.readouterr().err
    assert not (project.out / "results").exists()


@pytest.mark.parametrize("command", ["replicate", "report"])
def test_a_folder_with_files_of_others_is_not_touched(project, capfd, command):
    project.write_suite(project.entry("one"))
    folder = project.root / "mine"
    for name in ("README.md", ".cache/runs/keep", "results/one.default.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    assert cli.main([command, "--out", str(folder)]) == 2
    assert "has files of others" in capfd.readouterr().err
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before


def test_skips_alone_end_with_0_and_are_told(project, capfd, monkeypatch):
    monkeypatch.setattr("replication.runner.requirements.why_missing", lambda need: f"{need} is not here")
    project.write_suite(project.entry("one", needs='["authors:data/vowel.csv"]', default="{}"))
    assert cli.main(["replicate"]) == 0
    assert "skipped one.default: authors:data/vowel.csv is not here" in capfd.readouterr().out
    index = (project.out / "README.md").read_text()
    assert "| one.default | all | authors:data/vowel.csv is not here |" in index


def test_what_is_wrong_is_told_before_anything_runs(project, capfd):
    project.write_suite(project.entry("good"), project.entry("bad", default="{ sise = 3 }"))
    assert cli.main(["replicate"]) == 2
    assert "ccprune: bad: the notebook has no parameter 'sise' (did you mean size" in capfd.readouterr().err
    assert cli.main(["replicate", "god", "baad"]) == 2
    assert capfd.readouterr().err.splitlines() == [
        "ccprune: no run 'god' in the suite (did you mean good?)",
        "ccprune: no run 'baad' in the suite (did you mean bad?)",
    ]
    assert cli.main(["report"]) == 2
    assert "has no results" in capfd.readouterr().err
    assert not (project.out / "results").exists()


def test_outside_a_clone(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report"]) == 2
    assert "needs a clone of the project" in capfd.readouterr().err


def test_contradicting_results_end_with_1(project, capfd):
    project.write_suite("")
    where = {"paper": "legcnet", "table": "1", "dataset": "iris", "method": "ft", "quantity": "epochs"}
    judged = {"kind": "figure", "origin": "printed", "published": 3, "ours": 3, "n": 1, "verdict": "identical"}
    cell = ledger.Cell(**where, **judged, profile="default")
    for name in ("a", "b"):
        path = project.out / "results" / f"{name}.default.json"
        parameters = {"profile": "default"}
        ledger.write(path, notebook="x.ipynb", parameters=parameters, seeds=[], data_checksums={}, cells=[cell])
    assert cli.main(["report"]) == 1
    assert "a.default.json and b.default.json both have" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["replicate", "-p", "size"],
        ["replicate", "--profile", "huge"],
        ["replicate", "--jobs", "0"],
        ["replicate", "--jbos", "2"],
        [],
    ],
)
def test_wrong_options_end_with_2(arguments, capfd):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_help_states_the_rules():
    command = [sys.executable, "-m", "ccprune.cli", "replicate", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for rule in ("replication/.smoke", "exit status", "A second call runs only what changed"):
        assert rule in text


def test_what_is_planned_and_looked_for_needs_no_torch():
    code = (
        "import sys, ccprune.cli, replication.cli; from replication.runner import requirements as r;"
        "r.problem('images:mnist'), r.is_here('authors:data/vowel.csv'), r.is_here('images:mnist5k');"
        "r.problem('device:cuda'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # it takes seconds to import


@pytest.mark.parametrize("package", ["ccprune", "replication"])
def test_a_clone_whose_code_is_not_the_imported_one_is_refused(package, project, capfd):
    """Its notebooks would run with other code than that which their stamps and commit name."""
    project.write_suite(project.entry("one"))
    (project.root / package).mkdir(exist_ok=True)
    (project.root / package / "__init__.py").write_text("")
    for command in ("replicate", "report", "status", "verify"):
        assert cli.main([command]) == 2
        assert f"has its own {package}, but this environment imports" in capfd.readouterr().err
    assert not (project.out / "results").exists() or not any((project.out / "results").iterdir())
