"""The page on online use runs as it stands, and what it says of a mask that does not change holds."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "online.md").read_text()
EXAMPLE, RESUMED = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
PRINTED = (
    r"accuracy (\S+), 154 of 1536 weights stay\nafter the drift (\S+)\n"
    r"later (\S+), 154 weights stay; (\d+) exchanges of (\d+)"
)


def run(code, names):
    exec(compile(code, "docs/online.md", "exec"), names)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_example_follows_the_drift_and_goes_on_from_its_checkpoint(capsys):
    names = {}
    run(EXAMPLE, names)
    before, at_once, later, exchanges, exchanged = map(float, re.match(PRINTED, capsys.readouterr().out).groups())
    assert before > 0.9 and at_once < 0.25 and later > 0.9
    # 1000 steps are 50 changes, the first 10 of them the ramp; 16 of 154 weights each.
    assert (exchanges, exchanged) == (40, 640)
    run(RESUMED, names)
    assert capsys.readouterr().out == "45 exchanges after 1100 steps\n"


def test_a_mask_that_does_not_change_does_not_follow(capsys):
    code = EXAMPLE.replace("every=20", "every=20, end=1")
    assert code != EXAMPLE
    run(code, {})
    before, _, later, exchanges, _ = map(float, re.match(PRINTED, capsys.readouterr().out).groups())
    assert before > 0.8 and later < 0.3 and exchanges == 0
