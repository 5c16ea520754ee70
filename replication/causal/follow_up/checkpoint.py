"""Checkpoints of long trainings, written after each epoch, so that an interrupted training resumes there."""

import gzip
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ccprune._util.files import write_atomic
from replication.ledger.units import Scalar


@dataclass(frozen=True)
class Checkpoint:
    """File with the state of one training.

    Attributes
    ----------
    path : Path or None
        With None nothing is written or read.
    key : mapping of str to scalar
        What the training depends on. A file with another key is ignored, and replaced by the next state.
    began : float
        Time at which this part of the training began, by `time.perf_counter`.
    """

    path: Path | None
    key: Mapping[str, Scalar] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter, compare=False)

    def read(self) -> dict[str, Any] | None:
        """Return the stored state on the CPU, or None if there is no file that can be read and has the key."""
        found = self._content()
        return None if found is None else found["state"]

    @cached_property
    def earlier(self) -> float:
        """Seconds of the interrupted parts of the training before this one."""
        found = self._content()
        return 0.0 if found is None else found.get("seconds", 0.0)

    def _content(self) -> dict[str, Any] | None:
        if self.path is None:
            return None
        try:
            buffer = io.BytesIO(gzip.decompress(self.path.read_bytes()))
            found = torch.load(buffer, map_location="cpu", weights_only=True)
            return found if found["key"] == dict(self.key) and "state" in found else None
        except Exception:  # torch.load raises many types for a damaged file
            return None

    def write(self, **state: Any) -> None:
        """Replace the file, atomically, by a state of tensors, numbers, strings, and lists and dicts of these."""
        if self.path is not None:
            buffer = io.BytesIO()
            seconds = self.earlier + time.perf_counter() - self.began
            torch.save({"key": dict(self.key), "state": state, "seconds": seconds}, buffer)
            # Most weights of a pruned network are zeros, so that even the fastest compression saves most of the file.
            write_atomic(self.path, gzip.compress(buffer.getvalue(), 1, mtime=0))

    def remove(self) -> None:
        """Delete the file if there is one."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
