"""The names of functions are verbs, or nouns for what they return; those of context managers may be participles."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for folder in ("ccprune", "replication", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")
]
NOUNS = {"embed", "exceed", "feed", "need", "seed", "shed", "speed"}
IRREGULAR = set(
    "above apart at before below beside between beyond built chosen drawn found from given held here hidden in "
    "kept left made met near of over parted said sent shown spent taken there told under within without "
    "written".split()
)
ALLOWED = ("contextmanager", "property")  # with locked(folder): ...; and attributes


def participles(source: str) -> list[str]:
    """Names of functions that are one participle or preposition."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name.strip("_")
            alone = name in IRREGULAR or (re.fullmatch("[a-z]{2,}ed", name) and name not in NOUNS)
            if alone and not any(word in ast.unparse(one) for one in node.decorator_list for word in ALLOWED):
                found.append(node.name)
    return found


def test_no_function_is_named_by_a_participle_or_a_preposition():
    found = {str(path.relative_to(ROOT)): names for path in SOURCES if (names := participles(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def judged(): ...", ["judged"]),
        ("class A:\n def _shown(self): ...", ["_shown"]),
        ("def of(): ...", ["of"]),
        ("@contextmanager\ndef locked(): ...", []),
        ("class A:\n @cached_property\n def kept(self): ...", []),
        ("def masked_copy(): ...\ndef seed(): ...\ndef judge(): ...", []),
    ],
)
def test_a_planted_name_is_found(source, names):
    assert participles(source) == names
