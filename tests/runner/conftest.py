"""A small project in a temporary folder: notebooks, a suite file, and the runner on it."""

import io
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from replication.ledger import PROFILES
from replication.runner import LocalPool, Outcome, Run, plan, replicate

PARAMETERS = "profile = 'default'\nseed = 0\nout = ''\nsize = 3\nrate = 0.5\nnames: list = ['a']\nextra = None"


@dataclass(frozen=True)
class Project:
    root: Path

    @property
    def out(self) -> Path:
        return self.root / "replication"

    def write_notebook(self, name: str, *sources: str, parameters: str | None = PARAMETERS) -> None:
        """A notebook with a parameters cell (unless None) and these code cells; by default it writes its result."""
        cells = [nbformat.v4.new_markdown_cell(f"# {name}")]
        if parameters is not None:
            cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells += [nbformat.v4.new_code_cell(source) for source in sources or (self.writing(name),)]
        path = self.root / "notebooks" / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)

    def write_suite(self, *entries: str) -> None:
        self.out.mkdir(exist_ok=True)
        (self.out / "suite.toml").write_text("\n".join(entries))

    def plan(self, profile: str = "default", **options) -> list[Run]:
        return plan(self.root, profile=profile, **options)

    def run(self, *, pool=None, jobs: int = 1, stream=None, only=(), replaced=None, **how) -> list[Outcome]:
        """Replicate the default profile; `how` as in `replication.runner.replicate`."""
        runs = self.plan(only=only, replaced=replaced)
        pool = pool or LocalPool(self.root, self.out, jobs=jobs)
        return replicate(self.root, runs, out=self.out, pool=pool, stream=stream or io.StringIO(), **how)

    @staticmethod
    def entry(name: str, notebook: str = "good.ipynb", **tables: str) -> str:
        tables = tables or {"default": "{}"}
        tables.setdefault("seconds", f"{{ {', '.join(f'{key} = 5' for key in tables if key in PROFILES)} }}")
        lines = [f"{key} = {value}" for key, value in tables.items()]
        return "\n".join(["[[run]]", f'name = "{name}"', f'notebook = "{notebook}"', *lines, ""])

    @staticmethod
    def writing(notebook: str, size: str = "size") -> str:
        """Code that writes a result of its own parameters, but for the size, which can be another."""
        return f"""
from replication import ledger
if out:
    used = dict(profile=profile, seed=seed, size={size}, rate=rate, names=names, extra=extra)
    cell = ledger.Cell(paper="legcnet", table="1", dataset={notebook!r}, method="ft", quantity="epochs", published=3,
        kind="figure", origin="printed", ours=size, n=1, verdict="identical" if size == 3 else "outside",
        profile=profile)
    ledger.write(out, notebook={notebook!r}, seeds=[seed], data_checksums={{}}, parameters=used, cells=[cell])
"""


@pytest.fixture(scope="session")
def new_project():
    """Makes a project with one good notebook in a folder."""

    def make(folder: Path) -> Project:
        made = Project(folder)
        made.write_notebook("good.ipynb")
        return made

    return make


@pytest.fixture
def project(tmp_path, new_project) -> Project:
    """With one good notebook."""
    return new_project(tmp_path)
