"""The code of every solution runs after the notebook it belongs to, at the sizes of the smoke profile."""

import functools
import json
import re
import time
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from replication import course
from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner import plan
from replication.runner.pools import cores
from replication.runner.process import NotebookProcess, Returned
from replication.runner.spec import Run

ROOT = Path(__file__).parents[2]
LESSONS = tomllib.loads((ROOT / course.LESSONS).read_text(encoding="utf-8"))["lesson"]


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
    """The notebook with each solution as a last cell, in a copy of its names: one does not see what another one did."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for number, code in enumerate(solutions(path), 1):
        source = f"exec(compile({code!r}, 'solution with code, number {number}', 'exec'), globals().copy())"
        cell = {"cell_type": "code", "id": f"solution-{number}", "metadata": {}, "outputs": [], "execution_count": None}
        content["cells"].append(cell | {"source": source})
    return json.dumps(content)


def run(name: str, folder: Path) -> Returned:
    """Run a notebook with its solutions in a folder that looks like the project's."""
    (folder / NOTEBOOKS).mkdir(parents=True)
    (folder / NOTEBOOKS / name).write_text(with_solutions(ROOT / NOTEBOOKS / name), encoding="utf-8")
    (folder / "replication").symlink_to(ROOT / "replication")
    process = NotebookProcess(cheapest()[name], folder, scratch=folder / "scratch", threads=1, cell_seconds=300)
    while not process.ended():
        time.sleep(0.1)
    return process.returned()


@pytest.fixture(scope="module")
def returned(request, tmp_path_factory):
    """The notebooks that are asked for, one on each core."""
    folder = tmp_path_factory.mktemp("solutions")
    asked = [item.callspec.params["name"] for item in request.session.items if item.module is request.module]
    with ThreadPoolExecutor(cores()) as pool:
        futures: dict[str, Future] = {
            name: pool.submit(run, name, folder / Path(name).stem) for name in asked if name in cheapest()
        }
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.mark.parametrize("name", [lesson["notebook"] for lesson in LESSONS])
def test_solutions_run_and_show_something(name, returned):
    if name not in cheapest():
        pytest.skip("the smoke profile has no run of it that needs no data from elsewhere")
    found = returned[name].result()
    assert found.status == 0, found.error["text"] if found.error else found.log
    cells = json.loads(found.executed)["cells"]
    ran = [cell for cell in cells if cell["id"].startswith("solution-")]
    assert len(ran) == len(solutions(ROOT / NOTEBOOKS / name)) > 0
    assert all(cell["outputs"] for cell in ran), "a solution must print or draw what it finds"
