"""Progress over the runs: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm


class Progress:
    """Context manager that shows which runs are going on, for how long, how each ended, and the time left.

    Parameters
    ----------
    expected
        Label -> expected seconds, of the runs to come.
    stream
        Where it is shown.
    at_once
        Most runs at one time.
    known
        Runs that need not be run, whose ends will be told too.
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

    def started(self, label: str) -> None:
        """Show that a run has begun."""
        self._running[label] = time.monotonic()
        if self._bar is None:
            self._line(f"start     {label}")

    def ended(self, label: str, status: str, note: str) -> None:
        """Show how a run ended."""
        begun, foreseen = self._running.pop(label, None), self._expected.pop(label, 0.0)
        if begun is not None and status == "done":
            self._took += time.monotonic() - begun
            self._foreseen += foreseen
        self._ended += 1
        left = self._left() if begun is not None else ""
        self._line(f"{status:9} {label}{f'  ({note})' if note else ''}{f', {left}' if left else ''}")
        if self._bar is not None:
            self._bar.update()

    def tick(self) -> None:
        """Bring the bar's names and times up to date."""
        if self._bar is not None:
            now = time.monotonic()
            going = [f"{label} {now - start:.0f} s" for label, start in self._running.items()]
            self._bar.set_description_str(", ".join(filter(None, [*going, self._left()])), refresh=False)
            if now - self._drawn > 0.5:
                self._drawn = now
                self._bar.refresh()

    def _left(self) -> str:
        """The time left as the suite foresees it, corrected by how long the runs so far took; empty at the end."""
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
