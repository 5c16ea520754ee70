"""Check of what a notebook returned, and its way into the output folder."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from replication import ledger
from replication.ledger import journal, units
from replication.ledger.raw import list_files
from replication.runner import stamps
from replication.runner.process import RunFiles
from replication.runner.spec import Run

#: Folder in an output folder for the results that its last runs replaced.
BEFORE = Path(".cache", "before")


def why_kept(path: Path, new: dict[str, Any]) -> str:
    """Return why the present result is richer than a new one, or an empty string.

    It is richer if both have the same parameters and the new one left out more, such as a re-run of the authors' files
    that are not on this machine.
    """
    try:
        old = ledger.read(path)
    except (OSError, ValueError):
        return ""
    before, now = ({entry["what"]: entry["why"] for entry in content["skipped"]} for content in (old, new))
    if old["parameters"] != new["parameters"] or not before.keys() < now.keys():
        return ""
    what = next(name for name in now if name not in before)
    return f"the present result was kept, because this run left out {what} ({now[what]})"


def place(out: Path, run: Run, returned: RunFiles, made_from: dict[str, Any]) -> None:
    """Store result, raw runs, report and stamp together, without the notebook of an earlier failure.

    Raises
    ------
    ValueError
        If the raw runs in the result are no table.
    OSError
        As `replication.ledger.journal.commit`.
    """
    report = returned.report.encode()
    digest = hashlib.sha256(report).hexdigest()
    content = ledger.parse(returned.result) | {"energy_joules": returned.energy, "report_sha256": digest}
    files = list_files(run.label, content)
    stamp = stamps.text(out, run, made_from, files[f"results/{run.label}.json"], report)
    files |= {
        f"reports/{run.label}.html": report,
        f"reports/{run.label}.failed.ipynb": None,
        stamps.name(run): stamp.encode(),
    }
    path = out / "results" / f"{run.label}.json"
    for old in (path, ledger.raw_path(path)):  # for `committed.compare_runs`
        if old.is_file():
            before = out / BEFORE / old.parent.name / old.name
            before.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, before)
    journal.commit(out, run.label, files)
    close_units(out, run)


def close_units(out: Path, run: Run) -> None:
    """Keep the units of a finished run of the profile "paper", which takes hours, and remove those of others."""
    units.close(out, run.label, keep=run.profile == "paper")


def why_failed(run: Run, returned: RunFiles) -> str | None:
    """Return why the run failed, or None if it returned a valid result of its own."""
    if returned.error:
        failure = returned.error
        if failure["cell"] is None:
            return failure["text"]
        source = "\n".join(f"    {line}" for line in failure["source"].splitlines())
        return f"cell {failure['cell']} failed:\n{source}\n{failure['text']}"
    if returned.status != 0:
        return f"the notebook's process ended with status {returned.status}\n{returned.log}".strip()
    return _result_problem(returned.result, run)


def _result_problem(text: str | None, run: Run) -> str | None:
    """Return why the text is not a result file of this run, or None if it is."""
    if text is None:
        return "the notebook ended without writing its result file (parameter 'out')"
    try:
        content = ledger.parse(text)
    except ValueError as error:
        return f"the notebook wrote a result file that is not valid: {error}"
    if content["notebook"] != run.notebook:
        return f"the result file names the notebook {content['notebook']!r}, not {run.notebook!r}"
    requested = json.loads(json.dumps(run.parameters))
    stored = content["parameters"]
    differing = [name for name in sorted(requested | stored) if requested.get(name, ...) != stored.get(name, ...)]
    if differing:
        listed = "; ".join(
            f"{name}: {requested.get(name, 'nothing')!r} in the run, {stored.get(name, 'nothing')!r} in the result"
            for name in differing
        )
        return f"the result file's parameters are not those of the run: {listed}"
    return None
