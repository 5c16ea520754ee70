"""What is recorded.

Oracles: a training loop written out by hand in float64 that keeps every weight and every loss and takes differences
afterwards; and plain copies of the weights made around steps of real optimisers.
"""

import pytest
import torch
from recorded_training import Covariance, batches, network, recorded, train
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from ccprune.recording import PAIRINGS, InMemory, MemoryMapped, Recorder, SquaredUpdates


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
        recorder.before_step(first)
        optimizer.step(closure)
        last = cross_entropy(model(x), y)
        recorder.after_step(last)
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
