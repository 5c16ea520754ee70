"""The colours, markers and lines of series, as colour-blind readers and grey printers have them."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from replication.figures._style import COLOURS, bars, line_style

# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency",
# IEEE TVCG 15(6), severity 1.0: they act on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# From linear sRGB to XYZ (IEC 61966-2-1), over the white point.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def seen(colour, deficiency):
    """CIELAB of an sRGB colour, with a simulated deficiency: in distances of about 2.3 a difference is just seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (DEFICIENCIES[deficiency] @ linear).clip(0, 1)
    relative = XYZ @ linear / XYZ.sum(1)
    f = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_lab_of_known_colours():
    """White, and sRGB's red and blue as tables have them."""
    for colour, lab in (
        ("white", (100, 0, 0)),
        ("#ff0000", (53.24, 80.09, 67.20)),
        ("#0000ff", (32.30, 79.19, -107.86)),
    ):
        assert seen(colour, "none") == pytest.approx(lab, abs=0.05)


def test_a_deficiency_confuses_what_it_should():
    """Red and green of one lightness are far apart, but not for who lacks the cones that tell them apart."""
    pair = "#c04040", "#6e7a00"
    far = {name: np.linalg.norm(np.subtract(*(seen(colour, name) for colour in pair))) for name in DEFICIENCIES}
    assert far["none"] > 40 and far["deuteranopia"] < far["none"] / 2


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_any_two_colours_differ(deficiency):
    """Six times what is just seen."""
    labs = [seen(colour, deficiency) for colour in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(labs, 2)) > 6 * 2.3


def in_grey(draw):
    """Luminance, 0 to 255, of a strip with one sample of a series as legends have it."""
    figure = Figure(figsize=(0.5, 0.16), dpi=150)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")
    draw(ax)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] @ [0.2126, 0.7152, 0.0722]


LINES = [
    in_grey(lambda ax, i=i: ax.plot([0.02, 0.5, 0.98], [0.5] * 3, ms=6, lw=1.3, **line_style(i))) for i in range(14)
]
BARS = [in_grey(lambda ax, i=i: ax.bar(0.5, 1, 1, **bars(i))) for i in range(14)]


@pytest.mark.parametrize(("samples", "least"), [(LINES, 5), (BARS, 20)], ids=["lines", "bars"])
def test_any_two_series_differ_in_grey(samples, least):
    """By marker and line, or by hatch; levels of grey alone are within 1 of 255 for a pair of colours."""
    distances = {
        pair: np.abs(samples[pair[0]] - samples[pair[1]]).mean() for pair in itertools.combinations(range(14), 2)
    }
    assert min(distances.values()) > least
