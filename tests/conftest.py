import gc
import sys
from pathlib import Path

import pytest
import torch

# Collecting the tests imports a million objects that stay, in which nothing is found but a third of the time is spent.
gc.disable()
# jsonschema, which nbformat imports, would spend two seconds of each worker on a parser of URIs that no test needs.
sys.modules.setdefault("rfc3987_syntax", None)
NOWHERE = "http://127.0.0.1:9/"  # a port that refuses at once
LIBRARY = Path(__file__).parent / "library"
#: Files that take long, which start first so that no worker is left alone with one of them at the end.
LONGEST = tuple(f"test_{name}.py" for name in "replication_smoke faults edits cluster docs runner cli doctor".split())


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Set `--mpl` where pytest-mpl is installed: without it, figures are drawn and compared with nothing."""
    if hasattr(config.option, "mpl"):
        config.option.mpl = True


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish():
    """Collect garbage from here on, but never again among what the imports made."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def no_downloads(request, monkeypatch):
    """Replace the address of the authors' files; tests of downloading set their own server here."""
    if LIBRARY in request.path.parents:  # these tests need the library alone
        return
    from replication.data import authors

    monkeypatch.setattr(authors, "BASE_URL", NOWHERE)


@pytest.fixture
def authors_files():
    """Skip where paper A's files are not on this machine."""
    from replication.data import authors

    missing = [relative for relative in authors.registry() if not authors.available(relative)]
    if missing:
        pytest.skip(f"needs the authors' files, {len(missing)} are missing: set CCPRUNE_DATA to their folder")


@pytest.fixture(
    params=[
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
    ]
)
def device(request):
    return request.param


@pytest.fixture
def one_thread():
    """For tests of tiny things: on a busy machine two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
