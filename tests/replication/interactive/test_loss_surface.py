"""Loss surfaces before and after pruning."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from ccprune import flatness
from ccprune.mask import Mask, prunable
from replication.figures.interactive import loss_surface

TOP = 2.0


@pytest.fixture(scope="module")
def planes():
    """The plane before pruning, and by method and sparsity, of a small network that is only pruned."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    data = (torch.randn(30, 5), torch.arange(30) % 3)

    def plane(mask=None):
        found = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        if mask is not None:
            mask.apply_(model)
        measured = flatness.slice_2d(model, cross_entropy, data, radius=0.5, points=5, mask=mask)
        model.load_state_dict(found)
        return measured

    scores = {
        "magnitude": {name: weight.abs() for name, weight in prunable(model).items()},
        "random": {name: torch.rand_like(weight) for name, weight in prunable(model).items()},
    }
    after = {
        method: {level: plane(Mask.from_scores(score, sparsity=level)) for level in (0.5, 0.75, 0.9)}
        for method, score in scores.items()
    }
    return plane(), after


@pytest.fixture
def figure(planes):
    return loss_surface(*planes, top=TOP)


@pytest.mark.parametrize("method", ["magnitude", "random"])
@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9])
def test_shows_the_planes_that_it_was_given(planes, monkeypatch, method, sparsity):
    """What reaches the drawing function of notebook 04 is the slice itself, on the one scale."""
    before, after = planes
    seen = []
    monkeypatch.setattr(
        "replication.figures.interactive._drawing.loss_surface",
        lambda at, losses, **how: seen.append((at, losses, how)),
    )
    figure = loss_surface(*planes, top=TOP)
    figure.turn(method=method, sparsity=sparsity)
    left, right = seen[-2:]
    assert torch.equal(left[1], before.losses) and torch.equal(right[1], after[method][sparsity].losses)
    assert left[2]["top"] == right[2]["top"] == TOP
    assert [left[2]["title"], right[2]["title"]] == ["before pruning", f"{method}, sparsity {sparsity:g}"]
    was, is_now = float(before.losses[2, 2]), float(after[method][sparsity].losses[2, 2])
    losses = f"before pruning: loss {was:.3f}; {method}, sparsity {sparsity:g}: loss {is_now:.3f}"
    assert figure.figure.get_suptitle() == f"{losses} (at the cross, n = 30 samples)"


def test_begins_at_the_first_method_and_a_moved_knob_changes_the_picture(figure):
    assert figure.settings == {"method": "magnitude", "sparsity": 0.75}
    assert len(figure.figure.axes) == 4  # two planes, each with its scale
    before = figure.png
    figure.knobs["method"].value = "random"
    assert figure.png != before


def test_says_what_stands_before(planes):
    figure = loss_surface(*planes, top=TOP, before_name="dense, same steps")
    assert figure.figure.axes[0].get_title() == "dense, same steps"


def test_bad_arguments(planes):
    before, after = planes
    line = replace(before, losses=before.losses[0])
    other = replace(before, coordinates=2 * before.coordinates)
    fewer = replace(before, samples=29)
    for changed, message in (
        ({"before": line}, r"before must be from slice_2d, got losses of shape \(5,\)"),
        ({"after": {}}, "after must name at least one method"),
        ({"after": {"a": {}}}, r"after\['a'\] must hold at least one value"),
        ({"after": {"a": {0.5: before}, "b": {0.9: before}}}, r"after\['b'\] must have the sparsities \[0.5\]"),
        ({"after": {"a": {1.0: before}}}, r"after\['a'\] must have sparsities from 0 to below 1, got 1.0"),
        ({"after": {"a": {0.5: other}}}, r"after\['a'\]\[0.5\] must have the coordinates and the 30 samples of before"),
        ({"after": {"a": {0.5: fewer}}}, r"after\['a'\]\[0.5\] must have the coordinates and the 30 samples of before"),
        ({"top": 0.0}, "top must be a finite loss above 0, got 0.0"),
    ):
        given = {"before": before, "after": after, "top": TOP, **changed}
        with pytest.raises(ValueError, match=message):
            loss_surface(given.pop("before"), given.pop("after"), **given)
