"""Kept weights of each layer and accuracy for a penalty of paper B's Lasso."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from ccprune._util.checks import require_at_least
from ccprune.lasso.problem import check_penalty
from ccprune.mask import Mask
from replication.figures.interactive._drawing import kept_and_accuracy
from replication.figures.interactive._figure import Interactive, increasing, slider


def penalty(
    masks: Sequence[Mask], accuracies: Mapping[str, Sequence[float]], *, alphas: Sequence[float], samples: int
) -> Interactive:
    """Show the kept share of each layer and the accuracy for a selected penalty.

    Parameters
    ----------
    masks : sequence of L Mask
        One mask per penalty, all of one network: `Screen.masks(alphas)`, or the non-zero coefficients of solutions.
    accuracies : mapping of name to L accuracies between 0 and 1
        Accuracies of the pruned network, one curve per name, such as "as pruned" and "after one more epoch".
    alphas : sequence of L float
        Increasing penalties above 0, in units of loss times squared weight as in `Screen`. The initial one is in the
        middle.
    samples : int
        Number of samples of the accuracies.

    Returns
    -------
    Interactive
        With the control "alpha".

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    alphas = increasing("alphas", alphas)
    for alpha in alphas:
        check_penalty(alpha, positive=True)
    require_at_least(1, samples=samples)
    if len(masks) != len(alphas):
        raise ValueError(f"masks must hold one mask for each of the {len(alphas)} alphas, got {len(masks)}")
    shapes = [{name: tuple(keep.shape) for name, keep in mask.keep.items()} for mask in masks]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("masks must be of one network, got different names or shapes")
    if not accuracies:
        raise ValueError("accuracies must name at least one curve")
    curves = {name: [float(value) for value in values] for name, values in accuracies.items()}
    for name, values in curves.items():
        if len(values) != len(alphas):
            raise ValueError(
                f"accuracies[{name!r}] must hold one value for each of the {len(alphas)} alphas, got {values}"
            )
        if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
            raise ValueError(f"accuracies[{name!r}] must lie between 0 and 1, got {values}")

    def draw(*, alpha: float) -> Figure:
        return kept_and_accuracy(masks[alphas.index(alpha)], curves, alphas=alphas, alpha=alpha, samples=samples)

    return Interactive(
        draw, {"alpha": slider("penalty λ", [(f"{alpha:.3g}", alpha) for alpha in alphas], alphas[len(alphas) // 2])}
    )
