"""Status of each run of a plan in an output folder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replication import ledger
from replication.runner import requirements, stamps
from replication.runner.spec import Run

#: Description of a result file that is not valid. Reading it states why.
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Status:
    """Status of one run.

    Attributes
    ----------
    label : str
        Label of the run.
    result : str
        "commit COMMIT, SECONDS s" of the result file, "none", or `UNREADABLE`.
    next : str
        Effect of the next call: "nothing", "run: REASON" or "needs DATA: ...".
    """

    label: str
    result: str
    next: str


def statuses(root: Path, runs: Sequence[Run], out: Path) -> Iterator[Status]:
    """Yield the status of each run. Data is searched for on this machine only.

    Parameters
    ----------
    root : Path
        Folder in which the notebooks run.
    runs : sequence of Run
        The runs.
    out : Path
        Output folder.

    Yields
    ------
    Status
    """
    for run in runs:
        path = out / "results" / f"{run.label}.json"
        try:
            described = _describe_result(path) if path.is_file() else "none"
        except ValueError:
            described = UNREADABLE
        yield Status(run.label, described, _next(root, run, out))


def lines(all_statuses: Iterable[Status]) -> Iterator[str]:
    """Yield the lines of a table in plain text."""
    rows = [("run", "result", "next call"), *((row.label, row.result, row.next) for row in all_statuses)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        yield f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}"


def _describe_result(path: Path) -> str:
    content = ledger.read(path)
    environment = content["environment"]
    commit = (environment["commit"] or "none")[:10] + ("+" if environment["dirty"] else "")
    return f"commit {commit}, {content['wall_seconds']:.0f} s"


def _next(root: Path, run: Run, out: Path) -> str:
    missing = [need for need in run.needs if not requirements.is_here(need)]
    if missing:
        return f"needs {', '.join(missing)}: downloaded if available, otherwise skipped"
    why = stamps.why_not_current(out, root, run)
    failed = (out / "reports" / f"{run.label}.failed.ipynb").is_file()
    if why is None:
        return "nothing"
    return f"run: {why}" + (f"; the last run failed, see reports/{run.label}.failed.ipynb" if failed else "")
