"""The screen on records without an effect, and what it refuses."""

import pytest
import torch
from scipy import stats
from screens import SHAPES, filled, flat, random_steps

from ccprune.lasso import (
    Screen,
    screening,
)


def test_null_unrelated_losses_leave_scores_that_shrink_and_nothing_that_stands_out():
    """S over its standard deviation is standard normal for every weight, and the scores fall like 1 / sqrt(T)."""
    generator = torch.Generator().manual_seed(0)
    rates = 10 ** (-7 + 2 * torch.rand(3000, generator=generator))  # weights that move by very different amounts
    typical = []
    for count in (100, 1600):
        losses = torch.randn(count, generator=generator, dtype=torch.float64)
        losses -= losses.mean()  # else all weights share what the mean adds to them
        changes = rates * torch.randn(count, 3000, generator=generator)
        score = filled(losses, [{"w": change} for change in changes]).scores["w"]
        deviation = changes.double().square().std(0) * losses.std() / count**0.5
        z = (score / deviation).numpy()  # |standard normal|
        assert stats.kstest(z, stats.halfnorm.cdf).pvalue > 1e-3
        assert z.max() < 5.5
        typical.append(float((score / rates.double() ** 2).median() / losses.std()))
    assert typical[0] / typical[1] == pytest.approx(4, rel=0.1)


def test_null_nothing_happens_without_a_change_of_the_loss():
    _, changes = random_steps(10)
    screen = filled([0.0] * 10, changes)
    assert screen.condition().ratio == 0 and screen.mask(0.0).kept == 0


def test_changes_are_not_kept_and_not_written_to():
    losses, changes = random_steps(10)
    expected = filled(losses, changes, momentum=True).scores
    screen, buffer = Screen(momentum=True), {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    for loss, step in zip(losses, changes, strict=True):
        for name, change in step.items():
            buffer[name].copy_(change)
        screen.update(loss, buffer)
        assert all(torch.equal(buffer[name], change) for name, change in step.items())
    assert torch.equal(flat(screen.scores), flat(expected))
    double = {name: change.double() for name, change in changes[0].items()}
    Screen().update(1.0, double)
    assert torch.equal(flat(double), flat(changes[0]).double())


@pytest.mark.parametrize("momentum", [False, True])
def test_values_that_are_not_finite_are_refused_and_nothing_is_lost(momentum):
    losses, changes = random_steps(12)
    screen = filled(losses[:8], changes[:8], momentum=momentum)
    for bad in (float("nan"), torch.tensor(float("inf"))):
        with pytest.raises(ValueError, match="delta_loss must be finite"):
            screen.update(bad, changes[8])
    spoilt = {name: change.clone() for name, change in changes[8].items()}
    spoilt["b"][3] = float("nan")
    for each in (screen, Screen(momentum=momentum)):
        with pytest.raises(ValueError, match=r"delta_weights\['b'\] must be finite"):
            each.update(0.1, spoilt)
    for loss, change in zip(losses[8:], changes[8:], strict=True):
        screen.update(loss, change)
    expected = filled(losses, changes, momentum=momentum)
    assert screen.records == expected.records
    assert torch.equal(flat(screen.scores), flat(expected.scores))
    assert screen.condition() == expected.condition()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("momentum", [False, True])
def test_on_an_accelerator_the_error_comes_with_the_next_reading_and_once(device, dtype, momentum, monkeypatch):
    monkeypatch.setattr(screening, "_asynchronous", lambda device: True)
    losses, changes = random_steps(12)
    moved = [{name: change.to(device) for name, change in step.items()} for step in changes]
    screen = filled(losses[:8], moved[:8], momentum=momentum, dtype=dtype)
    screen.update(torch.tensor(float("nan"), device=device), moved[8])
    screen.update(0.1, {name: change * float("nan") for name, change in moved[8].items()})
    with pytest.raises(ValueError, match="delta_loss must be finite"):
        _ = screen.scores
    expected = filled(losses[:8], moved[:8], momentum=momentum, dtype=dtype)
    assert torch.equal(flat(screen.scores), flat(expected.scores))
    assert screen.records == expected.records == 8 - momentum


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_update_on_cuda_waits_for_nothing(momentum):
    losses, changes = random_steps(4)
    moved = [{name: change.cuda() for name, change in step.items()} for step in changes]
    screen = filled(losses[:2].cuda(), moved[:2], momentum=momentum, dtype=torch.float32)
    loss = losses[2].cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        screen.update(loss, moved[2])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert screen.records == 3 - momentum


LOSSES, CHANGES = random_steps(3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: Screen().update(torch.zeros(1), CHANGES[0]), r"delta_loss must be a number or a 0-d Tensor.*\(1,\)"),
        (lambda: Screen().update(0.1, {}), "delta_weights must have the names and shapes of the weights, at least one"),
        (lambda: filled(LOSSES, CHANGES).update(0.1, {"a": CHANGES[0]["a"]}), "delta_weights must have the names"),
        (lambda: Screen(dtype=torch.float16), r"dtype must be torch\.float64 or torch\.float32, got torch\.float16"),
        (lambda: Screen().scores, "no record yet: call update first"),
        (lambda: Screen().condition(), "no record yet: call update first"),
        (lambda: Screen(momentum=True).mask(0.1), "no record yet: call update first"),
        (lambda: filled(LOSSES, CHANGES).mask(-0.1), "alpha must be a finite number of at least 0, got -0.1"),
        (lambda: filled(LOSSES, CHANGES).condition(eta0=0), "eta0 must be positive and finite, got 0"),
        (lambda: filled(LOSSES, CHANGES).condition(max_iter=0), "max_iter must be an integer of at least 1, got 0"),
        (lambda: filled(LOSSES, CHANGES).condition(scope="all"), r"scope must be one of .*, got 'all'"),
        (lambda: filled(LOSSES, CHANGES).condition(scale=0.0), r"scale must be positive and finite, got 0\.0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_types_are_named():
    with pytest.raises(TypeError, match="delta_loss must be a number or a 0-d Tensor, got str"):
        Screen().update("0.1", CHANGES[0])
    with pytest.raises(TypeError, match=r"delta_weights\['a'\] must be a Tensor, got list"):
        Screen().update(0.1, {"a": [1.0]})
