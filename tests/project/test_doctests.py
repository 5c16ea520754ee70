"""Examples in docstrings say what they give, and it is so, and no name of the reference is without one."""

import doctest
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import ccprune
from ccprune.criteria import _registry

ROOT = Path(ccprune.__file__).parent
PAGES = ROOT.parent / "docs" / "reference"
MODULES = sorted(
    "ccprune." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
OPTIONAL = {"ccprune.trainers.lightning": "lightning", "ccprune.trainers.transformers": "transformers"}


@pytest.fixture
def one_rank():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name, monkeypatch, request):
    if name in OPTIONAL and find_spec(OPTIONAL[name]) is None:
        pytest.skip(f"needs {OPTIONAL[name]}")
    if name in OPTIONAL:
        import_module("training_by_others")  # which lets these libraries import torchvision beside any build of torch
    monkeypatch.setattr(_registry, "_CRITERIA", dict(_registry._CRITERIA))  # an example registers a criterion
    if name.startswith("ccprune.distributed"):
        request.getfixturevalue("one_rank")
    found = doctest.testmod(import_module(name), extraglobs={"torch": torch, "nn": torch.nn})
    assert found.attempted and not found.failed


def documented(package):
    """Yield the address and the object of each name that the pages of the reference show."""
    for page in PAGES.glob("*.md"):
        found = re.findall(r"^::: ccprune\.(\S+)(?:\n +options:\n +members: \[(.*)])?", page.read_text(), flags=re.M)
        for path, members in found:
            module = package[path]
            own = (name for name, member in module.members.items() if not member.is_alias and not name.startswith("_"))
            for name in members.split(", ") if members else module.exports or own:
                shown = module[str(name)]
                shown = shown.final_target if shown.is_alias else shown
                if shown.is_class or shown.is_function:
                    yield f"{path}.{name}", shown


def gaps(shown, with_example):
    """Return what the docstring of a class or function lacks."""
    sections = shown.docstring.parsed if shown.docstring else []
    described = {
        name.strip()
        for section in sections
        if section.kind.value in ("parameters", "attributes")
        for item in section.value
        for name in item.name.split(",")
    }
    lacking = [p.name for p in shown.parameters if p.name not in described | {"self"} and not p.name.startswith("_")]
    if shown.name in with_example:
        return lacking
    if not shown.is_class:
        return [*lacking, "an example"]
    named = {part for code in re.findall(r"`([\w.]+)`", shown.docstring.value) for part in code.split(".")}
    return lacking if named & with_example else [*lacking, "an example, or the name of what returns or raises it"]


def test_every_name_of_the_reference_has_its_parameters_and_an_example():
    griffe = pytest.importorskip("griffe", reason="needs the extra docs")
    package = griffe.load(
        "ccprune",
        search_paths=[ROOT.parent],
        docstring_parser="numpy",
        docstring_options={"warn_unknown_params": False, "warn_missing_types": False},
    )
    names = dict(documented(package))
    with_example = {shown.name for shown in names.values() if shown.docstring and ">>> " in shown.docstring.value}
    assert len(names) > 100
    assert not {name: lacking for name, shown in names.items() if (lacking := gaps(shown, with_example))}
