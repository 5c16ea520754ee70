"""Manifest of the committed outputs: the digest of each file, and the runs and passages that must exist.

It shows that a file was changed, added or removed after `ccprune report` wrote the manifest. It does not show by whom:
whoever edits a file can also write the manifest again. A run or passage stays in the manifest when it is gone from the
folder. It is taken from the manifest by hand only.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication.ledger.reading import read_json, read_text
from replication.ledger.storage import as_json
from replication.reporting import codecheck, passages

FILE = "replication/manifest.json"
# Patterns of the outputs: what the commands write, and what is written by hand beside it and is no source.
_OUTPUTS = (
    "benchmarks/README.md",
    "benchmarks/*.png",
    "benchmarks/results/*",
    codecheck.FILE,
    "replication/*.csv",
    "replication/*.md",
    "replication/*.svg",
    "replication/skipped.json",
    *(f"replication/{part}/**/*" for part in ("paper", "raw", "reports", "results", "tables", "units")),
)
_NOT_COMMITTED = (".tmp", ".failed.ipynb")


def outputs(root: str | os.PathLike) -> dict[str, str]:
    """Return the SHA-256 in hex of every committed output of a clone, by its path in the clone."""
    found = {}
    for path in (path for pattern in _OUTPUTS for path in Path(root).glob(pattern)):
        if path.is_file() and not path.name.endswith(_NOT_COMMITTED):
            found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(found.items()))


def read(root: str | os.PathLike) -> dict[str, Any]:
    """Read the manifest of a clone.

    Returns
    -------
    dict
        "files" (digests by path), "runs" (labels NAME.PROFILE) and "passages" (names by page), all empty if there is no
        manifest.

    Raises
    ------
    ValueError
        If the file is not what `write_manifest` writes.
    """
    path = Path(root, FILE)
    if not path.is_file():
        return {"files": {}, "runs": [], "passages": {}}
    try:
        content = read_json(path)
        names = [*content["runs"], *content["files"].values()]
        names += [name for listed in content["passages"].values() for name in listed]
        whole = as_json(content) == read_text(path) and all(isinstance(name, str) for name in names)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{FILE}: it cannot be read, restore it: {error}") from error
    if not whole or content.keys() != {"files", "runs", "passages"}:
        raise ValueError(f"{FILE}: it is not as `ccprune report` writes it, restore it")
    return content


def write_manifest(root: str | os.PathLike) -> None:
    """Write the manifest of a clone. Runs and passages of the old manifest stay in it.

    Raises
    ------
    ValueError
        As `read`.
    """
    before = read(root)
    made = {path.stem for path in _result_files(root)}
    named = {page: set(names) for page, names in before["passages"].items()}
    for page, names in _passages(root).items():
        named[page] = named.get(page, set()).union(names)
    content = {
        "files": outputs(root),
        "runs": sorted(made.union(before["runs"])),
        "passages": {page: sorted(names) for page, names in named.items() if names},
    }
    write_atomic(Path(root, FILE), as_json(content))


def problems(root: str | os.PathLike) -> Iterator[tuple[str, str]]:
    """Yield the differences between a clone and its manifest, as the path of a file and what is wrong with it."""
    if not Path(root, FILE).is_file():
        yield FILE, "it is missing; run `ccprune report`"
        return
    try:
        content = read(root)
    except ValueError as error:
        yield FILE, str(error).removeprefix(f"{FILE}: ")
        return
    present, there = outputs(root), _passages(root)
    for name, digest in content["files"].items():
        if name not in present:
            yield name, "it is missing, but the manifest lists it"
        elif present[name] != digest:
            yield name, "it or its digest in the manifest was changed; if it was meant, run `ccprune report`"
    for name in present.keys() - content["files"].keys():
        yield name, "the manifest does not list it; if it was meant, run `ccprune report`"
    for label in content["runs"]:
        if f"replication/results/{label}.json" not in present:
            yield f"replication/results/{label}.json", f"it is missing, but {FILE} lists the run {label}"
    for label in sorted({path.stem for path in _result_files(root)}.difference(content["runs"])):
        yield FILE, f"it does not list the run {label}; run `ccprune report`"
    for page in sorted(content["passages"].keys() | there.keys()):
        listed, names = content["passages"].get(page, []), there.get(page)
        if names is None:
            yield page, f"it is missing, but {FILE} lists its passages"
        elif sorted(names) != sorted(listed):
            wrong = sorted(set(listed).symmetric_difference(names)) or sorted(n for n in names if names.count(n) > 1)
            yield page, f"its passages are not those in {FILE}: {', '.join(wrong)}"


def _result_files(root: str | os.PathLike) -> Iterator[Path]:
    return Path(root, "replication", "results").glob("*.json")


def _passages(root: str | os.PathLike) -> dict[str, list[str]]:
    """Return the names of the passages of each page that exists."""
    pages = {name: Path(root, name) for name in passages.PAGES}
    return {name: passages.names(read_text(path)) for name, path in pages.items() if path.is_file()}
