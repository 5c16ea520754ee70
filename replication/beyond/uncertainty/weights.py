"""Simulations for the posterior of weights: coefficients planted on the recorded changes of planted networks."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune.lasso import BlockCovariance
from ccprune.stats import posterior
from replication import ledger
from replication.data.synthetic import Problem, idle_quadratic, teacher_network

_RECORDS, _BURN_IN, _BATCH, _LR = 3000, 400, 128, 0.1
_EFFECT = 3.0  # standard deviation of a planted coefficient in standard errors
_MOMENTUM = 0.9  # whose squared changes have an autocorrelation of about _MOMENTUM^(2 lag)
_CORRELATION = 0.8  # of successive errors of dependent records


def planted_problem(kind: str, share: float, seed: int) -> Problem:
    """Return "quadratic" or "teacher" with 300 weights, a given share of them idle."""
    if kind == "quadratic":
        return idle_quadratic(300, round(300 * share), kind="noise_only", samples=512, seed=seed)
    return teacher_network(10, 20, round(20 * share), 5, start="near", samples=512, seed=seed)


def record(problem: Problem, *, momentum: float, seed: int) -> tuple[Tensor, Tensor]:
    """Train by SGD, and return the changes of the loss on all data (T,) and the weights' changes (T, P)."""
    generator = torch.Generator().manual_seed(seed)
    weights = list(problem.model.parameters())
    optimizer = torch.optim.SGD(weights, lr=_LR * (1 - momentum), momentum=momentum)
    losses, values = [], []
    for _ in range(_BURN_IN + _RECORDS + 1):
        with torch.no_grad():
            losses.append(problem.loss(problem.model(problem.x), problem.y))
            values.append(torch.cat([weight.flatten() for weight in weights]))
        chosen = torch.randint(len(problem.x), (_BATCH,), generator=generator)
        optimizer.zero_grad()
        problem.loss(problem.model(problem.x[chosen]), problem.y[chosen]).backward()
        optimizer.step()
    return torch.stack(losses).diff()[_BURN_IN:], torch.stack(values).diff(dim=0)[_BURN_IN:]


def plant(changes: Tensor, idle: Tensor, *, correlation: float, seed: int) -> Tensor:
    """Return loss changes (T,) with coefficient zero for idle weights: standardised squared changes, and AR(1) errors.

    Errors have variance 1 and the given lag-1 correlation. A coefficient that is not zero has a standard deviation of
    `_EFFECT` standard errors of the marginal regression, as far as the records allow that many effects.
    """
    rng = np.random.default_rng(seed)
    features = changes.square().numpy()
    features = (features - features.mean(0)) / features.std(0)
    records, needed = len(features), int((~idle).sum())
    memory = (1 + correlation * _MOMENTUM**2) / (1 - correlation * _MOMENTUM**2) if correlation else 1.0
    variance = _EFFECT**2 * memory / max(records - _EFFECT**2 * memory * needed, records / 4)
    gamma = np.where(idle.numpy(), 0.0, np.sqrt(variance) * rng.standard_normal(len(idle)))
    errors = rng.standard_normal(records)
    for t in range(1, records):
        errors[t] = correlation * errors[t - 1] + np.sqrt(1 - correlation**2) * errors[t]
    return torch.from_numpy(features @ gamma + errors)


def z_statistics(losses: Tensor, changes: Tensor, block: int) -> dict[str, Tensor]:
    """Return the z-statistics of loss changes (T,) and weight changes (T, P)."""
    screen = BlockCovariance(block=block)
    for loss, change in zip(losses, changes, strict=True):
        screen.update(loss, {"weight": change})
    return screen.z


def simulate(*, shares: Sequence[float], repeats: int, block: int, seed: int) -> pd.DataFrame:
    """Simulate the posterior probability that a weight matters, on planted problems with 300 weights.

    Records are "independent" (plain SGD, white errors), "dependent" (momentum 0.9, correlated errors) or "actual"
    (those of momentum with the network's own loss changes; a weight matters if it is not idle).

    Parameters
    ----------
    shares : sequence of float
        Shares of idle weights.
    repeats : int
        Number of problems for each share.
    block : int
        Number of records of a block, as in `ccprune.lasso.BlockCovariance`.
    seed : int
        First of the problems' seeds.

    Returns
    -------
    DataFrame
        One row per weight: problem, records, share (of idle weights), repeat, matters and probability.
    """
    return pd.concat(_parts(shares, repeats, block, seed), ignore_index=True)


def _parts(shares: Sequence[float], repeats: int, block: int, seed: int) -> Iterator[pd.DataFrame]:
    for kind in ("quadratic", "teacher"):
        for share in shares:
            for repeat in range(seed, seed + repeats):
                for records in ("independent", "dependent", "actual"):
                    if records != "actual":
                        dependent = records == "dependent"
                        problem = planted_problem(kind, share, repeat)
                        own, changes = record(problem, momentum=_MOMENTUM * dependent, seed=repeat)
                        idle = torch.cat([value.flatten() for value in problem.idle.values()])
                        losses = plant(changes, idle, correlation=_CORRELATION * dependent, seed=repeat)
                    else:
                        losses = own
                    found = posterior(z_statistics(losses, changes, block))
                    yield pd.DataFrame(
                        {
                            "problem": kind,
                            "records": records,
                            "share": share,
                            "repeat": repeat,
                            "matters": ~idle.numpy(),
                            "probability": found.probability["weight"].numpy(),
                        }
                    )


def removals(weights: pd.DataFrame) -> pd.DataFrame:
    """Return the expected and the true number of wrong removals when as many weights are pruned as are idle.

    Parameters
    ----------
    weights : DataFrame
        Table of `simulate`.

    Returns
    -------
    DataFrame
        One row for each problem, kind of records and share: the means over the repeats of the expected and the true
        number, their ratio (NaN without any wrong removal), and n (number of repeats).
    """
    rows = []
    for (problem, records, share), group in weights.groupby(["problem", "records", "share"], sort=False):
        parts = [part.nsmallest(int((~part["matters"]).sum()), "probability") for _, part in group.groupby("repeat")]
        expected = np.array([part["probability"].sum() for part in parts])
        true = np.array([part["matters"].sum() for part in parts])
        rows.append(
            {
                "problem": problem,
                "records": records,
                "share": share,
                "expected": expected.mean(),
                "true": true.mean(),
                "ratio": expected.sum() / true.sum() if true.sum() else np.nan,
                "n": len(parts),
            }
        )
    return pd.DataFrame(rows)


def calibration(weights: pd.DataFrame) -> pd.DataFrame:
    """Return the mean probability, the share that matters, and the number of weights, by fifths of the probability.

    Parameters
    ----------
    weights : DataFrame
        Table of `simulate`.

    Returns
    -------
    DataFrame
        One row for each kind of records and fifth: records, fifth (0 to 4), probability, matters and n.
    """
    fifth = np.minimum((weights["probability"] * 5).astype(int), 4)
    grouped = weights.groupby(["records", fifth.rename("fifth")])
    return grouped.agg(
        probability=("probability", "mean"), matters=("matters", "mean"), n=("matters", "size")
    ).reset_index()


def posterior_cells(table: pd.DataFrame, profile: str) -> list[ledger.Cell]:
    """Return the expected and true numbers of wrong removals as cells of the table "posterior".

    Parameters
    ----------
    table : DataFrame
        Table of `removals`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    numbers = table.melt(["problem", "records", "share", "n"], ["expected", "true"], "quantity", "ours").assign(
        dataset=lambda rows: rows["problem"] + ", " + rows["records"] + " records",
        quantity=lambda rows: rows["quantity"] + " wrong removals",
    )
    chosen = numbers.rename(columns={"share": "sparsity"})[["dataset", "sparsity", "quantity", "ours", "n"]]
    return ledger.row_cells(chosen, paper="causal", table="posterior", method="two groups", profile=profile)
