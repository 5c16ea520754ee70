"""Commands `ccprune replicate`, `ccprune status` and `ccprune report`."""

import argparse
import ast
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from replication import ledger
from replication.ledger import PROFILES, journal
from replication.ledger.notebooks import NOTEBOOKS
from replication.reporting import codecheck, manifest, write_report
from replication.reporting.index import INDEX
from replication.reporting.judging import judge
from replication.reporting.passages import write_passages
from replication.reporting.verify import expected_runs
from replication.runner import LocalPool, Outcome, Run, SuiteError, locked, plan, replicate, status
from replication.runner.inventory import all_runs
from replication.runner.placing import BEFORE
from replication.runner.pools import Pool

_REPLICATE = """\
Run the notebooks of a profile, each in its own process, and write results/, reports/,
verdicts.csv and README.md into the output folder. A second call runs only what changed.

profiles
  smoke    tests the installation in minutes. It writes to replication/.smoke unless --out is
           given. Its numbers are left out of verdicts.csv if the output folder has any others.
  default  takes about half an hour on two cores, with data of installed packages.
  paper    uses the papers' data and sizes. Its rows replace those of default in verdicts.csv.

exit status
  0  success; runs whose data is unavailable are skipped, and listed at the end and in
     README.md
  1  a run failed; later runs were not started, unless --keep-going is given
  2  the call or the suite file is invalid, the output folder cannot be written, or another
     call is using it; nothing was run
"""


def add(commands) -> None:
    """Add the three commands to a parser's subparsers."""
    run = commands.add_parser(
        "replicate",
        help="run the notebooks, write results and reports",
        description=_REPLICATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.set_defaults(command=_replicate)
    text = "list which runs are done, and which would run again and why"
    shown = commands.add_parser("status", help=text, description=f"{text.capitalize()}. Nothing is run or downloaded.")
    shown.set_defaults(command=_status)
    for sub in (run, shown):
        sub.add_argument("names", nargs="*", metavar="NAME", help="runs to select; NAME includes all of NAME-...")
        sub.add_argument("--profile", choices=PROFILES, default="default")
    run.add_argument("--jobs", type=positive, metavar="N", help="notebooks at once on this machine (default: 1)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="run on a Dask cluster, such as tcp://HOST:8786")
    text = (
        "time limit of one cell and of making the page (default: ten times the expected time of its run, and at least "
    )
    text += "an hour)"
    run.add_argument("--timeout", type=positive, metavar="SECONDS", help=text)
    run.add_argument("--force", action="store_true", help="also run what did not change")
    run.add_argument("--keep-going", action="store_true", help="also start runs after one has failed")
    run.add_argument("--dry-run", action="store_true", help="as ccprune status: list what would run, and run nothing")
    run.add_argument("--seed", type=int, help="replaces the notebooks' seed; needs --out")
    run.add_argument(
        "-p", dest="parameters", type=_pair, action="append", default=[], metavar="KEY=VALUE",
        help="replaces a parameter of all selected notebooks, such as -p seeds=3; needs --out",
    )  # fmt: skip
    text = "write the tables and pages again, from the results alone"
    report = commands.add_parser("report", help=text, description=f"{text.capitalize()}.")
    report.set_defaults(command=_report)
    for sub in (run, shown, report):
        sub.add_argument("--out", type=Path, metavar="FOLDER", help="output folder (default: replication)")


def _replicate(root: Path, options: argparse.Namespace) -> int:
    replaced = dict(options.parameters) | ({} if options.seed is None else {"seed": options.seed})
    if replaced and options.out is None:
        raise SuiteError("--seed and -p change the numbers of the profile: give --out FOLDER for the results")
    runs = plan(root, profile=options.profile, only=options.names, replaced=replaced)
    out = options.out or _folder(root, options.profile)
    if options.dry_run:
        return _print_status(root, runs, out)
    how = {"force": options.force, "keep_going": options.keep_going, "cell_seconds": options.timeout}
    with locked(out), closing(_pool(root, out, options)) as pool:
        outcomes = replicate(root, runs, out=out, pool=pool, stream=sys.stderr, **how)
        failed = _summarise(outcomes)
        _compare(root, out, [outcome.run.label for outcome in outcomes if outcome.status == "done"])
        status = _write_report(root, out, redraw=any(outcome.status == "done" for outcome in outcomes))
    return 1 if failed else status


def _compare(root: Path, out: Path, labels: Sequence[str]) -> None:
    """Print how many numbers of the completed runs are equal to the committed ones."""
    committed = root / "replication"
    before = out / BEFORE if out.resolve() == committed.resolve() else committed
    if labels and (before / "results").is_dir():
        from replication.runner.committed import compare_runs

        comparison = compare_runs(labels, before, out, judge=judge)
        if comparison.equal or comparison.differing:
            print(comparison)


def _pool(root: Path, out: Path, options: argparse.Namespace) -> Pool:
    if options.scheduler is None:
        return LocalPool(root, out, jobs=options.jobs or 1)
    if options.jobs is not None:
        raise SuiteError(
            "--jobs must not be given with --scheduler: each worker of the cluster runs as many as it has threads"
        )
    from replication.runner.cluster import ClusterPool

    return ClusterPool(root, options.scheduler)


def _report(root: Path, options: argparse.Namespace) -> int:
    out = options.out or root / "replication"
    if not (out / "results").is_dir():
        raise SuiteError(f"{out} has no results: run ccprune replicate first")
    with locked(out):
        try:
            journal.recover(out)  # of a call that was killed
        except OSError as error:
            raise SuiteError(f"{out} cannot be written: {error}") from error
        return _write_report(root, out)


def _status(root: Path, options: argparse.Namespace) -> int:
    """Print the result of each run and the effect of the next call, without running anything."""
    runs = plan(root, profile=options.profile, only=options.names)
    return _print_status(root, runs, options.out or _folder(root, options.profile))


def _print_status(root: Path, runs: Sequence[Run], out: Path) -> int:
    found = list(status.statuses(root, runs, out))
    print("\n".join(status.lines(found)))
    spoiled = [one.label for one in found if one.result == status.UNREADABLE]
    for label in spoiled:
        try:
            ledger.read(out / "results" / f"{label}.json")
        except ValueError as error:
            print(f"ccprune: {error}", file=sys.stderr)
    return 1 if spoiled else 0


def _folder(root: Path, profile: str) -> Path:
    return root / "replication" / (".smoke" if profile == "smoke" else "")


def _write_report(root: Path, out: Path, *, redraw: bool = True) -> int:
    try:
        below = out.resolve().is_relative_to(root.resolve())
        committed = out.resolve() == (root / "replication").resolve()
        wanted = expected_runs(all_runs(root)) if committed else ()
        link = os.path.relpath(root / NOTEBOOKS, out) if below else None
        report = write_report(out, notebooks=link, redraw=redraw, expected=wanted)
        if committed:
            write_passages(root, report.rows)
            if (root / codecheck.FILE).is_file():
                codecheck.write_entries(root)
            manifest.write_manifest(root)
    except (OSError, ValueError) as error:
        print(f"ccprune: no report was written: {error}", file=sys.stderr)
        return 1
    print(f"{out / INDEX}")
    return 0


def _summarise(outcomes: Sequence[Outcome]) -> bool:
    """Print which runs were skipped or failed, and return whether any failed."""
    for outcome in outcomes:
        if outcome.status == "failed":
            print(f"\nFAILED {outcome.run.label}: {outcome.why}", file=sys.stderr)
    for outcome in outcomes:
        if outcome.status in ("kept", "skipped", "not run"):
            print(f"{outcome.status} {outcome.run.label}: {outcome.why}")
    count = Counter(outcome.status for outcome in outcomes)
    shown = ["done", "unchanged", "skipped", "failed", *(name for name in ("kept", "not run") if count[name])]
    print(", ".join(f"{count[status]} {status}" for status in shown))
    return count["failed"] > 0


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value  # a text without quotes


def positive(text: str) -> int:
    """Parse an integer of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number
