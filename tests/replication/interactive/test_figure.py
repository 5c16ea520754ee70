"""What any figure with knobs shows, and to whom."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from traitlets import TraitError

from replication.figures.interactive import Interactive
from replication.figures.interactive._figure import PICTURE, WIDGET, dropdown, increasing, slider

PNG = b"\x89PNG\r\n\x1a\n"


def draw(*, height: int, colour: str) -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.suptitle(f"{colour} bar of height {height}")
    figure.subplots().bar([0], [height], color=colour)
    return figure


@pytest.fixture
def figure() -> Interactive:
    heights = slider("height", [(str(value), value) for value in (1, 2, 5)], 2)
    return Interactive(draw, {"height": heights, "colour": dropdown("colour", ["red", "blue"], "red")})


def test_begins_where_its_knobs_stand(figure):
    assert figure.settings == {"height": 2, "colour": "red"}
    assert figure.figure.axes[0].patches[0].get_height() == 2
    assert figure.png.startswith(PNG)
    assert repr(figure) == "<red bar of height 2; knobs: height, colour>"


def test_moving_a_knob_changes_the_picture(figure):
    before = figure.png
    figure.knobs["height"].value = 5
    assert figure.figure.axes[0].patches[0].get_height() == 5
    assert figure.png.startswith(PNG) and figure.png != before
    figure.knobs["height"].value = 2
    assert figure.png == before


def test_shows_knobs_and_a_picture_that_needs_no_kernel(figure, shown):
    (knobs, _), (picture, options) = shown(figure)
    assert set(knobs) == {WIDGET, "text/plain"} and knobs[WIDGET]["model_id"] == figure._panel.model_id
    assert set(picture) == {PICTURE, "text/plain"} and picture[PICTURE] == figure.png
    assert options["metadata"] == {PICTURE: {"alt": "red bar of height 2"}}
    assert list(figure._panel.children) == list(figure.knobs.values())


def test_a_shown_picture_is_replaced_in_place(figure, shown):
    sent = shown(figure)
    place = sent[1][1]["display_id"]
    figure.knobs["colour"].value = "blue"
    picture, options = sent[-1]
    assert len(sent) == 3 and options["update"] and options["display_id"] == place
    assert picture[PICTURE] == figure.png and options["metadata"][PICTURE]["alt"] == "blue bar of height 2"


def test_before_it_is_shown_nothing_is_sent(figure, monkeypatch):
    monkeypatch.setattr("replication.figures.interactive._figure.update_display", lambda *_, **__: pytest.fail("sent"))
    figure.turn(height=5)


def test_shown_twice_both_are_turned(figure, shown):
    shown(figure)
    sent = shown(figure)
    assert sent[1][1]["display_id"] == sent[3][1]["display_id"]


def test_turn_sets_several(figure):
    figure.turn(height=1, colour="blue")
    assert figure.settings == {"height": 1, "colour": "blue"}
    assert figure.figure.get_suptitle() == "blue bar of height 1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 3}, r"height must be one of \[1, 2, 5\], got 3"),
        ({"width": 3}, "settings must name controls .height, colour., got 'width'"),
        ({"height": 5, "colour": "green"}, r"colour must be one of \['red', 'blue'\], got 'green'"),
    ],
)
def test_turn_refuses_what_is_not_there_and_changes_nothing(figure, settings, message):
    before = figure.png
    with pytest.raises(ValueError, match=message):
        figure.turn(**settings)
    assert figure.settings == {"height": 2, "colour": "red"} and figure.png == before


def test_a_knob_takes_no_other_value(figure):
    with pytest.raises(TraitError, match="Invalid selection"):
        figure.knobs["height"].value = 3
    assert figure.settings["height"] == 2


@pytest.mark.parametrize("values", [[], [2, 1], [1, 1], [1, float("nan")]])
def test_knob_values_must_increase(values):
    with pytest.raises(ValueError, match="windows must hold at least one value, in increasing order, got"):
        increasing("windows", values)


def test_nothing_else_in_the_package_imports_it():
    """A library without the notebooks' packages has to go without."""
    packages = [Path(__file__).parents[3] / name for name in ("ccprune", "replication")]
    importing = re.compile(r"^\s*(?:from|import)\s+(?:replication\.figures\.interactive|ipywidgets)\b", re.M)
    files = (path for package in packages for path in package.rglob("*.py"))
    found = {path.parent.name for path in files if importing.search(path.read_text(encoding="utf-8"))}
    assert found == {"interactive"}
