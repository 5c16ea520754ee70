"""Figures that are drawn again after each change of a control (`replication.figures.interactive`).

Each call makes a Figure that is not registered with pyplot. The title of the figure describes its content.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ccprune.flatness import SliceResult
from ccprune.mask import Mask
from replication.figures._style import COLOURS, legend_above, legend_beside, line_style
from replication.figures.causal import loss_surface
from replication.legcnet.procedure import SIGNIFICANCE

_LEAST_P = 1e-5
# As in the figure `p_values`.
_KEPT = {"marker": "o", "color": COLOURS[0], "ms": 5}
_PRUNED = {"marker": "X", "color": COLOURS[1], "ms": 7}


def exponents_and_p_values(
    exponents: Tensor, smallest: Tensor | None, keep: Tensor, *, window: int, lag: int
) -> Figure:
    """Draw the exponents (K, M) of M weights in K windows, and below the smallest p-values (M,) over lags 1 to `lag`.

    Kept and pruned weights, by `keep` (M,), differ in marker and colour. `smallest` is None if there was no test.
    """
    count, weights = exponents.shape
    pruned = int((~keep).sum())
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    words = f"window {window} steps, lags 1 to {lag}: {count} windows, {pruned} of {weights} weights pruned"
    figure.suptitle(words if smallest is not None else f"{words}, for want of a test", fontsize=11)
    upper, lower = figure.subplots(2, 1, sharex=True)
    low, middle, high = np.quantile(exponents.numpy(), [0.05, 0.5, 0.95], axis=0)
    number = np.arange(weights)
    for chosen, style, name in ((keep, _KEPT, "kept"), (~keep, _PRUNED, "pruned")):
        at = number[chosen.numpy()]
        upper.vlines(at, low[at], high[at], color=style["color"], lw=1, alpha=0.6)
        upper.plot(at, middle[at], ls="", label=f"{name} ({len(at)})", **style)
        if smallest is not None:
            lower.semilogy(at, smallest.numpy()[at].clip(_LEAST_P), ls="", **style)
    upper.axhline(0, color="0.4", lw=1, ls=":")
    upper.set(ylabel="exponent (1/step)\nmedian, 5% to 95%")
    legend_beside(upper)
    if smallest is None:
        # `legcnet.granger_tests` needs more windows than the regression has coefficients, and a risk that changes.
        reason = f"no test: {count} windows" if count <= 3 * lag + 1 else "no test: the risk never changes"
        needed = f"\nlags up to {lag} need more than {3 * lag + 1}" if count <= 3 * lag + 1 else ""
        lower.text(0.5, 0.5, reason + needed, transform=lower.transAxes, ha="center", va="center")
    lower.axhline(SIGNIFICANCE, color="0.4", lw=1, ls=":", label=f"significance {SIGNIFICANCE:g}")
    legend_beside(lower)
    lower.set(yscale="log", ylim=(_LEAST_P / 1.6, 1.6))
    lower.set(ylabel=f"smallest p over lags\n(drawn from {_LEAST_P:g} up)")
    lower.set_xlabel(f"weight (n = {weights}); one that is kept at p = 1 could not be tested")
    return figure


def kept_and_accuracy(
    mask: Mask, accuracies: Mapping[str, Sequence[float]], *, alphas: Sequence[float], alpha: float, samples: int
) -> Figure:
    """Draw the kept share of each layer for one penalty, and to its right accuracies (L,) against all L penalties."""
    sizes = {name: keep.numel() for name, keep in reversed(mask.keep.items())}  # the first layer on top
    figure = Figure(figsize=(9.0, max(3.8, 1.0 + 0.34 * len(sizes))), layout="constrained")
    at = list(alphas).index(alpha)
    words = f"λ = {alpha:.3g}: {mask.kept:,} of {mask.total:,} weights kept, sparsity {mask.sparsity:.3f}"
    figure.suptitle(words, fontsize=11)
    left, right = figure.subplots(1, 2)
    left.barh(range(len(sizes)), [100 * mask.counts[name] / size for name, size in sizes.items()], color=COLOURS[0])
    labels = [f"{name}\n{mask.counts[name]:,} of {size:,}" for name, size in sizes.items()]
    left.set_yticks(range(len(sizes)), labels, fontsize=8)
    left.set(xlabel="kept (% of a layer's weights)", xlim=(0, 100))
    for i, (name, values) in enumerate(accuracies.items()):
        right.plot(alphas, values, lw=1.3, ms=5, label=f"{name}: {values[at]:.3f}", **line_style(i))
        right.plot([alpha], [values[at]], ms=11, mec="black", **line_style(i))
    right.axvline(alpha, color="0.4", lw=1, ls=":")
    right.set(xscale="log", ylim=(-0.03, 1.03))
    right.set(xlabel="λ (loss × squared weight, log scale)", ylabel=f"accuracy (share, n = {samples:,})")
    legend_above(right)
    return figure


def surfaces(planes: Mapping[str, SliceResult], *, top: float) -> Figure:
    """Draw `loss_surface` of several networks side by side on one scale."""
    figure = Figure(figsize=(4.4 * len(planes), 3.9), layout="constrained")
    words = []
    for ax, (name, plane) in zip(np.atleast_1d(figure.subplots(1, len(planes))), planes.items(), strict=True):
        middle = len(plane.coordinates) // 2
        words.append(f"{name}: loss {float(plane.losses[middle, middle]):.3f}")
        loss_surface(plane.coordinates, plane.losses, title=name, top=top, ax=ax)
    samples = next(iter(planes.values())).samples
    figure.suptitle(f"{'; '.join(words)} (at the cross, n = {samples:,} samples)", fontsize=10)
    return figure
