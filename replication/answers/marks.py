"""A teacher's report on checked answers in a folder of submitted notebooks."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pandas as pd

from replication.answers import LINE

#: Outcomes besides those of `LINE`.
NOT_RUN, UNREADABLE = "not run", "unreadable"
_CELL_SECONDS = 1800


def marks(folder: Path, key: dict[str, Any], *, execute_in: Path | None = None) -> pd.DataFrame:
    """Return the outcome of each checked result.

    Parameters
    ----------
    folder : Path
        Folder with a folder for each student. A notebook directly in it is a student's, named by its file.
    key : dict
        Exercises as `replication.answers.read` returns them. A notebook belongs to the lesson whose number begins its
        name; other notebooks are left out.
    execute_in : Path, optional
        Working directory in which the notebooks are executed, in memory. This runs the students' code. By default the
        saved outputs are read, which students can edit.

    Returns
    -------
    DataFrame
        Columns `student`, `notebook` (path in the folder), `exercise`, `name` and `outcome`, which is one of `LINE`'s,
        `NOT_RUN` without an output, or `UNREADABLE`.

    Raises
    ------
    ValueError
        If `folder` is no folder, or has no notebook of a lesson with checked exercises.
    """
    rows = []
    for path in sorted(folder.rglob("[0-9][0-9]_*.ipynb")):
        checks = [
            (exercise, name) for exercise in key if exercise[:2] == path.name[:2] for name in key[exercise]["answers"]
        ]
        if not checks or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        inside = path.relative_to(folder)
        found = dict(_outcomes(path, execute_in))
        for exercise, name in checks:
            outcome = found.get((exercise, name), found.get(("", ""), NOT_RUN))
            rows.append((inside.parts[0].removesuffix(".ipynb"), inside.as_posix(), exercise, name, outcome))
    if not rows:
        raise ValueError(f"FOLDER must have notebooks of lessons with checked exercises, got {folder}")
    return pd.DataFrame(rows, columns=["student", "notebook", "exercise", "name", "outcome"])


def summary(marked: pd.DataFrame) -> pd.DataFrame:
    """Return the number of right results of each student by exercise, such as "1/2"; "" without the notebook."""
    right = marked.assign(right=marked.outcome == "right").groupby(["student", "exercise"]).right
    counts = right.sum().astype(str) + "/" + right.size().astype(str)
    return counts.unstack(fill_value="")


def _outcomes(path: Path, execute_in: Path | None) -> Iterator[tuple[tuple[str, str], str]]:
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):  # ValueError: not JSON, or not UTF-8
        yield ("", ""), UNREADABLE
        return
    if execute_in is not None:
        resources = {"metadata": {"path": os.fspath(execute_in)}}
        client = nbclient.NotebookClient(notebook, timeout=_CELL_SECONDS, allow_errors=True, resources=resources)
        client.execute()
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        for exercise, name, outcome in LINE.findall(output.get("text", "")):
            yield (exercise, name), outcome
