"""What every figure with knobs is held to."""

import pytest

from replication.figures.interactive import Interactive


def lines(axes, *, marker: str):
    """Points (x, y) drawn with a marker and no line."""
    found = [line for line in axes.lines if line.get_marker() == marker and line.get_linestyle() == "None"]
    return {float(x): float(y) for line in found for x, y in zip(*line.get_data(), strict=True)}


@pytest.fixture
def points():
    """Reads the points of one marker off axes: {x: y}."""
    return lines


@pytest.fixture
def shown(monkeypatch):
    """What a figure displays: a list of (bundle, options), to which later changes are added."""
    sent = []

    def keep(bundle, **options):
        sent.append((bundle, options))

    monkeypatch.setattr("replication.figures.interactive._figure.display", keep)
    monkeypatch.setattr(
        "replication.figures.interactive._figure.update_display", lambda bundle, **o: keep(bundle, update=True, **o)
    )

    def display(figure: Interactive):
        figure._ipython_display_()
        return sent

    return display
