"""Oracle: the same choices made with sorted lists of (value, place), over generated scores."""

import pytest
import torch

from ccprune.mask import Mask
from ccprune.online import exchange, shrink

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

SHAPES = {"a": (3, 4), "b": (2, 5), "c": (7,)}
few = settings(deadline=None, max_examples=60, derandomize=True, database=None)


def drawn(seed, values=None):
    """Scores; with `values` only so many different ones, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    if values is None:
        return {name: torch.rand(shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: torch.randint(values, shape, generator=generator).double() for name, shape in SHAPES.items()}


def some_mask(seed, sparsity):
    return Mask.from_scores(drawn(seed), sparsity=sparsity)


def flat(tensors, names):
    return [value for name in names for value in tensors[name].flatten().tolist()]


def by_hand(mask, scores, growth, fraction, scope, fixed):
    keep = {name: value.clone() for name, value in mask.keep.items()}
    for names in [[*SHAPES]] if scope == "global" else [[name] for name in SHAPES]:
        names = [name for name in names if name not in fixed]
        stays, score, grow = (flat(of, names) for of in (mask.keep, scores, growth))
        count = min(int(fraction * sum(stays) + 0.5), len(stays) - sum(stays))
        goes = sorted((score[i], i) for i in range(len(stays)) if stays[i])[:count]
        comes = sorted((grow[i], i) for i in range(len(stays)) if not stays[i])
        new = list(stays)
        for _, i in goes:
            new[i] = False
        for _, i in comes[len(comes) - count :]:
            new[i] = True
        for name in names:
            size = keep[name].numel()
            keep[name] = torch.tensor(new[:size]).reshape(SHAPES[name])
            new = new[size:]
    return keep


@few
@given(
    st.integers(0, 10**6),
    st.sampled_from([None, 2, 4]),
    st.floats(0, 1),
    st.floats(0, 1, exclude_min=True),
    st.sampled_from(["layer", "global"]),
    st.sets(st.sampled_from(["a", "c"])),
)
def test_exchange_equals_sorted_lists_and_keeps_the_count(seed, values, sparsity, fraction, scope, fixed):
    mask, scores, growth = some_mask(seed, sparsity), drawn(seed + 1, values), drawn(seed + 2, values)
    new = exchange(mask, scores, growth, fraction=fraction, scope=scope, fixed=fixed)
    expected = by_hand(mask, scores, growth, fraction, scope, fixed)
    assert all(torch.equal(new.keep[name], keep) for name, keep in expected.items())
    assert new.kept == mask.kept
    assert scope == "global" or new.counts == mask.counts
    assert all(torch.equal(new.keep[name], mask.keep[name]) for name in fixed)


@few
@given(st.integers(0, 10**6), st.sampled_from([None, 2]), st.floats(0, 1), st.floats(0, 1))
def test_shrink_takes_the_lowest_of_those_that_stay(seed, values, sparsity, share):
    mask, scores = some_mask(seed, sparsity), drawn(seed + 1, values)
    kept = int(share * mask.kept)
    new = shrink(mask, scores, kept=[kept], scope="global")
    stays, score = flat(mask.keep, SHAPES), flat(scores, SHAPES)
    best = sorted((score[i], i) for i in range(len(stays)) if stays[i])[mask.kept - kept :]
    assert [i for i, stay in enumerate(flat(new.keep, SHAPES)) if stay] == sorted(i for _, i in best)
    layers = [int(share * count) for count in mask.counts.values()]
    assert [*shrink(mask, scores, kept=layers).counts.values()] == layers
