"""Sliders on lesson pages that work without a kernel: one picture for each window and number of lags."""

import html
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image

from replication.data import load
from replication.figures import interactive
from replication.legcnet.settings import SETTINGS
from replication.networks import initialise, trajectory

#: Lessons whose figure has these knobs.
LESSONS = ("00_start_here.ipynb", "11_legcnet.ipynb")
WINDOWS, LAGS = (20, 30, 40, 60, 80), (1, 2, 3, 8, 11)
_PICTURE = r'<img\b[^>]*\balt="(window \d+ steps, lags 1 to \d+: [^"]*)"[^>]*>'
_SCRIPT = """
(() => {
  const box = document.currentScript.parentElement, frames = JSON.parse(box.dataset.frames);
  const [window_, lag] = box.querySelectorAll("input"), picture = box.querySelector("img");
  const show = () => {
    const frame = frames.find(one => one.at[0] == window_.value && one.at[1] == lag.value);
    picture.src = frame.src;
    picture.alt = frame.alt;
    for (const knob of [window_, lag]) {
      const value = JSON.parse(knob.dataset.values)[knob.value];
      knob.setAttribute("aria-valuetext", value);
      knob.nextElementSibling.textContent = value;
    }
  };
  box.querySelector(".knobs").hidden = false;
  window_.oninput = lag.oninput = show;
  show();
})();
"""


def with_slider(body: str, *, notebook: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, bytes]]:
    """Replace the figure with knobs in a lesson's HTML by sliders over pictures.

    Parameters
    ----------
    body : str
        HTML of the report of a run of the lesson.
    notebook : str
        File name of the lesson.
    parameters : mapping
        Parameters of the run.

    Returns
    -------
    tuple
        The HTML, and the pictures by file name. The HTML is unchanged and there are none if the lesson has no such
        figure, or if the figure that the run made is another one than is drawn today.
    """
    shown = re.search(_PICTURE, body)
    if notebook not in LESSONS or not shown:
        return body, {}
    figure = _figure(parameters)
    if html.escape(figure.figure.get_suptitle()) != shown[1]:
        return body, {}
    windows, lags = ([value for _, value in figure.knobs[name].options] for name in ("window", "lag"))
    start = (windows.index(figure.settings["window"]), lags.index(figure.settings["lag"]))
    frames, pictures = [], {}
    for i, window in enumerate(windows):
        for j, lag in enumerate(lags):
            figure.turn(window=window, lag=lag)
            name = f"window-{window}-lags-{lag}.png"
            pictures[name] = _small(figure.png)
            frames.append({"at": [i, j], "src": name, "alt": figure.figure.get_suptitle()})
    first = next(frame for frame in frames if frame["at"] == list(start))
    knobs = "".join(
        f'<label>{label} <input type="range" min="0" max="{len(values) - 1}" value="{at}" '
        f'data-values="{values}"> <output>{values[at]}</output></label>'
        for label, values, at in zip(("window (steps)", "lags, up to"), (windows, lags), start, strict=True)
    )
    slider = (
        f'<div class="slider" data-frames="{html.escape(json.dumps(frames))}"><div class="knobs" hidden>{knobs}</div>'
        f'<img class="drawing" alt="{shown[1]}" src="{first["src"]}"><script>{_SCRIPT}</script></div>'
    )
    body = re.sub(r"<pre>\s*Knobs: window, lag\.[^<]*</pre>", "", body)
    return re.sub(_PICTURE, lambda _: slider, body, count=1), pictures


def _figure(parameters: Mapping[str, Any]) -> interactive.Interactive:
    """Return the figure of a run of the lesson."""
    network = parameters["network"]
    data = load(parameters["dataset"], preprocessing="authors", source="packaged")
    settings = SETTINGS[parameters["dataset"]]
    early, (x, y) = settings.pt, (data.x_train, data.y_train)
    sizes = (x.shape[1], settings.hidden, y.shape[1])
    start = initialise(sizes, network + 1, seed=parameters["seed"], scale=settings.scale).select([network])
    series = trajectory.record(start, x, y, steps=early.epochs * len(x), lr=settings.lr)[0]
    risk_data = {"test": (data.x_test, data.y_test)}
    moments = trajectory.windows(start, x, y, epochs=early.epochs, lr=settings.lr, window=1, stride=1, risk=risk_data)
    risk = torch.cat([moment.risk["test"] for moment in moments])
    windows, lags = sorted({*WINDOWS, early.window}), sorted({*LAGS, early.max_lag})
    return interactive.window_and_lag(series[: len(risk)], risk, recording=early, windows=windows, lags=lags)


def _small(png: bytes) -> bytes:
    """Return a picture with 64 colours, which keep those of few marks, at about a quarter of the size."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64).save(buffer, "png", optimize=True)
    return buffer.getvalue()
