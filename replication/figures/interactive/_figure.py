"""Picture with controls, which work with a running kernel; without one only the picture is shown."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any
from uuid import uuid4

import ipywidgets
from IPython.display import display, update_display
from matplotlib.figure import Figure

WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURE = "image/png"
_WIDTH = "32rem"


class Interactive:
    """Figure that is drawn again after each change of a control.

    As the last expression of a cell it has two outputs: the controls, and below them the picture as PNG, which the
    controls replace. Without a running kernel, as in a report, only the last picture is shown.

    Parameters
    ----------
    draw : callable
        Function of the controls' values by name that returns a Figure. The figure's title describes its content and is
        the picture's alternative text.
    knobs : mapping of name to widget
        Controls, which are ipywidgets with a value.

    Attributes
    ----------
    knobs : mapping of name to widget
        The controls. Setting a `.value` draws the figure.
    figure : matplotlib.figure.Figure
        The last figure.
    png : bytes
        The last figure as PNG.
    """

    def __init__(self, draw: Callable[..., Figure], knobs: Mapping[str, Any]) -> None:
        self.knobs = dict(knobs)
        self._draw = draw
        self._display_id: str | None = None  # until it is shown
        self._panel = ipywidgets.VBox(list(self.knobs.values()))
        self._redraw()
        for knob in self.knobs.values():
            knob.observe(self._redraw, names="value")

    @property
    def settings(self) -> dict[str, Any]:
        """Values of the controls by name."""
        return {name: knob.value for name, knob in self.knobs.items()}

    def turn(self, **settings: object) -> None:
        """Set controls by name, as a user does.

        Parameters
        ----------
        **settings
            Names of controls with their new values.

        Raises
        ------
        ValueError
            If a control or a value is unknown.
        """
        for name, value in settings.items():
            if name not in self.knobs:
                raise ValueError(f"settings must name controls ({', '.join(self.knobs)}), got {name!r}")
            allowed = [allowed for _, allowed in self.knobs[name].options]
            if value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
        for name, value in settings.items():
            self.knobs[name].value = value

    def __repr__(self) -> str:
        return f"<{self.figure.get_suptitle()}; knobs: {', '.join(self.knobs)}>"

    def _redraw(self, _change: object = None) -> None:
        self.figure = self._draw(**self.settings)
        buffer = BytesIO()
        self.figure.savefig(buffer, format="png")
        self.png = buffer.getvalue()
        if self._display_id is not None:
            update_display(self._picture(), raw=True, metadata=self._describe(), display_id=self._display_id)

    def _ipython_display_(self) -> None:
        knobs = f"Knobs: {', '.join(self.knobs)}. They turn where this notebook's kernel runs."
        display({**self._panel._repr_mimebundle_(), "text/plain": knobs}, raw=True)
        # One id, so that a figure in two cells is updated in both.
        self._display_id = self._display_id or uuid4().hex
        display(self._picture(), raw=True, metadata=self._describe(), display_id=self._display_id)

    def _picture(self) -> dict[str, Any]:
        return {PICTURE: self.png, "text/plain": repr(self)}

    def _describe(self) -> dict[str, Any]:
        return {PICTURE: {"alt": self.figure.get_suptitle()}}


def slider(label: str, options: Sequence[tuple[str, Any]], value: object) -> ipywidgets.SelectionSlider:
    """Return a slider over (text, value) pairs, which acts on release, because drawing is slower than dragging."""
    return ipywidgets.SelectionSlider(
        options=options,
        value=value,
        description=label,
        continuous_update=False,
        style={"description_width": "9rem"},
        layout={"width": _WIDTH},
    )


def dropdown(label: str, options: Sequence[str], value: str) -> ipywidgets.Dropdown:
    """Return a drop-down list."""
    return ipywidgets.Dropdown(
        options=[(option, option) for option in options],
        value=value,
        description=label,
        style={"description_width": "9rem"},
        layout={"width": _WIDTH},
    )


def increasing(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values as a list. Raise ValueError if there is none or they do not increase."""
    ordered = list(values)
    if not ordered or any(not left < right for left, right in zip(ordered, ordered[1:], strict=False)):
        raise ValueError(f"{name} must hold at least one value, in increasing order, got {ordered}")
    return ordered
