"""Command `ccprune verify`."""

import argparse
import secrets
import sys
from collections import Counter
from pathlib import Path

from ccprune._util.checks import shorten
from replication import ledger
from replication.cli.running import positive
from replication.ledger.environment import SOURCE_FOLDERS
from replication.reporting import verify
from replication.reporting.judging import judge
from replication.runner import rerun
from replication.runner.inventory import all_runs
from replication.runner.sources import changed_since

_DESCRIPTION = """\
Check the committed files of replication/. First the signature and parameters of every result and
every report are checked, and verdicts.csv, README.md, the figure and the manifest are computed again
from the results and compared. Then a random sample of the cheap runs is run again in a temporary
folder. Each number must be equal to a millionth, or lie within the committed interval.

exit status
  0  no problem was found
  1  problems were found; each is listed on a line
"""


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    sub = commands.add_parser(
        "verify",
        help="check the committed results, and re-run a sample of them",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.set_defaults(command=_verify)
    text = "list for each result the source files that changed since its commit"
    sub.add_argument("--sources", action="store_true", help=text)
    sub.add_argument("--no-rerun", action="store_true", help="check the files only, which takes seconds")
    sub.add_argument(
        "--seconds", type=positive, default=120, help="expected time of the sample on two cores (default: 120)"
    )
    sub.add_argument("--seed", type=int, help="seed of the sample (default: a random one, which is printed)")
    sub.add_argument("--jobs", type=positive, default=1, metavar="N", help="notebooks at once (default: 1)")


def _verify(root: Path, options: argparse.Namespace) -> int:
    runs = all_runs(root)
    problems = verify.problems(root, runs)
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    print(f"files: {number if problems else 'as the commands wrote them'}")
    if not problems and not options.no_rerun:
        problems = _rerun(root, runs, options)
    for line in problems:
        print(f"  {line}")
    _print_sources(root, each=options.sources)
    return 1 if problems else 0


def _print_sources(root: Path, *, each: bool) -> None:
    """Print the number of results made from the present sources, and the files that changed since the others."""
    count = Counter()
    for path in sorted((root / "replication" / "results").glob("*.json")):
        try:
            content = ledger.read(path)
            commit = content["environment"]["commit"]
            changed = changed_since(root, commit, content["notebook"], packages=SOURCE_FOLDERS)
        except (OSError, ValueError):  # `verify.problems` reports it
            continue
        count["unknown" if changed is None else "changed" if changed else "same"] += 1
        if each:
            files = "unknown commit" if changed is None else shorten(changed) or "nothing"
            print(f"  {path.stem}, made at {(commit or 'no commit')[:10]}: {files}")
    text = f"{count['same']} results were made from the present sources, {count['changed']} from earlier ones"
    unknown = f", {count['unknown']} at a commit that this clone does not have" if count["unknown"] else ""
    print(f"sources: {text}{unknown}" + ("" if each else "; --sources lists the files"))


def _rerun(root: Path, runs: list, options: argparse.Namespace) -> list[str]:
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = root / "replication"
    chosen = rerun.sample(runs, folder, seconds=options.seconds, seed=seed)
    names = ", ".join(run.label for run in chosen) or "no run, because none is cheap enough and has its data"
    print(f"re-run (--seed {seed}): {names}", flush=True)
    problems = rerun.rerun_changes(root, chosen, folder, judge=judge, stream=sys.stderr, jobs=options.jobs)
    if chosen:
        print(f"numbers: {'confirmed' if not problems else f'{len(problems)} differ'}")
    return problems
