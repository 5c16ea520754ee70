"""Test of paper A's claim that pruned networks keep the SHAP ranking of the features, with controls and a noise floor.

A dense and a pruned network share the initial weights and the order of the samples, so a part of their agreement does
not depend on the mask. Two comparisons account for this: random masks with the same number of pruned weights, and the
noise floor, which is the agreement of two dense networks of different initialisations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from replication.data import Dataset
from replication.diagnostics.explanations import background_sample, importance, shap_values
from replication.diagnostics.shap_agreement import agreement
from replication.ledger.cell import NOISE_FLOOR
from replication.ledger.claims import higher
from replication.legcnet.runs import CONTROLS, fresh_masks, run
from replication.legcnet.settings import Settings
from replication.networks import models
from replication.networks.ensemble import initialise
from replication.networks.training import Trained

QUANTITIES = ("spearman", "kendall", "top_k", "shared")

# Spawn key of the noise floor's initialisations, far above those of the others.
_KEY = 2_000_000


def fresh_importances(
    data: Dataset,
    settings: Settings,
    *,
    seeds: int,
    seed: int = 0,
    methods: Sequence[str] = ("ft", "pt"),
    background: int = 100,
    stop: bool = True,
) -> Iterator[pd.DataFrame]:
    """Yield the SHAP importance of the features in fresh networks, in chunks.

    The methods are dense, `methods` and their random and magnitude controls of the same count
    (`legcnet.runs.CONTROLS`), all from the same initial weights, and `NOISE_FLOOR`, one dense network of another
    initialisation for each network, so that networks are independent. The outputs are explained exactly, on the test
    part.

    Parameters
    ----------
    data : Dataset
        Data set.
    settings : Settings
        Settings of LEGCNet. Networks are trained to the benchmark, for `settings.budget` epochs at most.
    seeds : int
        Number of initialisations.
    seed : int, default 0
        Seed. The rows of a network depend on it and the network's number only.
    methods : sequence of str, default ("ft", "pt")
        Methods of LEGCNet.
    background : int, default 100
        Largest number of training rows in the background.
    stop : bool, default True
        Whether to stop at the benchmark. If False, all networks are trained for all epochs.

    Yields
    ------
    DataFrame
        One row per network, method and feature, with the columns network, method, removed (number of weights), reached
        (the benchmark; False everywhere if `stop` is False), accuracy (on the test part), feature and importance.
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
    """Return the agreement of each network with the dense network of its initialisation.

    A network without pruned weights is the dense one, and its agreement is 1; see `claims`.

    Parameters
    ----------
    importances : DataFrame
        As from `fresh_importances`.

    Returns
    -------
    DataFrame
        One row per network and method, with the columns network, method, removed, reached, accuracy, spearman, kendall,
        top_k (of a third of the features, at least one), shared, and unused (number of features without importance).
    """
    rows = []
    top = max(1, importances.feature.nunique() // 3)
    columns = ["removed", "reached", "accuracy"]
    for network, part in importances.groupby("network", sort=False):
        wide = part.pivot(index="method", columns="feature", values="importance")
        about = part.groupby("method", sort=False)[columns].first()
        for method in about.index.drop("dense"):
            agreed = agreement(wide.loc["dense"], wide.loc[method], top=top)
            unused = int((wide.loc[method] == 0).sum())
            rows.append({"network": network, "method": method, **about.loc[method], **asdict(agreed), "unused": unused})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return paired differences in agreement: FT and PT to their controls, and all of these to the noise floor.

    Parameters
    ----------
    table : DataFrame
        As from `agreements`.
    seed : int, default 0
        Seed of the intervals and tests.

    Returns
    -------
    DataFrame
        One row per method, reference, quantity and `networks` ("all", or "pruned" for those with pruned weights; the
        others have agreement 1 under every mask, which is no evidence on the choice of weights). The columns estimate,
        low, high, p_value, n and outcome are those of `ledger.claims.higher` for the claim that the method agrees with
        dense more than the reference does. Comparisons of fewer than 2 networks are left out.
    """
    wide = table.pivot(index="network", columns="method")
    rows = []
    for method, reference in _compared_pairs(set(table.method)):
        pruned = wide["removed"][method] > 0
        for networks, part in (("all", wide), ("pruned", wide[pruned])):
            if len(part) < 2:
                continue
            for quantity in QUANTITIES:
                claim = higher(part[quantity][method], part[quantity][reference], seed=seed)
                numbers = (claim["ours"], claim["ci_low"], claim["ci_high"], claim["p_value"], claim["n"])
                rows.append((method, reference, quantity, networks, *numbers, claim["outcome"]))
    columns = ["method", "reference", "quantity", "networks", "estimate", "low", "high", "p_value", "n", "outcome"]
    return pd.DataFrame(rows, columns=columns)


def summary(table: pd.DataFrame, claims: pd.DataFrame) -> str:
    """Return the agreement of FT and PT by Spearman's correlation beside random masks and the noise floor, as text.

    Parameters
    ----------
    table : DataFrame
        As from `agreements`.
    claims : DataFrame
        As from `claims`.

    Returns
    -------
    str
        One clause for FT and one for PT.
    """
    of = dict(list(table.groupby("method")))
    compared = claims[(claims.quantity == "spearman") & (claims.networks == "all")].set_index(["method", "reference"])
    clauses = []
    for method in ("ft", "pt"):
        control = CONTROLS[method][0]
        row = compared.loc[method, control]
        clauses.append(
            f"{method.upper()} agrees with dense by {of[method].spearman.mean():.2f}, random masks by "
            f"{of[control].spearman.mean():.2f} (difference {row.estimate:+.3f} [{row.low:+.3f}, {row.high:+.3f}], "
            f"p = {row.p_value:.2g}), two dense networks by {of[NOISE_FLOOR].spearman.mean():.2f}; "
            f"{of[method].removed.mean():.1f} weights removed"
        )
    return "; ".join(clauses)


def _compared_pairs(methods: set[str]) -> Iterator[tuple[str, str]]:
    for method in [name for name in CONTROLS if name in methods]:
        for control in CONTROLS[method]:
            yield method, control
        for name in (method, *CONTROLS[method]):
            yield name, NOISE_FLOOR


def _rows(
    trained: Trained, methods: Sequence[str], masks: Tensor, first: int, data: Dataset, background: Tensor
) -> pd.DataFrame:
    """Return the rows of equally many networks under each method, method by method, numbered from `first`."""
    everyone = range(len(trained.ensemble))
    networks = (models.from_ensemble(trained.ensemble, index) for index in everyone)
    importances = [importance(shap_values(network, background, data.x_test, method="exact")) for network in networks]
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
    table = about.join(pd.DataFrame(torch.stack(importances).numpy(), columns=list(data.features)))
    return table.melt(list(about.columns), var_name="feature", value_name="importance")
