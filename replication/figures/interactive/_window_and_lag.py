"""Paper A: how the windows' length and the number of lags choose the mask (LEGCNet sections 3.3 to 3.6)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ccprune._util.checks import at_least
from ccprune._util.series import check_series
from ccprune.lyapunov import windowed_exponents
from replication.figures.interactive._drawing import exponents_and_p_values
from replication.figures.interactive._figure import Interactive, increasing, slider
from replication.legcnet import procedure as legcnet


def window_and_lag(
    weights: Tensor, risk: Tensor, *, recording: legcnet.WindowSettings, windows: Sequence[int], lags: Sequence[int]
) -> Interactive:
    """Exponents and p-values of a network's weights, and which LEGCNet prunes, for a window and a lag to choose.

    All is computed when a knob is turned, as `legcnet.evidence`, `legcnet.tests` and `legcnet.keep_masks` do it.

    Parameters
    ----------
    weights : Tensor (n, M)
        The weights before the first and after every update.
    risk : Tensor (n,)
        Misclassification risk at the same moments.
    recording : legcnet.WindowSettings
        What is not turned: stride, steps, rounding. The figure begins at its window and max_lag.
    windows : sequence of int
        Allowed lengths, in steps, increasing; recording.window is among them.
    lags : sequence of int
        Allowed numbers of lags, increasing; recording.max_lag is among them. Where the windows are too few for a lag
        there is no test and nothing is pruned, as the figure then says.

    Returns
    -------
    Interactive
        With the knobs "window" and "lag".

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    check_series("weights", weights)
    if tuple(risk.shape) != (len(weights),):
        raise ValueError(f"risk must have one value for each of the {len(weights)} rows of weights, got {risk.shape}")
    windows, lags = increasing("windows", windows), increasing("lags", lags)
    for value in windows:
        # The fewest points in which one pair of neighbours can be followed for so many steps.
        at_least(recording.steps + 3, windows=value)
    for value in lags:
        at_least(1, lags=value)
    if windows[-1] > len(weights):
        raise ValueError(f"windows must fit into the {len(weights)} rows of weights, got {windows[-1]}")
    for name, values, start in (("windows", windows, recording.window), ("lags", lags, recording.max_lag)):
        if start not in values:
            raise ValueError(f"{name} must hold the recording's own {start}, where the figure begins, got {values}")

    @cache  # a lag is turned without computing the exponents again
    def evidence(window: int) -> legcnet.Evidence:
        chosen = replace(recording, window=window)
        exponents = windowed_exponents(weights, window=window, stride=chosen.stride, **chosen.exponent_options)
        exponents = exponents[: len(exponents) - chosen.left_out]
        ends = torch.arange(len(exponents), device=risk.device) * chosen.stride + window - 1
        return legcnet.Evidence(exponents[None], risk[ends][None])

    def draw(*, window: int, lag: int) -> Figure:
        found = evidence(window)
        (result,) = legcnet.tests(found, max_lag=lag)
        (keep,) = legcnet.keep_masks([result], weights.shape[1])
        smallest = None if result is None else result.min_p.cpu()
        return exponents_and_p_values(found.exponents[0].cpu(), smallest, keep, window=window, lag=lag)

    return Interactive(
        draw,
        {
            "window": slider("window (steps)", [(str(value), value) for value in windows], recording.window),
            "lag": slider("lags, up to", [(str(value), value) for value in lags], recording.max_lag),
        },
    )
