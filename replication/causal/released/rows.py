"""Rows of the table of verdicts for the released figures of paper B: each figure has one, or belongs to one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from replication.causal.released.costs import cost_note
from replication.causal.released.counts import by_design
from replication.causal.released.figures import Figure, ReleasedFigures
from replication.ledger.cell import Cell
from replication.ledger.figures import verdict_exact

#: Start of the names of their tables; the group and the network follow.
TABLE = "released"
# Figures that belong to the row of another quantity of the same network.
_MEMBER_OF = {
    "relative_test_loss_mean": "relative_test_loss_median",
    "relative_test_loss_min": "relative_test_loss_median",
    "relative_test_loss_max": "relative_test_loss_median",
    "eigenvalues_listed": "eigenvalues_listed_negative",
    "theoretical_speedup": "flops_left",
    "top5_before_retraining_as_printed": "top5_before_retraining",
    "top1_after_as_printed": "top1_after",
    "top5_after_as_printed": "top5_after",
    "test_accuracy_mean": "test_accuracy",
}
_GROUPS = {"resnet20_accuracy_mean": "resnet20_accuracy"}
# Conditions that tell rows apart and have no column, in words.
_CONDITIONS: Mapping[str, Callable[[Any], str]] = {
    "iterations": lambda value: f"{value} iteration{'s' if value != 1 else ''}" if value else "",
    "pre_epochs": lambda value: f"{value} epochs before",
    "recorded_epochs": lambda value: f"{value} recorded",
    "version": lambda value: f"file {value}",
    "level": lambda value: f"noise {value:.3g}",
    "fit_pass": lambda value: f"pass {value}",
    "fit_batch": lambda value: f"batch {value}",
}
_SAME_PROTOCOL = "no run of ours has this protocol"
_FLAGS = "the code of the retraining and the flags of the causal runs were not released"
# Why nothing of ours answers the figures of a group, where more is known than that no run has the protocol.
_WHY = {
    "vgg_cifar10_before_retraining": "trained start not released",
    "vgg_cifar10_retrained": "trained start not released",
    "vgg_cifar10_final": "this network is not part of the replication",
    "vgg_tinyimagenet_final": "the released script and its folder name state different epochs",
    "vgg_tinyimagenet_before_retraining": "trained start not released",
    "resnet20_cifar10_filed_under_vgg": "trained start not released, its epochs not counted",
    "resnet20_cifar10_short_retraining": "trained start not released, its epochs not counted",
    "mobilenet_imagenet": "ImageNet is not part of the replication",
    "shrinkbench_resnet20": f"trained start not released; {_FLAGS}",
    "shrinkbench_resnet56": f"this network is not part of the replication; {_FLAGS}",
    "fit_log_mlpnet": "a log of their fit on one network, whose training is not recorded",
    "fit_log_lenet_sklearn": "records of one network after three cuts, whose learning rate is not recorded",
    "fit_log_mlpnet_plain_sgd": "a log of their fit on one network, whose training is not recorded",
    "synthetic_friedman": "the simulation was not run here",
}
_WITHOUT_TRAINING = ("fit_log_mlpnet", "fit_log_mlpnet_plain_sgd", "synthetic_friedman")
# What the logged fit by scikit-learn gives depends on the number of its weights.
_OF_ANOTHER = {("fit_log_lenet_sklearn", name) for name in ("fit_average_loss_every_pass", "gammas_not_zero")}
_OTHER_NETWORK = (
    "the cell before the fit states 11,164,352 weights, those of ResNet-18 and not of LeNet; "
    "the state of that network is not recorded"
)


@dataclass(frozen=True)
class Row:
    """One row of the table of verdicts, and the released figures that it stands for, the published one first."""

    cell: Cell
    figures: tuple[Figure, ...]


def rows(released: ReleasedFigures) -> list[Row]:
    """All rows of the released figures, in the order of the file; every figure is in exactly one.

    A row stands for the mean over repetitions, the median of ten draws, or one figure. Printed accuracies, means,
    least and greatest draws belong to the row of the figure that they are computed from, or lead to.
    """
    groups: dict[tuple[Any, ...], list[Figure]] = {}
    for figure in released.figures:
        groups.setdefault(_key(figure), []).append(figure)
    return [_row(members, released) for members in groups.values()]


def cells(released: ReleasedFigures) -> list[Cell]:
    """The rows as cells; those that nothing of ours answers have the verdict "not_run" and the reason in the note."""
    return [row.cell for row in rows(released)]


def _row(members: Sequence[Figure], released: ReleasedFigures) -> Row:
    shown = _published_value(members)
    return Row(_cell(shown, members, released), (shown, *(figure for figure in members if figure is not shown)))


def _key(figure: Figure) -> tuple[Any, ...]:
    quantity = _MEMBER_OF.get(figure.quantity, figure.quantity)
    group = _GROUPS.get(figure.group, figure.group)
    details = tuple(figure.details.get(name) for name in (*_CONDITIONS, "after_iteration", "compression_asked"))
    return group, figure.network, figure.dataset, figure.method, figure.sparsity, quantity, details


def _published_value(members: Sequence[Figure]) -> Figure:
    """The figure in the column `published`: the mean of repetitions, else the one that the others belong to."""
    means = [figure for figure in members if figure.quantity == "test_accuracy_mean"]
    return (means or [figure for figure in members if figure.quantity not in _MEMBER_OF])[0]


def _cell(shown: Figure, members: Sequence[Figure], released: ReleasedFigures) -> Cell:
    group = _GROUPS.get(shown.group, shown.group)
    answer: dict[str, Any] = {"verdict": "not_run", "note": _note(shown, members, released)}
    ours = by_design(shown)
    if ours is not None:
        answer = _count_verdict(shown, ours)
    elif (shown.group, shown.quantity) in _OF_ANOTHER:
        answer = {"verdict": "underspecified", "note": _OTHER_NETWORK}
    return Cell(
        paper="causal",
        table=f"{TABLE}_{group}-{shown.network.replace('-', '_')}",
        dataset=shown.dataset,
        method=shown.method,
        sparsity=shown.sparsity,
        quantity=_quantity(shown),
        kind="figure",
        origin=shown.origin,
        published=shown.value,
        profile="",
        **answer,
    )


def _count_verdict(shown: Figure, ours: int) -> dict[str, Any]:
    """Verdict on a count that the design fixes; one weight more or less is a matter of rounding."""
    verdict, note = verdict_exact(shown.value, ours, decimals=0), "a count that the design fixes, computed untrained"
    if abs(shown.value - ours) == 1:
        verdict, note = "underspecified", f"{note}; one weight apart: how the amount was rounded was not released"
    return {"verdict": verdict, "ours": ours, "note": note}


def _quantity(figure: Figure) -> str:
    name = {"test_accuracy_mean": "test_accuracy"}.get(figure.quantity, figure.quantity)
    conditions = (words(figure.details[key]) for key, words in _CONDITIONS.items() if key in figure.details)
    return ", ".join(filter(None, [name.removeprefix("test_"), *conditions]))


def _note(shown: Figure, members: Sequence[Figure], released: ReleasedFigures) -> str:
    """What the published number is made of, why nothing answers it, and what answering it would cost."""
    parts, networks = [], 1
    if shown.quantity == "test_accuracy_mean":
        single = [figure for figure in members if figure is not shown]
        networks = len(single)
        parts.append(f"mean of {shown.n} repetitions: {', '.join(f'{figure.value:g}' for figure in single)}")
    elif shown.quantity == "relative_test_loss_median":
        ends = (next(f.value for f in members if f.quantity == f"relative_test_loss_{end}") for end in ("min", "max"))
        parts.append("median of {} draws, from {:g} to {:g}".format(shown.n, *ends))
    printed = [figure for figure in members if figure.quantity.endswith("as_printed")]
    if printed:
        parts.append(f"corrected for the divisor of the script; {printed[0].value:g} in the file")
    parts.append(f"not run: {_why(shown)}")
    if shown.group not in _WITHOUT_TRAINING:
        parts.append(cost_note(shown, released, networks=networks))
    return "; ".join(parts)


def _why(figure: Figure) -> str:
    if figure.group == "shrinkbench_resnet20" and figure.quantity == "top5_before_retraining":
        return (
            "the trained start and the flags of the causal runs were not released; our network of this design has "
            "another start, and its classifier is pruned, too (table one_shot-resnet20)"
        )
    if figure.network == "lenet" and figure.method == "dense":
        return "the script of the dense network was not released"
    if figure.network == "lenet" and figure.dataset == "cifar10" and figure.sparsity in (0.5, 0.7):
        return "the run released_networks-cifar10_lenet_others is declared, and was not made"
    if figure.group == "vgg_tinyimagenet_retrained":
        unknown = figure.details["version"] in ("v2", "v3")
        return "trained start not released" + (", nor the epochs of retraining" if unknown else "")
    return _WHY.get(figure.group, _SAME_PROTOCOL)
