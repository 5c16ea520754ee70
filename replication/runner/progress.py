"""Display of the progress of the runs: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm


class Progress:
    """Context manager that displays the current runs and their times, the outcome of each run, and the time left.

    Parameters
    ----------
    expected : mapping of str to float
        Expected seconds of each waiting run, by label.
    stream : TextIO
        Receives the display.
    at_once : int
        Largest number of runs at once.
    known : int, default 0
        Number of further runs, which are not started but whose outcomes are displayed too.
    """

    def __init__(self, expected: Mapping[str, float], stream: TextIO, *, at_once: int, known: int = 0):
        self._expected, self._stream, self._at_once = dict(expected), stream, at_once
        self._total, self._ended = len(expected) + known, 0
        self._running: dict[str, float] = {}  # label -> start, seconds
        self._took, self._foreseen = 0.0, 0.0  # sums over the runs that were done
        self._bar, self._drawn = None, 0.0
        if stream.isatty():
            form = "{n}/{total} |{bar:20}| {elapsed} {desc}"
            self._bar = tqdm(total=self._total, file=stream, unit="run", bar_format=form)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.set_description_str("")
            self._bar.close()

    def show_start(self, label: str) -> None:
        """Display that a run was started."""
        self._running[label] = time.monotonic()
        if self._bar is None:
            self._line(f"start     {label}")

    def show_end(self, label: str, status: str, note: str) -> None:
        """Display the outcome of a run."""
        begun, foreseen = self._running.pop(label, None), self._expected.pop(label, 0.0)
        if begun is not None and status == "done":
            self._took += time.monotonic() - begun
            self._foreseen += foreseen
        self._ended += 1
        left = self._time_left() if begun is not None else ""
        self._line(f"{status:9} {label}{f'  ({note})' if note else ''}{f', {left}' if left else ''}")
        if self._bar is not None:
            self._bar.update()

    def tick(self) -> None:
        """Update the bar's labels and times."""
        if self._bar is not None:
            now = time.monotonic()
            going = [f"{label} {now - start:.0f} s" for label, start in self._running.items()]
            self._bar.set_description_str(", ".join(filter(None, [*going, self._time_left()])), refresh=False)
            if now - self._drawn > 0.5:
                self._drawn = now
                self._bar.refresh()

    def _time_left(self) -> str:
        """Return the time left, from the expected times and the pace of the runs so far; empty if no run is left."""
        if not self._expected:
            return ""
        pace = self._took / self._foreseen if self._foreseen else 1.0
        now = time.monotonic()
        still = [
            max(seconds * pace - (now - self._running.get(label, now)), 0.0)
            for label, seconds in self._expected.items()
        ]
        seconds = max(sum(still) / min(self._at_once, len(still)), *still)
        if seconds >= 90 * 60:
            return f"about {seconds / 3600:.1f} h left"
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(f"[{self._ended}/{self._total}] {text}", file=self._stream, flush=True)
