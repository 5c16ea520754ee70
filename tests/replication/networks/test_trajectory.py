"""Oracles: `windows` against `record` (one keeps a window, the other everything), `separation` against two explicit
runs, and the linear model against its closed form: products of matrices I - c x x^T, which see no targets or weights.
"""

import tracemalloc

import numpy as np
import pytest
import torch

from replication.networks.ensemble import initialise
from replication.networks.training import accuracy, advance
from replication.networks.trajectory import (
    linear_separation,
    perturbations,
    record,
    separation,
    window_count,
    windows,
)

SIZES = (3, 4, 2)


def problem(n=13, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((n, 3)))
    return x, torch.from_numpy(np.eye(2)[rng.integers(0, 2, n)])


def test_row_zero_is_the_start_and_every_update_adds_a_row():
    ensemble = initialise(SIZES, 2, seed=0)
    x, y = problem()
    rows = record(ensemble, x, y, steps=20, lr=0.3)
    assert rows.shape == (2, 21, 20)
    assert torch.equal(rows[:, 0], ensemble.weights)
    for t in (1, 14, 20):
        stepped = ensemble.select([0, 1])
        advance(stepped, x, y, lr=0.3, first=0, steps=t)
        assert torch.equal(rows[:, t], stepped.weights)


@pytest.mark.parametrize("window, stride", [(10, 9), (10, 10), (6, 1), (5, 12), (40, 3)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_windows_are_the_rows_of_the_whole_record(window, stride, reduction):
    ensemble = initialise(SIZES, 3, seed=1, scale=0.5)
    x, y = problem()
    before = ensemble.weights
    epochs = 4
    rows = record(ensemble, x, y, steps=epochs * 13, lr=0.4, reduction=reduction)
    judged = {"train": (x, y), "some": (x[:5], y[:5])}
    options = {"epochs": epochs, "lr": 0.4, "window": window, "stride": stride, "reduction": reduction}
    found = list(windows(ensemble, x, y, risk=judged, **options))
    assert len(found) == (epochs * 13 + 1 - window) // stride + 1 == window_count(epochs * 13 + 1, window, stride)
    for k, piece in enumerate(found):
        assert (piece.index, piece.first) == (k, k * stride)
        assert torch.equal(piece.weights, rows[:, piece.first : piece.first + window])
        # The biases are not in the record, so the risk is taken from a run that stops at the window's last point.
        stopped = ensemble.select(range(3))
        advance(stopped, x, y, lr=0.4, first=0, steps=piece.first + window - 1, reduction=reduction)
        for name, samples in judged.items():
            assert torch.equal(piece.risk[name], 1 - accuracy(stopped, *samples)), (k, name)
    assert torch.equal(ensemble.weights, before)


def test_windows_need_no_more_memory_for_longer_training():
    ensemble = initialise((3, 40, 2), 4, seed=0)
    x, y = problem(n=50)

    def peak(epochs):
        # Torch's memory is not seen by tracemalloc, so the largest tensor alive is taken from the windows themselves.
        tracemalloc.start()
        largest = 0
        for piece in windows(ensemble, x, y, epochs=epochs, lr=0.1, window=60, stride=54, risk={}):
            largest = max(largest, piece.weights.untyped_storage().nbytes())
        traced = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest, traced

    peak(3)
    short, long = peak(3), peak(60)
    assert long[0] == short[0] <= 2 * 4 * 60 * 200 * 8
    assert long[1] < 2 * short[1] + 100_000


@pytest.mark.parametrize("points, expected", [(10, 1), (9, 0), (13, 2), (12, 1)])
def test_window_count(points, expected):
    window, stride = 10, 3
    assert window_count(points, window, stride) == expected
    assert expected == sum(start + window <= points for start in range(0, points, stride))


def test_each_perturbation_shifts_one_weight():
    ensemble = initialise(SIZES, 1, seed=0)
    shifted = perturbations(ensemble, delta=1e-3)
    difference = (shifted.weights - ensemble.weights).numpy()
    np.testing.assert_allclose(difference, 1e-3 * np.eye(20), atol=1e-16)
    assert torch.equal(shifted.b1, ensemble.b1.expand(20, -1)) and torch.equal(shifted.b2, ensemble.b2.expand(20, -1))


@pytest.mark.parametrize("steps", [0, 40, 300])  # 300: more than one block
def test_separation_equals_two_explicit_runs(steps):
    reference = initialise(SIZES, 1, seed=2)
    perturbed = perturbations(reference, delta=1e-4)
    x, y = problem()
    found = separation(reference, perturbed, x, y, steps=steps, lr=0.3)
    one = record(reference, x, y, steps=steps, lr=0.3)[0].numpy()
    for index in (0, 7, 19):
        other = record(perturbed.select([index]), x, y, steps=steps, lr=0.3)[0].numpy()
        np.testing.assert_allclose(found[index].numpy(), np.sqrt(((one - other) ** 2).sum(1)), rtol=1e-12)
    assert found.shape == (20, steps + 1)
    np.testing.assert_allclose(found[:, 0].numpy(), 1e-4, rtol=1e-9)


def test_separation_of_a_run_from_itself_is_zero():
    reference = initialise(SIZES, 1, seed=2)
    x, y = problem()
    assert (separation(reference, reference.select([0, 0]), x, y, steps=30, lr=0.5) == 0).all()


def test_linear_separation_equals_products_of_projections_and_never_grows():
    rng = np.random.default_rng(3)
    outputs, inputs, steps, lr, delta = 2, 3, 50, 0.05, 1e-3
    x, y = problem()
    weights, bias = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((outputs, inputs), (outputs,)))
    found = linear_separation(weights, bias, x, y, steps=steps, lr=lr, delta=delta).numpy()
    # The constant input of the bias is a coordinate of its own.
    extended = np.column_stack([x.numpy(), np.ones(len(x))])
    c = 2 * lr / outputs
    assert (c * (extended**2).sum(1) < 2).all()
    for index in range(outputs * inputs):
        difference = np.zeros(inputs + 1)
        difference[index % inputs] = delta
        for t in range(steps + 1):
            assert found[index, t] == pytest.approx(np.linalg.norm(difference[:inputs]), rel=1e-9)
            sample = extended[t % len(x)]
            difference = (np.eye(inputs + 1) - c * np.outer(sample, sample)) @ difference
    # What cannot grow is the distance with the biases; that of the weights alone stays below the shift.
    assert (found <= delta * (1 + 1e-9)).all()
    assert (found[:, -1] < 0.9 * delta).all()


def test_linear_separation_does_not_depend_on_the_targets():
    x, y = problem()
    weights, bias = torch.ones(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    options = {"steps": 20, "lr": 0.05, "delta": 1e-3}
    one = linear_separation(weights, bias, x, y, **options)
    torch.testing.assert_close(linear_separation(weights, bias, x, 1 - y, **options), one, rtol=1e-9, atol=0)


ONE, (X, Y) = initialise(SIZES, 1, seed=0), problem()


def streamed(**changes):
    options = {"epochs": 1, "lr": 0.1, "window": 5, "stride": 4, "risk": {}} | changes
    return lambda: next(windows(ONE, X, Y, **options))


@pytest.mark.parametrize(
    "call, message",
    [
        (streamed(window=15), "window must be at most 14, the points of 1 epochs, got 15"),
        (streamed(window=0), "window must be an integer of at least 1, got 0"),
        (streamed(stride=0.5), "stride must be an integer of at least 1, got 0.5"),
        (lambda: perturbations(initialise(SIZES, 2, seed=0), delta=0.1), "ensemble must hold one network, got 2"),
        (lambda: perturbations(ONE, delta=0), "delta must not be 0"),
        (
            lambda: separation(initialise(SIZES, 2, seed=0), ONE, X, Y, steps=1, lr=0.1),
            "reference must hold one network, got 2",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_separation_of_networks_with_different_output_units_is_refused():
    start, other = initialise((2, 3, 2), 1, seed=0), initialise((2, 3, 2), 1, seed=0, output="softmax")
    x, y = torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="perturbed must have sigmoid outputs"):
        separation(start, other, x, y, steps=1, lr=0.1)
