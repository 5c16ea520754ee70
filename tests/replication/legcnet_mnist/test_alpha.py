"""Cells of table 4 on made-up tables, and alpha of real networks against `diagnostics.weightwatcher`."""

import numpy as np
import pandas as pd
import pytest

from ccprune.stats import mean_interval
from replication.diagnostics import mnist_alpha as alpha
from replication.diagnostics import weightwatcher
from replication.ledger import Cell
from replication.networks.models import legcnet_mnist


def table(networks, shift=0.0):
    rows = [
        {"network": network, "method": method, "layer": layer}
        | {"alpha": 1.5 + layer + 0.01 * network + shift * (method != "dense"), "alpha_weighted": 1.0 + 0.1 * network}
        for network in networks
        for method in alpha.ROWS
        for layer in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def test_all_thirty_printed_cells_are_judged():
    fresh = alpha.fresh_cells(table(range(5)), dataset="mnist", profile="smoke")
    assert len({cell.key for cell in fresh}) == len(fresh) == 30
    assert {(cell.kind, cell.verdict) for cell in fresh} == {("figure", "underspecified")}
    assert all(
        cell.published is None for cell in alpha.fresh_cells(table(range(5)), dataset="mnist5k", profile="smoke")
    )
    ours = alpha.author_cells(table((1, 3)))
    judged = [cell for cell in ours if cell.published is not None]
    assert len(ours) == 60 and len(judged) == 30 and {cell.trial for cell in judged} == {3}
    assert {cell.verdict for cell in judged} <= {"identical", "underspecified"}


def test_mean_of_each_layer_stands_beside_table_4():
    means = alpha.mean_table(table(range(5))).set_index(["method", "parameter"])
    first = means.loc["legcnet_ft", "layer 1"]
    assert len(means) == 15 and first.estimate == pytest.approx(2.52) and first.low < 2.52 < first.high
    (cell,) = [
        cell
        for cell in alpha.fresh_cells(table(range(5)), dataset="mnist", profile="smoke")
        if (cell.method, cell.quantity) == ("legcnet_ft", "layer1_alpha")
    ]
    assert first.published == cell.published


def test_a_shift_is_found_and_its_absence_too():
    assert alpha.separation(table(range(8), shift=0.5)).estimate.tolist() == pytest.approx([0.5] * 12)
    null = alpha.separation(table(range(8)))
    assert (null.estimate == 0).all() and (null.p_value == 1).all()
    assert len({cell.key for cell in alpha.separation_cells(null, dataset="mnist", profile="smoke")}) == 12


def test_share_of_networks_within_2_to_6():
    found = alpha.share_in_range(table(range(4), shift=2.0))
    assert found.loc["dense"].tolist() == [1, 1, 1, 1]  # 2.5 to 4.53
    assert found.loc["ft"].tolist() == [1, 1, 0, 0]  # the third layer's lie above 6


def test_untrained_networks_are_those_of_the_seeds():
    found = alpha.untrained_alphas([4, 5])
    expected = weightwatcher.summary(legcnet_mnist(seed=5), small_n_correction=False)
    assert found[found.network == 5].alpha.tolist() == expected.alpha.tolist()
    assert found.layer.tolist() == [1, 2, 3, 1, 2, 3] and set(found.method) == {"untrained"}


def alpha_cell(low, high, **changes):
    names = {"paper": "legcnet", "table": "4", "dataset": "mnist", "method": "legcnet_ft", "quantity": "layer2_alpha"}
    figure = {"kind": "figure", "origin": "printed", "published": 1.51, "verdict": "underspecified", "profile": "paper"}
    return Cell(**names | figure | changes, ours=(low + high) / 2, ci_low=low, ci_high=high, n=30)


@pytest.mark.parametrize(
    "low, high, outcome",
    [(2.1, 2.2, "holds"), (1.5, 1.6, "does_not_hold"), (6.1, 7, "does_not_hold"), (1.9, 2.2, "undecided")],
)
def test_alpha_is_in_the_range_where_the_interval_of_its_mean_is(low, high, outcome):
    (claim,) = alpha.claim_cells([alpha_cell(low, high), alpha_cell(low, high, quantity="layer2_alpha_weighted")])
    assert (claim.kind, claim.table, claim.method, claim.outcome) == ("claim", "well_trained", "ft", outcome)
    assert claim.published == 1.51 and claim.verdict == "" and claim.ci_low == low
    others = [dict(method="dense"), dict(dataset="mnist5k"), dict(table="5"), dict(profile="authors", trial=1)]
    assert alpha.claim_cells([alpha_cell(low, high, **one) for one in others]) == []


def test_null_and_power_of_the_range_of_alpha():
    """At the end of the range about 5 of 100 studies decide; a mean far outside is found."""
    rng = np.random.default_rng(0)
    decided = {mean: [] for mean in (2.0, 1.5)}
    for mean, outcomes in decided.items():
        for _ in range(300):
            sample = mean_interval(rng.normal(mean, 0.1, 30))
            outcomes += [one.outcome for one in alpha.claim_cells([alpha_cell(sample.low, sample.high)])]
    assert 3 <= sum(outcome != "undecided" for outcome in decided[2.0]) <= 35
    assert set(decided[1.5]) == {"does_not_hold"}


def test_a_stored_figure_may_have_the_verdict_of_an_older_rule_only_where_it_was_right():
    where = {"profile": "authors", "trial": 3, "verdict": "identical"}
    same, other = (alpha_cell(value, value, published=1.51, **where) for value in (1.51, 1.6))
    assert alpha.stored_verdicts(same) == ("underspecified", "identical")
    assert alpha.stored_verdicts(other) == ("underspecified",)
    judged = alpha.judge_figure(same)
    assert (judged.verdict, judged.published) == ("underspecified", 1.51) and "gives the printed figure" in judged.note
    assert "gives" not in alpha.judge_figure(other).note
