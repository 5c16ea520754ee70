"""Which files changed since a commit. Oracle: a repository made here, in which it is known."""

import subprocess

import nbformat
import pytest

from replication.runner import sources
from replication.runner.sources import changed_since, is_ancestor


@pytest.fixture
def clone(tmp_path):
    """A repository with a notebook, the module that it uses, and one that it does not."""
    sources._differing.cache_clear()
    sources._sources_of.cache_clear()

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    for name, text in {"__init__": "", "used": "x = 1\n" * 20, "unused": "y = 2\n"}.items():
        path = tmp_path / "ccprune" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "replication").mkdir()
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("from ccprune import used")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "a.ipynb")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    yield tmp_path, git
    sources._differing.cache_clear()
    sources._sources_of.cache_clear()


def changed(root, commit):
    return changed_since(root, commit, "a.ipynb", packages=[root / "ccprune"])


def test_null_nothing_changed(clone):
    root, git = clone
    assert changed(root, git("rev-parse", "HEAD")) == []


def test_edits_behind_the_notebook_are_listed_and_no_others(clone):
    root, git = clone
    (root / "ccprune" / "used.py").write_text("x = 3\n")
    (root / "ccprune" / "unused.py").write_text("y = 3\n")
    assert changed(root, git("rev-parse", "HEAD")) == ["ccprune/used.py"]


def test_a_moved_file_is_the_same_and_a_moved_and_edited_one_is_not(clone):
    root, git = clone
    first = git("rev-parse", "HEAD")
    git("mv", "ccprune/used.py", "ccprune/moved.py")
    notebook = root / "notebooks" / "a.ipynb"
    notebook.write_text(notebook.read_text().replace("used", "moved"))
    git("add", ".")
    assert changed(root, first) == ["notebooks/a.ipynb"]
    sources._differing.cache_clear()
    (root / "ccprune" / "moved.py").write_text("x = 1\n" * 19)
    assert changed(root, first) == ["ccprune/moved.py", "notebooks/a.ipynb"]


def test_published_figures_and_data_are_sources_of_every_result(clone):
    root, git = clone
    first = git("rev-parse", "HEAD")
    for name in ("paper/tables.json", "data/files/iris.csv", "README.md"):
        (root / "replication" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "replication" / name).write_text("1\n")
    git("add", ".")
    assert changed(root, first) == ["replication/data/files/iris.csv", "replication/paper/tables.json"]


def test_a_commit_belongs_to_the_history_or_does_not(clone, tmp_path_factory):
    root, git = clone
    first = git("rev-parse", "HEAD")
    assert is_ancestor(root, first) is True
    git("checkout", "-b", "other")
    git("commit", "--allow-empty", "-m", "second")
    second = git("rev-parse", "HEAD")
    git("checkout", "-")
    assert is_ancestor(root, second) is False and is_ancestor(root, "0" * 40) is False
    assert is_ancestor(tmp_path_factory.mktemp("none"), first) is None


@pytest.mark.parametrize("commit", [None, "0" * 40])
def test_an_unknown_commit_is_unknown(clone, commit):
    assert changed(clone[0], commit) is None
