"""Oracles: a training loop written out by hand in float64 that keeps every weight and every loss and takes differences
afterwards; and plain copies of the weights made around steps of real optimisers.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from ccprune.recording import PAIRINGS, InMemory, MemoryMapped, Recorder, SquaredUpdates, StoreFull
from ccprune.recording import _recorder as module


class Covariance:
    """A streaming store: sum_t dL_t dtheta_t^2, and copies of what came, for the tests that ask."""

    def __init__(self):
        self.sums, self.losses, self.changes = {}, [], []

    def update(self, delta_loss, delta_weights):
        self.losses.append(delta_loss.clone())
        self.changes.append({name: change.clone() for name, change in delta_weights.items()})
        for name, change in delta_weights.items():
            self.sums[name] = self.sums.get(name, 0) + delta_loss * change.double().square()


def network(dtype=torch.float64, device="cpu"):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).to(device, dtype)


def batches(count, dtype=torch.float64, device="cpu", size=6):
    generator = torch.Generator().manual_seed(0)
    found = [
        (torch.randn(size, 3, generator=generator, dtype=torch.float64), torch.randint(4, (size,), generator=generator))
        for _ in range(count)
    ]
    return [(x.to(device, dtype), y.to(device)) for x, y in found]


def train(model, optimizer, data, recorder=None, scheduler=None):
    for x, y in data:
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        if recorder is not None:
            recorder.before(loss)
        optimizer.step()
        if recorder is not None and recorder.pairing == "same_batch":
            recorder.after(cross_entropy(model(x), y))
        if scheduler is not None:
            scheduler.step()


def recorded(pairing, data, stores, *, model=None, lr=0.3, **options):
    model = network(data[0][0].dtype, data[0][0].device) if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **options)
    with Recorder(model, optimizer, stores, pairing=pairing) as recorder:
        train(model, optimizer, data, recorder)
    return recorder


def by_hand(data, lr, momentum, decay):
    """Weights (T + 1, P) of both layers and the losses before and after each step, from the formulas."""
    w1, b1, w2, b2 = (p.detach().cpu().clone() for p in network().parameters())
    speed = [torch.zeros_like(p) for p in (w1, b1, w2, b2)]
    rows, before, after = [torch.cat([w1.flatten(), w2.flatten()])], [], []

    def loss_of(x, y):
        hidden = torch.tanh(x @ w1.T + b1)
        outputs = hidden @ w2.T + b2
        probability = outputs.exp() / outputs.exp().sum(1, keepdim=True)
        return hidden, probability, -probability[range(len(y)), y].log().mean()

    for x, y in data:
        hidden, slope, loss = loss_of(x, y)
        before.append(loss)
        slope[range(len(y)), y] -= 1
        slope /= len(y)
        back = (slope @ w2) * (1 - hidden**2)
        for p, v, g in zip(
            (w1, b1, w2, b2), speed, (back.T @ x, back.sum(0), slope.T @ hidden, slope.sum(0)), strict=True
        ):
            v.mul_(momentum).add_(g + decay * p)
            p -= lr * v
        after.append(loss_of(x, y)[2])
        rows.append(torch.cat([w1.flatten(), w2.flatten()]))
    return torch.stack(rows), torch.stack(before), torch.stack(after)


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_records_equal_a_loop_written_by_hand(pairing, features, device):
    lr, momentum, decay, steps = 0.3, 0.8, 0.01, 9
    weights, before, after = by_hand(batches(steps), lr, momentum, decay)
    change = weights.diff(dim=0)
    loss = after - before
    if pairing == "consecutive":
        change, loss = change[:-1], before.diff()
    expected = change**2
    if features == 3:
        expected, loss = torch.cat([change[:-1] ** 2, change[1:] ** 2, change[:-1] * change[1:]], 1), loss[1:]
    store = InMemory(momentum=features == 3)
    recorder = recorded(pairing, batches(steps, device=device), [store], lr=lr, momentum=momentum, weight_decay=decay)
    X, y = store.records()
    assert X.device.type == device and y.dtype == torch.float64
    torch.testing.assert_close(X.cpu(), expected, rtol=1e-9, atol=1e-16)
    torch.testing.assert_close(y.cpu(), loss, rtol=1e-9, atol=1e-13)
    assert (recorder.steps, recorder.records) == (steps, steps - (pairing == "consecutive"))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_all_stores_hold_the_same_records(pairing, tmp_path):
    memory, stream, sums = InMemory(), Covariance(), SquaredUpdates()
    data = batches(20, torch.float32)
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**6) as mapped:
        recorded(pairing, data, [memory, mapped, stream, sums], momentum=0.9)
    X, y = memory.records()
    for store in (mapped, MemoryMapped.open(tmp_path / "rows")):
        assert torch.equal(store.records()[0], X) and torch.equal(store.records()[1], y)
    for found, expected in ((stream.sums, X.double().T @ y), (sums.scores, X.double().sum(0))):
        for name, part in memory.layout.tensors(expected).items():
            torch.testing.assert_close(found[name], part, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_nothing_changes_without_a_learning_rate(pairing, device):
    store = Covariance()
    recorded(pairing, batches(5, torch.float32, device), [store], lr=0.0, momentum=0.9, weight_decay=0.1)
    assert len(store.changes) == 5 - (pairing == "consecutive")
    assert all(bool((change == 0).all()) for changes in store.changes for change in changes.values())
    if pairing == "same_batch":
        assert all(float(loss) == 0 for loss in store.losses)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_training_is_the_same_bit_for_bit_whatever_is_recorded(pairing, tmp_path):
    data, ends = batches(8, torch.float32), []
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**6, momentum=True) as mapped:
        for stores in ([], [SquaredUpdates()], [InMemory(momentum=True), mapped]):
            model = network(torch.float32)
            if stores:
                recorded(pairing, data, stores, model=model, momentum=0.9)
            else:
                train(model, torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9), data)
            ends.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(p, q) for end in ends[1:] for p, q in zip(ends[0], end, strict=True))


OPTIMISERS = {
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_what_is_recorded_is_what_the_weights_did(pairing, name):
    model, store = network(), Covariance()
    optimizer = OPTIMISERS[name](model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    seen = []
    with Recorder(model, optimizer, [store], pairing=pairing) as recorder:
        for pair in batches(6):
            seen.append([w.detach().clone() for w in prunable(model).values()])
            train(model, optimizer, [pair], recorder, scheduler)
        seen.append([w.detach() for w in prunable(model).values()])
    assert len(store.changes) == 6 - (pairing == "consecutive")
    for old, new, changes in zip(seen, seen[1:], store.changes, strict=False):
        for a, b, change in zip(old, new, changes.values(), strict=True):
            assert torch.equal(b - a, change)


def test_an_optimiser_with_a_closure_gets_its_loss_ahead_of_the_step():
    model, store = network(), Covariance()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    (x, y), *_ = batches(1)

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    before = {name: w.detach().clone() for name, w in prunable(model).items()}
    with Recorder(model, optimizer, [store]) as recorder:
        first = closure()
        recorder.before(first)
        optimizer.step(closure)
        last = cross_entropy(model(x), y)
        recorder.after(last)
    assert float(store.losses[0]) == pytest.approx((last - first).item(), rel=1e-12)
    for name, weight in prunable(model).items():
        assert torch.equal(store.changes[0][name], weight - before[name])


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("first", ["recorder", "mask"])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_pruned_weights_do_not_change_in_whatever_order_the_hooks_run(pairing, first, name):
    model, store = network(torch.float32), Covariance()
    optimizer = OPTIMISERS[name](model.parameters())
    train(model, optimizer, batches(2, torch.float32))  # momentum of weights that are pruned only now
    mask = Mask.from_scores({n: w.detach().abs() for n, w in prunable(model).items()}, sparsity=0.6)
    recorder = Recorder(model, optimizer, [store], pairing=pairing) if first == "recorder" else None
    with mask.enforce(model, optimizer):
        recorder = recorder or Recorder(model, optimizer, [store], pairing=pairing)
        train(model, optimizer, batches(5, torch.float32), recorder)
    assert len(store.changes) >= 4
    for changes in store.changes:
        for weight, keep in mask.keep.items():
            assert bool((changes[weight][~keep] == 0).all()) and bool((changes[weight][keep] != 0).any())


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
            recorder.before(losses)
            optimizer.step()
            if pairing == "same_batch":
                again = [cross_entropy(model(piece), labels) for piece, labels in pieces]
                with pytest.raises(ValueError, match="loss must be that of the 3 micro-batches before"):
                    recorder.after(again[:2])
                recorder.after(again)
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
            recorder.before(loss)
            scaler.step(optimizer)
            scaler.update()
            if pairing == "same_batch":
                recorder.after(cross_entropy(model(x), y))
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
        recorder.before(torch.tensor(1.0))


def test_calls_in_a_wrong_order_are_refused_and_lose_nothing():
    model, store = network(), Covariance()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(model, optimizer, [store])
    data, one = batches(1), torch.tensor(1.0)
    train(model, optimizer, data, recorder)
    start = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match=r"before\(loss\) was not called for step 2"):
        optimizer.step()
    with pytest.raises(RuntimeError, match=r"after\(\) was called without before\(\) and a step"):
        recorder.after(one)
    recorder.before(one)
    with pytest.raises(RuntimeError, match=r"before\(\) was called twice .* all micro-batches at once"):
        recorder.before(one)
    with pytest.raises(RuntimeError, match=r"after\(\) was called without a step since before"):
        recorder.after(one)
    assert all(torch.equal(p, q) for p, q in zip(start, model.parameters(), strict=True))
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"after\(\) has not been called for step 2"):
        recorder.before(one)
    recorder.after(one)
    assert len(store.losses) == 2
    recorder.close()
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        train(model, optimizer, data, recorder)
        with pytest.raises(RuntimeError, match="after.. belongs to pairing='same_batch'"):
            recorder.after(one)


def test_weights_that_are_replaced_are_noticed():
    one = torch.tensor(1.0)
    for spoil, message in (
        (lambda model: setattr(model, "2", nn.Linear(5, 4)), r"'2.weight'\] are not the weights recording began"),
        (lambda model: model.append(nn.Linear(4, 4)), r"'3.weight'\] are not the weights recording began"),
        (lambda model: model.float(), r"'0.weight' was .*float64.* when recording began"),
    ):
        model, store = network(), Covariance()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder = Recorder(model, optimizer, [store], pairing="consecutive")
        train(model, optimizer, batches(3), recorder)
        spoil(model)
        recorder.before(one)
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
        (lambda: GIVEN.before(0.5), TypeError, "loss must be a Tensor or a sequence of Tensors, got float"),
        (lambda: GIVEN.before([0.5]), TypeError, "loss must be a Tensor or a sequence of Tensors, got list"),
        (lambda: GIVEN.before([]), ValueError, r"loss must be one real number per micro-batch, got \[\]"),
        (
            lambda: GIVEN.before(torch.zeros(2)),
            ValueError,
            r"loss must be one real number per micro-batch, got .*\(2,\)",
        ),
        (
            lambda: GIVEN.before(torch.tensor(1)),
            ValueError,
            "loss must be one real number per micro-batch, got .*int64",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
