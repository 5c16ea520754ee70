"""Accuracy in the released figures: causal against magnitude pruning, by sparsity and repetition, and an ablation."""

from collections.abc import Mapping, Sequence

import numpy as np

from replication.causal.released.figures import ReleasedFigures
from replication.causal.released.text import Statement, count, decimals, list_items, span
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.figures import pooled_variance
from replication.ledger.paired import holm

#: The authors' pictures of the ablation leave out cells with an accuracy at or below this.
LEFT_OUT = 0.6
_ITERATIONS = 10

Repeated = Mapping[float, Sequence[float]]


def pooled_p(differences: Sequence[float], spread: Sequence[Sequence[float]], *, runs: int) -> np.ndarray:
    """Two-sided p-values of differences of means by Student's t with one variance for all settings.

    Parameters
    ----------
    differences : sequence of float (m,)
        Differences of two means of `runs` runs each.
    spread : sequence of sequences of float
        Accuracies of each setting's runs, from which the variance within settings is pooled.
    runs
        Runs behind each mean.

    Returns
    -------
    ndarray (m,)
        p-values, not corrected.
    """
    from scipy.stats import t as student  # slow to import

    within, freedom = pooled_variance(spread)
    error = np.sqrt(within * 2 / runs)
    sizes = np.abs(np.asarray(differences, dtype=float))
    return 2 * student.sf(np.divide(sizes, error, out=np.full_like(sizes, np.inf), where=error > 0), freedom)


def resnet20(released: ReleasedFigures) -> Statement:
    """Causal against magnitude pruning on ResNet-20, both with ten iterations, by sparsity and repetition."""
    causal, magnitude = (_repetitions(released, method, _ITERATIONS) for method in ("causal", "magnitude"))
    common = [sparsity for sparsity in causal if sparsity in magnitude]
    means = [float(np.mean(causal[s]) - np.mean(magnitude[s])) for s in common]
    spread = [*causal.values(), *magnitude.values()]
    runs = min(len(one) for one in spread)
    corrected = holm(pooled_p(means, spread, runs=runs))
    pairs = {s: np.subtract(causal[s][:runs], magnitude[s][:runs]) for s in common}
    ahead, behind = ([s for s, mean in zip(common, means, strict=True) if side * mean > 0] for side in (1, -1))
    shown = {side: _shown_sparsities(common, means, corrected, side) for side in (1, -1)}
    parts = []
    for side, chosen, word in ((1, ahead, "higher"), (-1, behind, "lower")):
        if chosen:
            sizes = [abs(mean) for s, mean in zip(common, means, strict=True) if s in chosen]
            same = sum(int((side * pairs[s] > 0).sum()) for s in chosen)
            parts.append(
                f"{word} by {span(sizes)} at sparsity {list_items(chosen)} ({word} in {same} of {runs * len(chosen)} "
                "pairs of repetitions; the difference is significant at "
                f"{list_items(shown[side]) if shown[side] else 'none of them'})"
            )
    widest = max(max(one) - min(one) for one in spread)
    text = (
        f"With {_ITERATIONS} iterations and {count(runs, 'repetition')} of each method, the mean test accuracy of "
        f"causal pruning on ResNet-20 is {', and '.join(parts) or 'that of magnitude pruning'}. Repetitions of one "
        f"setting differ by up to {decimals(widest)}. {_one_iteration(released)}"
    )
    caveat = (
        "Significance: Student's t with the variance between repetitions pooled over all settings, Holm's correction "
        f"over sparsities, {100 * SIGNIFICANCE:g}%. Both methods train equally long here. Where counts of zeros can "
        "tell, causal pruning followed the cubic and magnitude pruning the geometric schedule. The checkpoint was "
        f"chosen on the test set for both. {_alone(causal, magnitude)}One network, one dataset."
    )
    lines = [
        (f"{s:g}", _runs(causal[s]), _runs(magnitude[s]), decimals(mean, signed=True), f"{p:.2g}")
        for s, mean, p in zip(common, means, corrected, strict=True)
    ]
    answer = (
        f"ResNet-20, {count(runs, 'repetition')}: causal pruning is better at {len(ahead)} of {len(common)} sparsities "
        f"(significantly at {len(shown[1])}) and worse at {len(behind)} (significantly at {len(shown[-1])})."
    )
    head = ("sparsity", "causal, repetitions", "magnitude, repetitions", "difference of means", "p, Holm")
    title = "Accuracy by sparsity and repetition, ResNet-20 on CIFAR-10"
    return Statement(title, text, caveat, head, tuple(lines), "accuracy", answer)


def lenet(released: ReleasedFigures) -> Statement:
    """Causal, magnitude and dense LeNet on CIFAR-10, one run each."""
    group = "lenet_cifar10_accuracy"
    dense = released.one(group, method="dense").value
    values = {m: {f.sparsity: f.value for f in released.select(group, method=m)} for m in ("causal", "magnitude")}
    differences = [values["causal"][s] - values["magnitude"][s] for s in values["causal"]]
    lost = {m: span([100 * (dense - value) for value in values[m].values()], 1) for m in values}
    text = (
        f"On LeNet, causal pruning is more accurate than magnitude pruning at {sum(d > 0 for d in differences)} of "
        f"{len(differences)} sparsities (differences {span(differences)}). Both are below the dense network: causal "
        f"pruning by {lost['causal']} and magnitude pruning by {lost['magnitude']} percentage points. Between "
        f"sparsity {min(values['causal']):g} and {max(values['causal']):g} the accuracy of causal pruning differs by "
        f"{decimals(max(values['causal'].values()) - min(values['causal'].values()))}."
    )
    trained = released.settings[group]["trained_epochs_in_all"]
    caveat = (
        f"One run each, chosen on the test set. Causal pruning trained for {trained['causal']} epochs, magnitude "
        f"pruning for {trained['magnitude']} without training between its cuts. The script of the dense network was "
        "not released; it may have had another learning rate, and then its lead is not the price of pruning."
    )
    answer = (
        f"LeNet, one run each with unequal epochs: better at {sum(d > 0 for d in differences)} of {len(differences)} "
        "sparsities."
    )
    head = ("sparsity", "causal", "magnitude", "dense")
    lines = [
        (f"{s:g}", f"{values['causal'][s]:.4f}", f"{values['magnitude'][s]:.4f}", f"{dense:.4f}")
        for s in values["causal"]
    ]
    title = "Accuracy by sparsity, LeNet on CIFAR-10"
    return Statement(title, text, caveat, head, tuple(lines), "accuracy", answer)


def ablation(released: ReleasedFigures) -> Statement:
    """The ablation of ResNet-20 over epochs and iterations, and the cells that the authors' pictures leave out."""
    cells = released.select("resnet20_ablation")
    out = [cell for cell in cells if cell.value <= LEFT_OUT]
    lines, means = [], []
    for iterations in sorted({cell.details["iterations"] for cell in cells}):
        line = [str(iterations)]
        for sparsity in sorted({cell.sparsity for cell in cells}):
            values = [c.value for c in cells if (c.details["iterations"], c.sparsity) == (iterations, sparsity)]
            kept = [value for value in values if value > LEFT_OUT]
            line.append(f"{decimals(np.mean(values))} ({span(values)})")
            if len(kept) < len(values):
                means.append((iterations, sparsity, _centre(values), _centre(kept) if kept else None))
        lines.append(tuple(line))
    text = f"The ablation has {len(cells)} cells. "
    if out:
        where = list_items(f"{cell.value:g}" for cell in sorted(out, key=lambda cell: cell.value))
        text += (
            f"{count(len(out), 'cell')} at or below {LEFT_OUT:g} (accuracies {where}) "
            f"{'is' if len(out) == 1 else 'are'} in the file and not in the authors' pictures of it. "
        )
        for iterations, sparsity, every, kept in means:
            without = "none is left" if kept is None else f"{kept} without these cells"
            text += (
                f"With {count(iterations, 'iteration')} at sparsity {sparsity:g} the accuracy is {every} with all "
                f"cells and {without}. "
            )
    else:
        text += f"None is at or below {LEFT_OUT:g}. "
    spans = [values.max() - values.min() for values in _by_other(cells)]
    text += (
        "At equal sparsity and iterations, cells with other epochs before pruning and of recording differ by "
        f"{span([float(one) for one in spans])} from the worst to the best."
    )
    settings = released.settings["resnet20_ablation"]
    epochs = [
        cell.details["pre_epochs"] + settings["epochs_between"] * (cell.details["iterations"] - 1) for cell in cells
    ]
    caveat = (
        "One run per cell, so that a low accuracy may be one failed run; causal pruning only, without magnitude "
        f"pruning or a dense network of equal budget. More iterations also mean more training, {min(epochs)} to "
        f"{max(epochs)} epochs before the final {settings['final_epochs']}. Checkpoints were chosen on the test set."
    )
    head = ("iterations", *(f"sparsity {s:g}: mean (range)" for s in sorted({cell.sparsity for cell in cells})))
    return Statement("The ablation, and the cells left out of its picture", text.strip(), caveat, head, tuple(lines))


def _alone(causal: Repeated, magnitude: Repeated) -> str:
    """Name the sparsities that only causal pruning was run at."""
    only = [sparsity for sparsity in causal if sparsity not in magnitude]
    return f"Magnitude pruning was not run at sparsity {list_items(only)}. " if only else ""


def _one_iteration(released: ReleasedFigures) -> str:
    ten, one = (_repetitions(released, "causal", iterations) for iterations in (_ITERATIONS, 1))
    better = sum(a > b for s in ten if s in one for a, b in zip(ten[s], one[s], strict=False))
    pairs = sum(min(len(ten[s]), len(one[s])) for s in ten if s in one)
    trained = released.settings["resnet20_accuracy"]["trained_epochs_in_all"]
    return (
        f"Causal pruning with {_ITERATIONS} iterations ({trained[f'causal {_ITERATIONS}']} epochs) is more accurate "
        f"than with one ({trained['causal 1']} epochs) in {better} of {pairs} pairs."
    )


def _repetitions(released: ReleasedFigures, method: str, iterations: int) -> dict[float, list[float]]:
    """Accuracies by sparsity, a value per repetition in their order."""
    found: dict[float, list[float]] = {}
    chosen = released.select("resnet20_accuracy", method=method, iterations=iterations)
    for figure in sorted(chosen, key=lambda figure: (figure.sparsity, figure.repetition)):
        found.setdefault(figure.sparsity, []).append(figure.value)
    return found


def _shown_sparsities(common: Sequence[float], means: Sequence[float], p: Sequence[float], side: int) -> list[float]:
    return [s for s, mean, one in zip(common, means, p, strict=True) if side * mean > 0 and one < SIGNIFICANCE]


def _runs(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _centre(values: Sequence[float]) -> str:
    return f"{decimals(np.mean(values))} on average ({decimals(np.median(values))} in the median)"


def _by_other(cells: Sequence) -> list[np.ndarray]:
    groups: dict[tuple[float, int], list[float]] = {}
    for cell in cells:
        groups.setdefault((cell.sparsity, cell.details["iterations"]), []).append(cell.value)
    return [np.asarray(values) for values in groups.values()]
