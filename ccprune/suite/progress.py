"""Progress over the runs: a bar on a terminal, plain lines elsewhere."""

import time
from typing import TextIO

from tqdm import tqdm


class Progress:
    """Context manager that shows which runs are going on, for how long, and how each ended."""

    def __init__(self, total: int, stream: TextIO):
        self._total, self._stream, self._ended = total, stream, 0
        self._running: dict[str, float] = {}  # label -> start, seconds
        self._bar, self._drawn = None, 0.0
        if stream.isatty():
            self._bar = tqdm(total=total, file=stream, unit="run", bar_format="{n}/{total} |{bar:20}| {elapsed} {desc}")

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
        self._running.pop(label, None)
        self._ended += 1
        self._line(f"{status:9} {label}{f'  ({note})' if note else ''}")
        if self._bar is not None:
            self._bar.update()

    def tick(self) -> None:
        """Bring the bar's names and times up to date."""
        if self._bar is not None:
            now = time.monotonic()
            going = (f"{label} {now - start:.0f} s" for label, start in self._running.items())
            self._bar.set_description_str(", ".join(going), refresh=False)
            if now - self._drawn > 0.5:
                self._drawn = now
                self._bar.refresh()

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(f"[{self._ended}/{self._total}] {text}", file=self._stream, flush=True)
