"""Several files of an output folder that are replaced together: after a crash, all are new or all are old.

The new files are first stored beside the old ones, under temporary names. Then a journal, which lists them, is written
in one step. From then on the new files count: if the process ends before they have their names, the next call renames
them.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ccprune._util.files import sync_folder, write_atomic, write_temporary
from replication.ledger.reading import read_json
from replication.ledger.storage import as_json

#: Folder of the journals in an output folder.
FOLDER = Path(".cache", "journal")
# Folders of an output folder in which files are written.
_WRITTEN = ("", "raw", "reports", "results", "tables", "units/*", ".cache", ".cache/*", ".cache/before/*")


def commit(out: Path, name: str, files: Mapping[str, bytes | None]) -> None:
    """Replace several files of an output folder.

    Parameters
    ----------
    out : Path
        Output folder.
    name : str
        Name of the journal, different for commits that may be interrupted at the same time.
    files : mapping of str to bytes or None
        New contents by path in the output folder; None deletes the file.

    Raises
    ------
    OSError
        If a file cannot be written. Either no file was replaced, or `recover` completes the commit.
    """
    journal = out / FOLDER / f"{name}.json"
    temporaries: list[Path] = []
    entries: dict[str, Any] = {}
    try:
        for path, content in files.items():
            entries[path] = None
            if content is not None:
                (out / path).parent.mkdir(parents=True, exist_ok=True)
                temporaries.append(write_temporary(out / path, content))
                entries[path] = {"name": temporaries[-1].name, "sha256": hashlib.sha256(content).hexdigest()}
        write_atomic(journal, as_json(entries))
    except BaseException:
        journal.unlink(missing_ok=True)  # first, because it must not list files that are gone
        for path in temporaries:
            path.unlink(missing_ok=True)
        raise
    _complete(out, journal, entries)


def recover(out: Path) -> None:
    """Complete the commits that were interrupted, and remove the temporary files of interrupted calls.

    A journal that was damaged, or whose files are not there, is deleted. Call it while no other process writes.

    Raises
    ------
    OSError
        If a file cannot be replaced or deleted.
    """
    for journal in sorted((out / FOLDER).glob("*.json")):
        try:
            entries = read_json(journal)
            whole = all(_is_there(out, path, entry) for path, entry in entries.items())
        except (ValueError, KeyError, TypeError):
            whole = False
        if whole:
            _complete(out, journal, entries)
        else:
            journal.unlink()
    for path in temporaries(out):
        path.unlink()


def temporaries(out: Path) -> Iterator[Path]:
    """Yield the temporary files of interrupted calls in an output folder."""
    return (path for folder in _WRITTEN for path in out.glob(f"{folder}/.*.tmp" if folder else ".*.tmp"))


def _is_there(out: Path, path: str, entry: dict[str, str] | None) -> bool:
    """Return whether the new file of a journal's entry exists under its own or its temporary name."""
    if not (out / path).resolve().is_relative_to(out.resolve()):
        return False  # no journal of this package
    if entry is None:
        return True
    for present in (_temporary(out, path, entry), out / path):
        if present.is_file() and hashlib.sha256(present.read_bytes()).hexdigest() == entry["sha256"]:
            return True
    return False


def _temporary(out: Path, path: str, entry: dict[str, str]) -> Path:
    return (out / path).with_name(entry["name"])


def _complete(out: Path, journal: Path, entries: Mapping[str, Any]) -> None:
    folders = {}
    for path, entry in entries.items():
        if entry is None:
            (out / path).unlink(missing_ok=True)
        elif _temporary(out, path, entry).is_file():  # else an interrupted call has moved it
            os.replace(_temporary(out, path, entry), out / path)
        folders[(out / path).parent] = True
    for folder in folders:
        if folder.is_dir():
            sync_folder(folder)
    journal.unlink()
