"""Cheap causality: how few records, windows and weights give the ranking of both papers' full scores?"""

import math
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune._util.threads import one_thread
from ccprune.lyapunov import windowed_exponents
from ccprune.scores import legcnet
from replication import ledger
from replication.data.synthetic import idle_quadratic

_LAG, _STEPS, _WINDOW, _STRIDE = 2, 3, 12, 11
#: Ways to spend less: the first records only, every other record, fewer windows (longer strides), sampled weights.
WAYS = {
    "causal": ("earlier stop", "fewer records", "sampled weights"),
    "LEGCNet": ("earlier stop", "fewer windows", "sampled weights"),
}
SHARES = (1.0, 0.7, 0.5, 0.3, 0.1)
_KNEE = 0.9
_IDLE = 0.5  # share of idle weights
_OTHER = 1_000_000  # the problem draws its idle weights with the seed itself: the sample must not be the same draw
_TIMED = 3  # of as many calls the fastest counts


def cheap_runs(
    *, kind: str = "dead", weights: int = 60, records: int = 400, seeds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Train planted regressions in which half of the weights are idle, and score them with parts of their records.

    The overlap is the share of the kept weights, as many as are needed, that the full score keeps too, and truth the
    share that is needed. Both are counted over all weights. Of sampled weights only the sample is scored, and each
    of the rest gets the score of one of these at random. Seconds are the processor's for scoring on one
    thread (the fastest of three calls), and bytes what a score holds.

    Parameters
    ----------
    kind : str, default "dead"
        Kind of the idle weights, "dead" or "noise_only", see `idle_quadratic`.
    weights : int, default 60
        Number of weights.
    records : int, default 400
        Number of training steps, which are all recorded.
    seeds : int, default 5
        Number of problems.
    seed : int, default 0
        First of their seeds.

    Returns
    -------
    DataFrame
        Columns seed, paper, way, share, overlap, truth, seconds, bytes. The attribute `attrs["needed"]` is the share of
        needed weights.
    """
    rows = []
    for one in range(seed, seed + seeds):
        changes, losses, paths, needed = _record_problem(kind, weights, round(_IDLE * weights), records, one)
        for paper, ways in WAYS.items():
            full = _keep_highest(_score(paper, "earlier stop", 1.0, changes, losses, paths, one)[0], needed)
            for way in ways:
                for share in SHARES:
                    seconds = math.inf
                    for _ in range(_TIMED):
                        began = time.process_time()
                        with one_thread():
                            found = _score(paper, way, share, changes, losses, paths, one)
                        seconds = min(seconds, time.process_time() - began)
                    if found is None:  # too few windows for the test
                        continue
                    kept = _keep_highest(found[0], needed)
                    row = {"seed": one, "paper": paper, "way": way, "share": share, "seconds": seconds}
                    row |= {"bytes": found[1], "truth": float((kept & needed).sum() / needed.sum())}
                    rows.append(row | {"overlap": float((kept & full).sum() / needed.sum())})
    table = pd.DataFrame(rows)
    table.attrs["needed"] = 1 - round(_IDLE * weights) / weights
    return table


def knees(runs: pd.DataFrame, measure: str = "overlap") -> pd.DataFrame:
    """Return the knee of each way: the smallest share with at least 90% of what full cost gives beyond chance.

    The rule holds at that share and at all larger ones. Chance is the value of a random ranking, which is the share of
    needed weights. Where the full score is not shown to be better than chance (low, minus two standard errors over the
    seeds) there is nothing to keep, and the knee is NaN.

    Parameters
    ----------
    runs : DataFrame
        Table of `cheap_runs`.
    measure : str, default "overlap"
        "overlap" or "truth".

    Returns
    -------
    DataFrame
        Columns paper, way, chance, full, low (of full minus chance), knee, seconds, bytes (as
        shares of those at full cost).
    """
    rows = []
    for (paper, way), part in runs.groupby(["paper", "way"]):
        chance = float(runs.attrs["needed"])
        means = part.groupby("share")[[measure, "seconds", "bytes"]].mean().sort_index(ascending=False)
        gaps = part.loc[part["share"] == 1.0, measure] - chance
        low = float(gaps.mean() - 2 * gaps.std(ddof=1) / len(gaps) ** 0.5)
        enough = (means[measure] - chance) >= _KNEE * gaps.mean()
        good = [share for share, held in enough.cummin().items() if held]
        row = {"paper": paper, "way": way, "chance": chance, "full": chance + gaps.mean(), "low": low}
        place = good[-1] if good and low > 0 else float("nan")
        costs = {name: means[name].get(place, np.nan) / means[name][1.0] for name in ("seconds", "bytes")}
        rows.append(row | {"knee": place} | costs)
    return pd.DataFrame(rows)


def cheap_cells(runs: pd.DataFrame, kind: str, profile: str) -> list[ledger.Cell]:
    """Return the mean overlap and truth of each share, and the knees with their costs, as cells.

    Parameters
    ----------
    runs : DataFrame
        Table of `cheap_runs`.
    kind : str
        Kind of the idle weights, the cells' data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    fields = {"table": "cheap causality", "dataset": kind, "profile": profile}
    cells, names = [], {"overlap": "overlap with the full score", "truth": "needed share of the kept weights"}
    for measure, name in names.items():
        found = knees(runs, measure).set_index(["paper", "way"])[["knee", "seconds", "bytes"]].add_suffix(f", {name}")
        for (paper, way, share), part in runs.groupby(["paper", "way", "share"]):
            samples = part[[measure]].assign(method=f"{way}, {share:.0%}", quantity=name)
            cells += ledger.sample_cells(samples, measure, paper=paper.lower(), **fields)
        for (paper, way), row in found.iterrows():
            known = row.dropna().rename("ours").rename_axis("quantity").reset_index()
            cells += ledger.row_cells(known.assign(method=way, n=runs["seed"].nunique()), paper=paper.lower(), **fields)
    return cells


def _record_problem(
    kind: Any, weights: int, idle: int, records: int, seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return squared changes (T, P), loss changes (T,), weights (T, P) and which are needed, of a training by SGD."""
    problem = idle_quadratic(weights, idle, kind=kind, seed=seed)
    model, generator = problem.model, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    (weight,) = model.parameters()
    changes, losses, paths = [], [], []
    for _ in range(records):
        rows = torch.randint(len(problem.x), (64,), generator=generator)
        loss = problem.loss(model(problem.x[rows]), problem.y[rows])
        optimizer.zero_grad()
        loss.backward()
        before = weight.detach().clone()
        optimizer.step()
        with torch.no_grad():
            losses.append(problem.loss(model(problem.x[rows]), problem.y[rows]) - loss)
        changes.append((weight.detach() - before).square().flatten())
        paths.append(weight.detach().flatten().clone())
    return torch.stack(changes), torch.stack(losses).detach(), torch.stack(paths), ~problem.idle["weight"].flatten()


def _score(
    paper: str, way: str, share: float, changes: Tensor, losses: Tensor, paths: Tensor, seed: int
) -> tuple[Tensor, int] | None:
    """Return scores (P,) and the bytes that the score holds, or None for fewer windows than the test needs."""
    count, generator = changes.shape[1], torch.Generator().manual_seed(seed + _OTHER)
    rows = torch.arange(len(changes))
    if way == "earlier stop":
        rows = rows[: round(share * len(rows))]
    if way == "fewer records":
        rows = torch.randperm(len(rows), generator=generator)[: round(share * len(rows))].sort().values
    columns = torch.arange(count)
    if way == "sampled weights":
        columns = torch.randperm(count, generator=generator)[: round(share * count)]
    stride = round(_STRIDE / share) if way == "fewer windows" else _STRIDE
    if paper == "causal":
        found, held = (changes[rows][:, columns].T @ losses[rows]).abs() / len(rows), 12 * len(columns)
    else:
        if (len(rows) - _WINDOW) // stride + 1 < 3 * _LAG + 2:
            return None
        chosen = paths[rows][:, columns]
        exponents = windowed_exponents(chosen, window=_WINDOW, stride=stride, steps=_STEPS)
        risk = losses[rows].cumsum(0)[_WINDOW - 1 :: stride][: len(exponents)]
        found = legcnet({"w": exponents}, risk, max_lag=_LAG, test="ssr_f", untestable="prune")["w"]
        held = len(columns) * (8 * len(exponents) + 4 * _WINDOW)
    scores = found[torch.randint(len(found), (count,), generator=generator)].double()
    scores[columns] = found.double()
    return scores, held


def _keep_highest(scores: Tensor, needed: Tensor) -> Tensor:
    kept = torch.zeros_like(needed)
    kept[scores.argsort(descending=True, stable=True)[: int(needed.sum())]] = True
    return kept
