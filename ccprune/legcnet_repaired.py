"""Does LEGCNet work if its test is done right? Rankings of weights by several tests, compared at equal sizes.

A test that calls most weights causal removes few of them, so two tests are compared by their *rankings*: each ranking
removes the same share of weights, or of multiply-adds, and the networks are retrained from their initial weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune import legcnet
from ccprune._checks import at_least
from ccprune._train_torch import outputs
from ccprune.data import Dataset
from ccprune.ensemble import Ensemble, initialise
from ccprune.granger import GrangerResult, benjamini_hochberg
from ccprune.legcnet_runs import CHUNK, run
from ccprune.surrogates import shifted_p_value
from ccprune.train import Trained, accuracy, advance

#: The paper's test and its repairs, by the name of their ranking. Each is also ranked in reverse, as NAME_reversed.
TESTS = ("smallest_p", "bic_f", "augmented_heldout", "surrogate")
#: Random masks of each network.
RANDOM = tuple(f"random_{number}" for number in range(1, 6))
#: What masks have in common: the share of removed weights, or of removed multiply-adds.
MATCHED = ("count", "operations")
_REVERSED = "_reversed"
# Spawn key of ties, random masks and shifts, far from those of initialisations, which are their numbers.
_KEY = 2_000_000


@dataclass(frozen=True, eq=False)
class Rankings:
    """Pruning orders of B networks with M weights.

    Attributes
    ----------
    ranks : {name: Tensor (B, M) of int64}
        Position of each weight in the pruning order; 0 is pruned first. There are no ties.
    p_values : {name: Tensor (B, M)}
        p-values of each of `TESTS`, NaN where a weight cannot be tested.
    """

    ranks: dict[str, Tensor]
    p_values: dict[str, Tensor]


def rankings(
    ensemble: Ensemble,
    trained: Tensor,
    data: Dataset,
    settings: legcnet.Settings,
    *,
    shifts: int = 39,
    seed: int = 0,
    first: int = 0,
) -> Rankings:
    """Rank the weights of networks by the paper's test, its repairs and the usual controls.

    - smallest_p: the paper's, the smallest p over the lags of the chi-squared form, with the risk on test labels;
    - bic_f: the F form at the lag that BIC selects;
    - augmented_heldout: the same with one extra, untested lag, and with the risk on held-out training rows;
    - surrogate: how often the smallest p of circularly shifted exponents is as small, ties by smallest_p;
    - NAME_reversed: each of these in reverse;
    - magnitude: the dense network's trained weights; snip: see `snip`; random_1 to random_5.

    Tests rank the weight with the largest p first. As in `legcnet.keep_masks` a weight that cannot be tested is kept
    longest. Ties, and all weights of a network whose risk never changes, are in random order.

    Parameters
    ----------
    ensemble : Ensemble
        B networks at their initial weights.
    trained : Tensor (B, M)
        Weights of the dense networks after training.
    shifts : int
        Circular shifts of the exponents.
    seed, first : int
        Random orders of network b depend on `seed` and `first` + b alone.
    """
    at_least(1, shifts=shifts)
    count = trained.shape[1]
    generators = [
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_KEY, first + b))) for b in range(len(ensemble))
    ]
    recording = settings.recording("ft")
    found = legcnet.evidence(ensemble, data, settings, recording)
    held_out = legcnet.evidence(ensemble, data, settings, recording, risk="heldout")
    paper = legcnet.tests(found, max_lag=recording.max_lag)
    exact = legcnet.tests(found, max_lag=recording.max_lag, test="ssr_f")
    augmented = legcnet.tests(held_out, max_lag=recording.max_lag, test="ssr_f", augment=1)
    smallest = _stacked([None if r is None else r.min_p for r in paper], paper, count)
    shifted = [
        None if r is None else shifted_p_value(risk, causes, max_lag=recording.max_lag, shifts=shifts, generator=draw)
        for r, risk, causes, draw in zip(paper, found.risk, found.exponents, generators, strict=True)
    ]
    p_values = {
        "smallest_p": smallest,
        "bic_f": _stacked([None if r is None else r.p_at(r.best_lag("bic")) for r in exact], exact, count),
        "augmented_heldout": _stacked(
            [None if r is None else r.p_at(r.best_lag("bic")) for r in augmented], augmented, count
        ),
        "surrogate": _stacked(shifted, paper, count),
    }
    keys = {name: (-p,) for name, p in p_values.items()}
    keys["surrogate"] = (-p_values["surrogate"], -smallest)
    keys |= {"magnitude": (trained.abs(),), "snip": (snip(ensemble, data),)}
    keys |= {name: (torch.zeros_like(trained),) for name in RANDOM}
    ranks = {}
    for name, scores in keys.items():
        ranks[name] = _ranks(scores, generators)
        if name in TESTS:
            ranks[name + _REVERSED] = count - 1 - ranks[name]
    return Rankings(ranks, p_values)


def _stacked(p_values: Sequence[Tensor | None], results: Sequence[GrangerResult | None], count: int) -> Tensor:
    """p-values (B, M) of B networks, NaN where a weight, or the network, cannot be tested."""
    rows = []
    for p_value, result in zip(p_values, results, strict=True):
        row = torch.full((count,), torch.nan, dtype=torch.float64)
        if p_value is not None and result is not None:
            row = torch.where(result.infeasible, torch.nan, p_value)
        rows.append(row)
    return torch.stack(rows)


def _ranks(scores: Sequence[Tensor], generators: Sequence[np.random.Generator]) -> Tensor:
    """Ranks (B, M) by ascending scores, the first score before the second; NaN last, ties at random."""
    rows = []
    for b, draw in enumerate(generators):
        keys = [draw.permutation(scores[0].shape[1]), *(score[b].numpy() for score in reversed(scores))]
        order = np.lexsort([np.nan_to_num(key, nan=np.inf) for key in keys])
        rows.append(torch.from_numpy(np.argsort(order)))
    return torch.stack(rows)


def snip(ensemble: Ensemble, data: Dataset) -> Tensor:
    """Connection sensitivity (B, M) of the initial weights: |w dL/dw| for the squared error on all training rows.

    As `scores.snip`, for an ensemble (Lee, Ajanthan and Torr, 2019, eq. 5).
    """
    w1, w2 = (weight.clone().requires_grad_(True) for weight in (ensemble.w1, ensemble.w2))
    guess = outputs(w1, ensemble.b1, w2, ensemble.b2, ensemble.output == "softmax", data.x_train)
    loss = (guess - data.y_train).square().mean(1).sum()
    parts = zip((w1, w2), torch.autograd.grad(loss, (w1, w2)), strict=True)
    return torch.cat([(weight * gradient).detach().abs().flatten(1) for weight, gradient in parts], 1)


def operations(keep: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """Multiply-adds (B,) of one forward pass that masks (B, M) leave, without the hidden units that do nothing.

    A hidden unit without outputs is not computed, and one without inputs is a constant, which an output's bias takes
    in; the remaining weights of both cost nothing. `sizes` are (d, h, o).
    """
    inputs, hidden, width = sizes
    into = keep[:, : hidden * inputs].reshape(-1, hidden, inputs).sum(2)
    out = keep[:, hidden * inputs :].reshape(-1, width, hidden).sum(1)
    return torch.where((into > 0) & (out > 0), into + out, 0).sum(1)


def mask(ranks: Tensor, share: float, sizes: tuple[int, int, int], *, matched: str = "count") -> Tensor:
    """Masks (B, M) bool, True = keep, that remove a share of the weights, or of the multiply-adds, in pruning order.

    With `matched="operations"` the fewest weights are removed that leave `operations` at (1 - share) M or below.
    """
    if matched not in MATCHED:
        raise ValueError(f"matched must be one of {MATCHED}, got {matched!r}")
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), got {share}")
    count = ranks.shape[1]
    removed = torch.full((len(ranks),), round(share * count))
    if matched == "operations":
        left = torch.stack([operations(ranks >= r, sizes) for r in range(count + 1)], 1)
        removed = (left <= count - removed[:, None]).double().argmax(1)
    return ranks >= removed[:, None]


def runs(
    data: Dataset,
    settings: legcnet.Settings,
    *,
    seeds: int,
    shares: Sequence[float] = (0.1, 0.3, 0.5),
    shifts: int = 39,
    seed: int = 0,
) -> Iterator[pd.DataFrame]:
    """Fresh initialisations, retrained under every ranking and share, in chunks.

    Yields
    ------
    DataFrame
        One row per network, ranking, share and `MATCHED`: network, ranking, matched, share, kept, operations, epochs,
        reached, accuracy, f1 (at the benchmark), accuracy_at_budget (NaN at equal operations); testable: share of
        weights that the ranking's test could be made for; pruned_alone, pruned_alone_corrected: weights with p >= 0.05
        without and with the correction of Benjamini and Hochberg. These three are NaN for rankings without a test.
        Share 0 is the dense network. Reversed rankings are compared at equal counts only.
    """
    sizes = (data.x_train.shape[1], settings.hidden, data.y_train.shape[1])
    everyone = initialise(sizes, seeds, seed=seed, scale=settings.scale, output=settings.output)
    for first in range(0, seeds, CHUNK):
        ensemble = everyone.select(range(first, min(first + CHUNK, seeds)))
        whole = torch.ones_like(ensemble.weights, dtype=torch.bool)
        dense = run(data, settings, ensemble, whole)
        ranked = rankings(ensemble, dense.ensemble.weights, data, settings, shifts=shifts, seed=seed, first=first)
        keep = {("dense", "count", 0.0): whole}
        for name, ranks in ranked.ranks.items():
            for matched in MATCHED[: 1 if name.endswith(_REVERSED) else 2]:
                keep |= {(name, matched, share): mask(ranks, share, sizes, matched=matched) for share in shares}
        rows = _retrained(data, settings, ensemble, keep)
        rows = rows.join(pd.concat(_alone(ranked.p_values)), on=["ranking", "network"])
        yield rows.assign(network=rows.network + first)


def _alone(p_values: Mapping[str, Tensor]) -> list[pd.DataFrame]:
    """By ranking and network: the share of weights that can be tested, and how many each test prunes by itself."""
    found = []
    for name, values in p_values.items():
        table = []
        for p_value in values:
            p = p_value[~p_value.isnan()]
            pruned = [int((q >= legcnet.LEVEL).sum()) for q in (p, benjamini_hochberg(p) if len(p) else p)]
            table.append((len(p) / len(p_value), *pruned))
        columns = ["testable", "pruned_alone", "pruned_alone_corrected"]
        index = pd.MultiIndex.from_product([[name], range(len(values))], names=["ranking", "network"])
        found.append(pd.DataFrame(table, index=index, columns=columns))
    return found


def _retrained(
    data: Dataset, settings: legcnet.Settings, ensemble: Ensemble, keep: Mapping[tuple[str, str, float], Tensor]
) -> pd.DataFrame:
    """One row per mask and network. Equal masks of one network are trained once."""
    keys = [key for key in keep for _ in range(len(ensemble))]
    network, masks = torch.arange(len(ensemble)).repeat(len(keep)), torch.cat(list(keep.values()))
    distinct, place = torch.unique(torch.cat([network[:, None], masks.long()], 1), dim=0, return_inverse=True)
    kept = distinct[:, 1:].bool()
    stopped = run(data, settings, ensemble.select(distinct[:, 0]), kept)
    asked = torch.zeros(len(distinct), dtype=torch.bool)
    asked[place[[matched == "count" for _, matched, _ in keys]]] = True
    at_budget = _accuracy_at_budget(data, settings, stopped, kept, asked)
    values = {
        "network": network,
        "kept": masks.sum(1),
        "operations": operations(masks, ensemble.sizes),
        "epochs": stopped.epochs[place],
        "reached": stopped.reached[place],
        "accuracy": stopped.test_accuracy[place],
        "f1": stopped.test_f1[place],
        "accuracy_at_budget": at_budget[place],
    }
    rows = pd.DataFrame(keys, columns=["ranking", "matched", "share"])
    rows = rows.assign(**{name: value.numpy() for name, value in values.items()})
    return rows.assign(accuracy_at_budget=rows.accuracy_at_budget.where(rows.matched == "count"))


def _accuracy_at_budget(
    data: Dataset, settings: legcnet.Settings, stopped: Trained, keep: Tensor, asked: Tensor
) -> Tensor:
    """Test accuracy (B,) after the whole budget of epochs, NaN where not asked; training goes on where it stopped."""
    found = torch.where(asked, stopped.test_accuracy, torch.nan)
    for epoch in stopped.epochs[asked & stopped.reached].unique():
        rows = torch.nonzero(asked & stopped.reached & (stopped.epochs == epoch))[:, 0]
        networks = stopped.ensemble.select(rows)
        steps = (settings.budget - 1 - int(epoch)) * len(data.x_train)
        options = {"rate": settings.rate, "reduction": settings.reduction, "keep": keep[rows]}
        if steps:
            advance(networks, data.x_train, data.y_train, first=0, steps=steps, **options)
        found[rows] = accuracy(networks, data.x_test, data.y_test)
    return found
