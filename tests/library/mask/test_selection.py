"""What is chosen: N:M, channels, protection, floors and earlier masks. Oracles: sorting in plain Python, counting."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from ccprune.mask import LayerFloorWarning, Mask, prunable


def scores(seed=0, levels=None, shapes=None):
    generator = torch.Generator().manual_seed(seed)
    shapes = shapes or {"a": (6, 8), "b.0": (4, 4, 3), "b.1": (2, 12)}
    found = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    return {name: (levels * value).floor() for name, value in found.items()} if levels else found


def kept(mask):
    return {name: keep.flatten().tolist() for name, keep in mask.keep.items()}


def by_hand(values, count, *, free, min_per_layer, gone):
    """Takes the lowest one by one, where it may: gone first, then by score, name's order and index."""
    keep = {name: [True] * len(value) for name, value in values.items()}
    order = [
        (not gone[name][i], value[i], place, i, name)
        for place, (name, value) in enumerate(values.items())
        for i in range(len(value))
    ]
    for stays, _, _, i, name in sorted(order):
        if count and (not stays or (name in free and sum(keep[name]) > min_per_layer)):
            keep[name][i] = False
            count -= 1
    assert not count
    return keep


@pytest.mark.parametrize(("seed", "levels"), [*itertools.product(range(4), [None, 3, 1])])
@pytest.mark.parametrize(("protect", "min_per_layer"), [((), 0), (("b",), 0), (("b.1",), 20), ((), 9)])
def test_global_choice_with_protection_floor_and_an_earlier_mask(seed, levels, protect, min_per_layer):
    values = scores(seed, levels)
    flat = {name: value.flatten().tolist() for name, value in values.items()}
    free = [name for name in values if not any(name.startswith(p) for p in protect)]
    gone = {name: [False] * len(value) for name, value in flat.items()}
    previous = None
    for sparsity in (0.1, 0.3, 0.37):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerFloorWarning)
            mask = Mask.from_scores(
                values, sparsity=sparsity, protect=protect, min_per_layer=min_per_layer, previous=previous
            )
        count = math.floor(sparsity * 120 + 0.5)
        expected = by_hand(flat, count, free=free, min_per_layer=min_per_layer, gone=gone)
        assert kept(mask) == expected and mask.kept == 120 - count and mask.requested == sparsity
        previous, gone = mask, {name: [not stays for stays in keep] for name, keep in expected.items()}
        values = scores(seed + 50, levels)  # new scores, which would bring weights back
        flat = {name: value.flatten().tolist() for name, value in values.items()}


def test_uniform_allocation_spreads_what_protection_and_floor_hold_back():
    values = scores()
    plain = Mask.from_scores(values, sparsity=0.5, allocation="uniform")
    assert plain.counts == {"a": 24, "b.0": 24, "b.1": 12}
    # 60 of 120 go; without the 24 weights of b.1 these are 60 of 96: the same share, 30 of 48, of each.
    assert Mask.from_scores(values, sparsity=0.5, allocation="uniform", protect=["b.1"]).counts == {
        "a": 18,
        "b.0": 18,
        "b.1": 24,
    }
    with pytest.warns(LayerFloorWarning, match=r"fewer than min_per_layer=16, .*more: \['b.1'\]") as caught:
        floored = Mask.from_scores(values, sparsity=0.5, allocation="uniform", min_per_layer=16)
    assert caught[0].filename == __file__
    assert floored.counts == {"a": 22, "b.0": 22, "b.1": 16}
    # Where an earlier mask took more from one layer than its share, the others give less.
    before = Mask.from_counts(values, kept={"a": 48, "b.0": 48, "b.1": 4})
    after = Mask.from_scores(values, sparsity=0.5, allocation="uniform", previous=before)
    assert after.counts == {"a": 28, "b.0": 28, "b.1": 4} and torch.equal(after.keep["b.1"], before.keep["b.1"])


def test_layer_counts_are_rounded_as_stated_at_the_edge():
    # 0.5 weights more or less decide, and 22.5 / 33 has no exact float: ranks as shares of a layer alone say 8 and 22.
    sparsity = 22.5 / 33
    mask = Mask.from_scores({"a": torch.arange(11.0), "b": torch.arange(33.0)}, sparsity=sparsity, allocation="uniform")
    assert mask.counts == {name: n - math.floor(sparsity * n + 0.5) for name, n in (("a", 11), ("b", 33))}


def test_the_floor_keeps_the_best_of_a_layer_and_says_so():
    values = {"low": torch.tensor([0.1, 0.3, 0.2]), "high": torch.arange(1.0, 8.0)}
    assert Mask.from_scores(values, sparsity=0.3).counts == {"low": 0, "high": 7}
    with pytest.warns(LayerFloorWarning, match="'low'"):
        mask = Mask.from_scores(values, sparsity=0.3, min_per_layer=1)
    assert kept(mask) == {"low": [False, True, False], "high": [False] + 6 * [True]}
    # No warning where the min_per_layer changes nothing; a layer smaller than the min_per_layer keeps all.
    assert Mask.from_scores(values, sparsity=0.2, min_per_layer=1).counts == {"low": 1, "high": 7}
    with pytest.warns(LayerFloorWarning, match="'low'"):
        assert Mask.from_scores(values, sparsity=0.2, min_per_layer=5).counts == {"low": 3, "high": 5}


def test_a_floor_does_not_revive():
    values = {"a": torch.arange(4.0) - 9, "b": torch.arange(4.0)}
    previous = Mask.from_counts(values, kept={"a": 1, "b": 4})
    with pytest.warns(LayerFloorWarning):
        mask = Mask.from_scores(values, sparsity=0.5, min_per_layer=2, previous=previous)
    assert mask.counts == {"a": 1, "b": 3}
    protected = Mask.from_scores(values, sparsity=0.5, protect=["a"], previous=previous)
    assert protected.counts == {"a": 1, "b": 3}


def test_what_was_pruned_stays_pruned_even_where_others_score_minus_infinity():
    previous = Mask({"a": torch.tensor([True, True, False, True])})
    values = {"a": torch.tensor([-math.inf, 1.0, 5.0, 2.0])}
    assert kept(Mask.from_scores(values, sparsity=0.25, previous=previous)) == {"a": [True, True, False, True]}
    assert kept(Mask.from_scores(values, sparsity=0.5, previous=previous)) == {"a": [False, True, False, True]}


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (0, 2), (2, 2)])
@pytest.mark.parametrize("shape", [(3, 16), (5, 8, 3, 2)])
@pytest.mark.parametrize("levels", [None, 2])
def test_n_of_m_along_the_input_dimension(n, m, shape, levels):
    value = scores(1, levels, {"w": shape})["w"]
    mask = Mask.from_n_m({"w": value}, n=n, m=m)
    expected = np.zeros(shape, dtype=bool)
    for row, *place in np.ndindex(shape[0], *shape[2:]):
        for first in range(0, shape[1], m):
            line = [float(value[(row, first + j, *place)]) for j in range(m)]
            for j in sorted(range(m), key=lambda j, line=line: (line[j], j))[m - n :]:
                expected[(row, first + j, *place)] = True
    np.testing.assert_array_equal(mask.keep["w"].numpy(), expected)
    assert mask.sparsity == pytest.approx(1 - n / m) == mask.requested and mask.keep["w"].is_contiguous()


def test_n_of_m_is_monotone_and_leaves_protected_layers():
    values = scores(2, shapes={"a": (4, 8), "head": (3, 6)})
    previous = Mask({"a": scores(5, shapes={"a": (4, 8)})["a"] > 0.6, "head": torch.ones(3, 6, dtype=torch.bool)})
    mask = Mask.from_n_m(values, protect=["head"], previous=previous)
    groups, before = mask.keep["a"].reshape(-1, 4), previous.keep["a"].reshape(-1, 4)
    assert not bool((groups & ~before).any())
    assert groups.sum(1).tolist() == before.sum(1).clamp_max(2).tolist()
    assert mask.counts["head"] == 18 and mask.requested is None


@pytest.mark.parametrize("norm", ["sum", "l2"])
@pytest.mark.parametrize(("allocation", "counts"), [("uniform", [2, 2, 2]), ("global", None)])
def test_channels_go_as_a_whole_lowest_first(norm, allocation, counts):
    values = scores(3, shapes={"a": (4, 6), "b": (5, 2, 3, 3), "c": (3, 1)})
    mask = Mask.from_channels(values, share=0.5, norm=norm, allocation=allocation)
    power = {"sum": lambda v: sum(v), "l2": lambda v: math.sqrt(sum(x * x for x in v))}[norm]
    totals = {name: [power(row.flatten().double().tolist()) for row in value] for name, value in values.items()}
    pruned = math.floor(0.5 * 12 + 0.5)
    ranked = sorted((total, name, i) for name, row in totals.items() for i, total in enumerate(row))
    gone = {(name, i) for _, name, i in ranked[:pruned]}
    if allocation == "uniform":
        # floor(n / 2 + 1/2): 2 of 4, 3 of 5, 2 of 3
        gone = {(name, i) for name, k in {"a": 2, "b": 3, "c": 2}.items() for i in np.argsort(totals[name])[:k]}
    for name, keep in mask.keep.items():
        rows = keep.reshape(len(keep), -1)
        assert bool((rows.all(1) == rows.any(1)).all())  # whole ones
        assert {i for i in range(len(rows)) if not rows[i, 0]} == {i for n, i in gone if n == name}
    assert mask.requested is None


def test_channels_take_protection_floor_and_an_earlier_mask():
    values = scores(4, shapes={"a": (6, 4), "out": (2, 6)})
    mask = Mask.from_channels(values, share=0.5, protect=["out"])
    assert mask.counts == {"a": 8, "out": 12}  # 4 of the 8 channels, all from a
    values = scores(4, shapes={"a": (6, 4), "out": (4, 6)})
    with pytest.warns(LayerFloorWarning, match="'a'"):
        mask = Mask.from_channels(
            {"a": values["a"] - 9, "out": values["out"]}, share=0.4, allocation="global", min_per_layer=3
        )
    assert mask.counts == {"a": 12, "out": 18}
    first = Mask.from_scores({"a": torch.arange(12.0).reshape(4, 3)}, sparsity=0.5)  # rows 0 and 1
    torn = Mask({"a": first.keep["a"] & torch.tensor([True, True, False])})
    later = Mask.from_channels({"a": torch.arange(12.0).flip(0).reshape(4, 3)}, share=0.75, previous=torn)
    assert later.keep["a"].int().tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda v: Mask.from_scores(v, sparsity=0.9, protect=["b"]), ValueError, "largest reachable is 0.4$"),
        (
            lambda v: Mask.from_scores(v, sparsity=0.9, min_per_layer=8),
            ValueError,
            "min_per_layer=8: the largest reachable is 0.8$",
        ),
        (
            lambda v: Mask.from_scores(v, sparsity=0.9, allocation="uniform", min_per_layer=8),
            ValueError,
            "largest reachable is 0.8$",
        ),
        (lambda v: Mask.from_scores(v, sparsity=0.1, protect=["c"]), ValueError, r"protect must name .* got 'c'"),
        (lambda v: Mask.from_scores(v, sparsity=0.1, protect="a"), TypeError, "protect must be a collection of names"),
        (
            lambda v: Mask.from_scores(v, sparsity=0.1, min_per_layer=-1),
            ValueError,
            "min_per_layer must be an integer of at least 0",
        ),
        (
            lambda v: Mask.from_scores(v, sparsity=0.1, previous=Mask.from_scores(v, sparsity=0.5)),
            ValueError,
            "sparsity 0.1 would bring pruned weights back: previous has already 0.5",
        ),
        (
            lambda v: Mask.from_scores(v, sparsity=0.6, previous=Mask.from_scores({"a": v["a"]}, sparsity=0.5)),
            ValueError,
            "previous must have the names and shapes",
        ),
        (lambda v: Mask.from_n_m(v, m=8), ValueError, r"scores\['b.0'\] must have a number of inputs .* 8 divides"),
        (lambda v: Mask.from_n_m(v, n=5), ValueError, "m must be an integer of at least 5, got 4"),
        (lambda v: Mask.from_n_m({"a": torch.rand(4)}), ValueError, r"scores\['a'\] must have a number of inputs"),
        (lambda v: Mask.from_channels(v, share=1.5), ValueError, r"share must lie in \[0, 1\], got 1.5"),
        (lambda v: Mask.from_channels(v, share=0.5, norm="l1"), ValueError, "norm must be one of"),
        (
            lambda v: Mask.from_channels({"a": torch.tensor([[math.inf, -math.inf]])}, share=0.5),
            ValueError,
            r"scores of 'a' have channels with both inf and -inf",
        ),
        (lambda v: Mask.from_channels({"a": torch.tensor([[math.nan]])}, share=0.5), ValueError, "holds NaN"),
        (lambda v: Mask({"a": torch.ones(0, 5, dtype=torch.bool)}), ValueError, "at least one weight"),
    ],
)
def test_errors_name_the_argument_and_what_can_be_reached(call, error, message):
    with pytest.raises(error, match=message):
        call(scores())


def test_halves_on_several_devices(device):
    model = nn.Sequential(nn.Linear(4, 8).half(), nn.Linear(8, 4).bfloat16().to(device)).requires_grad_(False)
    weights = prunable(model, frozen=True)
    found = {name: weight.abs() for name, weight in weights.items()}
    mask = Mask.from_scores(found, sparsity=0.5, min_per_layer=3)
    mask = Mask.from_scores(found, sparsity=0.75, previous=mask)
    assert mask.apply_(model) is model and mask.check(model).loc["all", "violations"] == 0
    assert (mask.kept, mask.keep["1.weight"].device.type, model[0].weight.dtype) == (16, device, torch.float16)
    assert Mask.from_n_m(found).kept == 32 and Mask.from_channels(found, share=0.5).kept == 32
    assert sum(int((weight != 0).sum()) for weight in weights.values()) == 16
