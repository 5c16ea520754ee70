"""Oracles: pairs of features counted one by one, pandas for ranks, and permutations of which the answer is known. Null:
unrelated importances agree by 0 on average, and share k of d places.
"""

from dataclasses import astuple
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from replication.diagnostics.shap_agreement import Agreement, agreement, agreements_with_dense

A = np.array([0.5, 0.1, 0.9, 0.3, 0.7])


def tau_b(a, b):
    """Kendall's tau-b from its definition."""
    signs = [np.sign((a[i] - a[j], b[i] - b[j])) for i, j in combinations(range(len(a)), 2)]
    between = sum(s * t for s, t in signs)
    return between / (sum(s * s for s, _ in signs) * sum(t * t for _, t in signs)) ** 0.5


def test_the_same_importance_agrees_by_one_and_the_reverse_by_minus_one():
    assert astuple(agreement(A, 3 * A, top=2)) == pytest.approx((1, 1, 1, 1))
    found = agreement(A, 1 - A, top=2)
    assert (found.spearman, found.kendall, found.top_k) == (pytest.approx(-1), pytest.approx(-1), 0.0)
    assert agreement(A, 1 - A, top=3).top_k == pytest.approx(1 / 3)


def test_correlations_with_ties_equal_their_definitions():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.integers(0, 4, (2, 9)).astype(float)
        found = agreement(a, b, top=3)
        assert found.spearman == pytest.approx(pd.Series(a).rank().corr(pd.Series(b).rank()))
        assert found.kendall == pytest.approx(tau_b(a, b))


def test_tied_features_share_the_places_that_are_left():
    assert agreement([4, 3, 0, 0, 0], [4, 3, 0, 0, 0], top=4).top_k == pytest.approx(1)
    # Two of three places are the same; each of the three that are tied has a third of the last one.
    assert agreement([4, 3, 0, 0, 0], [4, 3, 2, 1, 0], top=3).top_k == pytest.approx((2 + 1 / 3) / 3)
    assert agreement([1, 1, 1, 1, 1], A, top=2).top_k == pytest.approx(2 / 5)


def test_shared_importance_is_what_both_give_to_the_same_features():
    assert agreement([6, 2, 2], [1, 1, 0], top=1).shared == pytest.approx(0.5 + 0.2)
    assert agreement([1, 0, 0], [0, 1, 1], top=1).shared == 0.0


def test_a_network_that_ranks_nothing_agrees_with_nothing():
    nothing = np.zeros(5)
    assert agreement(nothing, A, top=2) == Agreement(0.0, 0.0, pytest.approx(2 / 5), 0.0)
    assert agreement(nothing, nothing, top=2) == Agreement(0.0, 0.0, pytest.approx(1.0), 0.0)
    equal = agreement(A, nothing + 0.3, top=2)
    assert (equal.spearman, equal.kendall) == (0.0, 0.0) and 0 < equal.shared < 1


def test_networks_are_compared_with_the_dense_one_of_their_initialisation_and_dense_ones_with_the_next():
    rng = np.random.default_rng(0)
    maps = {(i, name): rng.random(9) for i in range(3) for name in ("dense", "pt", "random")}
    table = agreements_with_dense(maps, top=4)
    assert table.method.tolist() == [name for name in ("pt", "random", "two dense networks") for _ in range(3)]
    assert table.iloc[4, 1:].tolist() == list(astuple(agreement(maps[1, "dense"], maps[1, "random"], top=4)))
    assert table.iloc[8, 1:].tolist() == list(astuple(agreement(maps[2, "dense"], maps[0, "dense"], top=4)))


def test_null_unrelated_importances_agree_by_nothing_on_average():
    rng = np.random.default_rng(1)
    found = [agreement(*rng.exponential(size=(2, 9)), top=3) for _ in range(600)]
    spearman, kendall, top_k, _ = np.array([astuple(one) for one in found]).T
    for values, expected in ((spearman, 0), (kendall, 0), (top_k, 3 / 9)):
        assert abs(values.mean() - expected) < 4 * values.std() / len(values) ** 0.5
    assert spearman.std() == pytest.approx(1 / 8**0.5, rel=0.12)  # variance 1 / (d - 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((A, A[:4], 1), "a and b must have the same length, got 5 and 4"),
        ((A, A, 0), "top must be an integer of at least 1, got 0"),
        ((A, A, 6), "top must be at most 5, the number of features, got 6"),
        ((A, A * float("nan"), 1), "b must be at least 2 finite values"),
        ((-A, A, 1), "a must be at least 2 finite values of at least 0"),
        ((A[:1], A[:1], 1), "a must be at least 2 finite values"),
        ((A[None], A, 1), "a must be at least 2 finite values .* in one dimension"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    a, b, top = arguments
    with pytest.raises(ValueError, match=message):
        agreement(a, b, top=top)
