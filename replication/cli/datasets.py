"""Command `ccprune data`."""

import argparse
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from replication.data import CorruptData
from replication.ledger.environment import portable
from replication.runner import inventory, requirements
from replication.runner.inventory import DataSet

_DATA = """\
The data that the suite file names, of all profiles.

  list   what is here, where, and which runs ask for it (the default)
  get    fetch what is not here
  check  read every file that is here and compare it with its pinned checksum

exit status
  0  all is well
  1  get: something cannot be had; check: a file is not the pinned one, or cannot be read
  2  the call or the suite file is wrong
"""


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    data = commands.add_parser(
        "data",
        help="list, fetch or check the data sets",
        description=_DATA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data.set_defaults(command=_data)
    data.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    data.add_argument("names", nargs="*", metavar="NAME", help="these only: a kind (authors) or one (images:mnist)")


def _data(root: Path, options: argparse.Namespace) -> int:
    found = inventory.data_sets(inventory.all_runs(root), options.names)
    return _ACTIONS[options.action](found)


def _list(found: Sequence[DataSet]) -> int:
    print("\n".join(inventory.listing(found)))
    return 0


def _get(found: Sequence[DataSet]) -> int:
    missing = [data.need for data in found if not data.here]
    reasons: dict[str, list[str]] = {}  # by the text without the name, which is the same for all without a network
    for need in missing:
        print(f"{need} ... ", end="", flush=True)  # some take minutes
        why = _why_not_fetched(need)
        print("fetched" if why is None else "cannot be had")
        if why:
            reasons.setdefault(why.replace(need.partition(":")[2], "NAME"), []).append(why)
    for told, *others in reasons.values():
        print()
        print("\n".join(textwrap.wrap(told, inventory.WIDTH, break_long_words=False, break_on_hyphens=False)))
        if others:
            print(f"and likewise {len(others)} more")
    failed = sum(map(len, reasons.values()))
    print(f"\n{len(found) - len(missing)} were here, {len(missing) - failed} fetched, {failed} cannot be had")
    return 1 if failed else 0


def _why_not_fetched(need: str) -> str | None:
    try:
        return requirements.why_missing(need)
    except (CorruptData, OSError) as error:
        return portable(" ".join(str(error).split()))


def _check(found: Sequence[DataSet]) -> int:
    count = Counter()
    for checked in (checked for data in found for checked in inventory.check(data)):
        count[checked.state] += 1
        told = f"{checked.state:<10}  {portable(str(checked.path))}"
        if checked.state != "ok":
            told += f"\n{'':12}{checked.digest}"
        if checked.state == "differs":
            told += f"\n{'':12}{checked.expected} expected"
        print(told, flush=True)
    print(", ".join(f"{count[state]} {state}" for state in ("ok", "differs", "not pinned", "unreadable")))
    absent = [data.need for data in found if not data.here]
    if absent:
        print(f"not here: {', '.join(absent)}")
    return 1 if count["differs"] or count["unreadable"] else 0


_ACTIONS = {"list": _list, "get": _get, "check": _check}
