"""Does LEGCNet work if its test is done right? Rankings of weights by several tests, compared at equal sizes.

A test that calls most weights causal removes few of them, so two tests are compared by their *rankings*: each ranking
removes the same share of weights, or of multiply-adds, and the networks are retrained from their initial weights.
"""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from ccprune.granger import benjamini_hochberg
from replication.data import Dataset
from replication.legcnet import procedure as legcnet
from replication.legcnet.rankings import RANDOM, REVERSED, TESTS, Rankings, rankings
from replication.legcnet.runs import CHUNK, run
from replication.legcnet.settings import Settings
from replication.networks.ensemble import MLPBatch, initialise
from replication.networks.training import Trained, accuracy, advance

__all__ = ["MATCHED", "RANDOM", "REVERSED", "TESTS", "Rankings", "mask", "operations", "rankings", "runs"]

#: What masks have in common: the share of removed weights, or of removed multiply-adds.
MATCHED = ("count", "operations")


def operations(keep: Tensor, sizes: tuple[int, int, int]) -> Tensor:
    """Count the multiply-adds of one forward pass that masks leave, without hidden units that have no effect.

    A hidden unit without outputs is not computed, and one without inputs is a constant, which the outputs' biases
    absorb. The remaining weights of both cost nothing.

    Parameters
    ----------
    keep : Tensor (B, M), bool
        Masks, True = keep.
    sizes : tuple of int
        Numbers of inputs, hidden units and outputs (d, h, o).

    Returns
    -------
    Tensor (B,)
        Numbers of multiply-adds.
    """
    inputs, hidden, width = sizes
    into = keep[:, : hidden * inputs].reshape(-1, hidden, inputs).sum(2)
    out = keep[:, hidden * inputs :].reshape(-1, width, hidden).sum(1)
    return torch.where((into > 0) & (out > 0), into + out, 0).sum(1)


def mask(ranks: Tensor, share: float, sizes: tuple[int, int, int], *, matched: str = "count") -> Tensor:
    """Make masks that remove a share of the weights, or of the multiply-adds, in pruning order.

    Parameters
    ----------
    ranks : Tensor (B, M)
        Position of each weight in the pruning order, 0 first.
    share : float
        Share to remove, in [0, 1).
    sizes : tuple of int
        Numbers of inputs, hidden units and outputs (d, h, o).
    matched : str, default "count"
        "count" removes this share of the weights. "operations" removes the fewest weights that leave `operations` at (1
        - share) M or below.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.

    Raises
    ------
    ValueError
        If `matched` is another word, or the share is outside its range.
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
    settings: Settings,
    *,
    seeds: int,
    shares: Sequence[float] = (0.1, 0.3, 0.5),
    shifts: int = 39,
    seed: int = 0,
) -> Iterator[pd.DataFrame]:
    """Retrain fresh initialisations under every ranking and share, in chunks.

    Parameters
    ----------
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    seeds : int
        Number of initialisations.
    shares : sequence of float, default (0.1, 0.3, 0.5)
        Shares to remove, in (0, 1).
    shifts : int, default 39
        Number of circular shifts of the exponents in the surrogate test.
    seed : int, default 0
        Seed of the initialisations and of the random orders.

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
            for matched in MATCHED[: 1 if name.endswith(REVERSED) else 2]:
                keep |= {(name, matched, share): mask(ranks, share, sizes, matched=matched) for share in shares}
        rows = _retrain(data, settings, ensemble, keep)
        rows = rows.join(pd.concat(_alone(ranked.p_values)), on=["ranking", "network"])
        yield rows.assign(network=rows.network + first)


def _alone(p_values: Mapping[str, Tensor]) -> list[pd.DataFrame]:
    """By ranking and network: the share of weights that can be tested, and how many each test prunes by itself."""
    found = []
    for name, values in p_values.items():
        table = []
        for p_value in values:
            p = p_value[~p_value.isnan()]
            pruned = [int((q >= legcnet.SIGNIFICANCE).sum()) for q in (p, benjamini_hochberg(p) if len(p) else p)]
            table.append((len(p) / len(p_value), *pruned))
        columns = ["testable", "pruned_alone", "pruned_alone_corrected"]
        index = pd.MultiIndex.from_product([[name], range(len(values))], names=["ranking", "network"])
        found.append(pd.DataFrame(table, index=index, columns=columns))
    return found


def _retrain(
    data: Dataset, settings: Settings, ensemble: MLPBatch, keep: Mapping[tuple[str, str, float], Tensor]
) -> pd.DataFrame:
    """One row per mask and network. Equal masks of one network are trained once."""
    keys = [key for key in keep for _ in range(len(ensemble))]
    network, masks = torch.arange(len(ensemble)).repeat(len(keep)), torch.cat(list(keep.values()))
    distinct, place = torch.unique(torch.cat([network[:, None], masks.long()], 1), dim=0, return_inverse=True)
    kept = distinct[:, 1:].bool()
    stopped = run(data, settings, ensemble.select(distinct[:, 0]), kept)
    wanted = torch.zeros(len(distinct), dtype=torch.bool)
    wanted[place[[matched == "count" for _, matched, _ in keys]]] = True
    at_budget = _accuracy_at_budget(data, settings, stopped, kept, wanted)
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


def _accuracy_at_budget(data: Dataset, settings: Settings, stopped: Trained, keep: Tensor, wanted: Tensor) -> Tensor:
    """Test accuracy (B,) after the whole budget of epochs, NaN where not wanted; training goes on where it stopped."""
    found = torch.where(wanted, stopped.test_accuracy, torch.nan)
    for epoch in stopped.epochs[wanted & stopped.reached].unique():
        rows = torch.nonzero(wanted & stopped.reached & (stopped.epochs == epoch))[:, 0]
        networks = stopped.ensemble.select(rows)
        steps = (settings.budget - 1 - int(epoch)) * len(data.x_train)
        options = {"lr": settings.lr, "reduction": settings.reduction, "keep": keep[rows]}
        if steps:
            advance(networks, data.x_train, data.y_train, first=0, steps=steps, **options)
        found[rows] = accuracy(networks, data.x_test, data.y_test)
    return found
