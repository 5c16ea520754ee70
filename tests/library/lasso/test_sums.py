"""Sums of the screen: exactness, rounding, memory."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from screens import SHAPES, design, filled, flat, random_steps
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ccprune.lasso import (
    Condition,
    Screen,
    _blocks,
)
from ccprune.mask import Mask


def test_statistic_is_the_product_of_the_stored_records(device):
    losses, changes = random_steps(60)
    screen = filled(losses.to(device), [{k: v.to(device) for k, v in step.items()} for step in changes])
    scores = screen.scores
    assert screen.records == 60
    assert {name: tuple(score.shape) for name, score in scores.items()} == SHAPES
    assert all(score.dtype == torch.float64 and score.device.type == device for score in scores.values())
    X = design(changes)
    size = X.T @ losses.abs() / 60
    assert ((flat(scores) - (X.T @ losses).abs() / 60).abs() <= 1e-14 * size).all()


def test_losses_may_be_numbers_in_full_precision():
    screen = Screen()
    screen.update(0.1, {"w": torch.ones(2, requires_grad=True)})
    assert screen.scores["w"].tolist() == [0.1, 0.1] and not screen.scores["w"].requires_grad
    assert screen.condition().spread == 0.1


def test_statistic_survives_cancellation():
    """Against exact fractions; what is left after pairs cancel is a billionth of what was added."""
    rng = np.random.default_rng(1)
    change = torch.from_numpy(rng.standard_normal(5) * 1e-7).float()
    terms = []
    screen = Screen()
    for _ in range(200):
        loss = float(rng.standard_normal())
        for sign in (1, -1):
            moved = change * (1 if sign > 0 else 1 + 1e-7 * float(rng.random()))
            screen.update(sign * loss, {"w": moved})
            terms.append([Fraction(sign * loss) * Fraction(float(value)) ** 2 for value in moved])
    exact = [sum(column) for column in zip(*terms, strict=True)]
    sizes = [sum(abs(term) for term in column) for column in zip(*terms, strict=True)]
    assert max(abs(float(value / size)) for value, size in zip(exact, sizes, strict=True)) < 1e-7
    for ours, value, size in zip(screen.scores["w"].tolist(), exact, sizes, strict=True):
        # 400 additions, each off by half a unit in the last place of a sum below `size`.
        assert abs(ours * 400 - abs(float(value))) <= 400 * 2**-53 * float(size)


def test_momentum_keeps_a_weight_if_any_of_its_three_features_passes(device):
    losses, changes = random_steps(30)
    moved = [{name: change.to(device) for name, change in step.items()} for step in changes]
    screen = filled(losses, moved, momentum=True)
    flat_changes = torch.stack([flat(step) for step in changes]).double()
    before, now = flat_changes[:-1], flat_changes[1:]
    parts = torch.stack([feature.T @ losses[1:] for feature in (before**2, now**2, before * now)]).abs() / 29
    assert screen.records == 29
    torch.testing.assert_close(flat(screen.scores), parts.amax(0), rtol=1e-12, atol=0)
    assert parts.argmax(0).unique().tolist() == [0, 1, 2]
    alpha = float(parts.amax(0).median())
    assert torch.equal(flat(screen.mask(alpha).keep), (parts > alpha).any(0))
    screen.restart()
    screen.update(1.0, moved[0])
    assert screen.records == 29
    screen.update(1.0, moved[1])
    assert screen.records == 30


@pytest.mark.parametrize("drift", [0.0, -5e-2])
@pytest.mark.parametrize("momentum", [False, True])
def test_float32_sums_stay_within_the_rounding_of_each_record(momentum, drift):
    """500 records of weights that move by very different amounts, against float64's sums after every record."""
    generator, count, size = torch.Generator().manual_seed(1), 500, 10_000
    rates = 10 ** (-8 + 3 * torch.rand(size, generator=generator))
    losses = drift + 2e-2 * torch.randn(count + momentum, generator=generator, dtype=torch.float64)
    changes = rates * torch.randn(count + momentum, size, generator=generator)
    steps = [{"w": change} for change in changes]
    wide, narrow = (
        filled(losses, steps, momentum=momentum),
        filled(losses, steps, momentum=momentum, dtype=torch.float32),
    )
    now = changes.double()
    features = [now.square()]
    if momentum:
        features, losses = [now[:-1].square(), now[1:].square(), now[:-1] * now[1:]], losses[1:]
    partial = torch.stack([(losses[:, None] * feature).cumsum(0).abs().sum(0) for feature in features])
    # A sum is rounded once a record, by at most 2^-24 of itself; the sums that are rounded are those of float32.
    bound = (1 + count * 2**-24) * 2**-24 * partial.amax(0) / count
    ours, exact = narrow.scores["w"], wide.scores["w"]
    assert ours.dtype == torch.float64 and narrow.records == wide.records == count
    assert ((ours - exact).abs() <= bound).all() and not torch.equal(ours, exact)
    relative = (ours - exact).abs() / (losses.abs() @ torch.stack(features).abs().amax(0)) * count
    assert relative.max() < 2e-6 and relative.median() < 3e-7  # 2^-24 is 6e-8
    # The norms, and with them the condition, are the same to the last bit.
    assert narrow.condition() == wide.condition()
    for sparsity in (0.5, 0.9, 0.99):
        keep = [Mask.from_scores({"w": score}, sparsity=sparsity).keep["w"] for score in (ours, exact)]
        lost, won = keep[1] & ~keep[0], keep[0] & ~keep[1]
        assert lost.sum() == won.sum() <= 2
        if lost.any():  # a weight only gives way to one whose score is closer than the two may be off
            assert exact[lost].max() - exact[won].min() <= bound[lost].max() + bound[won].max()


def test_float32_sums_do_not_depend_on_the_units_of_changes():
    """Squares of changes of 1e-25 are 1e-50, times dL 1e-52: in float32 that is 0."""
    losses, changes = random_steps(40)
    expected = flat(filled(losses, changes, dtype=torch.float32).scores)
    for power in (-62, 40):
        moved = [{name: change * 2.0**power for name, change in step.items()} for step in changes]
        found = flat(filled(losses, moved, dtype=torch.float32).scores)
        assert torch.equal(found, expected * 2.0 ** (2 * power)) and (found > 0).all()


def test_sums_that_overflow_are_not_passed_on():
    change = {"w": torch.tensor([1e-3, 1e15])}
    for sign in (1.0, -1.0):
        screen = filled([1.0, sign], [change, change], dtype=torch.float32)
        with pytest.raises(ValueError, match="sums must be finite, dL times squared changes overflowed torch.float32"):
            _ = screen.scores
    assert filled([1.0], [change]).scores["w"][1] == pytest.approx(1e30)


class Largest(TorchDispatchMode):
    """Bytes of the largest storage that an operation made."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        before = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        made = [t.untyped_storage() for t in tree_leaves(found) if isinstance(t, torch.Tensor)]
        self.bytes = max([self.bytes, *(one.nbytes() for one in made if one.data_ptr() not in before)])
        return found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("momentum, numbers, rows", [(False, 1, 1), (True, 4, 3)])
def test_memory_is_that_of_the_sums_and_a_block(momentum, numbers, rows, layout):
    shape = (100, 1000, 3, 3)
    changes = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0)).unbind()
    changes = [change.contiguous(memory_format=layout) for change in changes]
    screen = filled([1.0, -0.5], [{"w": change} for change in changes[:2]], momentum=momentum, dtype=torch.float32)
    weights = changes[0].numel()
    assert 4 * numbers * weights <= len(pickle.dumps(screen)) < 4 * numbers * weights + 10_000
    with Largest() as largest:
        screen.update(0.25, {"w": changes[2]})
    assert largest.bytes == 8 * rows * 2**17 < 8 * weights
    before, now = torch.stack(changes[:2]).double(), torch.stack(changes[1:]).double()
    factor = torch.tensor([-0.5, 0.25], dtype=torch.float64).view(2, 1, 1, 1, 1)
    features = [before.square(), now.square(), before * now]
    if not momentum:
        features, factor = [torch.stack(changes).double().square()], torch.tensor([1, -0.5, 0.25]).view(3, 1, 1, 1, 1)
    expected = torch.stack([(factor * feature).sum(0).abs() for feature in features]).amax(0) / len(factor)
    torch.testing.assert_close(screen.scores["w"], expected, rtol=1e-5, atol=1e-6)
    assert screen.scores["w"].is_contiguous(memory_format=layout)
    alpha = float(expected.median())
    with Largest() as largest:
        mask = screen.mask(alpha, condition=Condition(0.0, 1.0, "w", screen.records))
    assert largest.bytes <= 8 * rows * 2**17 and torch.equal(mask.keep["w"], screen.scores["w"] > alpha)


@pytest.mark.parametrize("momentum", [False, True])
def test_blocks_run_over_the_borders_of_tensors_and_change_nothing(momentum, monkeypatch):
    """Changes of two precisions, one tensor laid out by columns, and one that comes as another view each time."""
    losses, steps = random_steps(12)
    steps = [step | {"c": step["a"].double().T, "d": step["b"].double()} for step in steps]
    views = [step | {"a": step["a"].T.contiguous().T, "b": torch.stack([step["b"]] * 2, 1)[:, 0]} for step in steps]
    whole = filled(losses, steps, momentum=momentum)
    monkeypatch.setattr(_blocks, "_BLOCK", 5)
    parts = filled(losses, [steps[0], *views[1:]], momentum=momentum)
    assert torch.equal(flat(parts.scores), flat(whole.scores))
    assert torch.equal(parts.scores["c"], parts.scores["a"].T) and torch.equal(parts.scores["d"], parts.scores["b"])
    ours, expected = parts.condition(), whole.condition()
    assert ours.prediction == pytest.approx(expected.prediction, rel=1e-12) and ours.tensor == expected.tensor
