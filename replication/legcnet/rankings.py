"""Pruning orders of small networks' weights: the paper's Granger test, repaired tests, and controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccprune._util.checks import require_at_least
from ccprune.granger import GrangerResult, granger_test
from replication.data import Dataset
from replication.legcnet import procedure as legcnet
from replication.legcnet.settings import Settings
from replication.networks._train_torch import outputs
from replication.networks.ensemble import MLPBatch

#: The paper's test and its repairs, by the name of their ranking.
TESTS = ("smallest_p", "bic_f", "augmented_heldout", "surrogate")
#: Random masks of each network.
RANDOM = tuple(f"random_{number}" for number in range(1, 6))
#: Suffix of a ranking's reverse.
REVERSED = "_reversed"
# Spawn key of ties, random masks and shifts, far from those of initialisations, which are their numbers.
_KEY = 2_000_000

Results = Sequence[GrangerResult | None]


@dataclass(frozen=True, eq=False)
class Rankings:
    """Pruning orders of B networks with M weights.

    Attributes
    ----------
    ranks : mapping of name to Tensor (B, M) of int64
        Position of each weight in the pruning order; 0 is pruned first. There are no ties.
    p_values : mapping of name to Tensor (B, M)
        p-values of each of `TESTS`, NaN where a weight cannot be tested.
    """

    ranks: dict[str, Tensor]
    p_values: dict[str, Tensor]


def rankings(
    ensemble: MLPBatch,
    trained: Tensor,
    data: Dataset,
    settings: Settings,
    *,
    shifts: int = 39,
    seed: int = 0,
    first: int = 0,
) -> Rankings:
    """Rank the weights of networks by the paper's test, its repairs and the usual controls.

    - smallest_p: the paper's, the smallest p over the lags of the chi-squared form, with the risk on test labels;
    - bic_f: the F form at the lag that BIC selects;
    - augmented_heldout: the same with one extra, untested lag (BIC selects without it), and with the risk on held-out
      training rows;
    - surrogate: how often the smallest p of circularly shifted exponents is as small, ties by smallest_p;
    - magnitude: the dense network's trained weights; snip: see `snip`;
    - NAME_reversed: each of these in reverse;
    - random_1 to random_5.

    Tests rank the weight with the largest p first. As in `legcnet.keep_masks` a weight that cannot be tested is kept
    longest. Ties, and all weights of a network whose risk never changes, are in random order.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks at their initial weights.
    trained : Tensor (B, M)
        Weights of the dense networks after training.
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set; its recording "ft" is used.
    shifts : int, default 39
        Number of circular shifts of the exponents.
    seed : int, default 0
        Seed of the random orders, which for network b depend on `seed` and `first` + b alone.
    first : int, default 0
        Number of the first network.

    Returns
    -------
    Rankings

    Raises
    ------
    ValueError
        If `shifts` is below 1, or the recording does not fit the data.
    """
    require_at_least(1, shifts=shifts)
    count = trained.shape[1]
    generators = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_KEY, first + b))) for b in range(len(ensemble))
    ]
    recording = settings.recording("ft")
    found = legcnet.exponents_and_risk(ensemble, data, settings, recording)
    held_out = legcnet.exponents_and_risk(ensemble, data, settings, recording, risk="heldout")
    paper = legcnet.granger_tests(found, max_lag=recording.max_lag)
    exact = legcnet.granger_tests(found, max_lag=recording.max_lag, test="ssr_f")
    plain = legcnet.granger_tests(held_out, max_lag=recording.max_lag, test="ssr_f")
    augmented = legcnet.granger_tests(held_out, max_lag=recording.max_lag, test="ssr_f", augment=1)
    p_values = {
        "smallest_p": _stack(paper, [None if r is None else r.min_p for r in paper], count),
        "bic_f": _stack(exact, _at_bic(exact, exact), count),
        "augmented_heldout": _stack(augmented, _at_bic(augmented, plain), count),
        "surrogate": torch.full_like(trained, torch.nan),
    }
    for b, draw in enumerate(generators):
        if paper[b] is not None:
            risk, causes = found.risk[b], found.exponents[b]
            p = shifted_p_value(risk, causes, max_lag=recording.max_lag, shifts=shifts, generator=draw)
            p_values["surrogate"][b] = torch.where(p_values["smallest_p"][b].isnan(), torch.nan, p)
    keys = {name: (-p,) for name, p in p_values.items()}
    keys["surrogate"] = (-p_values["surrogate"], -p_values["smallest_p"])
    keys |= {"magnitude": (trained.abs(),), "snip": (snip(ensemble, data),)}
    keys |= {name: (torch.zeros_like(trained),) for name in RANDOM}
    ranks = {}
    for name, scores in keys.items():
        ranks[name] = _ranks(scores, generators)
        if name not in RANDOM:
            ranks[name + REVERSED] = count - 1 - ranks[name]
    return Rankings(ranks, p_values)


def _at_bic(results: Results, chosen_by: Results) -> list[Tensor | None]:
    """p-values (M,) of each network at the lag that BIC selects in the regressions of `chosen_by`.

    An augmented regression fits one lag more than it tests, so that its own BIC would select a lag too few.
    """
    return [
        None if result is None or chooser is None else result.p_at(chooser.best_lag("bic"))
        for result, chooser in zip(results, chosen_by, strict=True)
    ]


def _stack(results: Results, p_values: Sequence[Tensor | None], count: int) -> Tensor:
    """p-values (B, M) of B networks, NaN where a weight, or the whole network, cannot be tested."""
    untested = torch.full((count,), torch.nan, dtype=torch.float64)
    return torch.stack(
        [
            untested if result is None or p is None else torch.where(result.infeasible, torch.nan, p)
            for result, p in zip(results, p_values, strict=True)
        ]
    )


def _ranks(scores: Sequence[Tensor], generators: Sequence[np.random.Generator]) -> Tensor:
    """Ranks (B, M) by ascending scores, the first score before the second; NaN last, ties at random."""
    rows = []
    for b, draw in enumerate(generators):
        keys = [draw.permutation(scores[0].shape[1]), *(score[b].numpy() for score in reversed(scores))]
        order = np.lexsort([np.nan_to_num(key, nan=np.inf) for key in keys])
        rows.append(torch.from_numpy(np.argsort(order)))
    return torch.stack(rows)


def snip(ensemble: MLPBatch, data: Dataset) -> Tensor:
    """Return the connection sensitivity |w dL/dw| of the initial weights, for the squared error on all training rows.

    This is `scores.snip` for an ensemble.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks with M weights.
    data : Dataset
        Training samples.

    Returns
    -------
    Tensor (B, M)

    References
    ----------
    Lee, Ajanthan and Torr (2019), SNIP, equation 5.
    """
    w1, w2 = (weight.clone().requires_grad_(True) for weight in (ensemble.w1, ensemble.w2))
    guess = outputs(w1, ensemble.b1, w2, ensemble.b2, ensemble.output == "softmax", data.x_train)
    loss = (guess - data.y_train).square().mean(1).sum()
    parts = zip((w1, w2), torch.autograd.grad(loss, (w1, w2)), strict=True)
    return torch.cat([(weight * gradient).detach().abs().flatten(1) for weight, gradient in parts], 1)


def shifted_p_value(
    effect: Tensor, causes: Tensor, *, max_lag: int, shifts: int, generator: np.random.Generator
) -> Tensor:
    """Return p-values of Granger tests from circularly shifted causes, which keep their own time structure.

    The statistic is the smallest p over the lags 1..max_lag, whatever its distribution: looking at many lags needs no
    correction. Each shift moves all causes by the same number of windows, more than `max_lag` in either direction.

    Parameters
    ----------
    effect : Tensor (K,)
        Series of the effect.
    causes : Tensor (K, M)
        One series per column.
    max_lag : int
        Largest number of lags.
    shifts : int
        Number of shifts; all of them where there are fewer.
    generator : Generator
        Draws the shifts.

    Returns
    -------
    Tensor (M,)
        (1 + number of shifts whose smallest p is as small) / (1 + shifts).
    """
    possible = np.arange(max_lag + 1, len(effect) - max_lag)
    chosen = generator.choice(possible, size=min(shifts, len(possible)), replace=False)
    moved = torch.cat([causes, *(causes.roll(int(shift), 0) for shift in chosen)], 1)
    smallest = granger_test(effect, moved, max_lag=max_lag).min_p.reshape(len(chosen) + 1, -1)
    return (1 + (smallest[1:] <= smallest[0]).sum(0)) / (1.0 + len(chosen))
