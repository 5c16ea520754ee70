"""Two processes and one output folder; the first may die as it likes."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from ccprune import cli
from replication.runner import SuiteError, locked

HOLD = """
import sys, time
from pathlib import Path
from replication.runner import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""

needs_locks = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file locks")


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@needs_locks
def test_a_second_call_is_refused_and_told_who_is_at_work(holder, tmp_path):
    with pytest.raises(SuiteError, match=rf"out is in use by process {holder.pid}, since .*; wait until it has ended"):
        with locked(tmp_path / "out"):
            pass


@needs_locks
def test_the_lock_survives_the_deletion_of_its_files(holder, tmp_path):
    shutil.rmtree(tmp_path / "out" / ".cache")
    for _ in range(2):
        with pytest.raises(SuiteError, match="out is in use by another process; wait until it has ended"):
            with locked(tmp_path / "out"):
                pass


@needs_locks
def test_killing_the_holder_frees_the_folder(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "out"):
        assert (tmp_path / "out" / ".cache" / "lock").read_text().startswith(f"process {os.getpid()},")
    with locked(tmp_path / "out"):  # and again, one after the other
        pass


@needs_locks
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_out(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path / "out"), locked(tmp_path / "out"):
        assert (tmp_path / "out" / ".cache" / "lock").read_text().startswith(f"process {os.getpid()},")


@needs_locks
def test_nothing_is_run_in_a_folder_in_use(project, monkeypatch, capfd):
    monkeypatch.chdir(project.root)
    project.write_suite(project.entry("one"))
    with locked(project.out):
        assert cli.main(["replicate"]) == 2
    assert f"is in use by process {os.getpid()}" in capfd.readouterr().err
    assert not (project.out / "results").exists()
    (project.out / "results").mkdir()
    with locked(project.out):
        assert cli.main(["report"]) == 2
    assert not (project.out / "README.md").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SuiteError, match="cannot be written: Permission denied"), locked(tmp_path / "out"):
        pass


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(SuiteError, match="out cannot be written: "), locked(tmp_path / "out"):
        pass
