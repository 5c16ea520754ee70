"""When garbage is collected in the kernel of a run."""

import gc
import sys
from types import ModuleType, SimpleNamespace

import pytest
from IPython.core.events import EventManager, available_events

from replication.runner import rare_collection


@pytest.fixture
def shell():
    shell = SimpleNamespace(execution_count=1)
    shell.events = EventManager(shell, available_events)
    yield shell
    gc.enable()


def test_garbage_is_collected_from_the_cell_of_imports_on(shell, monkeypatch):
    rare_collection.load_ipython_extension(shell)
    shell.events.trigger("post_run_cell", None)
    assert not gc.isenabled()
    for number in range(rare_collection._MODULES):
        monkeypatch.setitem(sys.modules, f"module_{number}", ModuleType("module"))
    shell.events.trigger("post_run_cell", None)
    assert gc.isenabled() and not shell.events.callbacks["post_run_cell"]


def test_garbage_is_collected_in_a_notebook_that_imports_little(shell):
    rare_collection.load_ipython_extension(shell)
    for shell.execution_count in range(1, 10):
        shell.events.trigger("post_run_cell", None)
    assert gc.isenabled()
