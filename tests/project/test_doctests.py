"""Examples in docstrings say what they give, and it is so."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import ccprune

ROOT = Path(ccprune.__file__).parent
MODULES = sorted(
    "ccprune." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_the_main_functions_have_examples():
    assert {"ccprune._api", "ccprune.lasso.certified", "ccprune.granger._tests", "ccprune.mask._from_scores"} <= set(
        MODULES
    )


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted and not found.failed
