"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)


def test_readme_has_its_examples_and_the_two_commands_on_the_first_screen():
    assert len(EXAMPLES) == 3
    first_screen = "".join(README.read_text().splitlines(keepends=True)[:15])
    assert "make replicate" in first_screen and "make test" in first_screen


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_example_runs(number, capsys):
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {})
    printed = capsys.readouterr().out
    assert ("of 8 weights have no causal effect", "147 of 1472 weights kept", "squared_updates")[number] in printed


def test_readme_links_point_to_files_of_the_project():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        if not target.startswith("http"):
            assert (README.parent / target).exists(), target
