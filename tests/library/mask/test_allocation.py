"""Allocation of a sparsity to layers. Oracles: the rule of RigL's code, the formula of LAMP pair by pair."""

import itertools
import math
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import ccprune
from ccprune.mask import ALLOCATIONS, LayerFloorWarning, Mask, cubic

#: LeNet-5 and a wide layer; at low sparsity ERK keeps all weights of several.
SHAPES = {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)}


def scores(seed=0, shapes=None):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=generator) for name, shape in (shapes or SHAPES).items()}


def rigl(shapes, sparsity):
    """Densities {name: share} as in `get_mask_init_fn` (erdos_renyi_kernel) of Evci et al., a layer at a time."""
    dense = set()
    while True:
        divisor = right = 0.0
        raw = {}
        for name, shape in shapes.items():
            count = math.prod(shape)
            if name in dense:
                right -= count * sparsity
            else:
                right += count * (1 - sparsity)
                raw[name] = sum(shape) / math.prod(shape)
                divisor += raw[name] * count
        epsilon = right / divisor
        most = max(raw.values())
        if most * epsilon <= 1:
            return {name: 1.0 if name in dense else epsilon * raw[name] for name in shapes}
        dense |= {name for name, value in raw.items() if value == most}


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.9, 0.95, 0.99])
def test_erk_has_the_densities_of_rigl_and_the_exact_count(sparsity):
    mask = Mask.from_scores(scores(), sparsity=sparsity, allocation="erk")
    total = sum(math.prod(shape) for shape in SHAPES.values())
    assert mask.total - mask.kept == math.floor(sparsity * total + 0.5)
    for name, density in rigl(SHAPES, sparsity).items():
        assert abs(mask.counts[name] - density * math.prod(SHAPES[name])) < 1 + 1e-6, name
        assert density < 1 or mask.counts[name] == math.prod(SHAPES[name])
        score, keep = scores()[name], mask.keep[name]
        assert bool(keep.all()) or score[keep].min() >= score[~keep].max()  # the lowest of each layer


@pytest.mark.parametrize("ties", [False, True])
def test_lamp_is_the_formula(ties):
    values = scores(1, {"a": (4, 5), "b": (3, 2, 2), "c": (7,)})
    if ties:
        values = {name: (3 * value).floor() for name, value in values.items()}
    expected = {}
    for name, value in values.items():
        flat = value.double().flatten().tolist()
        for i, one in enumerate(flat):
            rest = sum(v * v for j, v in enumerate(flat) if (v, j) >= (one, i))
            expected[name, i] = one * one / rest if rest else 0.0
    places = list(expected)
    pruned = set(sorted(places, key=lambda place: (round(expected[place], 12), places.index(place)))[:23])
    mask = Mask.from_scores(values, sparsity=0.6, allocation="lamp")
    assert {(n, i) for n, keep in mask.keep.items() for i in (~keep.flatten()).nonzero().flatten().tolist()} == pruned


def test_lamp_of_magnitudes_is_the_criterion_and_ignores_what_was_pruned():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    magnitude, lamp = ccprune.score("magnitude", model), ccprune.score("lamp", model)
    first = Mask.from_scores(magnitude, sparsity=0.4, allocation="lamp")
    assert first.counts == Mask.from_scores(lamp, sparsity=0.4).counts
    second = Mask.from_scores(magnitude, sparsity=0.8, allocation="lamp", previous=first)
    first.apply_(model)
    again = Mask.from_scores(ccprune.score("lamp", model), sparsity=0.8, previous=first)
    assert all(torch.equal(second.keep[name], keep) for name, keep in again.keep.items())


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_equal_layers_get_equal_sparsity(allocation):
    one = scores(2, {"a": (30, 40)})["a"]
    counts = Mask.from_scores(
        {"a": one, "b": one.clone(), "c": one.clone()}, sparsity=0.7, allocation=allocation
    ).counts
    assert max(counts.values()) - min(counts.values()) <= 1 and sum(counts.values()) == 1080
    # Independent scores of one distribution: equal up to the binomial standard deviation, about 16 of 1,200.
    drawn = Mask.from_scores(scores(3, dict.fromkeys("abc", (30, 40))), sparsity=0.7, allocation=allocation).counts
    assert all(abs(count - 360) < 64 for count in drawn.values()), drawn


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_schedules_with_floors_and_protection_are_exact_and_monotone(allocation):
    mask, total = None, sum(math.prod(shape) for shape in SHAPES.values())
    for step, sparsity in enumerate(cubic(0.995, iterations=6)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerFloorWarning)
            options = {"allocation": allocation, "protect": ["fc3"], "min_per_layer": 30}
            later = Mask.from_scores(scores(step), sparsity=min(sparsity, 0.98), previous=mask, **options)
        wanted = [math.prod(shape) for shape in SHAPES.values()] if allocation == "uniform" else [total]
        assert later.total - later.kept == sum(math.floor(min(sparsity, 0.98) * n + 0.5) for n in wanted)
        assert later.counts["fc3"] == 840 and min(later.counts.values()) >= 30
        assert mask is None or not any(bool((keep & ~mask.keep[name]).any()) for name, keep in later.keep.items())
        mask = later


def test_the_floor_of_erk_is_said_and_taken_from_the_others_in_proportion():
    shapes = {"small": (2, 2), "a": (50, 50), "b": (50, 50)}
    free = Mask.from_scores(scores(4, shapes), sparsity=0.99, allocation="erk").counts
    assert free["small"] == 1 and abs(free["a"] - free["b"]) <= 1
    with pytest.warns(LayerFloorWarning, match=r"min_per_layer=3, .*: \['small'\]") as caught:
        mask = Mask.from_scores(scores(4, shapes), sparsity=0.99, allocation="erk", min_per_layer=3)
    assert caught[0].filename == __file__
    assert (
        mask.counts["small"] == 3 and mask.kept == sum(free.values()) and abs(mask.counts["a"] - mask.counts["b"]) <= 1
    )


def test_each_part_of_a_mapping_has_its_own_sparsity():
    values = scores(5, {"body.0.weight": (4, 5), "body.1.weight": (6, 5), "body.1.bias": (6,), "head.weight": (3, 4)})
    sparsity = {"body": 0.5, "body.1.bias": 0.0, "": 0.25}
    mask = Mask.from_scores(values, sparsity=sparsity)
    assert mask.counts["body.0.weight"] + mask.counts["body.1.weight"] == 25 and mask.requested is None
    assert (mask.counts["body.1.bias"], mask.counts["head.weight"]) == (6, 9)
    alone = Mask.from_scores({name: values[name] for name in ("body.0.weight", "body.1.weight")}, sparsity=0.5)
    assert all(torch.equal(mask.keep[name], keep) for name, keep in alone.keep.items())  # global within the part
    assert list(mask.keep) == list(values)
    uniform = Mask.from_scores(values, sparsity=sparsity, allocation="uniform").counts
    assert uniform == {"body.0.weight": 10, "body.1.weight": 15, "body.1.bias": 6, "head.weight": 9}
    whole = Mask.from_scores(values, sparsity={"": 0.4}, allocation="erk")
    same = Mask.from_scores(values, sparsity=0.4, allocation="erk")
    assert all(torch.equal(whole.keep[name], keep) for name, keep in same.keep.items())
    later = Mask.from_scores(values, sparsity={"body": 0.8, "head": 0.5}, previous=mask)
    assert later.counts["head.weight"] == 6 and later.kept == 11 + 6
    channels = Mask.from_channels({name: values[name] for name in ("body.1.weight", "head.weight")},
                                  share={"body": 0.5, "head": 0.0})  # fmt: skip
    assert channels.counts == {"body.1.weight": 15, "head.weight": 12}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: {"sparsity": {"a": 0.5}}, r"sparsity must name every parameter .* missing \['b.c', 'b.d'\]"),
        (lambda v: {"sparsity": {"": 0.5, "x": 0.5}}, r"sparsity must name parameters .* got \['x'\]"),
        (lambda v: {"sparsity": {"a": 0.5, "b": 0.5, "b.c": 0.1, "b.d": 0.1}}, r"each once, got \['b'\]"),
        (lambda v: {"sparsity": {"a": 0.5, "b": 1.5}}, r"sparsity\['b'\] must lie in \[0, 1\], got 1.5"),
        (lambda v: {"sparsity": {"a": 0.9, "b": 0.5}, "min_per_layer": 6}, r"sparsity\['a'\] 0.9 cannot be reached"),
        (lambda v: {"sparsity": {}}, "sparsity must name every parameter"),
        (lambda v: {"sparsity": 0.9, "allocation": "erk", "protect": ["b"]}, "the largest reachable is"),
        (lambda v: {"sparsity": 0.9, "allocation": "lamp", "scores": -1}, r"scores\['a'\] must be finite and at least"),
        (lambda v: {"sparsity": 0.9, "allocation": "lamp", "scores": math.inf}, r"scores\['a'\] must be finite"),
        (lambda v: {"sparsity": 0.9, "allocation": "row"}, "allocation must be one of"),
        (
            lambda v: {"share": 0.9, "allocation": "erk"},
            r"allocation must be one of \('global', 'uniform'\), got 'erk'",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    values = scores(0, {"a": (4, 5), "b.c": (4, 5), "b.d": (4, 5)})
    given = call(values)
    values["a"][0, 0] = given.pop("scores", 0.5)
    with pytest.raises(ValueError, match=message):
        (Mask.from_channels if "share" in given else Mask.from_scores)(values, **given)


def test_the_examples_of_the_page_run():
    pytest.importorskip("torch_pruning")
    page = (Path(__file__).parents[3] / "docs" / "reference" / "masks.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    names: dict = {}
    torch.manual_seed(0)
    exec(first, names)
    total = 20 * 64 + 64 * 64 + 64 * 3
    assert {names[mask].kept for mask in ("erk", "mask")} == {total - math.floor(0.9 * total + 0.5)}
    assert names["parts"].counts["3.weight"] == 96 and names["mask"].check(names["model"]).loc["all", "violations"] == 0
    previous = None
    for sparsity in names["steps"]:
        previous = Mask.from_scores(names["scores"], sparsity=sparsity, previous=previous)
    assert previous.counts == names["mask"].counts
    exec(second, names)
    assert names["mask"].counts["self_attn.in_proj_weight"] * 2 == 3 * 16 * 16 == 24 * 32
    assert names["mask"].counts["linear1.weight"] == names["mask"].counts["linear2.weight"] == 32 * 16


@pytest.mark.parametrize(("channels", "kernel"), [(8, (3, 3)), (4, (2,)), (3, (4, 4)), (2, (2, 3)), (12, ())])
def test_two_of_four_of_convolutions(channels, kernel):
    """The algorithm of TensorRT's guide, and else the rows of the weight with channels last."""
    score = scores(6, {"w": (5, channels, *kernel)})["w"]
    keep = Mask.from_n_m({"w": score}).keep["w"]
    last = [0, *range(2, score.ndim), 1]
    flat = Mask.from_n_m({"w": score.permute(last).flatten(1)}).keep["w"]
    assert torch.equal(keep.permute(last).flatten(1), flat) and int(keep.sum()) * 2 == keep.numel()
    for place in itertools.product(range(5), *map(range, kernel)) if channels % 4 == 0 else ():
        for c in range(0, channels, 4):
            assert sum(int(keep[place[0], c + i][place[1:]]) for i in range(4)) == 2
