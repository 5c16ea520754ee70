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
The data sets of the suite file, for all profiles.

  list   list the data sets, their places on this machine, and the runs that need them (the default)
  get    download the data sets that are not on this machine
  check  read all files on this machine and compare them with their pinned checksums

exit status
  0  success
  1  get: a data set is unavailable; check: the checksum of a file differs, or it cannot be read
  2  the call or the suite file is invalid
"""


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    data = commands.add_parser(
        "data",
        help="list, download or check the data sets",
        description=_DATA,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data.set_defaults(command=_data)
    data.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    data.add_argument("names", nargs="*", metavar="NAME", help="a kind (authors) or one data set (images:mnist)")


def _data(root: Path, options: argparse.Namespace) -> int:
    sets = inventory.data_sets(inventory.all_runs(root), options.names)
    return _ACTIONS[options.action](sets)


def _list(sets: Sequence[DataSet]) -> int:
    print("\n".join(inventory.listing(sets)))
    return 0


def _get(sets: Sequence[DataSet]) -> int:
    missing = [data.need for data in sets if not data.here]
    reasons: dict[str, list[str]] = {}  # by the text without the name, which is the same for all without a network
    for need in missing:
        print(f"{need} ... ", end="", flush=True)  # some take minutes
        why = _why_not_fetched(need)
        print("downloaded" if why is None else "unavailable")
        if why:
            reasons.setdefault(why.replace(need.partition(":")[2], "NAME"), []).append(why)
    for reason, *others in reasons.values():
        print()
        print("\n".join(textwrap.wrap(reason, inventory.WIDTH, break_long_words=False, break_on_hyphens=False)))
        if others:
            print(f"The same applies to {len(others)} more.")
    failed = sum(map(len, reasons.values()))
    print(f"\n{len(sets) - len(missing)} were present, {len(missing) - failed} downloaded, {failed} unavailable")
    return 1 if failed else 0


def _why_not_fetched(need: str) -> str | None:
    try:
        return requirements.why_missing(need)
    except (CorruptData, OSError) as error:
        return portable(" ".join(str(error).split()))


def _check(sets: Sequence[DataSet]) -> int:
    count = Counter()
    for checked in (checked for data in sets for checked in inventory.check(data)):
        count[checked.state] += 1
        text = f"{checked.state:<10}  {portable(str(checked.path))}"
        if checked.state != "ok":
            text += f"\n{'':12}{checked.digest}"
        if checked.state == "differs":
            text += f"\n{'':12}{checked.expected} expected"
        print(text, flush=True)
    print(", ".join(f"{count[state]} {state}" for state in ("ok", "differs", "not pinned", "unreadable")))
    absent = [data.need for data in sets if not data.here]
    if absent:
        print(f"not on this machine: {', '.join(absent)}")
    return 1 if count["differs"] or count["unreadable"] else 0


_ACTIONS = {"list": _list, "get": _get, "check": _check}
