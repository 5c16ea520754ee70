"""What cannot be foreseen: hanging cells, dying kernels, kill -9, full disks. Nothing may be lost or half written."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from ccprune import cli
from replication import ledger
from replication.runner import SuiteError, locked, stamps


def test_a_cell_that_hangs_ends_at_its_time(project):
    project.write_notebook("good.ipynb", "first = 'shown'\nfirst", "import time\ntime.sleep(600)", "second = 2")
    project.write_suite(project.entry("one"))
    began = time.monotonic()
    (outcome,) = project.run(cell_seconds=2)
    assert outcome.status == "failed" and time.monotonic() - began < 60
    assert "cell 4 failed:\n    import time\n    time.sleep(600)\nCellTimeoutError: " in outcome.why, outcome.why
    kept = nbformat.read(project.out / "reports" / "one.default.failed.ipynb", as_version=4)
    assert any("shown" in str(cell.get("outputs")) for cell in kept.cells)
    assert not (project.out / "results").exists()


def test_a_kernel_that_dies_is_told_with_its_cell(project):
    project.write_notebook("good.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "second = 2")
    project.write_suite(project.entry("one"))
    (outcome,) = project.run()
    assert outcome.status == "failed"
    assert "cell 3 failed:\n    import os, signal\n" in outcome.why and "DeadKernelError: Kernel died" in outcome.why


def test_a_run_after_one_that_failed_is_not_begun(project):
    project.write_notebook("bad.ipynb", "1 / 0")
    project.write_suite(
        project.entry("first", "bad.ipynb"),
        project.entry("second", default="{}", after='["first"]'),
        project.entry("third"),
    )
    first, second, third = project.run(keep_going=True)
    assert (first.status, second.status, third.status) == ("failed", "not run", "done")
    assert second.why == "it depends on first.default (failed)"
    project.write_notebook("bad.ipynb")
    assert [outcome.status for outcome in project.run()] == ["done", "done", "unchanged"]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_9_at_ten_random_moments(project):
    """Each time something was killed; at the end everything is there, and equal to what an undisturbed call makes."""
    names = ("one", "three")
    for name in names:
        project.write_notebook(f"{name}.ipynb", project.writing(f"{name}.ipynb"))
    project.write_suite(*(project.entry(name, f"{name}.ipynb", default=f"{{ size = {len(name)} }}") for name in names))
    command = [sys.executable, "-m", "ccprune.cli", "replicate", "--jobs", "2"]
    rng = random.Random(0)
    whole = 0.0
    for moment in range(10):
        if moment % 5 == 0:  # begin anew, lest everything is done after a few
            for folder in ("results", "reports", ".cache"):
                shutil.rmtree(project.out / folder, ignore_errors=True)
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=project.root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as runner:
            try:
                runner.wait(timeout=rng.uniform(0.05, 1.0) * (whole or 20))
                whole = max(whole, time.monotonic() - began)
            except subprocess.TimeoutExpired:
                whole = whole or 20
            orphans = psutil.Process(runner.pid).children(recursive=True) if runner.poll() is None else []
            runner.kill()
        _gone, alive = psutil.wait_procs(orphans, timeout=15)
        assert not alive  # notebooks end with the runner
        for path in (project.out / "results").glob("*.json"):
            ledger.read(path)  # whole, or not there
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {path.name: ledger.read(path)["cells"][0]["ours"] for path in (project.out / "results").iterdir()}
    assert found == {f"{name}.default.json": len(name) for name in names}
    runs = project.out / ".cache" / "runs"
    assert not runs.exists() or os.listdir(runs) == []
    assert not list(project.out.rglob("*.tmp"))


def test_what_a_killed_call_left_is_no_result(project):
    """Killed between result and stamp, or in the middle of a write."""
    project.write_suite(project.entry("one"))
    (run,) = project.plan()
    assert project.run()[0].status == "done"
    (project.out / ".cache" / "one.default.json").unlink()
    assert stamps.why_not_current(project.out, project.root, run) == "not run in this folder"
    assert project.run()[0].status == "done"
    path = project.out / "results" / "one.default.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    (path.parent / f".{path.name}.abc.tmp").write_text("half")
    assert project.run()[0].status == "done"
    assert os.listdir(path.parent) == [path.name]
    assert json.loads(path.read_text())["cells"] == json.loads(text)["cells"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.5 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("mounting a file system in memory needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_loses_nothing(project, small_disk, monkeypatch, capfd):
    """Full when the run is begun, and when the notebook writes its result."""
    monkeypatch.chdir(project.root)
    project.write_suite(project.entry("one"))
    arguments = ["replicate", "--out", str(small_disk)]
    assert cli.main(arguments) == 0
    before = _content(small_disk)

    (small_disk / "filling").write_bytes(bytes(10**5))
    _fill(small_disk)
    assert cli.main([*arguments, "--force"]) == 1
    assert "No space left on device" in capfd.readouterr().err
    assert _content(small_disk) == before

    (small_disk / "filling").unlink()
    fill = f"open({str(small_disk / 'filling')!r}, 'wb').write(bytes(10**7))"
    project.write_notebook(
        "good.ipynb",
        f"import contextlib\nwith contextlib.suppress(OSError):\n    {fill}",
        project.writing("good.ipynb"),
    )
    assert cli.main(arguments) == 1
    assert "No space left on device" in capfd.readouterr().err
    assert _content(small_disk) == before

    (small_disk / "filling").unlink()
    project.write_notebook("good.ipynb")
    assert cli.main([*arguments, "--force"]) == 0
    ledger.read(small_disk / "results" / "one.default.json")


def test_a_read_only_file_system_is_named(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SuiteError, match="cannot be written: Read-only file system"), locked(small_disk / "out"):
        pass


def _content(folder: Path) -> dict[str, bytes]:
    names = ("results/one.default.json", "reports/one.default.html", "verdicts.csv", "verdicts.svg")
    return {name: (folder / name).read_bytes() for name in names} | dict.fromkeys(os.listdir(folder / "results"))


def _fill(folder: Path) -> None:
    with (folder / "filling").open("ab", buffering=0) as file:
        for size in (10**5, 10**3, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
