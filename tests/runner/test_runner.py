"""The runner on small notebooks made here; each planted fault must end with its own message."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from ccprune._util.files import write_atomic
from replication import ledger
from replication.ledger.storage import as_json
from replication.ledger.units import Units
from replication.runner import execution as runner
from replication.runner import placing, requirements, stamps
from replication.runner.spec import Run


def statuses(outcomes) -> dict[str, str]:
    return {outcome.run.name: outcome.status for outcome in outcomes}


def test_a_good_run_and_a_second_call(project):
    """Run again, it gives the same bytes but for times and memory."""
    project.write_notebook("good.ipynb", project.writing("good.ipynb"), "print('printed'); {'shown': size}")
    project.write_suite(project.entry("one", default="{ size = 4 }"))
    out = project.out
    (outcome,) = project.run()
    assert (outcome.status, outcome.why) == ("done", "")
    content = ledger.read(out / "results" / "one.default.json")
    assert content["parameters"]["size"] == 4
    page = (out / "reports" / "one.default.html").read_text()
    assert "$OUT/one.default.json" in page  # the injected cell, without the scratch folder's name
    assert str(project.root) not in page
    for outside in ("<script", "http:", "https:", "@import"):
        assert outside not in page
    assert len(page) < 20_000
    assert sorted(os.listdir(out)) == [".cache", "reports", "results", "suite.toml"]
    assert os.listdir(out / ".cache" / "runs") == []

    assert statuses(project.run()) == {"one": "unchanged"}
    assert statuses(project.run(force=True)) == {"one": "done"}
    assert (out / "reports" / "one.default.html").read_text() == page
    again = ledger.read(out / "results" / "one.default.json")
    measured = {"wall_seconds", "peak_memory_mb", "energy_joules", "signature"}
    texts = [as_json({key: one[key] for key in one.keys() - measured}) for one in (content, again)]
    assert texts[0] == texts[1]


def test_what_makes_a_run_stale(project, monkeypatch):
    """No kernel is started: the stamp is written as the runner writes it."""
    project.write_notebook("good.ipynb", "from ccprune import data, train")
    project.write_suite(project.entry("one", uses='["authors:data/vowel.csv"]', default="{}"))
    out = project.root / "out"
    here: list[Path] = []
    monkeypatch.setattr(requirements, "is_here", lambda need: bool(here))
    monkeypatch.setattr(requirements, "paths", lambda need: here)
    package = project.root / "ccprune"
    (package / "data").mkdir(parents=True)
    for module in ("__init__", "train", "unrelated", "data/__init__"):
        (package / f"{module}.py").write_text("")
    monkeypatch.setattr(stamps, "SOURCE_FOLDERS", (package,))
    write_atomic(out / "results" / "one.default.json", "{}")
    write_atomic(out / "reports" / "one.default.html", "page")

    def planned(**options):
        return project.plan(**options)[0]

    def why(**options):
        return stamps.why_not_current(out, project.root, planned(**options))

    def current(**options):
        return why(**options) is None

    def stamp():
        stamps.write(out, planned(), stamps.sources(project.root, planned()))
        assert current()

    assert why() == "not run in this folder"  # results that are there are no cache
    stamp()
    assert why(replaced={"seed": 1}) == "changed: parameters (seed)"
    edited = "its result or report was changed"
    for path, text, reason in [
        (package / "train.py", "x = 1", "changed: package (ccprune/train.py)"),
        (package / "train.py", "x = 2", "changed: package (ccprune/train.py)"),
        (package / "data" / "table.csv", "1,2", "changed: package (ccprune/data/table.csv)"),
        (
            project.root / "replication" / "paper" / "tables.json",
            "{}",
            "changed: paper (replication/paper/tables.json)",
        ),
        (out / "results" / "one.default.json", '{"edited": 1}', edited),
        (out / "reports" / "one.default.html", "edited", edited),
    ]:
        write_atomic(path, text)
        assert why() == reason
        stamp()
    write_atomic(package / "__pycache__" / "train.pyc", "")
    write_atomic(package / "unrelated.py", "x = 1")
    assert current()
    here.append(write_atomic(project.root / "vowel.csv", "1,2") or project.root / "vowel.csv")
    assert not current()
    stamp()
    write_atomic(here[0], "1,3")
    assert why() == "changed: data (authors:data/vowel.csv)"
    stamp()
    project.write_notebook("good.ipynb", "from ccprune import data, train\nprint('other')")
    assert not current()
    stamp()
    notebook = nbformat.read(project.root / "notebooks" / "good.ipynb", as_version=4)
    notebook.metadata["edited"] = "with another program"
    nbformat.write(notebook, project.root / "notebooks" / "good.ipynb")
    assert current()
    monkeypatch.setattr(stamps, "package_versions", lambda: {"torch": "0.1"})
    assert not current()
    stamp()
    for spoilt in ("half a st", "[]", '{"made_from": {}}'):
        (out / ".cache" / "one.default.json").write_text(spoilt)
        assert why() == "not run in this folder"
    stamp()
    (out / "reports" / "one.default.html").unlink()
    assert why() == "its result or report is missing"


def test_failures_are_told_and_the_others_go_on(project):
    project.write_notebook("bad.ipynb", "kept = 'shown'\nkept", "first = 1\nraise RuntimeError('planted fault')")
    project.write_notebook("dies.ipynb", "import os\nos._exit(7)")
    lying = project.writing("lying.ipynb", size="9")
    project.write_notebook("lying.ipynb", lying)
    project.write_notebook("good.ipynb")
    names = ("bad", "dies", "lying", "good")
    project.write_suite(*(project.entry(name, f"{name}.ipynb") for name in names))
    out = project.out
    write_atomic(out / "results" / "bad.default.json", "an older result")

    outcomes = project.run(jobs=2, keep_going=True)
    assert statuses(outcomes) == dict.fromkeys(names[:-1], "failed") | {"good": "done"}
    why = {outcome.run.name: outcome.why for outcome in outcomes}
    for part in ("cell 4 failed", "    raise RuntimeError('planted fault')", "RuntimeError: planted fault"):
        assert part in why["bad"]
    assert "died" in why["dies"].lower()
    assert "size: 3 in the run, 9 in the result" in why["lying"]

    kept = nbformat.read(out / "reports" / "bad.default.failed.ipynb", as_version=4)
    assert any("shown" in str(cell.get("outputs")) for cell in kept.cells)
    assert sorted(os.listdir(out / "results")) == ["bad.default.json", "good.default.json"]
    assert (out / "results" / "bad.default.json").read_text() == "an older result"
    assert [name for name in os.listdir(out / "reports") if name.endswith(".html")] == ["good.default.html"]

    project.write_notebook("bad.ipynb")
    assert statuses(project.run(only=["bad", "good"])) == {"bad": "done", "good": "unchanged"}
    assert not (out / "reports" / "bad.default.failed.ipynb").exists()


def test_after_a_failure_nothing_is_begun_unless_asked(project):
    project.write_notebook("bad.ipynb", "1 / 0")
    project.write_suite(project.entry("bad", "bad.ipynb"), project.entry("good"))
    bad, good = project.run()
    assert (bad.status, good.status, good.why) == ("failed", "not run", "bad.default failed")
    assert not (project.out / "results").exists()
    assert statuses(project.run(keep_going=True)) == {"bad": "failed", "good": "done"}
    # What is current needs no beginning.
    assert statuses(project.run()) == {"bad": "failed", "good": "unchanged"}


def test_what_long_runs_wait_for_is_begun_first(project):
    entries = [("short", 1, ""), ("long", 9, '["first"]'), ("first", 1, ""), ("middle", 5, "")]
    project.write_suite(
        *(
            project.entry(name, default="{}", seconds=f"{{ default = {s} }}", after=after or "[]")
            for name, s, after in entries
        )
    )
    urgent = runner._urgency(project.plan())
    assert urgent == {"short.default": 1, "first.default": 10, "long.default": 9, "middle.default": 5}


def test_a_result_must_be_there_and_of_this_run(project):
    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("one"))
    (asked,) = project.plan()
    path = project.root / "one.default.json"
    assert "without writing its result file" in placing._result_problem(None, asked)
    assert "not valid" in placing._result_problem("{", asked)

    def problem(notebook="good.ipynb", **parameters):
        arguments = {"notebook": notebook, "parameters": parameters, "seeds": [], "data_checksums": {}, "cells": []}
        return placing._result_problem(ledger.write(path, **arguments).read_text(), asked)

    used = dict(asked.parameters)
    assert problem(**used) is None
    assert problem("other.ipynb", **used) == "the result file names the notebook 'other.ipynb', not 'good.ipynb'"
    assert "profile: 'default' in the run, 'paper' in the result" in problem(**used | {"profile": "paper"})
    assert "extra: None in the run, 'nothing' in the result" in problem(
        **{k: v for k, v in used.items() if k != "extra"}
    )
    assert "more: 'nothing' in the run, 1 in the result" in problem(**used, more=1)


def test_missing_data_is_skipped_and_noted(project, monkeypatch):
    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("one", needs='["authors:data/vowel.csv"]', default="{}"))
    out = project.out
    monkeypatch.setattr(requirements, "why_missing", lambda need: f"{need} cannot be had")
    (outcome,) = project.run()
    assert (outcome.status, outcome.why) == ("skipped", "authors:data/vowel.csv cannot be had")
    assert json.loads((out / "skipped.json").read_text()) == {"one.default": outcome.why}

    # The note goes with the next result. That stands, and is not called missing, when the data is gone again.
    runner._note_skipped(out, [replace(outcome, status="done", why="")])
    assert not (out / "skipped.json").exists()
    write_atomic(out / "results" / "one.default.json", "a result from another time")
    assert statuses(project.run()) == {"one": "skipped"}
    assert not (out / "skipped.json").exists()
    assert (out / "results" / "one.default.json").is_file()


def test_corrupt_data_is_a_failure(project, monkeypatch):
    from replication.data import authors

    def corrupt(relative):
        raise authors.CorruptData(f"{relative} is not the pinned file")

    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("one", needs='["authors:data/vowel.csv"]', default="{}"))
    monkeypatch.setattr(authors, "path", corrupt)
    (outcome,) = project.run()
    assert (outcome.status, outcome.why) == ("failed", "data/vowel.csv is not the pinned file")


def test_unavailable_data_names_its_reason(monkeypatch):
    from replication.data import authors

    def unavailable(relative):
        raise authors.DataUnavailable(f"{relative}:\n  set CCPRUNE_DATA")

    monkeypatch.setattr(authors, "path", unavailable)
    assert requirements.why_missing("authors:data/vowel.csv") == "data/vowel.csv: set CCPRUNE_DATA"


def test_the_kernel_is_this_interpreter_whatever_is_registered(project, monkeypatch):
    """A kernel "python3" registered by another environment, and the user's start-up script, must not run."""
    decoy = project.root / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    argv = ["/bin/false", "-f", "{connection_file}"]
    (decoy / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    startup = project.root / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "spoil.py").write_text("spoiled = True")
    monkeypatch.setenv("JUPYTER_PATH", str(project.root / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(project.root / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    check = (
        "import os, sys\n"
        f"assert sys.executable == {sys.executable!r}, sys.executable\n"
        f"assert os.getcwd() == {str(project.root)!r}, os.getcwd()\n"
        "assert 'spoiled' not in globals()\n"
        "assert os.environ['OMP_NUM_THREADS'] == os.environ['NUMBA_NUM_THREADS'] == '3'"
    )
    project.write_notebook("good.ipynb", check, project.writing("good.ipynb"))
    project.write_suite(project.entry("one"))
    (outcome,) = project.run(jobs=2)
    assert outcome.status == "done", outcome.why


def test_interrupting_ends_the_notebooks(project, monkeypatch):
    pid_file = project.root / "pid"
    stuck = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    project.write_notebook("good.ipynb", stuck)
    project.write_suite(project.entry("one"))

    def tick(self):
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr("replication.runner.progress.Progress.tick", tick)
    with pytest.raises(KeyboardInterrupt):
        project.run()
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.1)
    assert not _alive(pid)
    assert not (project.root / "replication" / "results").exists()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


UNITS = """
from pathlib import Path
from replication.ledger.units import Units
stored = Units(Path(units) if units else None)
asked = Path(units).parent.parent / "computed"
def compute(name):
    with asked.open("a") as file:
        file.write(name)
    return [{"name": name}]
rows = [stored.get({"method": name}, lambda: compute(name)) for name in "ab"]
"""


def test_units_outlive_a_failure_and_are_removed_with_the_result_in_place(project):
    parameters = (
        "profile = 'default'\nseed = 0\nout = ''\nsize = 3\nrate = 0.5\nnames: list = ['a']\nextra = None\nunits = ''"
    )
    project.write_suite(project.entry("one"))
    project.write_notebook("good.ipynb", UNITS, "raise ValueError", parameters=parameters)
    (outcome,) = project.run()
    assert outcome.status == "failed" and "ValueError" in outcome.why, outcome.why
    assert "units" not in outcome.run.parameters
    folder = project.out / "units" / "one.default"
    assert len(list(folder.iterdir())) == 2 and (project.out / "computed").read_text() == "ab"
    next(folder.glob("a-*")).write_text("")
    (folder / ".half.tmp").write_text("")
    used = "dict(profile=profile, seed=seed, size=size, rate=rate, names=names, extra=extra)"
    more = f"parameters={used}, seeds=[seed], data_checksums={{}}, cells=[]"
    writing = f"from replication import ledger\nledger.write(out, notebook='good.ipynb', {more})"
    project.write_notebook("good.ipynb", UNITS, writing, parameters=parameters)
    (outcome,) = project.run()
    assert (outcome.status, outcome.why) == ("done", "")
    assert (project.out / "computed").read_text() == "aba"  # the damaged one alone
    assert not (project.out / "units").exists()
    assert "units" not in ledger.read(project.out / "results" / "one.default.json")["parameters"]
    page = (project.out / "reports" / "one.default.html").read_text()
    assert str(project.root) not in page and "$OUT/units/one.default" in page
    folder.mkdir(parents=True)  # as a call leaves it that is killed before it removes the units
    (outcome,) = project.run()
    assert outcome.status == "unchanged" and not (project.out / "units").exists()


def test_units_of_the_paper_profile_stay_for_more_repetitions(tmp_path):
    folder = tmp_path / "units"
    for profile in ("paper", "default"):
        Units(folder / f"one.{profile}").get({"method": "a"}, lambda: [{"name": "a"}])
        (folder / f"one.{profile}" / "checkpoint.pt").write_text("")
        placing.close_units(tmp_path, Run("one", profile, "x.ipynb", {}))
    assert Units(folder / "one.paper").read({"method": "a"}) == [{"name": "a"}]
    assert [path.suffix for path in folder.rglob("*.*") if path.is_file()] == [".json"]
