"""Program that runs a command, and ends every process below it when the command or the runner ends.

The runner starts it as `python guard.py COMMAND ...` with a pipe as standard input, which the system closes when the
runner dies. It imports neither this package nor the notebook's, so that it watches the runner from the beginning and is
never inside a long call. On Linux it adopts processes that leave their parent, and the command is killed with it.

The exit status is that of the command, and 128 + N if the signal N ended it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

_DEATH_SIGNAL, _SUBREAPER = 1, 36  # of prctl in linux/prctl.h


def main(command: list[str]) -> int:
    """Run the command and return the exit status."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    descendants: set[psutil.Process] = set()
    try:
        process = _start(command)
        orphaned = threading.Event()
        threading.Thread(target=_end_with_runner, args=(descendants, orphaned), daemon=True).start()
        if sys.platform != "linux":  # processes that leave their parent are lost
            threading.Thread(target=_collect, args=(descendants,), daemon=True).start()
        status = process.wait()
        if orphaned.is_set():  # the other thread may have taken the status of the command that it killed
            return 1
        return status if status >= 0 else 128 - status
    finally:
        _end(descendants)


def _start(command: list[str]) -> subprocess.Popen:
    if sys.platform != "linux":
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)
    libc, guard = ctypes.CDLL(None), os.getpid()
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)

    def tie() -> None:
        libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:  # it died before the call
            os._exit(1)

    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=tie)


def _end_with_runner(descendants: set[psutil.Process], orphaned: threading.Event) -> None:
    os.read(0, 1)  # returns when the runner closes the pipe or dies
    orphaned.set()
    _end(descendants)
    os._exit(1)


def _collect(descendants: set[psutil.Process]) -> None:
    while True:
        descendants |= set(psutil.Process().children(recursive=True))
        time.sleep(1)


def _end(descendants: set[psutil.Process]) -> None:
    """Kill all descendants, also those that are started meanwhile."""
    for _ in range(100):
        alive = descendants | set(psutil.Process().children(recursive=True))
        for process in alive:
            try:
                process.kill()
            except psutil.Error:  # it has ended, or it belongs to another user
                continue
        descendants.clear()
        if not alive:
            break
        psutil.wait_procs(alive, timeout=0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
