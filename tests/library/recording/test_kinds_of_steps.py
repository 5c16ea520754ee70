"""Micro-batches, scalers, frozen and reloaded weights."""

import pytest
import torch
from recorded_training import Covariance, batches, network, recorded, train
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.mask import prunable
from ccprune.recording import PAIRINGS, InMemory, Recorder, SquaredUpdates


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_micro_batches_give_the_records_of_the_whole_batch(pairing):
    whole, parts = Covariance(), Covariance()
    recorded(pairing, batches(5), [whole], lr=0.2)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    with Recorder(model, optimizer, [parts], pairing=pairing) as recorder:
        for x, y in batches(5):
            pieces = list(zip(x.split(2), y.split(2), strict=True))
            losses = [cross_entropy(model(piece), labels) for piece, labels in pieces]
            optimizer.zero_grad()
            for loss in losses:
                (loss / len(losses)).backward()
            recorder.before_step(losses)
            optimizer.step()
            if pairing == "same_batch":
                again = [cross_entropy(model(piece), labels) for piece, labels in pieces]
                with pytest.raises(ValueError, match=r"loss must have 3 micro-batches, as in before_step\(\), got 2"):
                    recorder.after_step(again[:2])
                recorder.after_step(again)
    for a, b in zip(whole.losses, parts.losses, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-9)
    for a, b in zip(whole.changes, parts.changes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_step_that_a_grad_scaler_leaves_out_is_dropped_and_counted(pairing):
    model, store = network(torch.float32), Covariance()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    losses = []
    with Recorder(model, optimizer, [store], pairing=pairing, may_skip=True) as recorder:
        for step, (x, y) in enumerate(batches(6, torch.float32)):
            loss = cross_entropy(model(x), y)
            if step in (2, 3):
                loss = loss * float("inf")  # is not an error, for it is not recorded
            losses.append(loss.item())
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            recorder.before_step(loss)
            scaler.step(optimizer)
            scaler.update()
            if pairing == "same_batch":
                recorder.after_step(cross_entropy(model(x), y))
    assert (recorder.steps, recorder.skipped) == (4, 2)
    assert recorder.records == len(store.losses) == (4 if pairing == "same_batch" else 3)
    if pairing == "consecutive":
        kept = [losses[i] for i in (0, 1, 4, 5)]
        assert [float(d) for d in store.losses] == pytest.approx([b - a for a, b in zip(kept, kept[1:], strict=False)])


def test_frozen_tied_and_half_precision_weights():
    frozen, shared = nn.Linear(3, 3), nn.Linear(3, 3)
    frozen.weight.requires_grad_(False)
    other = nn.Linear(3, 3)
    other.weight = shared.weight
    model = nn.Sequential(frozen, shared, nn.Tanh(), other, nn.Linear(3, 4)).bfloat16()
    store, rows = Covariance(), InMemory()
    before = {name: w.detach().float() for name, w in prunable(model).items()}
    assert list(before) == ["1.weight", "4.weight"] and list(prunable(model, frozen=True)) == ["0.weight", *before]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    with Recorder(model, optimizer, [store, rows]) as recorder:
        train(model, optimizer, batches(1, torch.bfloat16), recorder)
    assert list(store.changes[0]) == ["1.weight", "4.weight"]
    assert rows.records()[0].dtype == torch.float32
    for name, weight in prunable(model).items():
        assert store.changes[0][name].dtype == torch.float32
        assert torch.equal(store.changes[0][name], weight.detach().float() - before[name])
    assert bool((store.changes[0]["1.weight"] != 0).any())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_weights_loaded_anew_are_no_change_after_restart(pairing):
    model, store, rows = network(), Covariance(), InMemory(momentum=True)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = batches(3)
    with Recorder(model, optimizer, [store, rows], pairing=pairing) as recorder:
        train(model, optimizer, data, recorder)
        model.load_state_dict(start)
        recorder.restart()
        train(model, optimizer, data, recorder)
    half = 3 if pairing == "same_batch" else 2
    assert len(store.losses) == 2 * half and len(rows) == 2 * (half - 1)
    for a, b in zip(store.losses[:half], store.losses[half:], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(store.changes[:half], store.changes[half:], strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_layout_of_channels_last_weights_is_that_of_the_tensors():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten()).to(memory_format=torch.channels_last)
    store, sums = InMemory(), SquaredUpdates()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.rand(4, 2, 3, 3), torch.tensor([0, 1, 2, 0])
    old = model[0].weight.detach().clone()
    with Recorder(model, optimizer, [store, sums]) as recorder:
        train(model, optimizer, [(x, y)], recorder)
    change = model[0].weight.detach() - old
    found = store.layout.tensors(store.records()[0][0])["0.weight"]
    assert torch.equal(found, change.square())
    assert torch.equal(sums.scores["0.weight"], change.double().square())
