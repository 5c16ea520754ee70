"""Mask of paper A for a window length and a number of lags (LEGCNet sections 3.3 to 3.6)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ccprune._util.checks import require_at_least
from ccprune._util.series import check_series
from ccprune.lyapunov import windowed_exponents
from replication.figures.interactive._drawing import exponents_and_p_values
from replication.figures.interactive._figure import Interactive, increasing, slider
from replication.legcnet import procedure as legcnet
from replication.legcnet.settings import WindowSettings


def window_and_lag(
    weights: Tensor, risk: Tensor, *, recording: WindowSettings, windows: Sequence[int], lags: Sequence[int]
) -> Interactive:
    """Show exponents, p-values and the weights that LEGCNet prunes, for a selected window length and number of lags.

    Everything is computed after a change of a control, as in `legcnet.exponents_and_risk`, `legcnet.granger_tests` and
    `legcnet.keep_masks`.

    Parameters
    ----------
    weights : Tensor (n, M)
        The weights before the first and after every update.
    risk : Tensor (n,)
        Misclassification risk at the same updates.
    recording : legcnet.WindowSettings
        Fixed settings: stride, steps, rounding. Its window and max_lag are the initial values.
    windows : sequence of int
        Increasing window lengths in steps, including recording.window.
    lags : sequence of int
        Increasing numbers of lags, including recording.max_lag. If there are too few windows for the lags, there is no
        test, nothing is pruned, and the figure shows the reason.

    Returns
    -------
    Interactive
        With the controls "window" and "lag".

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.
    """
    check_series("weights", weights)
    if tuple(risk.shape) != (len(weights),):
        raise ValueError(f"risk must have one value for each of the {len(weights)} rows of weights, got {risk.shape}")
    windows, lags = increasing("windows", windows), increasing("lags", lags)
    for value in windows:
        # Smallest number of points in which one pair of neighbours can be followed for so many steps.
        require_at_least(recording.steps + 3, windows=value)
    for value in lags:
        require_at_least(1, lags=value)
    if windows[-1] > len(weights):
        raise ValueError(f"windows must fit into the {len(weights)} rows of weights, got {windows[-1]}")
    for name, values, start in (("windows", windows, recording.window), ("lags", lags, recording.max_lag)):
        if start not in values:
            raise ValueError(f"{name} must include the recording's {start}, the initial value, got {values}")

    @cache  # a change of the lags does not compute the exponents again
    def record(window: int) -> legcnet.ExponentsAndRisk:
        chosen = replace(recording, window=window)
        exponents = windowed_exponents(weights, window=window, stride=chosen.stride, **chosen.exponent_options)
        exponents = exponents[: len(exponents) - chosen.left_out]
        ends = torch.arange(len(exponents), device=risk.device) * chosen.stride + window - 1
        return legcnet.ExponentsAndRisk(exponents[None], risk[ends][None])

    def draw(*, window: int, lag: int) -> Figure:
        computed = record(window)
        (result,) = legcnet.granger_tests(computed, max_lag=lag)
        (keep,) = legcnet.keep_masks([result], weights.shape[1])
        smallest = None if result is None else result.min_p.cpu()
        return exponents_and_p_values(computed.exponents[0].cpu(), smallest, keep, window=window, lag=lag)

    return Interactive(
        draw,
        {
            "window": slider("window (steps)", [(str(value), value) for value in windows], recording.window),
            "lag": slider("lags, up to", [(str(value), value) for value in lags], recording.max_lag),
        },
    )
