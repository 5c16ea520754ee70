"""Scores from Granger tests of the Lyapunov exponents of the weights during training."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ccprune._util.checks import require_one_of
from ccprune.granger import granger_test

STEPS = 3  # number of steps for which neighbours are followed, as in the paper's PT setting


def legcnet(
    exponents: Mapping[str, Tensor],
    risk: Tensor,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    untestable: str = "keep",
) -> dict[str, Tensor]:
    """Return 1 - p of the Granger test of each weight's exponents against the risk (LEGCNet, section 3.6).

    p is the smallest p-value over the lags. Weights whose exponents do not help to predict the risk are pruned first.

    Parameters
    ----------
    exponents : mapping of name to Tensor (K, *shape)
        Exponents per window, from `lyapunov.windowed_exponents`.
    risk : Tensor (K,)
        Misclassification risk at the windows' ends.
    max_lag : int
        Largest lag in windows, at least 1.
    test : {"ssr_chi2", "ssr_f"}
        Statistic of the Granger test.
    untestable : str
        Weights with constant exponents, such as those that training never moves, cannot be tested. With "keep" they
        score 1, as in LEGCNet's scripts, which keep them. With "prune" they score 0.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name.

    Examples
    --------
    >>> risk, noise = torch.randn(2, 60, generator=torch.Generator().manual_seed(0)).double()
    >>> cause = risk.roll(-1) + 0.1 * noise  # precedes the risk by one window
    >>> found = legcnet({"weight": torch.stack([cause, torch.zeros(60)], dim=1)}, risk, max_lag=1, untestable="prune")
    >>> found["weight"].round(decimals=3).tolist()
    [1.0, 0.0]
    """
    require_one_of(("keep", "prune"), untestable=untestable)
    if not exponents:
        raise ValueError("exponents must name at least one parameter")
    columns = torch.cat([value.flatten(1) for value in exponents.values()], 1)
    result = granger_test(risk, columns, max_lag=max_lag, test=test)
    score = torch.where(result.infeasible, 1.0 if untestable == "keep" else 0.0, 1.0 - result.min_p)
    parts = score.split([value[0].numel() for value in exponents.values()])
    return {name: part.reshape(value.shape[1:]) for (name, value), part in zip(exponents.items(), parts, strict=True)}


def named_columns(columns: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return columns (K, P) as {name: Tensor (K, *shape)} for the weights, which have P elements together."""
    parts = columns.split([weight.numel() for weight in weights.values()], dim=1)
    return {name: part.unflatten(1, one.shape) for (name, one), part in zip(weights.items(), parts, strict=True)}


def stride_of(window: int) -> int:
    """Return the distance between the first steps of two windows."""
    return round(0.9 * window)
