"""Cheaper scores: the rule of the knee on curves whose knee is known, and both papers' scores on planted weights."""

import math

import pandas as pd
import pytest

from replication.beyond.cheap import SHARES, cheap_cells, cheap_runs, knees


def curve(values, needed=0.5, spread=0.0):
    """Runs of one way whose mean overlap at each share is given."""
    rows = [
        {"paper": "p", "way": "w", "share": share, "overlap": value + spread * (seed - 1), "seconds": share, "bytes": 1}
        for seed in range(3)
        for share, value in zip(SHARES, values, strict=True)
    ]
    table = pd.DataFrame(rows)
    table.attrs["needed"] = needed
    return knees(table).iloc[0]


def test_the_knee_is_the_last_share_before_the_first_loss():
    row = curve([1.0, 0.97, 0.96, 0.7, 0.99])  # 0.95 is 90% of the way from chance; what comes after a loss is luck
    assert (row["knee"], row["seconds"]) == (0.5, pytest.approx(0.5))
    assert curve([1.0, 0.94, 1.0, 1.0, 1.0])["knee"] == 1.0
    assert math.isnan(curve([0.5] * 5)["knee"])
    assert math.isnan(curve([0.6] * 5, spread=0.2)["knee"])  # not shown to be better than chance


def test_weights_that_never_change_are_found_by_few_records_and_noise_is_not():
    runs = cheap_runs(weights=40, records=120, seeds=2)
    full = runs[runs["share"] == 1]
    assert (full["overlap"] == 1).all()
    causal = runs[runs["paper"] == "causal"]
    assert (causal.loc[causal["way"] != "sampled weights", "truth"] == 1).all()  # dead weights score 0
    sampled = causal[causal["way"] == "sampled weights"].groupby("share")["truth"].mean()
    assert sampled[0.5] == pytest.approx(0.75, abs=0.1) and sampled[1.0] == 1  # chance for the half without a score
    cost = causal[causal["way"] == "sampled weights"].groupby("share")["bytes"].first()
    assert cost[0.5] * 2 == cost[1.0]
    legcnet = runs[(runs["paper"] == "LEGCNet") & (runs["way"] == "fewer windows")]
    assert set(legcnet["share"]) == {1.0}  # 10 windows of 11 steps; longer strides leave too few for the test
    cells = cheap_cells(runs, "dead", "default")
    found = {one.method: one.ours for one in cells if one.quantity == "knee, overlap with the full score"}
    assert found["earlier stop"] == 0.1 and {one.paper for one in cells} == {"causal", "legcnet"}
