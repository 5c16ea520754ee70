"""No process of a notebook outlives its runner, whenever and however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from replication.runner import process

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")

# A process that leaves its parent and its session, as servers do, and writes its number into a file.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)
os.wait()
"""
# The interpreter is in one call of the regular expressions, in which no thread and no handler of Python runs.
BUSY = "import re; re.match('(a+)+b', 'a' * 60)"


def start(code: str, *arguments, **how) -> subprocess.Popen:
    command = [*process.GUARDED, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **how)


def number_in(path: Path) -> int:
    return int(wait_for(lambda: path.is_file() and path.read_text()))


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def assert_gone(*processes: psutil.Process | int) -> None:
    known = [one if isinstance(one, psutil.Process) else psutil.Process(one) for one in processes if is_there(one)]
    _, alive = psutil.wait_procs(known, timeout=10)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def is_there(one) -> bool:
    return isinstance(one, psutil.Process) or psutil.pid_exists(one)


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_exit_status_is_that_of_the_command(code, status):
    with start(code) as guard:
        assert guard.wait(timeout=30) == status


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, a daemon of less than a second is not found")
def test_daemons_of_a_notebook_end_with_it(tmp_path):
    with start(DAEMON, tmp_path / "pid") as guard:
        assert guard.wait(timeout=30) == 0
    assert_gone(number_in(tmp_path / "pid"))


@pytest.mark.parametrize("code", [DAEMON + "time.sleep(600)", BUSY], ids=["daemon", "long call"])
@pytest.mark.parametrize("end", ["runner dies", "SIGTERM"])
def test_everything_ends_with_the_runner(tmp_path, code, end):
    with start(code, tmp_path / "pid") as guard:
        if code != BUSY:
            number_in(tmp_path / "pid")
        below = wait_for(psutil.Process(guard.pid).children)
        if code != BUSY and sys.platform == "linux":
            below.append(psutil.Process(number_in(tmp_path / "pid")))
        if end == "SIGTERM":
            guard.terminate()
        else:
            guard.stdin.close()  # as the system does when the runner has died
        assert guard.wait(timeout=30) != 0
    assert_gone(*below)


def test_a_runner_that_dies_at_once(tmp_path):
    with start(DAEMON + "time.sleep(600)", tmp_path / "pid") as guard:
        guard.stdin.close()
        assert guard.wait(timeout=30) != 0
    time.sleep(0.1)
    if (tmp_path / "pid").exists():
        assert_gone(number_in(tmp_path / "pid"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs the signal of a parent's death")
def test_the_notebook_ends_with_its_guard():
    with start(BUSY) as guard:
        (worker,) = wait_for(psutil.Process(guard.pid).children)
        guard.kill()
    assert_gone(worker)


RUNNER = """
import sys, time
from pathlib import Path
from replication.runner import LocalPool, plan
root = Path(sys.argv[1])
task = LocalPool(root, root / "out").start(plan(root, profile="default")[0], {}, 60)
print(task._process.pid, flush=True)
time.sleep(600)
"""


def test_a_runner_killed_as_a_notebook_starts(project):
    """Nothing of the notebook has been imported then, and no thread of the worker runs."""
    project.write_suite(project.entry("one"))
    with subprocess.Popen([sys.executable, "-c", RUNNER, str(project.root)], stdout=subprocess.PIPE) as runner:
        guard = psutil.Process(int(runner.stdout.readline()))
        runner.send_signal(signal.SIGKILL)
    assert_gone(guard)
