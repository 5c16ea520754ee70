"""The manifest of codecheck.yml: which committed files a codechecker is to make again.

A list of files with comments: CODECHECK configuration file specification 1.0, section "Manifest list"
(https://codecheck.org.uk/spec/config/1.0/). The rest of codecheck.yml is written by hand and left alone.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ccprune._util.files import write_atomic

FILE = "codecheck.yml"
_FOLDER = "replication"
# What is made from all results together.
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
    """The manifest of what lies in `root`/replication: the index, then each run's result and report, by name.

    Returns
    -------
    list of dict
        With "file", its path from `root`, and "comment".
    """
    folder = Path(root, _FOLDER)
    listed = [(name, comment) for name, comment in _INDEX.items() if (folder / name).is_file()]
    listed += [(f"tables/{path.name}", "long tables") for path in sorted((folder / "tables").glob("*.md"))]
    for part, (ending, what) in _PER_RUN.items():
        for path in sorted((folder / part).glob(f"*.{ending}")):
            run, _, profile = path.stem.rpartition(".")
            listed.append((f"{part}/{path.name}", f"run {run}, profile {profile}: {what}"))
    return [{"file": f"{_FOLDER}/{name}", "comment": comment} for name, comment in listed]


def with_manifest(text: str, listed: Iterable[dict[str, str]]) -> str:
    """The text of codecheck.yml with its manifest replaced; all else stays byte for byte.

    Raises
    ------
    ValueError
        If there is not exactly one line "manifest:", with its list indented below it.
    """
    found = len(_BLOCK.findall(text))
    if found != 1:
        raise ValueError(f"{FILE} must have one line 'manifest:' with its list indented below it, got {found}")
    # A JSON string is a YAML string, whatever it holds.
    lines = [f"  - file: {json.dumps(one['file'])}\n    comment: {json.dumps(one['comment'])}\n" for one in listed]
    return _BLOCK.sub(lambda _: "".join(["manifest:\n", *lines]), text)


def write_manifest(root: str | os.PathLike) -> None:
    """Bring the manifest of `root`/codecheck.yml in step with `root`/replication.

    Raises
    ------
    FileNotFoundError
        If there is no codecheck.yml.
    ValueError
        As `with_manifest`.
    """
    path = Path(root, FILE)
    write_atomic(path, with_manifest(path.read_text(encoding="utf-8"), entries(root)))
