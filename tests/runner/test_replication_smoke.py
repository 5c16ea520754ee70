"""The whole line on small sizes: every notebook that needs no download, from the command line to the index.

It runs once, in a folder whose notebooks end with the solutions of their exercises. The solutions of a notebook run in
its cheapest run, after everything that the notebook itself does.
"""

import csv
import functools
import io
import json
import re
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccprune.cli import main
from replication import course, ledger
from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner import plan
from replication.runner.spec import Run

ROOT = Path(__file__).parents[2]
LESSONS = tomllib.loads((ROOT / course.LESSONS).read_text(encoding="utf-8"))["lesson"]
FAILURE = "this solution raised an error"


@functools.cache
def cheapest() -> dict[str, Run]:
    """The cheapest smoke run of each notebook that needs no data from elsewhere."""
    runs = [run for run in plan(ROOT, profile="smoke") if not run.needs]
    return {run.notebook: run for run in sorted(runs, key=lambda run: run.seconds, reverse=True)}


def solutions(path: Path) -> list[str]:
    """The code of each solution that has some, all its blocks together."""
    cells = [cell.source for cell in notebooks.cells(path) if "solution" in cell.tags]
    blocks = [re.findall(r"^```python\n(.*?)^```$", source, flags=re.M | re.S) for source in cells]
    return ["\n".join(found) for found in blocks if found]


def with_solutions(path: Path) -> str:
    """The notebook with each solution as a last cell, in a copy of its names: one does not see what another one did.

    What a solution raises is printed, so that it is not taken for a failure of the notebook.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    for number, code in enumerate(solutions(path), 1):
        source = f"""\
if out.endswith({f"/{cheapest()[path.name].label}.json"!r}):
    try:
        exec(compile({code!r}, "solution with code, number {number}", "exec"), globals().copy())
    except Exception:
        import traceback
        print({FAILURE!r}, traceback.format_exc(), sep="\\n")
"""
        cell = {"cell_type": "code", "id": f"solution-{number}", "metadata": {}, "outputs": [], "execution_count": None}
        content["cells"].append(cell | {"source": source})
    return json.dumps(content)


@dataclass(frozen=True)
class Replicated:
    """Output folder of a smoke replication; exit status and printed text of the first call, and of a second one."""

    out: Path
    first: tuple[int, str]
    second: tuple[int, str]


@pytest.fixture(scope="module")
def replicated(request, tmp_path_factory) -> Replicated:
    """The smoke profile; where only solutions are tested, the runs that they need."""
    folder = tmp_path_factory.mktemp("replication")
    (folder / NOTEBOOKS).mkdir()
    for path in (ROOT / NOTEBOOKS / name for name in cheapest()):
        (folder / NOTEBOOKS / path.name).write_text(with_solutions(path), encoding="utf-8")
    (folder / "replication").symlink_to(ROOT / "replication")
    asked = [item for item in request.session.items if "replicated" in getattr(item, "fixturenames", ())]
    names = [item.callspec.params["name"] if hasattr(item, "callspec") else None for item in asked]
    only = [] if None in names else [cheapest()[name].name for name in names if name in cheapest()]
    out = folder / "out"
    command = ["replicate", "--profile", "smoke", "--keep-going", "--jobs", "2", "--out", str(out), *only]

    def call() -> tuple[int, str]:
        with redirect_stdout(io.StringIO()) as printed:
            return main(command), printed.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # No network and no data folder, so that this means the same everywhere.
        patch.delenv("CCPRUNE_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name in ("https_proxy", "HTTPS_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")  # refuses at once; the notebooks' processes inherit it
        return Replicated(out, call(), call())


@pytest.mark.parametrize("profile", ledger.PROFILES)
def test_every_profile_can_be_planned(profile):
    runs = plan(ROOT, profile=profile)
    assert {"start_here", "legcnet_tables-cancer", "granger_null"} <= {run.name for run in runs}


def test_smoke_replication(replicated):
    status, printed = replicated.first
    assert status == 0, printed
    skipped = {"legcnet_tables-banknote", "legcnet_tables-vowel"}
    done = {run.name for run in plan(ROOT, profile="smoke")} - skipped
    for name in skipped:
        assert f"skipped {name}" in printed
    out = replicated.out
    assert {path.name.split(".")[0] for path in (out / "results").glob("*.json")} == done
    assert {path.name.split(".")[0] for path in (out / "reports").glob("*.html")} == done
    rows = list(csv.DictReader((out / "verdicts.csv").read_text().splitlines()))
    assert {row["profile"] for row in rows} == {"smoke"}
    assert {(row["table"], row["dataset"]) for row in rows} >= {
        ("1", "cancer"),
        ("3", "iris3f"),
        ("fewer_epochs", "iris"),
    }
    index = (out / "README.md").read_text()
    assert "set CCPRUNE_DATA" in index and "no evidence on the papers" in index

    # A second call finds nothing to do.
    status, printed = replicated.second
    assert status == 0
    assert f"0 done, {len(done)} unchanged, {len(skipped)} skipped, 0 failed" in printed


@pytest.mark.parametrize("name", [lesson["notebook"] for lesson in LESSONS])
def test_solutions_run_and_show_something(name, replicated):
    if name not in cheapest():
        pytest.skip("the smoke profile has no run of it that needs no data from elsewhere")
    report = replicated.out / "reports" / f"{cheapest()[name].label}.html"
    assert report.is_file(), replicated.first[1]
    count = len(solutions(ROOT / NOTEBOOKS / name))
    cells = re.findall(r'id="cell-id=[^"]+"(.*?)(?=id="cell-id=|</body>)', report.read_text(), flags=re.S)
    ran = cells[-count:]  # the solutions are the last cells of the copy
    assert len(ran) == count > 0 and all("solution with code, number" in cell for cell in ran)
    for cell in ran:
        _code, area, shown = cell.partition('<div class="output_area">')
        assert area, "a solution must print or draw what it finds"
        assert FAILURE not in shown, shown


def test_results_say_what_made_them():
    for path in (ROOT / "replication" / "results").glob("*.json"):
        assert ledger.read(path)["environment"]["commit"], path
