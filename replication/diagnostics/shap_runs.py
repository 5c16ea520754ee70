"""Do pruned networks keep the ranking of the features? Paper A's claim on SHAP, with controls and a noise floor.

A dense network and a pruned one share their initial weights and the order of the samples, so that part of their
agreement would be there whatever was pruned. Two comparisons tell: random masks that remove as many weights, and the
agreement of two dense networks from different initialisations, the noise floor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from replication.data import Dataset
from replication.diagnostics.explanations import background_sample, importance, shap_values
from replication.diagnostics.shap_agreement import NOISE_FLOOR, agreement
from replication.ledger.claims import higher
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import CONTROLS, fresh_masks, run
from replication.networks import models
from replication.networks.ensemble import initialise
from replication.networks.train import Trained

QUANTITIES = ("spearman", "kendall", "top_k", "shared")

# Spawn key of the noise floor's initialisations, far from those of the initialisations.
_KEY = 2_000_000


def fresh_importances(
    data: Dataset,
    settings: legcnet.Settings,
    *,
    seeds: int,
    seed: int = 0,
    methods: Sequence[str] = ("ft", "pt"),
    background: int = 100,
    stop: bool = True,
) -> Iterator[pd.DataFrame]:
    """SHAP importance of fresh networks, in chunks: one row per network, method and feature.

    Methods: dense, `methods`, their random and magnitude controls at the same count (`legcnet_runs.CONTROLS`), all from
    the same initial weights, and `NOISE_FLOOR`, a dense network from other initial weights for each network, so that
    networks are independent of each other. They are trained to the benchmark, `settings.budget` epochs at most; with
    `stop` False for all of these epochs. The outputs are explained on the test part, exactly, against at most
    `background` rows of the training part.

    Columns: network, method, removed (weights), reached (the benchmark; nobody does with `stop` False), accuracy (on
    the test part), feature, importance. A network's rows depend on `seed` and its number alone.
    """
    sizes = (data.x_train.shape[1], settings.hidden, data.y_train.shape[1])
    other_seed = int(np.random.SeedSequence(seed, spawn_key=(_KEY,)).generate_state(1)[0])
    others = initialise(sizes, seeds, seed=other_seed, scale=settings.scale, output=settings.output)
    known = background_sample(data.x_train, rows=background, seed=seed)
    for part in fresh_masks(data, settings, seeds=seeds, seed=seed, methods=methods):
        keep = {name: mask for name, mask in part.keep.items() if name != "ft_causal"}
        count, masks = len(part.ensemble), torch.cat(list(keep.values()))
        trained = run(data, settings, part.ensemble.select(list(range(count)) * len(keep)), masks, stop=stop)
        other = others.select(range(part.first, part.first + count))
        floor = run(data, settings, other, keep["dense"], stop=stop)
        parts = ((trained, list(keep), masks), (floor, [NOISE_FLOOR], keep["dense"]))
        yield pd.concat([_rows(*found, part.first, data, known) for found in parts], ignore_index=True)


def agreements(importances: pd.DataFrame) -> pd.DataFrame:
    """Agreement of each network with the dense network of its initialisation: one row per network and method.

    `importances` as from `fresh_importances`. Columns: network, method, removed, reached, accuracy, spearman, kendall,
    top_k (of a third of the features, at least one), shared, unused (features without importance). A network of which
    nothing was removed is the dense one and agrees with it by 1; see `claims`.
    """
    rows = []
    top = max(1, importances.feature.nunique() // 3)
    columns = ["removed", "reached", "accuracy"]
    for network, part in importances.groupby("network", sort=False):
        wide = part.pivot(index="method", columns="feature", values="importance")
        about = part.groupby("method", sort=False)[columns].first()
        for method in about.index.drop("dense"):
            found = agreement(wide.loc["dense"], wide.loc[method], top=top)
            unused = int((wide.loc[method] == 0).sum())
            rows.append({"network": network, "method": method, **about.loc[method], **asdict(found), "unused": unused})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Paired differences in agreement: FT and PT to their controls, and all of these to the noise floor.

    One row per method, reference, quantity and `networks`: "all", or "pruned", those of which the method removed
    something; the others agree with dense by 1 under every mask, which says nothing about the choice of weights.
    Columns: estimate, low, high, p_value, n and outcome, whether the method agrees with dense more than the reference
    does, all from `verdicts.claims.higher`. A comparison that fewer than 2 networks allow is left out.
    """
    wide = table.pivot(index="network", columns="method")
    rows = []
    for method, reference in _compared(set(table.method)):
        pruned = wide["removed"][method] > 0
        for networks, part in (("all", wide), ("pruned", wide[pruned])):
            if len(part) < 2:
                continue
            for quantity in QUANTITIES:
                found = higher(part[quantity][method], part[quantity][reference], seed=seed)
                numbers = (found["ours"], found["ci_low"], found["ci_high"], found["p_value"], found["n"])
                rows.append((method, reference, quantity, networks, *numbers, found["outcome"]))
    columns = ["method", "reference", "quantity", "networks", "estimate", "low", "high", "p_value", "n", "outcome"]
    return pd.DataFrame(rows, columns=columns)


def _compared(methods: set[str]) -> Iterator[tuple[str, str]]:
    for method in [name for name in CONTROLS if name in methods]:
        for control in CONTROLS[method]:
            yield method, control
        for name in (method, *CONTROLS[method]):
            yield name, NOISE_FLOOR


def _rows(
    trained: Trained, methods: Sequence[str], masks: Tensor, first: int, data: Dataset, background: Tensor
) -> pd.DataFrame:
    """Rows of as many networks under each of `methods`, method by method, numbered from `first`."""
    everyone = range(len(trained.ensemble))
    networks = (models.from_ensemble(trained.ensemble, index) for index in everyone)
    found = [importance(shap_values(network, background, data.x_test, method="exact")) for network in networks]
    count = len(everyone) // len(methods)
    about = pd.DataFrame(
        {
            "network": first + np.tile(np.arange(count), len(methods)),
            "method": np.repeat(methods, count),
            "removed": (~masks).sum(1).numpy(),
            "reached": trained.reached.numpy(),
            "accuracy": trained.test_accuracy.numpy(),
        }
    )
    table = about.join(pd.DataFrame(torch.stack(found).numpy(), columns=list(data.features)))
    return table.melt(list(about.columns), var_name="feature", value_name="importance")
