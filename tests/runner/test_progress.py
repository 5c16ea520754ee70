"""What is shown while runs go on."""

import io

import pytest

from replication.runner import progress
from replication.runner.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_with_the_time_left(clock):
    stream = io.StringIO()
    with Progress({"a": 100, "b": 100, "c": 200}, stream, at_once=1, known=1) as shown:
        shown.show_end("old", "unchanged", "")
        shown.show_start("a")
        clock[0] = 50.0
        shown.show_end("a", "done", "50.0 s")  # twice as fast as foreseen
        shown.show_start("b")
        clock[0] = 60.0
        shown.show_end("b", "failed", "10.0 s")  # says nothing about the pace
        shown.show_end("c", "not run", "b failed")
    assert stream.getvalue().splitlines() == [
        "[1/4] unchanged old",
        "[1/4] start     a",
        "[2/4] done      a  (50.0 s), about 2 min left",
        "[2/4] start     b",
        "[3/4] failed    b  (10.0 s), about 2 min left",
        "[4/4] not run   c  (b failed)",
    ]


@pytest.mark.parametrize(
    ("expected", "at_once", "left"),
    [
        ({"a": 30, "b": 30}, 2, "about 30 s left"),
        ({"a": 300, "b": 30}, 2, "about 5 min left"),  # no shorter than its longest run
        ({"a": 9000, "b": 9000}, 1, "about 5.0 h left"),
        ({}, 1, ""),
    ],
)
def test_time_left(clock, expected, at_once, left):
    assert Progress(expected, io.StringIO(), at_once=at_once)._time_left() == left


def test_a_bar_on_a_terminal(clock):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with Progress({"a": 10, "b": 10}, stream, at_once=1) as shown:
        shown.show_start("a")
        clock[0] = 4.0
        shown.tick()
        shown.show_end("a", "done", "4.0 s")
    assert "a 4 s, about 16 s left" in stream.getvalue() and "done      a  (4.0 s)" in stream.getvalue()
    assert "1/2" in stream.getvalue()
