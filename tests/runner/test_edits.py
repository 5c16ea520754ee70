"""`ccprune verify --no-rerun` names every file of the committed results that is edited by hand.

The edits are made in copies of the committed results, several in each copy, and the named files must be exactly the
edited ones. In the last two copies the editor also renews what the package can renew: the manifest, or signatures and
the whole report.
"""

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from ccprune.cli import main
from replication.cli import running
from replication.ledger import storage
from replication.reporting import benchmarks, index, judging, manifest, passages, verify
from replication.runner.inventory import all_runs

ROOT = Path(__file__).parents[2]
COPIED = ("README.md", "README.ja.md", "docs/questions.md", "docs/ja", "codecheck.yml", "benchmarks", "replication")
CAUSAL = ("02_granger_lasso.ipynb", "03_phase_shift.ipynb", "04_flat_minima.ipynb")
OTHER_SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>Matplotlib v0</title><circle r="9"/></svg>\n'
MNIST, BANKNOTE, CANCER, IRIS = (
    f"replication/results/{name}.paper.json"
    for name in ("legcnet_mnist-mnist", "diagnostics-banknote", "legcnet_tables-cancer", "legcnet_tables-iris")
)


@pytest.fixture(scope="module")
def runs():
    return all_runs(ROOT)


@pytest.fixture(scope="module", autouse=True)
def remembered():
    """Make each report and picture once for the same inputs, because most edits are not of inputs."""
    known, cached, made = {}, judging.with_cache(ROOT / "replication"), index.make_report

    def judge(path, content):
        key = content["signature"], content["raw_sha256"]
        if key not in known:  # the cache on disk is of the untouched results
            untouched = (ROOT / "replication" / "results" / path.name).read_bytes() == path.read_bytes()
            known[key] = (cached if untouched else judging.judge)(path, content)
        return known[key]

    def make_report(folder, **options):
        inputs = [path for part in ("results", "raw", "units", "paper") for path in (folder / part).rglob("*.*")]
        files = sorted(path for path in [*inputs, folder / "skipped.json"] if path.is_file())
        digests = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
        key = (*digests, *sorted(path.name for path in folder.glob("reports/*")), options["notebooks"])
        if key not in known:
            known[key] = made(folder, **options | {"judge": judge})
        return known[key]

    def once(function):
        def call(argument):
            key = function.__name__, repr(argument)
            if key not in known:
                known[key] = function(argument)
            return known[key]

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "make_report", make_report)
        patch.setattr(index, "make_report", make_report)
        patch.setattr(verify, "verdict_figure", once(verify.verdict_figure))
        patch.setattr(benchmarks, "draw", once(benchmarks.draw))
        yield


@pytest.fixture
def clone(tmp_path):
    skip = shutil.ignore_patterns(".cache", ".smoke", "__pycache__", "*.py", "*.failed.ipynb", "node_modules")
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(exist_ok=True, parents=True)
        shutil.copytree(source, target, ignore=skip) if source.is_dir() else shutil.copy(source, target)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks", target_is_directory=True)
    return tmp_path


class Editor:
    """Edits files of a clone and lists them."""

    def __init__(self, clone: Path):
        self.clone, self.edited = clone, set()

    def path(self, name: str) -> Path:
        self.edited.add(name)
        return self.clone / name

    def replace(self, name: str, old: str, new: str) -> None:
        path = self.path(name)
        text = path.read_bytes().decode()
        assert old in text and old != new, name
        path.write_bytes(text.replace(old, new, 1).encode())

    def add(self, name: str, text: str) -> None:
        self.path(name).write_text(text)

    def remove(self, name: str) -> None:
        self.path(name).unlink()

    def cut_passages(self, name: str, number: int) -> None:
        """Remove the marks of the first passages, so that their text can be written by hand."""
        path = self.path(name)
        text = path.read_text(encoding="utf-8")
        for _ in range(number):
            text = passages._BLOCK.sub("written by hand", text, count=1)
        path.write_text(text, encoding="utf-8")

    def change_pixel(self, name: str) -> None:
        picture = Image.open(self.path(name))
        picture.load()
        picture.putpixel((5, 5), (1, 2, 3, 255))
        picture.save(self.clone / name)

    def sign(self, name: str, change) -> None:
        """Change the content of a result and sign it again."""
        path = self.path(name)
        content = storage.from_json(path.read_text(encoding="utf-8"))
        change(content)
        storage.save(path, content)


def assert_named(clone: Path, runs, edited: set[str]) -> None:
    problems = verify.problems(clone, runs)
    named = {line.partition(": ")[0] for line in problems}
    assert named == edited, "\n".join(problems)


def cell(content: dict, **where) -> dict:
    return next(one for one in content["cells"] if all(one[name] == value for name, value in where.items()))


def edit_derived(edit: Editor) -> None:
    """Edit 13 files that the commands make."""
    edit.replace("replication/verdicts.csv", "0.8759", "0.8758")
    edit.replace("replication/measurements.csv", "0.05,", "0.050,")
    edit.replace("replication/README.md", "| our runs |", "| our run |")
    edit.replace("replication/tables/legcnet_table_1.md", "outside", "identical")
    edit.replace("replication/tables/causal_claims.md", "\n", "\r\n")
    edit.add("replication/tables/legcnet_table_9.md", "# LEGCNet: table 9\n")
    edit.add("replication/verdicts.svg", OTHER_SVG)
    edit.change_pixel("benchmarks/speed.png")
    edit.replace("benchmarks/README.md", "claims hold", "claims held")
    edit.cut_passages("README.md", 2)
    edit.replace("README.ja.md", "| 69 |", "| 112 |")
    edit.replace("codecheck.yml", '  - file: "replication/verdicts.csv"\n', "")
    for unit in [name for name in manifest.outputs(edit.clone) if "/units/" in name][:1]:
        edit.replace(unit, '"seed": ', '"seed": 1')


def test_the_untouched_results_pass(clone, runs):
    assert_named(clone, runs, set())


def test_committed_results_are_verified(monkeypatch, capsys):
    """Every file from the results alone; then one of the cheapest runs, another one each time, is made again."""
    monkeypatch.chdir(ROOT)
    status = main(["verify", "--seconds", "10"])
    assert status == 0, capsys.readouterr().out


def test_edits_beside_valid_results(clone, runs):
    edit = Editor(clone)
    edit_derived(edit)
    edit.cut_passages("docs/ja/questions.md", 1)
    edit.replace("replication/REFORMS.md", "**Partly done.**", "**Done.**")
    edit.replace("replication/paper/legcnet_tables.json", "0.8759", "0.1234")
    edit.replace("replication/paper/causal_released.json", "0.98", "0.980")
    edit.replace("replication/reports/start_here.paper.html", "pruned", "pruned well")
    edit.replace(IRIS, "0.03333333333333333", "0.033333333333333330")
    edit.replace(CANCER, "\n}\n", "\n}\n\n")
    edit.add("replication/results/notes.txt", "all identical\n")
    assert_named(clone, runs, edit.edited)


def test_edits_of_results_themselves(clone, runs):
    edit = Editor(clone)
    edit.replace(MNIST, '"ours": ', '"ours": 99.9, "ours": ')
    edit.replace(BANKNOTE, '"n": 50', '"n": 5000')
    edit.replace(CANCER, '"peak_memory_mb": ', '"peak_memory_mb": NaN, "peak": ')
    frame = pd.read_parquet(clone / "replication/raw/legcnet_tables-iris.default.parquet")
    frame.assign(accuracy=0.9).to_parquet(edit.path("replication/raw/legcnet_tables-iris.default.parquet"))
    edit.remove("replication/raw/flat_minima-mnist.paper.parquet")
    edit.remove("replication/reports/granger_null.paper.html")
    edit.remove("replication/results/start_here.default.json")
    edit.replace("benchmarks/results/lasso.json", '"holds": true', '"holds": false')
    edit.replace("replication/manifest.json", '"start_here.paper"', '"start_there.paper"')
    edit.edited |= {"replication/reports/start_here.default.html", "replication/results/start_there.paper.json"}
    assert_named(clone, runs, edit.edited)


def test_edits_after_which_the_manifest_is_written_again(clone, runs):
    """The editor writes the manifest anew; what follows from the results is known without it."""
    edit = Editor(clone)
    edit_derived(edit)
    edit.add("replication/skipped.json", '{\n "granger_null.paper": "no time"\n}\n')
    edit.replace("replication/reports/start_here.paper.html", "pruned", "pruned well")
    edit.replace(IRIS, "0.03333333333333333", "0.033333333333333330")
    manifest.write_manifest(clone)
    assert_named(clone, runs, edit.edited)


def test_results_that_are_signed_and_reported_again(clone, runs):
    """The editor uses the package's own functions for every digest, table and page."""
    edit = Editor(clone)
    figure = {"kind": "figure", "verdict": "underspecified", "profile": "authors"}
    edit.sign(MNIST, lambda content: cell(content, **figure).update(verdict="identical", note=""))
    control = {"kind": "control", "outcome": "undecided"}
    edit.sign(BANKNOTE, lambda content: cell(content, **control).update(outcome="holds"))
    edit.sign(CANCER, lambda content: content["parameters"].update(seeds=2000))
    edit.sign(IRIS, lambda content: content.update(notebook="00_none.ipynb"))
    edit.sign("benchmarks/results/lasso.json", lambda content: content["claims"][0].update(holds=False))
    for path in (clone / "replication").glob("results/*.paper.json"):
        if storage.from_json(path.read_text(encoding="utf-8"))["notebook"] in CAUSAL:
            edit.remove(path.relative_to(clone).as_posix())
            for part, ending in (("raw", "parquet"), ("reports", "html")):
                (clone / "replication" / part / f"{path.stem}.{ending}").unlink(missing_ok=True)
    edit.cut_passages("README.md", 1)
    edit.cut_passages("docs/ja/questions.md", 4)
    assert running._write_report(clone, clone / "replication") == 0
    assert_named(clone, runs, edit.edited)
