"""Stores for the changes of a recorder: rows (see `_rows`) in memory or in a file, or one running sum per weight."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune._util.checks import require_at_least
from ccprune._util.stateful import Stateful
from ccprune.recording._rows import RowLayout, Rows

_FORMAT = "ccprune records 1"
_HEADER_LIMIT = 1 << 24  # maximum length of the header's line in bytes
_KEEP_FREE = 64 << 20  # bytes left free on the disk
_BLOCK_BYTES = 64 << 20  # largest block of rows in memory


class Store(Protocol):
    """Interface of the stores to which `recording.Recorder` passes records.

    A store that combines consecutive steps also has `restart()`, which is called if the next step does not follow.

    Examples
    --------
    >>> class Steps:  # a store that counts the steps
    ...     count = 0
    ...     def update(self, delta_loss, delta_weights):
    ...         self.count += 1
    >>> store: Store = Steps()
    """

    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Take one record, a 0-d float64 tensor and {name: change}. The store must neither change these tensors nor
        keep them, because the next step overwrites them.
        """


class StoreFull(RuntimeError):
    """Error of `MemoryMapped`: the next row would exceed the size limit or fill the disk. The earlier rows are kept."""


class InMemory(Rows):
    """Rows on the changes' device, in the weights' precision (half as float32), with 4 T P bytes in float32.

    Rows are allocated in blocks of 64 MiB, the first ones smaller, so that a quarter more may be held.

    Parameters
    ----------
    momentum : bool, default False
        Whether a row has three features per weight, those of `RowLayout`, or dtheta_t^2 only.

    Examples
    --------
    >>> store = InMemory()
    >>> store.update(torch.tensor(-0.1, dtype=torch.float64), {"weight": torch.tensor([1.0, -2.0])})
    >>> store.records()
    (tensor([[1., 4.]]), tensor([-0.1000], dtype=torch.float64))
    """

    def __init__(self, *, momentum: bool = False) -> None:
        super().__init__(momentum)
        self._blocks: list[Tensor] = []  # rows in blocks, the last with free rows: single rows would fragment the heap
        self._free = 0
        self._losses: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._losses)

    def records(self) -> tuple[Tensor, Tensor]:
        """Return features (T, P), or (T, 3 P) with momentum, and float64 loss changes (T,); ValueError without rows.

        The method needs the memory of the features twice. The features are shared with the store.
        """
        if not self._losses:
            raise ValueError("the store holds no records")
        blocks = [*self._blocks[:-1], self._blocks[-1][: len(self._blocks[-1]) - self._free]]
        features = torch.cat(blocks) if len(blocks) > 1 else blocks[0]
        self._blocks, self._free = [features], 0
        return features, torch.stack(self._losses)

    def _append(self, delta_loss: Tensor, row: Tensor) -> None:
        if not self._free:
            self._free = max(1, min(len(self) // 4, _BLOCK_BYTES // max(1, row.nbytes)))
            self._blocks.append(row.new_empty(self._free, len(row)))
        self._blocks[-1][-self._free] = row
        self._free -= 1
        self._losses.append(delta_loss.to(torch.float64, copy=True))


class MemoryMapped(Rows):
    """Rows in a new file, float32. `records` maps the file, so that it may be larger than memory.

    The file is one line of JSON, followed by rows of one float64 (loss change) and the features. It holds no count, so
    that a killed program leaves a file with every row but the one being written. Each row waits for the device.

    Parameters
    ----------
    path : path
        New file.
    limit_bytes : int
        Largest size of the file, at least 1; a row beyond it raises `StoreFull`.
    momentum : bool, default False
        Whether a row has three features per weight, those of `RowLayout`, or dtheta_t^2 only.

    Raises
    ------
    ValueError, FileExistsError
        For another `limit_bytes`, and if the file exists.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "records")
    >>> store = MemoryMapped(path, limit_bytes=1000)
    >>> store.update(torch.tensor(-0.1, dtype=torch.float64), {"weight": torch.tensor([1.0, -2.0])})
    >>> store.close()
    >>> MemoryMapped.open(path).records()[0]
    tensor([[1., 4.]])
    """

    def __init__(self, path: str | Path, *, limit_bytes: int, momentum: bool = False) -> None:
        super().__init__(momentum)
        require_at_least(1, limit_bytes=limit_bytes)
        self._path, self._limit = Path(path), limit_bytes
        self._file = self._path.open("xb", buffering=0)
        self._begin = self._end = 0

    @classmethod
    def open(cls, path: str | Path) -> "MemoryMapped":
        """Open an existing file to read, or raise ValueError if it is not such a file or its header is incomplete."""
        self = cls.__new__(cls)
        Rows.__init__(self, False)
        self._path, self._limit = Path(path), 0
        if self._path.exists() and not self._path.is_file():  # opening a pipe would wait without end
            raise ValueError(f"path must be a regular file, got {path}")
        self._file = self._path.open("rb")
        with self._file:
            line = self._file.readline(_HEADER_LIMIT)
            self._end = self._file.seek(0, 2)
        try:
            header = json.loads(line)
            shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
            whole = header["format"] == _FORMAT and line.endswith(b"\n") and type(header["momentum"]) is bool
            whole &= all(type(size) is int and size >= 0 for shape in shapes.values() for size in shape)
            if whole:  # a product of other types may take all of the memory
                self._layout, self._begin = RowLayout(shapes, header["momentum"]), len(line)
                whole = 0 < self._layout.width < 1 << 60
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise ValueError(f"path must be a file of a MemoryMapped store with a whole header, got {path}")
        return self

    def __len__(self) -> int:
        return 0 if self._layout is None else (self._end - self._begin) // self._row_bytes

    @property
    def _row_bytes(self) -> int:
        return 4 * (2 + self.layout.width)

    def records(self) -> tuple[Tensor, Tensor]:
        """Return features (T, P), or (T, 3 P) with momentum, and float64 loss changes (T,); ValueError without rows.

        The features are the mapped file. Reading them takes no additional memory, and writing to them changes the file.
        """
        if not len(self):
            raise ValueError("the store holds no records")
        shape = (len(self), 2 + self.layout.width)
        rows = np.memmap(self._path, "<f4", mode="r+", offset=self._begin, shape=shape).view(np.ndarray)
        return torch.from_numpy(rows[:, 2:]), torch.from_numpy(rows[:, :2].flatten().view("<f8"))

    def close(self) -> None:
        """Close the file for writing. `records` can still be called."""
        self._file.close()

    def __enter__(self) -> "MemoryMapped":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, delta_loss: Tensor, row: Tensor) -> None:
        if self._file.closed:
            raise ValueError(f"{self._path} is closed")
        if not self._end:
            header = {"format": _FORMAT, "momentum": self._momentum, "shapes": self.layout.shapes}
            line = json.dumps(header).encode()
            line += b" " * (-(len(line) + 1) % 64) + b"\n"  # keeps the rows aligned
            self._write(line, needed=len(line) + self._row_bytes)
            self._begin = self._end
        values = np.empty(2 + self.layout.width, "<f4")
        values[:2].view("<f8")[0] = float(delta_loss)
        torch.from_numpy(values)[2:].copy_(row)
        self._write(values.view(np.uint8).data, needed=self._row_bytes)

    def _write(self, data: bytes | memoryview, *, needed: int) -> None:
        # The check before every row costs microseconds. No space is reserved, and the disk cannot fill between checks.
        held = f"{len(self)} rows, {self._end} bytes, are held and can be read"
        if self._end + needed > self._limit:
            raise StoreFull(f"{self._path}: {needed} more bytes needed, limit_bytes={self._limit} allowed; {held}")
        free = shutil.disk_usage(self._path.parent).free
        if free < needed + _KEEP_FREE:
            raise StoreFull(
                f"{self._path}: {needed} more bytes needed, the disk has {free} free and keeps {_KEEP_FREE}; {held}"
            )
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:  # also an interrupt, because the next row must not follow half a row
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end += len(data)


class Sums(Stateful):
    """Base class of stores of one float64 sum of products per weight."""

    _held = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than those of the first record."""
        check_changes(delta_weights, self._sums or None)
        if not self._sums:
            self._sums = {name: torch.zeros_like(change, dtype=torch.float64) for name, change in delta_weights.items()}
        for name, change in delta_weights.items():
            wide = change.double()  # a product in float32 would lose digits that the sum keeps
            self._sums[name].addcmul_(self._factor(name, wide), wide)

    @property
    def scores(self) -> dict[str, Tensor]:
        """Sums {name: Tensor}, float64; before the first record, a ValueError is raised."""
        if not self._sums:
            raise ValueError("the store holds no records")
        return {name: total.clone() for name, total in self._sums.items()}

    def _factor(self, name: str, change: Tensor) -> Tensor:
        raise NotImplementedError


class SquaredUpdates(Sums):
    """Store of sum_t dtheta_t^2 per weight in float64, a score that does not use the loss.

    Examples
    --------
    >>> store = SquaredUpdates()
    >>> for change in (1.0, -2.0):
    ...     store.update(torch.tensor(0.0, dtype=torch.float64), {"weight": torch.tensor([change])})
    >>> store.scores
    {'weight': tensor([5.], dtype=torch.float64)}
    """

    def _factor(self, name: str, change: Tensor) -> Tensor:
        return change
