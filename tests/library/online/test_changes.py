"""Exchanges of weights and their schedule, by small cases; test_changes_properties.py has generated ones."""

import math

import pytest
import torch

from ccprune.mask import LayerFloorWarning, Mask
from ccprune.online import Schedule, exchange, shrink

SHAPES = {"a": (3, 4), "b": (2, 5), "c": (7,)}


def drawn(seed, values=None):
    """Scores; with `values` only so many different ones, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    if values is None:
        return {name: torch.rand(shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: torch.randint(values, shape, generator=generator).double() for name, shape in SHAPES.items()}


def some_mask(seed, sparsity):
    return Mask.from_scores(drawn(seed), sparsity=sparsity)


def test_what_goes_does_not_come_back_at_once_and_what_is_not_known_stays():
    mask = Mask({"a": torch.tensor([True, True, True, False])})
    scores = {"a": torch.tensor([math.inf, 1.0, 2.0, 0.0])}
    growth = {"a": torch.tensor([9.0, 9.0, 9.0, 0.0])}
    assert exchange(mask, scores, growth, fraction=1.0).keep["a"].tolist() == [True, False, True, True]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_nothing_is_exchanged_where_all_stay_or_all_are_gone(scope):
    for sparsity in (0.0, 1.0):
        mask = some_mask(0, sparsity)
        new = exchange(mask, drawn(1), drawn(2), fraction=1.0, scope=scope)
        assert all(torch.equal(new.keep[name], keep) for name, keep in mask.keep.items())


def test_the_floor_holds_when_weights_are_exchanged():
    mask = some_mask(0, 0.5)
    scores = drawn(1) | {"c": torch.zeros(7)}
    growth = drawn(2) | {"c": torch.full((7,), -1.0)}
    assert exchange(mask, scores, growth, fraction=0.5, scope="global").counts["c"] == 0
    with pytest.warns(LayerFloorWarning, match="min_per_layer=2.*'c'"):
        new = exchange(mask, scores, growth, fraction=0.5, scope="global", min_per_layer=2)
    assert new.counts["c"] == 2 and new.kept == mask.kept
    new = exchange(mask, scores, growth, fraction=1.0, min_per_layer=2)
    assert new.counts == mask.counts
    assert all(int((mask.keep[n] & new.keep[n]).sum()) >= min(2, mask.counts[n]) for n in SHAPES)


def test_shrink_leaves_what_is_fixed_and_says_what_cannot_be():
    mask = some_mask(0, 0.25)
    new = shrink(mask, drawn(1), kept=[15], scope="global", fixed=["b"], min_per_layer=1)
    assert new.kept == 15 and torch.equal(new.keep["b"], mask.keep["b"]) and min(new.counts.values()) >= 1
    with pytest.raises(
        ValueError, match=r"kept of .* must lie in \d+\.\.22 with fixed=\['b'\] and min_per_layer=0, got 5"
    ):
        shrink(mask, drawn(1), kept=[5], scope="global", fixed=["b"])
    with pytest.raises(ValueError, match="must lie in .*, got 23"):
        shrink(mask, drawn(1), kept=[23], scope="global")
    with pytest.raises(ValueError, match=r"kept of \['a'\] must lie in 10..10 with fixed=\['a'\]"):
        shrink(mask, drawn(1), kept=[8, 6, 7], fixed=["a"])


def test_numbers_that_are_none_are_refused():
    mask, bad = some_mask(0, 0.5), drawn(1)
    bad["b"][0, 0] = math.nan
    with pytest.raises(ValueError, match=r"scores\['b'\] holds NaN"):
        exchange(mask, bad, drawn(2), fraction=0.5)
    with pytest.raises(ValueError, match=r"growth\['b'\] must be finite"):
        exchange(mask, drawn(2), bad, fraction=0.5)
    with pytest.raises(ValueError, match="scope must be one of .*, got 'row'"):
        exchange(mask, drawn(1), drawn(2), fraction=0.5, scope="row")


def test_schedule_follows_the_cubic_and_the_cosine():
    schedule = Schedule(every=10, ramp=4, fraction=0.3, end=200)
    for i in range(5):
        assert schedule.ramp_fraction(10 * i) == pytest.approx(1 - (1 - i / 4) ** 3)
    assert schedule.ramp_fraction(40) == schedule.ramp_fraction(500) == 1.0
    # Evci et al., 2020, equation 1: alpha / 2 (1 + cos(t pi / T_end)).
    assert schedule.exchange_fraction(0) == 0.3
    assert schedule.exchange_fraction(50) == pytest.approx(0.15 * (1 + math.sqrt(0.5)))
    assert schedule.exchange_fraction(100) == pytest.approx(0.15)
    assert schedule.exchange_fraction(200) == schedule.exchange_fraction(10**6) == 0.0
    assert Schedule(every=10, ramp=4, fraction=0.3, end=None).exchange_fraction(10**6) == 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 1}, "every must be an integer of at least 2, got 1"),
        ({"ramp": 0}, "ramp must be an integer of at least 1, got 0"),
        ({"end": 0}, "end must be an integer of at least 1, got 0"),
        ({"fraction": 0.0}, r"fraction must lie in \(0, 1\], got 0.0"),
        ({"fraction": 1.1}, r"fraction must lie in \(0, 1\], got 1.1"),
        ({"fraction": math.nan}, r"fraction must lie in \(0, 1\], got nan"),
        ({"fraction": True}, r"fraction must lie in \(0, 1\], got True"),
    ],
)
def test_schedule_checks_its_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**({"every": 10, "ramp": 4, "fraction": 0.3, "end": None} | change))
