"""List of files in codecheck.yml, which a codechecker makes again.

It is a list of files with comments by the CODECHECK configuration file specification 1.0, section "Manifest list"
(https://codecheck.org.uk/spec/config/1.0/). The rest of codecheck.yml is written by hand and not changed.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ccprune._util.files import write_atomic
from replication.ledger.reading import read_text

FILE = "codecheck.yml"
_FOLDER = "replication"
# Files that are made from all results together.
_INDEX = {
    "README.md": "index: verdicts and tables of both papers, what ran on what, what did not run",
    "verdicts.csv": "every figure, claim and control, published beside ours",
    "measurements.csv": "all other numbers",
    "verdicts.svg": "published figures against ours, one mark per cell",
}
_PER_RUN = {
    "raw": ("parquet", "one row for each trained network"),
    "results": ("json", "numbers"),
    "reports": ("html", "the notebook as it was run"),
}
_BLOCK = re.compile(r"^manifest:\n(?:[ ]+.*\n)*", re.MULTILINE)


def entries(root: str | os.PathLike) -> list[dict[str, str]]:
    """Return the entries of the manifest for `root`/replication: the index, then raw runs, results and reports.

    Returns
    -------
    list of dict
        "file" (path relative to `root`) and "comment".
    """
    folder = Path(root, _FOLDER)
    listed = [(name, comment) for name, comment in _INDEX.items() if (folder / name).is_file()]
    listed += [(f"tables/{path.name}", "long tables") for path in sorted((folder / "tables").glob("*.md"))]
    for part, (ending, what) in _PER_RUN.items():
        for path in sorted((folder / part).glob(f"*.{ending}")):
            run, _, profile = path.stem.rpartition(".")
            listed.append((f"{part}/{path.name}", f"run {run}, profile {profile}: {what}"))
    return [{"file": f"{_FOLDER}/{name}", "comment": comment} for name, comment in listed]


def with_entries(text: str, listed: Iterable[dict[str, str]]) -> str:
    """Return the text of codecheck.yml with another manifest; the rest is unchanged.

    Raises
    ------
    ValueError
        If there is not exactly one line "manifest:" with an indented list below it.
    """
    count = len(_BLOCK.findall(text))
    if count != 1:
        raise ValueError(f"{FILE} must have one line 'manifest:' with its list indented below it, got {count}")
    # Every JSON string is a valid YAML string.
    lines = [f"  - file: {json.dumps(one['file'])}\n    comment: {json.dumps(one['comment'])}\n" for one in listed]
    return _BLOCK.sub(lambda _: "".join(["manifest:\n", *lines]), text)


def write_entries(root: str | os.PathLike) -> None:
    """Renew the manifest of `root`/codecheck.yml from `root`/replication.

    Raises
    ------
    FileNotFoundError
        If codecheck.yml is missing.
    ValueError
        As `with_entries`.
    """
    path = Path(root, FILE)
    write_atomic(path, with_entries(read_text(path), entries(root)))
