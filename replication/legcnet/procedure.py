"""LEGCNet's procedure on the papers' small networks (arXiv 2308.09955): exponents, risk, Granger test, masks.

Many initialisations are taken through it at once; for a model of your own use the primitives, or `scores.legcnet`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune.granger import GrangerResult, benjamini_hochberg, granger_test
from ccprune.lyapunov import exponents_of
from replication.data import Dataset
from replication.legcnet.settings import Settings, WindowSettings
from replication.networks.ensemble import MLPBatch
from replication.networks.masks import remove_lowest
from replication.networks.trajectory import windows

PRUNE = ("noncausal", "causal")
RISKS = ("test", "train", "heldout")
SIGNIFICANCE = 0.05
# The authors round p-values to so many decimals before they compare them with the level.
P_DECIMALS = 4


@dataclass(frozen=True)
class ExponentsAndRisk:
    """Exponents of B networks' M weights in K windows, and the misclassification risk at the windows' ends.

    Attributes
    ----------
    exponents : Tensor (B, K, M)
        Lyapunov exponents, in nats per step.
    risk : Tensor (B, K)
        One minus the accuracy at each window's last point, as a fraction.
    """

    exponents: Tensor
    risk: Tensor


def exponents_and_risk(
    ensemble: MLPBatch, data: Dataset, settings: Settings, recording: WindowSettings, *, risk: str = "test"
) -> ExponentsAndRisk:
    """Train dense networks and return the exponent of each weight and the misclassification risk, window by window.

    Parameters
    ----------
    ensemble : MLPBatch
        B initial networks of M weights.
    data : Dataset
        What they are trained and tested on.
    settings : Settings
        Learning rate, batch and benchmark of the data set.
    recording : WindowSettings
        Epochs, windows and steps of the recording.
    risk : str, default "test"
        Whose errors count: "test" (the paper's choice, by which the mask has seen the test labels), "train", or
        "heldout" (the last quarter of the training part, which this recording run is not trained on).

    Returns
    -------
    ExponentsAndRisk

    Raises
    ------
    ValueError
        For an unknown risk, or a recording that does not fit the data.

    References
    ----------
    LEGCNet, arXiv 2308.09955, sections 3.4 and 3.5.
    """
    if risk not in RISKS:
        raise ValueError(f"risk must be one of {RISKS}, got {risk!r}")
    x, y = data.x_train, data.y_train
    if risk == "test":
        judged = (data.x_test, data.y_test)
    elif risk == "train":
        judged = (x, y)
    else:
        cut = x.shape[0] - x.shape[0] // 4
        judged, x, y = (x[cut:], y[cut:]), x[:cut], y[:cut]
    stream = windows(
        ensemble,
        x,
        y,
        epochs=recording.epochs,
        lr=settings.lr,
        window=recording.window,
        stride=recording.stride,
        risk={risk: judged},
        reduction=settings.reduction,
    )
    exponents, risks = [], []
    for window in stream:
        series = window.weights.mT.reshape(-1, recording.window)
        exponents.append(exponents_of(series, **recording.exponent_options).reshape(len(ensemble), -1))
        risks.append(window.risk[risk])
    used = len(risks) - recording.left_out
    return ExponentsAndRisk(torch.stack(exponents[:used], 1), torch.stack(risks[:used], 1))


def granger_tests(
    found: ExponentsAndRisk, *, max_lag: int, test: str = "ssr_chi2", augment: int = 0
) -> list[GrangerResult | None]:
    """Test for each network whether its weights' exponents Granger-cause the risk.

    Parameters
    ----------
    found : ExponentsAndRisk
        Series of B networks with K windows.
    max_lag : int
        Largest number of lags; the numbers 1 to `max_lag` are tested.
    test : str, default "ssr_chi2"
        "ssr_chi2" (the paper's choice) or "ssr_f", as in `ccprune.granger.granger_test`.
    augment : int, default 0
        Number of additional lags that are not tested.

    Returns
    -------
    list of GrangerResult or None
        One per network. None for a network whose risk never changes, and for all networks where there are too few
        windows: K > 3 (max_lag + augment) + 1 is required.

    Raises
    ------
    ValueError
        If another argument is invalid, as in `ccprune.granger.granger_test`.
    """
    results: list[GrangerResult | None] = []
    count = found.risk.shape[1]
    for exponents, risk in zip(found.exponents, found.risk, strict=True):
        testable = count > 3 * (max_lag + augment) + 1 and bool((risk != risk[0]).any())
        results.append(granger_test(risk, exponents, max_lag=max_lag, test=test, augment=augment) if testable else None)
    return results


def keep_masks(
    results: Iterable[GrangerResult | None],
    count: int,
    *,
    prune: str = "noncausal",
    p_decimals: int | None = P_DECIMALS,
    corrected: bool = False,
) -> Tensor:
    """Make masks from the Granger results of B networks.

    p is the smallest over the lags. Weights whose test is infeasible, and whole networks that could not be tested, are
    kept, because there is no finding against them.

    Parameters
    ----------
    results : iterable of GrangerResult or None
        One per network, as returned by `granger_tests`.
    count : int
        Number of weights M of each network.
    prune : str, default "noncausal"
        "noncausal" removes weights with p >= 0.05, as section 3.6 and the released masks do. "causal" removes weights
        with p < 0.05, as section 4 states.
    p_decimals : int or None, default 4
        Number of decimals to which p is rounded before the comparison, as the authors do; None does not round.
    corrected : bool, default False
        Whether p is adjusted for the number of weights (Benjamini-Hochberg), which the authors do not do.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.

    Raises
    ------
    ValueError
        If `prune` is another word.

    References
    ----------
    LEGCNet, arXiv 2308.09955, sections 3.6 and 4.
    """
    if prune not in PRUNE:
        raise ValueError(f"prune must be one of {PRUNE}, got {prune!r}")
    rows = []
    for result in results:
        if result is None:
            rows.append(torch.ones(count, dtype=torch.bool))
            continue
        p = benjamini_hochberg(result.min_p) if corrected else result.min_p
        causal = (p if p_decimals is None else torch.round(p, decimals=p_decimals)) < SIGNIFICANCE
        removed = (~causal if prune == "noncausal" else causal) & ~result.infeasible
        rows.append(~removed.cpu())
    return torch.stack(rows)


def masks(
    ensemble: MLPBatch,
    data: Dataset,
    settings: Settings,
    *,
    method: str = "ft",
    risk: str = "test",
) -> Tensor:
    """Derive the LEGCNet-FT or LEGCNet-PT masks of B initialisations, from recording to mask.

    Parameters
    ----------
    ensemble : MLPBatch
        B initial networks with M weights, which are not changed.
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    method : str, default "ft"
        "ft" or "pt".
    risk : str, default "test"
        As in `exponents_and_risk`.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.

    Raises
    ------
    ValueError
        If `method` or `risk` is another word, or the recording does not fit the data.
    """
    recording = settings.recording(method)
    found = exponents_and_risk(ensemble, data, settings, recording, risk=risk)
    return keep_masks(granger_tests(found, max_lag=recording.max_lag), ensemble.weights.shape[1])


def smallest_p_masks(results: Iterable[GrangerResult | None], removed: Tensor, count: int) -> Tensor:
    """Make masks that remove each network's most causal weights, those with the smallest p.

    Parameters
    ----------
    results : iterable of GrangerResult or None
        One per network, as returned by `granger_tests`.
    removed : Tensor (B,)
        Number of weights to remove from each network; 0 for a network that could not be tested.
    count : int
        Number of weights M of each network.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.
    """
    p = torch.stack([torch.ones(count, dtype=torch.float64) if r is None else r.min_p.cpu() for r in results])
    return remove_lowest(p, removed)
