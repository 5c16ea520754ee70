import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ccprune.lasso import (
    LIMIT,
    Condition,
    Screen,
    _blocks,
    record_weights,
    screening,
    truncated_gradient,
)
from ccprune.lasso.stochastic import step_sizes
from ccprune.mask import Mask, prunable

SHAPES = {"a": (3, 4), "b": (7,)}
Y1 = torch.ones(1)


def random_steps(count, seed=0, scale=1e-6):
    """Loss changes (T,) and weight changes, float32, on a scale that training has."""
    generator = torch.Generator().manual_seed(seed)
    losses = 2e-2 * torch.randn(count, generator=generator, dtype=torch.float64)
    return losses, [
        {name: scale * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()} for _ in range(count)
    ]


def filled(losses, changes, **options):
    screen = Screen(**options)
    for loss, change in zip(losses, changes, strict=True):
        screen.update(loss, change)
    return screen


def design(changes):
    """Squared changes (T, P) of all tensors."""
    return torch.stack([torch.cat([change.flatten() for change in step.values()]) for step in changes]).double() ** 2


def flat(values):
    return torch.cat([value.flatten().cpu() for value in values.values()])


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


def digits_run(steps, *, lr):
    """A small convolutional network on scikit-learn's digits under plain SGD: consecutive differences, and shapes."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x).float()[:, None, ::1].unflatten(2, (8, 8)) / 8 - 1, torch.from_numpy(y)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 40), nn.ReLU(), nn.Linear(40, 10)
    )
    batches = torch.randint(len(x), (150 + steps + 1, 64), generator=torch.Generator().manual_seed(1))
    optimizer, states, losses = torch.optim.Adam(model.parameters(), 3e-3), [], []
    for step, rows in enumerate(batches):
        if step == 150:
            optimizer = torch.optim.SGD(model.parameters(), lr)
        loss = cross_entropy(model(x[rows]), y[rows])
        if step >= 150:
            losses.append(loss.item())
            states.append({name: weight.detach().clone() for name, weight in prunable(model).items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pairs = zip(states[1:], states[:-1], strict=True)
    changes = [{name: later[name] - earlier[name] for name in later} for later, earlier in pairs]
    return torch.tensor(losses, dtype=torch.float64).diff(), changes


@pytest.fixture(scope="module")
def recorded():
    return digits_run(117, lr=1e-3)


@pytest.mark.parametrize("power_t, least", [(0.25, 0.85), (0.1, 0.94), (0.0, 1.0)])
def test_mask_is_that_of_the_authors_solver_on_a_trained_network(recorded, power_t, least):
    """Up to the weights of the records, with which it is the same; the more the steps shrink, the more they differ."""
    losses, changes = recorded
    screen, X, count = filled(losses, changes), design(changes), len(losses)
    shapes = {name: change.shape for name, change in changes[0].items()}
    condition = screen.condition(power_t=power_t)
    assert condition.holds and condition.ratio < 1e-9
    alphas = flat(screen.scores).quantile(torch.tensor([0.2, 0.5, 0.8, 0.95], dtype=torch.float64)).tolist()
    weighted = (X.T @ (record_weights(count, max_iter=3, power_t=power_t, seed=0) * losses)).abs()
    jaccards = []
    for alpha, mask in zip(alphas, screen.masks(alphas, condition=condition), strict=True):
        assert isinstance(mask, Mask) and mask.keep.keys() == shapes.keys()
        parts = X.split([math.prod(shape) for shape in shapes.values()], 1)
        fits = [truncated_gradient(part, losses, alpha, power_t=power_t, seed=0) for part in parts]
        assert {result.iterations for result in fits} == {3}
        ours, theirs = flat(mask.keep), torch.cat([result.support for result in fits])
        assert 0 < ours.sum() < len(ours)
        assert torch.equal(weighted > alpha, theirs)
        jaccards.append(int((ours & theirs).sum()) / int((ours | theirs).sum()))
    assert min(jaccards) >= least
    if power_t == 0.25:
        assert min(jaccards) < 0.94  # what held with t^-0.1 does not


def largest_prediction(X, y, *, eta0, power_t, batch_size, max_iter):
    """The largest |x_t . g| of any record at any step, without penalty, in the recorded order."""
    g, largest, t = np.zeros(X.shape[1]), 0.0, 0
    for _ in range(max_iter):
        for first in range(0, len(y), batch_size):
            rows, target = X[first : first + batch_size], y[first : first + batch_size]
            t += 1
            largest = max(largest, np.abs(X @ g).max())
            g = g + eta0 / t**power_t * (target - rows @ g) @ rows / len(target)
    return largest


@pytest.mark.parametrize("batch_size, max_iter", [(1, 4), (16, 30), (7, 3)])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("drift", [0.0, -2e-2])
@pytest.mark.parametrize("power_t", [0.25, 0.1])
def test_condition_bounds_every_prediction_and_is_not_far_above(batch_size, max_iter, scope, drift, power_t, recorded):
    losses, changes = recorded
    losses = losses + drift
    screen = filled(losses, changes)
    settings = {"eta0": 0.02, "power_t": power_t, "batch_size": batch_size, "max_iter": max_iter}
    blocks = design(changes).split([change.numel() for change in changes[0].values()], 1)
    for scale in (1.0, 1e6, 1e7):
        condition = screen.condition(**settings, scope=scope, scale=scale)
        parts = [design(changes)] if scope == "global" else blocks
        found = max(largest_prediction(part.numpy() * scale, losses.numpy(), **settings) for part in parts)
        assert found <= condition.prediction
        if drift:  # loss changes of one sign push the coefficients one way, as the bound has it
            assert condition.prediction < 30 * found
        assert condition.spread == pytest.approx(float(losses.square().mean().sqrt()))
        assert condition.tensor == "all" if scope == "global" else condition.tensor in changes[0]


def test_bound_in_closed_form():
    """One record pushes by step |dL| ||x||; of two, the larger is taken to come first, with the larger step."""
    changes = [{"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}, {"a": torch.tensor([0.5, 0.0]), "b": 0 * Y1}]
    norms = {"layer": 9.0, "global": (1 + 16 + 81) ** 0.5}
    for scope, norm in norms.items():
        alone = filled([-0.5], changes[:1]).condition(eta0=1e-3, power_t=0.5, max_iter=1, scope=scope)
        assert alone.prediction == pytest.approx(norm * 1e-3 * 0.5 * norm)
        both = filled([0.1, -0.5], changes[::-1]).condition(eta0=1e-3, power_t=0.5, max_iter=2, scope=scope)
        other = 0.0 if scope == "layer" else 0.25
        pushes = (1 + 3**-0.5) * 0.5 * norm + (2**-0.5 + 4**-0.5) * 0.1 * other
        assert both.prediction == pytest.approx(norm * 1e-3 * pushes)
        assert both.tensor == ("b" if scope == "layer" else "all") and both.spread == pytest.approx(0.13**0.5)


def test_bound_of_a_small_last_batch():
    """Its records are averaged over fewer, so each pushes more; the largest might be among them."""
    screen = filled([3.0, 1.0, 2.0], [{"a": torch.ones(1)}] * 3)
    found = screen.condition(eta0=1e-3, power_t=0.5, max_iter=1, batch_size=2).prediction
    assert found == pytest.approx(1e-3 * (2**-0.5 * 3 + 0.5 * 2 + 0.5 * 1))


def test_refuses_where_predictions_matter_and_the_masks_differ():
    """Half of the weights repeat the others: the fit explains y by any of them and the rest is left without a cause."""
    rng = np.random.default_rng(0)
    changes = torch.from_numpy(rng.standard_normal((200, 40)))
    causes = changes[:, :3].square()
    losses = causes.sum(1) + 0.1 * torch.from_numpy(rng.standard_normal(200))
    screen = filled(losses, [{"w": change} for change in changes])
    condition = screen.condition(eta0=0.002, max_iter=20)
    assert not condition.holds and condition.ratio > 1
    with pytest.raises(ValueError, match=r"predictions in 'w' may reach .* the limit is 0\.001; rank by `scores`"):
        screen.mask(0.5, condition=condition)
    fit = truncated_gradient(changes.square(), losses, 0.5, eta0=0.002, max_iter=20, patience=20)
    screened = screen.scores["w"] > 0.5
    assert fit.support.sum() < 10 and screened.all()
    # In smaller units the same records are within the condition, and there both agree.
    small = filled(losses, [{"w": 1e-4 * change} for change in changes])
    alpha = float(small.scores["w"].median())
    fit = truncated_gradient(1e-8 * changes.square(), losses, alpha, seed=0)
    both = small.mask(alpha).keep["w"], fit.support
    assert (both[0] & both[1]).sum() / (both[0] | both[1]).sum() >= 0.85  # 20 weights: one or two may differ
    # Steps that grow without bound have no bound.
    assert screen.condition(eta0=10.0).ratio == float("inf")


def test_masks_depend_on_the_condition_of_the_same_records():
    losses, changes = random_steps(20)
    screen = filled(losses, changes)
    condition = screen.condition()
    assert LIMIT == 1e-3 and Condition(1e-3, 1.0, "a", 1).holds and not Condition(1.1e-3, 1.0, "a", 1).holds
    alphas = [1e-15, 1e-14]
    alone = [screen.mask(alpha) for alpha in alphas]
    for one, many in zip(alone, screen.masks(alphas, condition=condition), strict=True):
        assert torch.equal(flat(one.keep), flat(many.keep))
    screen.update(losses[0], changes[0])
    with pytest.raises(ValueError, match="condition is of 20 records, the screen has 21"):
        screen.mask(1e-14, condition=condition)


def test_step_sizes_go_on_over_the_passes():
    rates = np.concatenate([step_sizes(10, 0.5, 0.25, 4, done) for done in range(3)])
    np.testing.assert_allclose(rates, [0.5 / t**0.25 for t in range(1, 10)], rtol=1e-14)


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
