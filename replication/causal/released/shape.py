"""The shape of the released accuracy curves: is any drop abrupt by the rule for our own curves?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from replication.causal.phase_shift.change_point import HELD
from replication.causal.phase_shift.verdicts import critical_points, drop_cells
from replication.causal.released.figures import Figure, Released
from replication.causal.released.text import Statement, count, listed
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.paired import holm

# A curve: name, state of the networks, group, and the conditions that select its figures.
_CURVES = (
    ("ResNet-20, causal, 10 iterations", "retrained", "resnet20_accuracy", {"method": "causal", "iterations": 10}),
    ("ResNet-20, causal, 1 iteration", "retrained", "resnet20_accuracy", {"method": "causal", "iterations": 1}),
    ("ResNet-20, magnitude, 10 iterations", "retrained", "resnet20_accuracy", {"method": "magnitude"}),
    ("VGG-like on CIFAR-10, causal", "after each cut", "vgg_cifar10_before_retraining", {}),
    ("VGG-like on Tiny ImageNet, causal", "after each cut", "vgg_tinyimagenet_before_retraining", {}),
    ("VGG-like on Tiny ImageNet, causal", "retrained", "vgg_tinyimagenet_retrained", {"version": "v2"}),
)


@dataclass(frozen=True)
class Shape:
    """The change point of one released curve, and the conclusion by the rule for our own curves.

    Attributes
    ----------
    name, state
        Network and method; whether it was retrained.
    runs, points
        Repetitions and sparsities.
    critical
        Critical sparsity, None where accuracy never bends down.
    lost_before
        Share of the fall that is lost up to it.
    p_line, p_smooth
        p-values against a straight line and against smooth curves.
    outcome
        "holds" (abrupt) or "undecided", tested alone.
    """

    name: str
    state: str
    runs: int
    points: int
    critical: float | None
    lost_before: float | None
    p_line: float
    p_smooth: float
    outcome: str


def drops(released: Released) -> Statement:
    """Whether the drop of any released curve is abrupt, by `change_point` over the logarithm of the density."""
    shapes = [shape for curve in _CURVES if (shape := _shape(released, *curve)) is not None]
    corrected = holm([max(shape.p_line, shape.p_smooth) for shape in shapes])
    alone = [shape.outcome == "holds" for shape in shapes]
    after = [holds and p < SIGNIFICANCE for holds, p in zip(alone, corrected, strict=True)]
    named = [f"{shape.name} ({shape.state})" for shape, holds in zip(shapes, alone, strict=True) if holds]
    bent = [shape for shape in shapes if shape.p_line < SIGNIFICANCE]
    early = [shape for shape in shapes if shape.lost_before is not None and shape.lost_before > HELD]
    sharp = [shape for shape in early if shape.p_smooth < SIGNIFICANCE]
    text = (
        f"Our change point was fitted to {count(len(shapes), 'released curve')}. By our rule an abrupt drop is shown "
        f"in {sum(alone)} of them tested alone{f' ({listed(named)})' if named else ''} and in {sum(after)} after "
        f"Holm's correction. A straight line is rejected for {len(bent)} of them, so that these bend; in {len(early)} "
        f"more than {100 * HELD:g}% of the fall is lost before the fitted corner, so that accuracy does not hold "
        f"until there{_sharp(sharp)}. Curves in which an abrupt drop is not shown may still have one: these points "
        "cannot tell it from a smooth curve."
    )
    few = _too_few(released)
    caveat = (
        "The VGG-like curves are one run each, so that their tests use the scatter around the curve and not that "
        f"between runs. Between cuts lie {_between(released)} epochs of training, so that these are not one-shot "
        f"curves, and the last cuts of the cubic schedule are small. {few}"
    )
    lines = [
        (
            shape.name,
            shape.state,
            f"{shape.runs} × {shape.points}",
            "–" if shape.critical is None else f"{shape.critical:.3f}",
            "–" if shape.lost_before is None else f"{100 * shape.lost_before:.0f}%",
            f"{shape.p_line:.2g}",
            f"{shape.p_smooth:.2g}",
            "yes" if holds else "not shown",
        )
        for shape, holds in zip(shapes, alone, strict=True)
    ]
    head = ("curve", "state", "runs × sparsities", "corner", "lost before", "p, line", "p, smooth", "abrupt")
    answer = (
        f"An abrupt drop is shown in {sum(after)} of {count(len(shapes), 'released curve')}; in {len(early)} of them "
        f"more than {100 * HELD:g}% of the fall comes before the corner."
    )
    return Statement("The shape of the drop", text, caveat.strip(), head, tuple(lines), "drop", answer)


def _shape(released: Released, name: str, state: str, group: str, wanted: dict) -> Shape | None:
    curves = table(released.select(group, **wanted))
    points = critical_points(curves)
    if not points:
        return None
    (point,) = points.values()
    where = {"paper": "causal", "dataset": "released", "profile": "paper"}
    (cell,) = drop_cells(points, curves, "abrupt_drop", where)
    return Shape(
        name,
        state,
        curves.seed.nunique(),
        curves.level.nunique(),
        point.critical_sparsity,
        point.lost_before,
        point.p_line,
        point.p_smooth,
        cell.outcome,
    )


def table(figures: Iterable[Figure]) -> pd.DataFrame:
    """Released accuracies of one method in the columns of our own curves: method, seed, level, test_accuracy."""
    rows = [
        {
            "method": figure.method,
            "seed": 1 if figure.repetition is None else figure.repetition,
            "level": figure.sparsity,
            "test_accuracy": figure.value,
        }
        for figure in figures
    ]
    return pd.DataFrame(rows).sort_values(["seed", "level"], ignore_index=True)


def _sharp(shapes: Sequence[Shape]) -> str:
    named = (f"{shape.name}, {shape.state} (p = {shape.p_smooth:.2g})" for shape in shapes)
    return f"; smooth curves are rejected for {listed(named)} of these" if shapes else ""


def _between(released: Released) -> str:
    groups = ("vgg_cifar10_before_retraining", "vgg_tinyimagenet_before_retraining")
    return listed(sorted({released.settings[group]["epochs_between"] for group in groups}))


def _too_few(released: Released) -> str:
    levels = {figure.sparsity for figure in released.select("vgg_cifar10_retrained")}
    return (
        f"The VGG-like network on CIFAR-10 was retrained at {len(levels)} sparsities, too few to fit." if levels else ""
    )
