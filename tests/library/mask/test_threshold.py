"""Global masks by a threshold. Oracle: a stable sort of all scores. Memory and time are those of a fresh process."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ccprune.mask import Mask, drop_lowest
from ccprune.mask._select import pruned_count


def _by_sorting(scores, sparsity, *, protect=(), previous=None):
    """Keep all but the lowest, by a stable sort; what `previous` pruned goes first."""
    flat = torch.cat([score.flatten().double() for score in scores.values()])
    gone = torch.zeros(len(flat), dtype=torch.bool)
    if previous is not None:
        gone = ~torch.cat([previous.keep[name].flatten() for name in scores])
    safe = torch.cat([torch.full((score.numel(),), name in protect) for name, score in scores.items()])
    order = flat.argsort(stable=True)
    order = torch.cat([order[gone[order]], order[(~gone & ~safe)[order]]])
    keep = torch.ones(len(flat), dtype=torch.bool)
    keep[order[: pruned_count(sparsity, len(flat))]] = False
    parts = keep.split([score.numel() for score in scores.values()])
    return {name: part.reshape(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


VALUES = {
    "distinct": lambda size, generator: torch.randn(size, generator=generator),
    "tied": lambda size, generator: torch.randint(3, size, generator=generator).float(),
    "signed zeros": lambda size, generator: torch.randint(-1, 2, size, generator=generator) * 0.0,
    "infinite": lambda size, generator: torch.randn(size, generator=generator).div(torch.zeros(()).add(1e-45)),
    "double": lambda size, generator: 1 + 1e-12 * torch.randn(size, generator=generator, dtype=torch.float64),
    "bfloat16": lambda size, generator: torch.randn(size, generator=generator).bfloat16(),
    "integers": lambda size, generator: torch.randint(10, size, generator=generator),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*VALUES]),
    st.floats(0, 0.9),
    st.integers(0, 1000),
    st.booleans(),
    st.sampled_from([(), ("a",)]),
)
def test_a_global_mask_is_that_of_a_stable_sort(kind, sparsity, seed, monotone, protect):
    generator = torch.Generator().manual_seed(seed)
    scores = {name: VALUES[kind](size, generator) for name, size in {"a": (3, 5), "b": (40,), "c": (2, 3, 4)}.items()}
    previous = Mask.from_scores({n: torch.rand(s.shape, generator=generator) for n, s in scores.items()}, sparsity=0.1)
    previous = previous if monotone else None
    largest = 1 - (0 if not protect else 15 / 79) - 0.1
    sparsity = min(max(sparsity, 0.1), largest)
    found = Mask.from_scores(scores, sparsity=sparsity, protect=protect, previous=previous, min_per_layer=0)
    expected = _by_sorting(scores, sparsity, protect=protect, previous=previous)
    assert all(torch.equal(found.keep[name], expected[name]) for name in scores)


def test_mixed_types_are_compared_in_double_precision():
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1.0 + 1e-12, 0.5], dtype=torch.float64)}
    assert Mask.from_scores(scores, sparsity=0.5, min_per_layer=0).keep["a"].tolist() == [False, True]


@pytest.mark.parametrize(
    "fraction, units, count", [(0.145, 100, 15), (0.285, 100, 29), (0.5, 3, 2), (0.1, 3, 0), (1 / 3, 3, 1), (1.0, 7, 7)]
)
def test_halves_of_decimals_are_rounded_up(fraction, units, count):
    assert pruned_count(fraction, units) == count


def test_memory_of_a_mask_is_at_most_ten_bytes_a_weight():
    code = """
import resource, torch
from ccprune.mask import Mask
Mask.from_scores({"a": torch.randn(1000)}, sparsity=0.9)
scores = {str(place): torch.randn(1000, 800) for place in range(5)}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for allocation in ("global", "uniform", "erk"):
    mask = Mask.from_scores(scores, sparsity=0.9, allocation=allocation)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 4e6, mask.kept)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    bytes_a_weight, kept = done.stdout.split()
    assert float(bytes_a_weight) <= 10 and int(kept) == 400_000


def test_scores_that_have_no_exact_order_are_refused():
    with pytest.raises(TypeError, match=r"scores\['a'\] must be real numbers, got torch.complex64"):
        Mask.from_scores({"a": torch.ones(4, dtype=torch.complex64)}, sparsity=0.5)
    with pytest.raises(ValueError, match=r"scores\['a'\] must be integers of at most 2\^53"):
        Mask.from_scores({"a": torch.tensor([2**60, 2**60 + 1])}, sparsity=0.5)
    with pytest.raises(ValueError, match="scores must be numbers, got NaN among the 3 lowest"):
        drop_lowest(torch.tensor([1.0, torch.nan, 2.0]), 3)
