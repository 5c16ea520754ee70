"""The README's examples run as they stand."""

import ast
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
JAPANESE = README.with_name("README.ja.md")
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)


def test_readme_has_its_examples_and_the_two_commands_on_the_first_screen():
    assert len(EXAMPLES) == 3
    first_screen = "".join(README.read_text().splitlines(keepends=True)[:59])
    for needed in ("make replicate", "make test", "| A: 1–3 | our runs |", "](replication/verdicts.svg)"):
        assert needed in first_screen


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_example_runs(number, capsys):
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})
    printed = capsys.readouterr().out
    assert ("help to predict the risk: [0]", "147 of 1472 weights kept", "squared_updates")[number] in printed


def test_the_japanese_readme_has_the_same_example():
    (example,) = re.findall(r"```python\n(.*?)```", JAPANESE.read_text(encoding="utf-8"), flags=re.S)
    assert ast.dump(ast.parse(example)) == ast.dump(ast.parse(EXAMPLES[1]))


@pytest.mark.parametrize("page", [README, JAPANESE], ids=lambda page: page.name)
def test_readme_links_point_to_files_of_the_project(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
