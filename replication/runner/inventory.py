"""Inventory of the suite's data sets: whether and where each is on this machine, which runs need it, its checksums."""

import hashlib
import math
import os
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from replication.ledger import PROFILES
from replication.ledger.environment import portable
from replication.ledger.errors import suggestion
from replication.ledger.reading import InvalidFile, check_regular
from replication.runner import requirements
from replication.runner.errors import SuiteError
from replication.runner.spec import Run, plan

WIDTH = 110  # characters of a line


@dataclass(frozen=True)
class DataSet:
    """Data set of the suite.

    Attributes
    ----------
    need : str
        Its name in the suite file, "authors:PATH" or "images:NAME".
    needed_by, used_by : tuple of str
        Names of the runs, of all profiles, that are skipped without it, and that use it if it is available.
    here : bool
        Whether it is on this machine.
    files : tuple of Path
        Its files. Empty if it is not on this machine, or belongs to an installed package.
    """

    need: str
    needed_by: tuple[str, ...]
    used_by: tuple[str, ...]
    here: bool
    files: tuple[Path, ...]

    @property
    def place(self) -> str:
        """The file, or the common folder and the number of files, with names in place of this machine's folders."""
        if not self.files:
            return "part of an installed package" if self.here else "not on this machine"
        if len(self.files) == 1:
            return portable(str(self.files[0]))
        return f"{portable(os.path.commonpath(self.files))} ({len(self.files)} files)"

    @property
    def size(self) -> str:
        """Total size of the files with a decimal unit, such as "4.43kB"; empty without files."""
        return tqdm.format_sizeof(sum(path.stat().st_size for path in self.files), "B") if self.files else ""


@dataclass(frozen=True)
class FileCheck:
    """Comparison of a file with its pinned digest.

    Attributes
    ----------
    path : Path
    state : str
        "ok", "differs", "not pinned" (no digest is pinned for this file) or "unreadable".
    digest : str
        ALGORITHM:HEX of the file, SHA-256 if no digest is pinned; the reason if the file is unreadable.
    expected : str or None
        The pinned digest.
    """

    path: Path
    state: Literal["ok", "differs", "not pinned", "unreadable"]
    digest: str
    expected: str | None


def all_runs(root: Path) -> list[Run]:
    """Return the runs of all profiles, or raise SuiteError if the suite file is invalid."""
    return [run for profile in PROFILES for run in plan(root, profile=profile)]


def data_sets(runs: Iterable[Run], only: Sequence[str] = ()) -> list[DataSet]:
    """Return the data sets that the runs need or use, in the runs' order.

    Parameters
    ----------
    runs : iterable of Run
        The runs.
    only : sequence of str, default ()
        Kinds ("authors") or single data sets ("images:mnist") to select; all if empty.

    Returns
    -------
    list of DataSet

    Raises
    ------
    SuiteError
        If `only` has an unknown word; the message suggests similar ones.
    """
    runs = list(runs)
    needs = dict.fromkeys(need for run in runs for need in (*run.needs, *run.uses) if requirements.is_data(need))
    kinds = dict.fromkeys(_kind(need) for need in needs)
    unknown = [word for word in only if word not in (*needs, *kinds)]
    if unknown:
        known = (*kinds, *needs)
        raise SuiteError("\n".join(f"no data {word!r} in the suite{suggestion(word, known)}" for word in unknown))
    return [_data_set(need, runs) for need in needs if not only or need in only or _kind(need) in only]


def skipped_without(runs: Iterable[Run], needs: Collection[str]) -> list[Run]:
    """Return the runs that are skipped without these needs, because they or a run before them need one."""

    def is_stopped(run: Run) -> bool:
        return any(need in needs for need in run.needs) or any(is_stopped(earlier) for earlier in run.after)

    return [run for run in runs if is_stopped(run)]


def listing(sets: Sequence[DataSet]) -> Iterator[str]:
    """Yield lines of plain text: the data sets with sizes and places, grouped by the runs that need or use them."""
    if not sets:
        yield "no data in the suite"
        return
    need_width = max(len(data.need) for data in sets)
    for group in dict.fromkeys((data.needed_by, data.used_by) for data in sets):
        purposes = (
            f"{verb} {', '.join(names)}" for verb, names in zip(("needed by", "used by"), group, strict=True) if names
        )
        yield from textwrap.wrap("; ".join(purposes), WIDTH, break_on_hyphens=False)
        for data in sets:
            if (data.needed_by, data.used_by) == group:
                yield f"  {data.need:{need_width}}  {data.size:>6}  {data.place}"
        yield ""
    here = sum(data.here for data in sets)
    rest = "" if here == len(sets) else "; ccprune data get downloads the others"
    yield f"{here} of {len(sets)} on this machine{rest}"


def check(data: DataSet) -> Iterator[FileCheck]:
    """Compare each file of a data set with its pinned digest. The files are read completely; no cache is used."""
    pinned = requirements.pinned_digests(data.need)
    for path in data.files:
        expected = pinned.get(path)
        algorithm = expected.partition(":")[0] if expected else "sha256"
        try:
            digest = _digest(path, algorithm)
        except InvalidFile:
            yield FileCheck(path, "unreadable", "not a regular file", expected)
        except OSError as error:
            yield FileCheck(path, "unreadable", error.strerror or type(error).__name__, expected)
        else:
            state = "not pinned" if expected is None else "ok" if digest == expected else "differs"
            yield FileCheck(path, state, digest, expected)


def _digest(path: Path, algorithm: str) -> str:
    check_regular(path, limit=math.inf)
    begun = partial(hashlib.new, algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, begun).hexdigest()}"


def _data_set(need: str, runs: Iterable[Run]) -> DataSet:
    needed_by = tuple(dict.fromkeys(run.name for run in runs if need in run.needs))
    used_by = tuple(dict.fromkeys(run.name for run in runs if need in run.uses))
    here = requirements.is_here(need)
    return DataSet(need, needed_by, used_by, here, tuple(requirements.paths(need)) if here else ())


def _kind(need: str) -> str:
    return need.partition(":")[0]
