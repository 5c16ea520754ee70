"""Files of the library with any content: only the documented errors, and the model stays as it was."""

import json
import os
import struct

import pytest
import torch
from torch import nn

from ccprune import export
from ccprune._util.units import Units
from ccprune.mask import Mask
from ccprune.recording import MemoryMapped

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

few = settings(deadline=None, max_examples=60, derandomize=True, database=None)
NUMBERS = st.sampled_from([0, 1, 2, 6, -1, -6, 1.5, 2**31, 2**63, 10**30, True, None, "6", [6], {}, float("nan")])
SHAPES = st.lists(NUMBERS, max_size=3) | NUMBERS
JSON = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))
NESTED = "[" * 100_000


def model():
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a whole file of each reader."""
    folder, own = tmp_path_factory.mktemp("whole"), model()
    mask = Mask.from_scores({name: own.get_parameter(name).abs() for name in ("0.weight", "2.weight")}, sparsity=0.5)
    export.save(folder / "model", mask.apply_(own), mask)
    with MemoryMapped(folder / "rows", limit_bytes=10**6) as store:
        for _ in range(3):
            store.update(torch.tensor(1.0), {"a": torch.ones(2, 3), "b": torch.ones(4)})
    Units(folder, ["size"]).get({"size": 1}, lambda: [{"a": 1.0}])
    found = {path.suffix or path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {"unit": next(folder.glob("*.json")).name.encode()}


@st.composite
def spoiled(draw, content):
    """The content with bits flipped, bytes cut, inserted or replaced; or other bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["flip", "cut", "insert", "end"]))
        if kind == "flip" and place < len(content):
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del content[place : place + draw(st.integers(1, 20))]
        elif kind == "insert":
            content[place:place] = draw(st.binary(max_size=9) | st.sampled_from([b'"', b"[", b"-", b"}", b"1e999"]))
        else:
            del content[place:]
    return bytes(content)


def replaced(draw, parts):
    """The mapping with some entries replaced or gone."""
    parts = dict(parts)
    for name in draw(st.sets(st.sampled_from(sorted(parts)), max_size=2)):
        if draw(st.booleans()):
            parts[name] = draw(JSON)
        else:
            del parts[name]
    return parts


@few
@given(data=st.data())
def test_rows(whole, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "spoiled-rows"
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(spoiled(whole["rows"])))
    else:
        header = {"format": "ccprune records 1", "momentum": False, "shapes": {"a": [2, 3]}}
        header["shapes"] = {name: data.draw(SHAPES) for name in data.draw(st.sets(st.sampled_from("ab"), max_size=2))}
        line = json.dumps(replaced(data.draw, header)) if data.draw(st.integers(0, 20)) else NESTED
        path.write_bytes(line.encode() + b"\n" + data.draw(st.binary(max_size=100)))
    try:
        store = MemoryMapped.open(path)
        features, losses = store.records()
    except ValueError:
        return
    assert features.shape == (len(store), store.layout.width) and losses.shape == (len(store),)
    assert features.nbytes <= path.stat().st_size


@few
@given(data=st.data())
def test_models(whole, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "spoiled-model"
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(spoiled(whole["model"])))
    else:
        length = struct.unpack("<Q", whole["model"][:8])[0]
        header = json.loads(whole["model"][8 : 8 + length])
        metadata = header["__metadata__"]
        for name in data.draw(st.sets(st.sampled_from(["mask", "tied", "digests"]), min_size=1)):
            changed = replaced(data.draw, json.loads(metadata[name]) | {"0.weight": data.draw(SHAPES)})
            metadata[name] = json.dumps(changed) if data.draw(st.integers(0, 20)) else NESTED
        if data.draw(st.booleans()):  # as a file of an earlier version
            del metadata["digests"], metadata["sealed"]
            metadata["requested"] = data.draw(st.sampled_from(["nan", "", "1e999", "0.5"]))
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole["model"][8 + length :])
    own = model()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    try:
        mask = export.load(path, own)
    except ValueError:
        torch.testing.assert_close(own.state_dict(), before, rtol=0, atol=0)
        return
    assert mask.check(own)["violations"]["all"] == 0 and mask.requested in (None, 0.5)


@few
@given(data=st.data())
def test_states_of_masks(data):
    values = st.sampled_from([torch.ones(2) > 0, torch.ones(2), torch.zeros(0) > 0, torch.tensor(7.0), 0.5, None, "a"])
    names = st.sampled_from(["a", "b", ".requested", ".structured", 3])
    try:
        mask = Mask.from_state_dict(data.draw(st.dictionaries(names, values, max_size=3) | values))
    except (TypeError, ValueError):
        return
    assert all(keep.dtype == torch.bool for keep in mask.keep.values())
    assert mask.requested is None or 0 <= mask.requested <= 1
    Mask.from_state_dict(mask.state_dict())


@few
@given(data=st.data())
def test_units(whole, tmp_path_factory, data):
    """A unit that is not as it was stored is computed again."""
    folder = tmp_path_factory.getbasetemp()
    (folder / whole["unit"].decode()).write_bytes(data.draw(spoiled(whole[".json"]) | st.just(NESTED.encode())))
    assert Units(folder, ["size"]).read({"size": 1}) in (None, [{"a": 1.0}])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="path must be a regular file"):
        MemoryMapped.open(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="path must be a file"):
        export.load(tmp_path / "pipe", model())
