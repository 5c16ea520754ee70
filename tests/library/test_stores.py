"""Oracles: NumPy on the changes that were put in; and files cut short at every byte."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from ccprune.recording import InMemory, MemoryMapped, SquaredUpdates, StoreFull

SHAPES = {"a": (2, 3), "b": (4,)}
WEIGHTS = 10
ROW = 4 * (2 + WEIGHTS)


def changes(steps, seed=0, dtype=torch.float32, scale=1e-7):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn((), generator=generator, dtype=torch.float64),
            {
                n: (scale * torch.randn(s, generator=generator, dtype=torch.float64)).to(dtype)
                for n, s in SHAPES.items()
            },
        )
        for _ in range(steps)
    ]


def fill(store, data):
    """As a recorder does: the tensors are overwritten after the call."""
    loss, held = torch.zeros((), dtype=torch.float64), None
    for delta_loss, delta_weights in data:
        held = {name: value.clone() for name, value in delta_weights.items()} if held is None else held
        for name, value in delta_weights.items():
            held[name].copy_(value)
        loss.copy_(delta_loss)
        store.update(loss, held)
        assert all(torch.equal(held[name], value) for name, value in delta_weights.items())  # and are not written to
    return store


def flat(data):
    return np.stack([np.concatenate([value.double().numpy().ravel() for value in row.values()]) for _, row in data])


@pytest.fixture(params=["memory", "file"])
def make(request, tmp_path):
    opened = []

    def new(**options):
        if request.param == "memory":
            return InMemory(**options)
        opened.append(MemoryMapped(tmp_path / f"rows{len(opened)}", limit_bytes=10**6, **options))
        return opened[-1]

    yield new
    for store in opened:
        store.close()


def test_rows_are_squared_changes_beside_the_loss_change(make):
    data = changes(7)
    store = fill(make(), data)
    X, y = store.records()
    assert X.dtype == torch.float32 and X.shape == (7, WEIGHTS) and len(store) == 7
    np.testing.assert_allclose(X.numpy(), flat(data) ** 2, rtol=1e-6)
    assert (X > 0).all()  # changes of 1e-7 are not lost in float32
    assert y.dtype == torch.float64 and y.tolist() == [float(loss) for loss, _ in data]
    assert store.layout.columns == {"a": slice(0, 6), "b": slice(6, 10)}
    fill(store, changes(2, seed=1))  # more after having been read
    again = store.records()[0]
    assert again.shape == (9, WEIGHTS) and torch.equal(again[:7], X)


def test_momentum_has_three_features_of_steps_that_follow_each_other(make):
    data = changes(6)
    store = fill(make(momentum=True), data[:4])
    store.restart()
    fill(store, data[4:])
    X, y = store.records()
    change = flat(data)
    pairs = [(0, 1), (1, 2), (2, 3), (4, 5)]  # 3 and 4 do not follow each other
    expected = [np.concatenate([change[a] ** 2, change[b] ** 2, change[a] * change[b]]) for a, b in pairs]
    np.testing.assert_allclose(X.numpy(), expected, rtol=1e-6)
    assert y.tolist() == [float(data[b][0]) for _, b in pairs]
    parts = store.layout.tensors(X[0])
    assert parts["a"].shape == (3, 2, 3)
    np.testing.assert_allclose(parts["b"][2].numpy(), change[0, 6:] * change[1, 6:], rtol=1e-6)
    assert torch.equal(X.unflatten(1, (3, -1))[0, 1, store.layout.columns["b"]], parts["b"][1])


def test_values_go_back_to_the_weights_places(make):
    data = changes(1)
    store = fill(make(), data)
    found = store.layout.tensors(store.records()[0][0])
    for name, value in data[0][1].items():
        assert torch.equal(found[name], value.square())
    with pytest.raises(ValueError, match=r"values must have shape \(10,\), got \(9,\)"):
        store.layout.tensors(torch.zeros(9))


def test_one_tensor_alone_is_not_written_to(make):
    change = torch.full((3,), 2.0)
    store = make()
    store.update(torch.tensor(1.0, dtype=torch.float64), {"a": change})
    assert change.tolist() == [2, 2, 2] and store.records()[0].tolist() == [[4, 4, 4]]


def test_float64_is_kept_in_memory_and_rounded_once_in_a_file(tmp_path):
    data = changes(3, dtype=torch.float64)
    memory = fill(InMemory(), data).records()[0]
    np.testing.assert_array_equal(memory.numpy(), flat(data) ** 2)
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**6) as store:
        assert torch.equal(fill(store, data).records()[0], memory.float())


def test_a_store_without_records_says_so(make):
    store = make()
    assert len(store) == 0
    for call in (store.records, lambda: store.layout, lambda: SquaredUpdates().scores):
        with pytest.raises(ValueError, match="the store holds no records"):
            call()


def test_other_weights_than_the_first_records_are_refused(make):
    store, sums = fill(make(), changes(2)), fill(SquaredUpdates(), changes(2))
    loss = torch.tensor(0.0, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=r"delta_weights must have the names and shapes .*\['a': \(2, 3\) expected, got \(3, 2\)"
    ):
        store.update(loss, {"a": torch.zeros(3, 2), "b": torch.zeros(4)})
    with pytest.raises(ValueError, match=r"delta_weights must have the names and shapes .*\['"):
        sums.update(loss, {"a": torch.zeros(2, 3)})
    assert len(store) == 2


def test_squared_updates_are_summed_in_float64():
    # One large change and many small ones, which a float32 sum would lose one by one.
    data = changes(1, scale=1e-3) + changes(400, seed=1, scale=1e-8)
    store = fill(SquaredUpdates(), data)
    found = torch.cat([value.flatten() for value in store.scores.values()])
    assert found.dtype == torch.float64 and store.scores["a"].shape == (2, 3)
    np.testing.assert_allclose(found.numpy(), (flat(data) ** 2).sum(0), rtol=1e-13)
    single = torch.zeros(10)
    for row in flat(data):
        single += torch.from_numpy(row**2).float()
    assert float((single / found - 1).abs().max()) > 1e-9
    store.scores["a"].zero_()
    assert bool((store.scores["a"] > 0).all())


def test_the_size_limit_is_held_and_what_was_written_is_kept(tmp_path):
    path = tmp_path / "rows"
    data = changes(9)
    with MemoryMapped(path, limit_bytes=10**6) as store:
        fill(store, data[:1])
    header = path.stat().st_size - ROW
    path.unlink()
    limit = header + 5 * ROW + 3
    with MemoryMapped(path, limit_bytes=limit) as store:
        with pytest.raises(
            StoreFull, match=f"{ROW} more bytes needed, limit_bytes={limit} allowed; 5 rows, {limit - 3} "
        ):
            fill(store, data)
        assert path.stat().st_size == limit - 3
        np.testing.assert_allclose(store.records()[0].numpy(), flat(data[:5]) ** 2, rtol=1e-6)
    with MemoryMapped(tmp_path / "small", limit_bytes=header + ROW - 1) as store:
        with pytest.raises(StoreFull, match="0 rows, 0 bytes"):
            fill(store, data)
        assert (tmp_path / "small").stat().st_size == 0


def test_the_disk_is_looked_at_before_every_row(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    free = [10**12]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free[0]))
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**9) as store:
        fill(store, changes(3))
        free[0] = 2**26 + ROW - 1
        with pytest.raises(StoreFull, match=f"{ROW} more bytes needed, the disk has {free[0]} free .*3 rows"):
            fill(store, changes(1))
        assert len(store.records()[1]) == 3
        free[0] += 1
        fill(store, changes(1))
        assert len(store) == 4


@pytest.mark.parametrize("momentum", [False, True])
def test_a_file_cut_short_anywhere_holds_its_whole_rows(tmp_path, momentum):
    path, cut = tmp_path / "rows", tmp_path / "cut"
    with MemoryMapped(path, limit_bytes=10**6, momentum=momentum) as store:
        X, y = (part.clone() for part in fill(store, changes(4)).records())
    whole = path.read_bytes()
    row = 4 * (2 + X.shape[1])
    header = len(whole) - len(X) * row
    assert header % 64 == 0
    assert json.loads(whole[:header])["shapes"] == {"a": [2, 3], "b": [4]}
    for size in range(header, len(whole) + 1, 7):
        cut.write_bytes(whole[:size])
        found = MemoryMapped.open(cut)
        count = (size - header) // row
        assert len(found) == count and found.layout == store.layout
        if count:
            assert torch.equal(found.records()[0], X[:count]) and torch.equal(found.records()[1], y[:count])
    for size in (0, 1, header - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="path must be a file of a MemoryMapped store with a whole header"):
            MemoryMapped.open(cut)


@pytest.mark.parametrize("content", [b"{}\n", b"[1]\n", b"\xff\n", b'{"format": "other"}\n'])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match="path must be a file of a MemoryMapped store"):
        MemoryMapped.open(tmp_path / "other")


class Failing:
    """A file whose disk fills up in the middle of a row."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        if len(data) < ROW:
            raise OSError(28, "No space left on device")
        return self.file.write(data[: ROW // 3])

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_row_whose_writing_fails_is_taken_back(tmp_path):
    data = changes(4)
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**6) as store:
        fill(store, data[:2])
        file, store._file = store._file, Failing(store._file)
        with pytest.raises(OSError, match="No space left"):
            fill(store, data[2:3])
        store._file = file
        assert len(store) == 2
        fill(store, data[3:])
        np.testing.assert_allclose(store.records()[0].numpy(), flat([*data[:2], data[3]]) ** 2, rtol=1e-6)


def test_arguments_of_a_file(tmp_path):
    for limit in (0, -1, True, 1e6):
        with pytest.raises(ValueError, match="limit_bytes must be an integer of at least 1"):
            MemoryMapped(tmp_path / "rows", limit_bytes=limit)
    with MemoryMapped(tmp_path / "rows", limit_bytes=10**6) as store:
        fill(store, changes(1))
    with pytest.raises(FileExistsError):
        MemoryMapped(tmp_path / "rows", limit_bytes=10**6)
    for closed in (store, MemoryMapped.open(tmp_path / "rows")):
        with pytest.raises(ValueError, match="rows is closed"):
            fill(closed, changes(1))
        assert len(closed.records()[1]) == 1
