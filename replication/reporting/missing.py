"""What an output folder has not: runs that were skipped, not made or interrupted, and parts that runs left out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from replication.ledger import units
from replication.ledger.reading import read_skipped
from replication.reporting.markdown import table


class Planned(Protocol):
    """What is needed of a run of the suite, which the runner's `Run` has."""

    label: str
    seconds: float
    parameters: dict[str, Any]
    needs: Sequence[str]


def _machine(run: Planned) -> str:
    return "a GPU" if "device:cuda" in run.needs else "two cores"


def missing(folder: Path, contents: list, expected: Sequence[Planned]) -> str:
    """Return a table of what was left out, as a whole or in part, and of the runs that failed last, or an empty string.

    Parameters
    ----------
    folder : Path
        The output folder.
    contents : list
        Pairs of path and content of its results.
    expected : sequence of Planned
        The runs that the folder must have.
    """
    skipped, made = read_skipped(folder), {path.stem: content for path, content in contents}
    lines = [[label, "all", why] for label, why in sorted(skipped.items())]
    lines += [
        [run.label, "all", f"not made yet; it takes about {run.seconds / 3600:.2g} h on {_machine(run)}"]
        for run in sorted(expected, key=lambda run: run.label)
        if run.label not in {*skipped, *made}
    ]
    for label in sorted(path.name for path in (folder / units.FOLDER).glob("*")):
        parts, content = units.count_stored(folder, label), made.get(label)
        asked = [run.parameters for run in expected if run.label == label]
        if parts and (content is None or (asked and asked != [content["parameters"]])):
            why = f"{parts} of its units are stored; the next call resumes."
            why += " A result above is from an earlier run." if content else ""
            lines.append([label, "the rest of a long run", why])
    for path, content in contents:
        lines += [[path.stem, entry["what"], entry["why"]] for entry in content["skipped"]]
    for path in sorted((folder / "reports").glob("*.failed.ipynb")):
        label = path.name.removesuffix(".failed.ipynb")
        lines.append(
            [label, "the last run", f"failed; see reports/{path.name}. A result above is from an earlier run."]
        )
    return table(["run", "what", "why"], lines) if lines else ""
