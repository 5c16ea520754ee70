"""The follow-up's protocol. Oracles: the page's counts, the protocol written out with torch alone, bit-equal states."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from replication.causal.follow_up import procedure as module
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.fits import FITS, Fit
from replication.causal.follow_up.procedure import follow_up, train_stage
from replication.causal.follow_up.protocols import METHODS, PROTOCOLS, RECORDED, SCHEDULES, Protocol
from replication.causal.follow_up.records import Records, record
from replication.causal.runs import hold_out
from replication.causal.setting import Setting
from replication.data.images import batches
from replication.networks.models import mlp, resnet20

SETTING = Setting(batch_size=100, lr=0.05)
SHORT = {"pre": 1, "iterations": 3, "between": 1, "final": 2}
RESNET20 = 270_896


@pytest.fixture(scope="module")
def data(digits):
    return hold_out(digits, count=200, seed=0)


def run(
    data, method, schedule="cubic", *, total=0.8, setting=SETTING, seed=0, network=None, checkpoint=None, **lengths
):
    protocol = Protocol("ridge", schedule, **SHORT | lengths)
    network = mlp((64, 20, 10), seed=0) if network is None else network
    options = {"total": total, "method": method, "seed": 0, "checkpoint": checkpoint}
    return follow_up(network, *data, SETTING, protocol, **options)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_protocols_have_the_counts_of_the_released_files():
    cubic, geometric = (Protocol("ridge", schedule) for schedule in SCHEDULES)
    assert (cubic.counts(RESNET20, 0.3)[-1], geometric.counts(RESNET20, 0.3)[-1]) == (81_267, 81_269)
    cubic, geometric = (replace(protocol, iterations=20) for protocol in (cubic, geometric))
    assert (cubic.counts(RESNET20, 0.9)[-1], geometric.counts(RESNET20, 0.9)[-1]) == (243_805, 243_807)
    assert cubic.counts(RESNET20, 0.9) == sorted(cubic.counts(RESNET20, 0.9))
    cubic, geometric = (replace(protocol, iterations=30) for protocol in (cubic, geometric))
    assert (cubic.counts(430_500, 0.993)[-1], geometric.counts(430_500, 0.993)[-1]) == (427_488, 427_486)
    assert replace(cubic, iterations=1).counts(RESNET20, 0.5) == [135_448]
    fits = {name: (protocol.fit, protocol.schedule) for name, protocol in PROTOCOLS.items()}
    assert fits == {
        "2025-06": ("2025-06", "cubic"),
        "2025-figures-l1": ("2025-06", "cubic"),
        "2025-figures-ridge": ("ridge", "cubic"),
        "2025-10": ("ridge", "geometric"),
    }
    # Epochs of the scripts: 400 of ResNet-20 with 10 iterations, 310 with 1.
    assert {protocol.epochs for protocol in PROTOCOLS.values()} == {400}
    assert replace(PROTOCOLS["2025-10"], iterations=1).epochs == 310


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_same_budget_and_the_exact_counts(data, method, schedule):
    network = mlp((64, 20, 10), seed=0)
    before = state(network)
    found = run(data, method, schedule, network=network)
    assert same(before, network.state_dict())
    assert found.epochs == 1 + 2 * 1 + 2 and len(found.test) == len(found.valid) == 2
    assert found.recorded == (3 if method in RECORDED else 0)
    counts = Protocol("ridge", schedule, **SHORT).counts(1480, 0.8)
    assert [cut.pruned for cut in found.cuts] == ([] if method == "dense" else counts)
    assert found.mask.kept == 1480 - (0 if method == "dense" else counts[-1])
    assert found.mask.check(found.model)["violations"].sum() == 0
    assert {cut.records for cut in found.cuts} <= ({8} if method in RECORDED else {0})
    assert all((cut.outcome is not None) == (method in FITS) for cut in found.cuts)
    row = found.row()
    assert row["best_on_test"] == max(found.test) and row["last_epoch"] == found.test[-1]
    assert row["chosen_on_validation"] == found.test[found.valid.index(max(found.valid))]
    assert (row["pruned"], row["epochs"]) == (1480 - found.mask.kept, 5)
    right = (found.model.eval()(data[0].normalise(data[0].x_test)).argmax(1) == data[0].y_test).double().mean()
    assert found.test[-1] == pytest.approx(float(right))


def trained_by_hand(model, images, optimizer, epochs, first, keep=None):
    for group in optimizer.param_groups:
        group["lr"], group["initial_lr"] = 0.05, 0.05
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=1e-3)
    for epoch in range(first, first + epochs):
        for x, y in batches(images, batch_size=100, seed=7919, epoch=epoch):
            optimizer.zero_grad()
            cross_entropy(model(x), y, label_smoothing=0.1).backward()
            optimizer.step()
            for name, weight in prunable(model).items():
                if keep is not None:
                    weight.data[~keep[name]] = 0
        schedule.step()


def test_the_protocol_is_the_page_written_out(data):
    found = run(data, "fisher", total=0.7, iterations=2, between=2, final=3)
    model = mlp((64, 20, 10), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    epochs, keep = 0, None
    for iteration, pruned in enumerate((906, 1036)):  # round(.7 (1 - 1/8) P); then a share of what is left, rounded
        trained_by_hand(model, data[0], optimizer, (1, 2)[iteration], epochs, keep)
        epochs += (1, 2)[iteration]
        copied = copy.deepcopy(model)
        plain = torch.optim.SGD(copied.parameters(), lr=1e-3)
        squares = {name: torch.zeros_like(weight) for name, weight in prunable(model).items()}
        for x, y in batches(data[0], batch_size=100, seed=7919 + 104_729, epoch=iteration):
            plain.zero_grad()
            cross_entropy(copied(x), y, label_smoothing=0.1).backward()
            plain.step()
            for name, weight in prunable(copied).items():
                gradient = weight.grad.clone()
                if keep is not None:
                    weight.data[~keep[name]] = 0
                    gradient[~keep[name]] = 0
                squares[name] += gradient.square()
        order = torch.cat([value.flatten() for value in squares.values()])
        if keep is not None:
            order[~torch.cat([value.flatten() for value in keep.values()])] = -1
        kept = torch.ones(1480, dtype=torch.bool)
        kept[order.argsort(stable=True)[:pruned]] = False
        keep = {n: k.view_as(squares[n]) for n, k in zip(squares, kept.split([1280, 200]), strict=True)}
        for name, weight in prunable(model).items():
            weight.data[~keep[name]] = 0
    trained_by_hand(model, data[0], optimizer, 3, epochs, keep)
    assert [cut.pruned for cut in found.cuts] == [906, 1036]
    assert same(found.mask.keep, keep)
    for name, value in found.model.state_dict().items():
        assert torch.allclose(value, model.state_dict()[name], atol=1e-5), name


@pytest.mark.parametrize("method", ["ridge", "fisher", "2024"])
def test_the_state_is_put_back_bit_for_bit(digits, method, monkeypatch):
    images = digits.take(train=200, seed=0)
    model = resnet20(1, 10, seed=0)
    mask = Mask.from_scores({n: w.detach().abs() for n, w in prunable(model).items()}, sparsity=0.5)
    mask.apply_(model)
    before, during = state(model), {}

    def spied(recorded, *arguments, **options):
        records = record(recorded, *arguments, **options)
        during.update(state(recorded))
        return records

    monkeypatch.setattr(module, "record", spied)
    protocol = Protocol("ridge", "cubic", recorded=1)
    found, facts = module._scores(method, model, images, SETTING, protocol, mask, iteration=0, seed=0)
    assert facts["records"] == 2 and found.keys() == mask.keep.keys()
    assert not same(before, during)
    assert any("running_mean" in name and not torch.equal(before[name], during[name]) for name in before)
    assert same(before, model.state_dict())
    for name, keep in mask.keep.items():
        assert not found[name][~keep].any()  # pruned weights do not move, so that they have no coefficient


def test_records_are_the_squared_steps_and_the_losses_of_one_batch(digits):
    model, setting = mlp((64, 20, 10), seed=0), Setting(batch_size=300)
    copied = copy.deepcopy(model)
    records = record(model, digits, setting, epochs=2, lr=0.1, seed=0, mask=Mask.ones_like(model))
    optimizer, rows, same_batch, first = torch.optim.SGD(copied.parameters(), lr=0.1), [], [], []
    for epoch in (0, 1):
        for x, y in batches(digits, batch_size=300, seed=7919 + 104_729, epoch=epoch):
            optimizer.zero_grad()
            loss = cross_entropy(copied(x), y, label_smoothing=0.1)
            loss.backward()
            rows.append(torch.cat([weight.grad.flatten() for weight in prunable(copied).values()]))
            optimizer.step()
            first.append(loss.item())
            same_batch.append(cross_entropy(copied(x), y, label_smoothing=0.1).item() - loss.item())
    assert records.X.shape == (8, 1480) and records.lr == 0.1
    torch.testing.assert_close(records.X / 0.01, torch.stack(rows).square(), rtol=1e-2, atol=1e-9)
    torch.testing.assert_close(records.y, torch.tensor(same_batch, dtype=torch.float64), rtol=1e-3, atol=1e-6)
    changes = torch.tensor(first, dtype=torch.float64).diff()
    torch.testing.assert_close(records.y_consecutive, changes, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(records.mean_squared_gradient, (records.X.double() / 0.01).mean(0))


def test_the_fits_of_2024_use_consecutive_losses_and_one_fit_a_tensor(digits):
    model = mlp((64, 20, 10), seed=0)
    records = record(model, digits, SETTING, epochs=1, lr=1e-3, seed=0, mask=Mask.ones_like(model))
    assert records.used_by("2024")[0].shape == (9, 1480) and records.used_by("ridge")[0].shape == (10, 1480)
    assert torch.equal(records.used_by("2024")[1], records.y_consecutive)
    flat = torch.cat([value.flatten() for value in records.as_scores(records.fit("2024").gamma).values()])
    assert torch.equal(flat, records.fit("2024").gamma.abs()) and records.fit("2024").passes == 3


def test_null_at_sparsity_zero_every_method_is_dense(data):
    dense = run(data, "dense", total=0.0)
    for method in ("ridge", "2025-06", "magnitude", "random"):
        found = run(data, method, total=0.0)
        assert same(dense.model.state_dict(), found.model.state_dict()) and found.test == dense.test


def test_a_pruned_weight_stays_pruned_whatever_its_later_score(data, monkeypatch):
    order, kept = torch.arange(1480.0), []

    def scored(*arguments, iteration, **_):
        kept.append(arguments[5].keep["fc1.weight"].flatten().clone())
        flat = order if iteration == 0 else -order
        return {"fc1.weight": flat[:1280].view(20, 64), "fc2.weight": flat[1280:].view(10, 20)}, {}

    monkeypatch.setattr(module, "_scores", scored)
    found = run(data, "random", iterations=2, total=0.4)
    first, last = kept[1], found.mask.keep["fc1.weight"].flatten()
    assert not first[:518].any() and not (last & ~first).any()  # round(.4 (1 - 1/8) P) in the first cut
    assert not found.mask.keep["fc2.weight"].flatten()[-74:].any()


def test_a_fit_without_coefficients_ends_the_run_and_says_so(data, monkeypatch):
    monkeypatch.setattr(Records, "fit", lambda *_, **__: Fit(None, "diverged", 2, None))
    found = run(data, "ridge")
    assert found.outcome == "diverged" and found.cuts == (module.Cut(0, 8, "diverged", 2, None, None),)
    assert (found.test, found.epochs, found.recorded) == ((), 1, 1)
    row = found.row()
    assert row["best_on_test"] is row["last_epoch"] is row["chosen_on_validation"] is None and row["pruned"] == 0


@pytest.mark.parametrize("method", ["ridge", "dense"])
def test_a_run_that_is_killed_ten_times_is_the_uninterrupted_run_bit_for_bit(data, method, tmp_path, monkeypatch):
    lengths = {"pre": 3, "iterations": 3, "between": 3, "final": 6}
    whole = run(data, method, **lengths)
    trained, generator = Setting.train, torch.Generator().manual_seed(1)
    checkpoint, left, killed = Checkpoint(tmp_path / "run.pt", {"method": method}), [0], 0

    def until(self, *arguments, **options):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return trained(self, *arguments, **options)

    monkeypatch.setattr(Setting, "train", until)
    for attempt in range(11):
        left[0] = -1 if attempt == 10 else int(torch.randint(0, 3, (), generator=generator))
        try:
            found = run(data, method, checkpoint=checkpoint, **lengths)
        except KeyboardInterrupt:
            killed += 1
    assert killed == 10
    assert found.row() == whole.row() and found.cuts == whole.cuts
    assert (found.test, found.valid, found.epochs) == (whole.test, whole.valid, 15)
    assert same(found.mask.keep, whole.mask.keep) and same(found.model.state_dict(), whole.model.state_dict())


def test_a_stage_without_a_smallest_rate_is_constant(data):
    rates = []

    class Spied(torch.optim.SGD):
        def step(self, *arguments):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*arguments)

    model = mlp((64, 20, 10), seed=0)
    for lr_min in (None, 1e-3):
        rates.append("stage")
        train_stage(
            model, Spied(model.parameters(), lr=9.0), data[0], SETTING, epochs=2, first=0, lr_min=lr_min, seed=0
        )
    assert rates == ["stage", *[0.05] * 16, "stage", *[0.05] * 8, *[pytest.approx(0.0255)] * 8]


def test_invalid_arguments(data):
    with pytest.raises(ValueError, match="method must be one of .*'fisher'.*, got 'obd'"):
        run(data, "obd")
    with pytest.raises(ValueError, match=r"total must lie in \[0, 1\), got 1"):
        run(data, "random", total=1)
    with pytest.raises(ValueError, match=r"lr_min must lie in \[0, 0.05\], the setting's rate, got 0.1"):
        run(data, "random", lr_min=0.1)
    with pytest.raises(ValueError, match="fit must be one of"):
        Protocol("lasso", "cubic")
    with pytest.raises(ValueError, match="schedule must be one of .*, got 'linear'"):
        Protocol("ridge", "linear")
    with pytest.raises(ValueError, match="recorded must be at least 1, got 0"):
        Protocol("ridge", "cubic", recorded=0)
