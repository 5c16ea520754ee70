"""Penalty against mask and accuracy."""

import math

import pytest
import torch

from ccprune.lasso import Screen
from replication.figures.interactive import penalty

NAMES = {"first": (6, 5), "second": (3, 6)}


@pytest.fixture(scope="module")
def screen() -> Screen:
    generator = torch.Generator().manual_seed(0)
    made = Screen()
    for _ in range(20):
        changes = {name: 1e-3 * torch.randn(shape, generator=generator) for name, shape in NAMES.items()}
        made.update(torch.randn((), generator=generator), changes)
    return made


@pytest.fixture(scope="module")
def alphas(screen) -> list[float]:
    scores = torch.cat([score.flatten() for score in screen.scores.values()])
    return [float(scores.quantile(share)) for share in (0.1, 0.5, 0.9)]


ACCURACIES = {"as pruned": [0.9, 0.6, 0.1], "after one epoch": [0.95, 0.9, 0.4]}


@pytest.fixture
def figure(screen, alphas):
    return penalty(screen.masks(alphas), ACCURACIES, alphas=alphas, samples=200)


@pytest.mark.parametrize("number", range(3))
def test_shows_the_screens_counts_and_the_accuracies(screen, alphas, figure, number):
    alpha = alphas[number]
    figure.turn(alpha=alpha)
    kept = {name: int((score > alpha).sum()) for name, score in screen.scores.items()}
    left, right = figure.figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        f"second\n{kept['second']} of 18",
        f"first\n{kept['first']} of 30",
    ]
    assert [bar.get_width() for bar in left.patches] == pytest.approx(
        [100 * kept["second"] / 18, 100 * kept["first"] / 30]
    )
    curves = [line for line in right.lines if len(line.get_xdata()) == 3]
    assert [list(line.get_ydata()) for line in curves] == list(ACCURACIES.values())
    assert all(list(line.get_xdata()) == alphas for line in curves)
    marked = [line for line in right.lines if line.get_marker() in ("o", "s") and len(line.get_xdata()) == 1]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked] == [
        (alpha, values[number]) for values in ACCURACIES.values()
    ]
    total = kept["first"] + kept["second"]
    assert figure.figure.get_suptitle() == (
        f"λ = {alpha:.3g}: {total} of 48 weights kept, sparsity {1 - total / 48:.3f}"
    )
    assert right.get_ylabel() == "accuracy (share, n = 200)"


def test_begins_in_the_middle_and_a_moved_knob_changes_the_picture(alphas, figure):
    assert figure.settings == {"alpha": alphas[1]}
    before = figure.png
    figure.knobs["alpha"].value = alphas[2]
    assert figure.png != before


def test_a_penalty_that_keeps_nothing_is_drawn(screen):
    largest = max(float(score.max()) for score in screen.scores.values())
    figure = penalty(screen.masks([2 * largest]), {"as pruned": [0.1]}, alphas=[2 * largest], samples=10)
    assert figure.figure.get_suptitle().endswith("0 of 48 weights kept, sparsity 1.000")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alphas": [3.0, 2.0, 1.0]}, "alphas must hold at least one value, in increasing order"),
        ({"alphas": [0.0, 1.0, 2.0]}, "alpha must be above 0"),
        ({"alphas": [1.0, 2.0, math.inf]}, "alpha must be a finite number"),
        ({"alphas": [1.0, 2.0]}, "masks must hold one mask for each of the 2 alphas, got 3"),
        ({"accuracies": {}}, "accuracies must name at least one curve"),
        ({"accuracies": {"a": [0.5, 0.5]}}, r"accuracies\['a'\] must hold one value for each of the 3 alphas"),
        ({"accuracies": {"a": [0.5, 0.5, math.nan]}}, r"accuracies\['a'\] must lie between 0 and 1"),
        ({"accuracies": {"a": [0.5, 0.5, 50.0]}}, r"accuracies\['a'\] must lie between 0 and 1"),
        ({"samples": 0}, "samples must be an integer of at least 1, got 0"),
    ],
)
def test_bad_arguments(screen, alphas, changed, message):
    given = {"masks": screen.masks(alphas), "accuracies": ACCURACIES, "alphas": alphas, "samples": 200, **changed}
    with pytest.raises(ValueError, match=message):
        penalty(given.pop("masks"), given.pop("accuracies"), **given)


def test_masks_of_two_networks(screen, alphas):
    other = type(screen.masks(alphas)[0])({"first": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(ValueError, match="masks must be of one network"):
        penalty([*screen.masks(alphas)[:2], other], ACCURACIES, alphas=alphas, samples=200)
