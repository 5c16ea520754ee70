"""Command `ccprune verify`."""

import argparse
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ccprune._util.checks import shorten
from replication import ledger
from replication.cli.running import positive
from replication.ledger.environment import SOURCE_FOLDERS
from replication.reporting import verify
from replication.reporting.judging import judge
from replication.runner import rerun
from replication.runner.inventory import all_runs
from replication.runner.sources import changed_since, is_ancestor

_DESCRIPTION = """\
Check the committed files of replication/ and benchmarks/. First every result is checked, and every
table, page and picture is made again from the raw runs and compared byte by byte. All other outputs
are compared with replication/manifest.json. Then a random sample of the cheap runs is run again in a
temporary folder, and compared in everything but times and the machine: numbers to a millionth, texts
and seeds exactly.

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
    problems = [*verify.problems(root, runs), *_unknown_commits(root)]
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    print(f"files: {number if problems else 'as the commands wrote them'}")
    if not problems and not options.no_rerun:
        problems = _rerun(root, runs, options)
    for line in problems:
        print(f"  {line}")
    if not verify.draws_as_locked(root):
        print("pictures: compared with the manifest only, because matplotlib is not the locked version")
    _print_sources(root, each=options.sources)
    return 1 if problems else 0


def _valid_results(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and content of each result; `verify.problems` reports the others."""
    for path in sorted((root / "replication" / "results").glob("*.json")):
        with suppress(OSError, ValueError):
            yield path.stem, ledger.read(path)


def _unknown_commits(root: Path) -> list[str]:
    """List the results at commits outside the history of the clone, unless all are, as after a copy to a new one."""
    commits = {name: content["environment"]["commit"] for name, content in _valid_results(root)}
    known = {commit: is_ancestor(root, commit) for commit in set(commits.values()) if commit}
    if True not in known.values():
        return []
    return [
        f"replication/results/{name}.json: its commit {commit} is not in the history of this clone"
        for name, commit in commits.items()
        if known.get(commit) is False
    ]


def _print_sources(root: Path, *, each: bool) -> None:
    """Print the number of results made from the present sources, and the files that changed since the others."""
    count = Counter()
    for name, content in _valid_results(root):
        changed = _changed_sources(root, content)
        count["unknown" if changed is None else "changed" if changed else "same"] += 1
        if each:
            print(f"  {_describe_result(name, content, changed)}")
    text = f"{count['same']} results were made from the present sources, {count['changed']} from earlier ones"
    unknown = f", {count['unknown']} at a commit that this clone does not have" if count["unknown"] else ""
    print(f"sources: {text}{unknown}" + ("" if each else "; --sources lists the files"))


def _changed_sources(root: Path, content: dict[str, Any]) -> list[str] | None:
    """List the sources that changed since a result was made, or return None if its commit or notebook is unknown."""
    try:
        return changed_since(root, content["environment"]["commit"], content["notebook"], packages=SOURCE_FOLDERS)
    except OSError:  # no such notebook, which `verify.problems` reports
        return None


def _describe_result(name: str, content: dict[str, Any], changed: list[str] | None) -> str:
    files = "unknown commit" if changed is None else shorten(changed) or "nothing"
    return f"{name}, made at {(content['environment']['commit'] or 'no commit')[:10]}: {files}"


def _rerun(root: Path, runs: list, options: argparse.Namespace) -> list[str]:
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = root / "replication"
    chosen = rerun.sample(runs, folder, seconds=options.seconds, seed=seed)
    names = ", ".join(run.label for run in chosen) or "no run, because none is cheap enough and has its data"
    print(f"re-run (--seed {seed}): {names}", flush=True)
    problems = rerun.rerun_changes(root, chosen, folder, judge=judge, stream=sys.stderr, jobs=options.jobs)
    if chosen:
        print(f"results: {'confirmed' if not problems else f'{len(problems)} differences'}")
    for name, content in _valid_results(root):
        changed = _changed_sources(root, content) if any(line.startswith(f"{name}: ") for line in problems) else []
        if changed:
            print(f"sources that changed since {_describe_result(name, content, changed)}")
    return problems
