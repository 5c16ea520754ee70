"""The shape of the released accuracy curves: is any drop abrupt by the rule for our own curves?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from replication.causal.phase_shift.change_point import HELD
from replication.causal.phase_shift.drops import critical_points, drop_cells
from replication.causal.released.figures import Figure, ReleasedFigures
from replication.causal.released.text import Statement, count, decimals, extent, list_items
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.paired import holm

_AFTER_CUT = "after each cut"
# A curve: name, state of the networks, group, and the conditions that select its figures.
_CURVES = (
    ("ResNet-20, causal, 10 iterations", "retrained", "resnet20_accuracy", {"method": "causal", "iterations": 10}),
    ("ResNet-20, causal, 1 iteration", "retrained", "resnet20_accuracy", {"method": "causal", "iterations": 1}),
    ("ResNet-20, magnitude, 10 iterations", "retrained", "resnet20_accuracy", {"method": "magnitude"}),
    ("VGG-like on CIFAR-10, causal", _AFTER_CUT, "vgg_cifar10_before_retraining", {"method": "causal"}),
    ("VGG-like on Tiny ImageNet, causal", _AFTER_CUT, "vgg_tinyimagenet_before_retraining", {"method": "causal"}),
    ("VGG-like on Tiny ImageNet, causal", "retrained", "vgg_tinyimagenet_retrained", {"version": "v2"}),
)
# Share of a curve's height by which its first point may lie below its highest, or its last above its lowest.
_MONOTONE = 0.5


@dataclass(frozen=True)
class Shape:
    """The change point of one released curve, and the conclusion by the rule for our own curves.

    Attributes
    ----------
    name, state
        Network and method; whether it was retrained.
    method
        "causal" or "magnitude".
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
    method: str
    runs: int
    points: int
    critical: float | None
    lost_before: float | None
    p_line: float
    p_smooth: float
    outcome: str


def drops(released: ReleasedFigures) -> Statement:
    """Whether the drop of any released curve is abrupt, by `change_point` over the logarithm of the density."""
    fitted = [_shape(released, *curve) for curve in _CURVES]
    shapes = [shape for shape, _ in fitted if shape is not None]
    corrected = holm([max(shape.p_line, shape.p_smooth) for shape in shapes])
    alone = [shape.outcome == "holds" for shape in shapes]
    after = [holds and p < SIGNIFICANCE for holds, p in zip(alone, corrected, strict=True)]
    named = [f"{shape.name} ({shape.state})" for shape, holds in zip(shapes, alone, strict=True) if holds]
    bent = [shape for shape in shapes if shape.p_line < SIGNIFICANCE]
    early = [shape for shape in shapes if shape.lost_before is not None and shape.lost_before > HELD]
    text = (
        f"Our change point was fitted to {count(len(shapes), 'released curve')}. By our rule an abrupt drop is shown "
        f"in {sum(alone)} of them tested alone{f' ({list_items(named)})' if named else ''} and in {sum(after)} after "
        f"Holm's correction. Tested alone, a straight line is rejected for {len(bent)} of them, so that these bend. In "
        f"{len(early)} more than {100 * HELD:g}% of the fall is lost before the fitted corner, so that accuracy does "
        f"not hold until there. {_sharp(early)}{''.join(remark for _, remark in fitted)}"
        "Curves in which an abrupt drop is not shown may still have one: these points cannot tell it from a smooth "
        "curve."
    )
    caveat = (
        "The VGG-like curves are one run each, so that their tests use the scatter around the curve and not that "
        f"between runs. Between cuts lie {_epochs_between(released)} epochs of training, so that these are not "
        f"one-shot curves, and the last cuts of the cubic schedule are small. {_too_few(released)}"
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
    causal = [shape.method == "causal" for shape in shapes]
    shown = sum(holds for holds, one in zip(after, causal, strict=True) if one)
    before = sum(shape.method == "causal" for shape in early)
    answer = (
        f"{extent(shown, sum(causal))}: an abrupt drop in {shown} of {count(sum(causal), 'released curve')} of causal "
        f"pruning; in {before} of them more than {100 * HELD:g}% of the fall comes before the corner."
    )
    return Statement("The shape of the drop", text, caveat.strip(), head, tuple(lines), "drop", answer)


def _shape(released: ReleasedFigures, name: str, state: str, group: str, wanted: dict) -> tuple[Shape | None, str]:
    """Return the fit of one curve, None if it is not fitted, and a sentence on what is left out of it, if anything."""
    curves = table(released.select(group, **wanted))
    means = curves.groupby("level").test_accuracy.mean()
    if means.empty:
        return None, ""
    limit = _MONOTONE * (means.max() - means.min())
    first, last, top, low = means.index[0], means.index[-1], means.idxmax(), means.idxmin()
    if means[top] - means[first] > limit:
        return None, (
            f"{name}, {state}, is left out: at {first:.0%} pruned its accuracy is {decimals(means[first])}; it rises "
            f"to {decimals(means[top])} at {top:.0%} before it falls again. "
        )
    remark = ""
    if means[last] - means[low] > limit:
        remark = (
            f"{name}, {state}, is fitted up to its lowest point ({decimals(means[low])} at {low:.0%}); its accuracy "
            f"rises again, to {decimals(means[last])} at {last:.0%}. "
        )
        curves, state = curves[curves.level <= low], f"{state}, to its lowest"
    points = critical_points(curves)
    if not points:
        return None, ""
    ((method, point),) = points.items()
    where = {"paper": "causal", "dataset": "released", "profile": "paper"}
    (cell,) = drop_cells(points, curves, "abrupt_drop", where, powers={})
    shape = Shape(
        name,
        state,
        method,
        curves.seed.nunique(),
        curves.level.nunique(),
        point.critical_sparsity,
        point.lost_before,
        point.p_line,
        point.p_smooth,
        cell.outcome,
    )
    return shape, remark


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


def _sharp(early: Sequence[Shape]) -> str:
    named = [f"{one.name}, {one.state} (p = {one.p_smooth:.2g})" for one in early if one.p_smooth < SIGNIFICANCE]
    return f"Of these, smooth curves are rejected for {list_items(named)}. " if named else ""


def _epochs_between(released: ReleasedFigures) -> str:
    groups = ("vgg_cifar10_before_retraining", "vgg_tinyimagenet_before_retraining")
    return list_items(sorted({released.settings[group]["epochs_between"] for group in groups}))


def _too_few(released: ReleasedFigures) -> str:
    levels = {figure.sparsity for figure in released.select("vgg_cifar10_retrained")}
    return (
        f"The VGG-like network on CIFAR-10 was retrained at {len(levels)} sparsities, too few to fit." if levels else ""
    )
