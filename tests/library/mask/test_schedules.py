"""Masks made from other masks, and schedules; oracles: counting and sorting with NumPy, and the papers' formulas."""

import numpy as np
import pytest
import torch

from ccprune.mask import Mask, cubic, geometric, jaccard_kept


def scores(seed=0, ties=False):
    generator = torch.Generator().manual_seed(seed)
    found = {"a": torch.rand(6, 5, generator=generator), "b": torch.rand(40, generator=generator)}
    return {name: (4 * value).round() for name, value in found.items()} if ties else found


@pytest.mark.parametrize("ties", [False, True])
def test_from_counts_keeps_the_highest_of_each_tensor(ties):
    values = scores(ties=ties)
    mask = Mask.from_counts(values, kept={"a": 7, "b": 0})
    assert mask.counts == {"a": 7, "b": 0} and mask.least_density == 0
    order = np.argsort(values["a"].flatten().numpy(), kind="stable")
    expected = np.zeros(30, dtype=bool)
    expected[order[-7:]] = True
    assert np.array_equal(mask.keep["a"].flatten().numpy(), expected)


def test_from_counts_refuses():
    with pytest.raises(ValueError, match=r"kept\['a'\] must lie in 0..30, got 31"):
        Mask.from_counts(scores(), kept={"a": 31, "b": 0})
    with pytest.raises(ValueError, match=r"kept must name the parameters \['a', 'b'\], got \['a'\]"):
        Mask.from_counts(scores(), kept={"a": 3})
    with pytest.raises(ValueError, match=r"scores\['a'\] holds NaN"):
        Mask.from_counts({"a": torch.tensor([1.0, float("nan")])}, kept={"a": 1})


@pytest.mark.parametrize("seed", range(5))
def test_restricted_scores_make_masks_monotone_with_exact_counts(seed):
    first = Mask.from_scores(scores(seed), sparsity=0.4)
    other = scores(seed + 100)  # says something else, and would bring weights back
    assert any((Mask.from_scores(other, sparsity=0.6).keep[n] & ~first.keep[n]).any() for n in other)
    second = Mask.from_scores(first.restrict(other), sparsity=0.6)
    assert second.kept == 70 - 42
    assert not any((second.keep[name] & ~first.keep[name]).any() for name in other)
    with pytest.raises(ValueError, match=r"missing \['b'\]"):
        first.restrict({"a": other["a"]})


def test_shuffled_keeps_counts_and_forgets_places():
    mask = Mask.from_counts(scores(), kept={"a": 10, "b": 5})
    one, again, other = (mask.shuffle(seed=seed) for seed in (1, 1, 2))
    assert one.counts == mask.counts and {n: v.shape for n, v in one.keep.items()} == {"a": (6, 5), "b": (40,)}
    assert jaccard_kept(one, again) == 1.0 and jaccard_kept(one, other) < 1.0 and jaccard_kept(one, mask) < 1.0
    # Each place is kept as often as any other: 5 of 40, over 2,000 shuffles (standard error 0.0074).
    often = torch.stack([mask.shuffle(seed=seed).keep["b"] for seed in range(2000)]).double().mean(0)
    assert (often - 5 / 40).abs().max() < 5 * 0.0074


def test_jaccard_counts():
    a = Mask({"w": torch.tensor([True, True, False, False])})
    b = Mask({"w": torch.tensor([True, False, True, False])})
    nothing = Mask({"w": torch.zeros(4, dtype=torch.bool)})
    assert (jaccard_kept(a, b), jaccard_kept(a, a), jaccard_kept(a, nothing), jaccard_kept(nothing, nothing)) == (
        1 / 3,
        1.0,
        0.0,
        1.0,
    )
    with pytest.raises(ValueError, match="same parameters"):
        jaccard_kept(a, Mask({"v": torch.ones(4, dtype=torch.bool)}))


def test_cubic_is_the_formula_of_the_follow_up():
    assert cubic(0.9, iterations=10) == pytest.approx([0.9 * (1 - (1 - i / 10) ** 3) for i in range(1, 11)], abs=1e-15)
    assert cubic(0.9, iterations=10)[-1] == 0.9 and np.all(np.diff(cubic(0.9, iterations=10)) > 0)
    with pytest.raises(ValueError, match="total must lie in"):
        cubic(1.1, iterations=10)
    with pytest.raises(ValueError, match="iterations must be an integer of at least 1"):
        cubic(0.5, iterations=0)


def test_geometric_prunes_the_same_share_of_the_rest_each_time():
    levels = geometric(0.9, iterations=5)
    left = 1 - np.array([0.0, *levels])
    assert left[1:] / left[:-1] == pytest.approx([0.1 ** (1 / 5)] * 5, abs=1e-12) and levels[-1] == 0.9
    assert geometric(1 - 0.8**7, iterations=7) == pytest.approx([1 - 0.8**i for i in range(1, 8)], abs=1e-12)
    assert geometric(0.0, iterations=2) == (0.0, 0.0)
    with pytest.raises(ValueError, match=r"total must lie in \[0, 1\), got 1"):
        geometric(1, iterations=3)
    with pytest.raises(ValueError, match="iterations must be an integer of at least 1"):
        geometric(0.5, iterations=0)
