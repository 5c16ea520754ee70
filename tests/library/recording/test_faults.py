"""Losses that are not finite, full stores, wrong calls and arguments."""

import pytest
import torch
from recorded_training import Covariance, batches, network, recorded, train
from torch import nn

from ccprune.recording import PAIRINGS, InMemory, MemoryMapped, Recorder, SquaredUpdates, StoreFull
from ccprune.recording import _recorder as module


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_records_before(pairing):
    data = batches(6)
    data[4] = (data[4][0] * float("nan"), data[4][1])
    model, store = network(), InMemory()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [store], pairing=pairing)
    records = 4 if pairing == "same_batch" else 3
    with pytest.raises(ValueError, match=f"loss of step 5 is nan; the {records} records before it are kept"):
        train(model, optimizer, data, recorder)
    assert len(store) == records == recorder.records
    assert all(bool(p.isfinite().all()) for p in model.parameters())  # the step was not made
    train(model, optimizer, data[5:], recorder)  # and recording goes on where it was
    assert len(store) == records + 1 and bool(store.records()[0].isfinite().all())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_where_the_device_is_not_waited_for_a_bad_loss_leaves_sums_as_they_were(pairing, monkeypatch):
    monkeypatch.setattr(module, "asynchronous", lambda device: True)
    data = batches(8)
    good, stream, covariance = InMemory(), SquaredUpdates(), Covariance()
    recorded(pairing, data[:4], [good], lr=0.1)
    data[4] = (data[4][0] * float("nan"), data[4][1])
    with pytest.raises(ValueError, match="loss of step 5 is not finite"):
        recorded(pairing, data, [stream, covariance], lr=0.1)
    assert len(covariance.losses) > len(good) and not any(covariance.losses[len(good) :])
    expected = good.layout.tensors(good.records()[0].sum(0))
    for name, total in stream.scores.items():
        torch.testing.assert_close(total, expected[name], rtol=1e-12, atol=0)
    monkeypatch.setattr(module, "_LOOK_EVERY", 3)  # and it is looked at before the end, too
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [SquaredUpdates()], pairing=pairing)
    with pytest.raises(ValueError, match="loss of step 5 is not finite"):
        train(model, optimizer, data * 2, recorder)
    assert recorder.steps in (5, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_changes_are_the_same_where_the_device_is_not_waited_for(pairing, dtype, monkeypatch):
    stores = [Covariance(), Covariance()]
    recorded(pairing, batches(6, dtype), [stores[0]])
    monkeypatch.setattr(module, "asynchronous", lambda device: True)
    recorded(pairing, batches(6, dtype), [stores[1]])
    assert len(stores[0].changes) == len(stores[1].changes) >= 5
    for one, other in zip(stores[0].changes, stores[1].changes, strict=True):
        assert all(change.dtype == torch.float32 and torch.equal(change, other[name]) for name, change in one.items())
        assert any(bool((change != 0).any()) for change in one.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_step_on_cuda_waits_for_nothing(pairing):
    data = batches(4, torch.float32, "cuda")
    model = network(torch.float32, "cuda")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [SquaredUpdates(), InMemory()], pairing=pairing)
    train(model, optimizer, data, recorder)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train(model, optimizer, data, recorder)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_full_store_stops_training_and_can_be_read(tmp_path):
    with MemoryMapped(tmp_path / "rows", limit_bytes=450) as store:
        with pytest.raises(StoreFull, match="2 rows, .* are held and can be read"):
            recorded("consecutive", batches(9, torch.float32), [store])
        assert store.records()[0].shape == (2, 35)


def test_nothing_is_recorded_after_closing():
    model, store = network(), Covariance()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [store])
    train(model, optimizer, batches(2), recorder)
    recorder.close()
    recorder.close()
    train(model, optimizer, batches(2))
    assert len(store.losses) == 2
    with pytest.raises(RuntimeError, match="the recorder is closed"):
        recorder.before_step(torch.tensor(1.0))


def test_calls_in_a_wrong_order_are_refused_and_lose_nothing():
    model, store = network(), Covariance()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [store])
    data, one = batches(1), torch.tensor(1.0)
    train(model, optimizer, data, recorder)
    start = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match=r"before_step\(loss\) was not called for step 2"):
        optimizer.step()
    with pytest.raises(RuntimeError, match=r"after_step\(\) was called without before_step\(\) and a step"):
        recorder.after_step(one)
    recorder.before_step(one)
    with pytest.raises(RuntimeError, match=r"before_step\(\) was called twice .* all micro-batches at once"):
        recorder.before_step(one)
    with pytest.raises(RuntimeError, match=r"after_step\(\) was called without a step since before_step"):
        recorder.after_step(one)
    assert all(torch.equal(p, q) for p, q in zip(start, model.parameters(), strict=True))
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"after_step\(\) has not been called for step 2"):
        recorder.before_step(one)
    recorder.after_step(one)
    assert len(store.losses) == 2
    recorder.close()
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        train(model, optimizer, data, recorder)
        with pytest.raises(RuntimeError, match="after_step.. belongs to pairing='same_batch'"):
            recorder.after_step(one)


def test_weights_that_are_replaced_are_noticed():
    one = torch.tensor(1.0)
    for spoil, message in (
        (lambda model: setattr(model, "2", nn.Linear(5, 4)), r"'2.weight'\] are not the weights with which"),
        (lambda model: model.append(nn.Linear(4, 4)), r"'3.weight'\] are not the weights with which"),
        (lambda model: model.float(), r"'0.weight' was .*float64.* when recording began"),
    ):
        model, store = network(), Covariance()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder = Recorder(model, optimizer, [store], pairing="consecutive")
        train(model, optimizer, batches(3), recorder)
        spoil(model)
        recorder.before_step(one)
        with pytest.raises(ValueError, match=message):
            optimizer.step()
        assert len(store.losses) == 2


MODEL = network()


SGD = torch.optim.SGD(MODEL.parameters(), lr=0.1)


GIVEN = Recorder(MODEL, torch.optim.SGD(MODEL.parameters(), lr=0.1), [SquaredUpdates()])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: Recorder(MODEL, SGD, [SquaredUpdates()], pairing="both"), ValueError, "pairing must be one of"),
        (lambda: Recorder(MODEL, SGD, SquaredUpdates()), TypeError, "stores must be a sequence of objects"),
        (lambda: Recorder(MODEL, SGD, [print]), TypeError, "stores must be a sequence of objects"),
        (lambda: Recorder(MODEL, SGD, []), ValueError, "stores must hold at least one store"),
        (
            lambda: Recorder(MODEL, torch.optim.SGD(MODEL[0].parameters(), lr=0.1), [SquaredUpdates()]),
            ValueError,
            r"optimizer must hold the model's prunable weights, it lacks \['2.weight'\]",
        ),
        (lambda: GIVEN.before_step(0.5), TypeError, "loss must be a Tensor or a sequence of Tensors, got float"),
        (lambda: GIVEN.before_step([0.5]), TypeError, "loss must be a Tensor or a sequence of Tensors, got list"),
        (lambda: GIVEN.before_step([]), ValueError, r"loss must be one real number per micro-batch, got \[\]"),
        (
            lambda: GIVEN.before_step(torch.zeros(2)),
            ValueError,
            r"loss must be one real number per micro-batch, got .*\(2,\)",
        ),
        (
            lambda: GIVEN.before_step(torch.tensor(1)),
            ValueError,
            "loss must be one real number per micro-batch, got .*int64",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
