import hashlib
import sys

import pytest
import torch

from replication.data import DataUnavailable
from replication.data.text import VOCABULARY, Text, batches, python_topics


def test_topics_are_pythons_own_pages_in_order():
    from pydoc_data.topics import topics

    text = python_topics()
    content = bytes(torch.cat([text.train, text.test]).tolist())
    assert content.decode().split("\n\n")[0] == topics[min(topics)].split("\n\n")[0]
    assert all(page.encode() in content for page in topics.values())
    assert len(content) == sum(len(page.encode()) for page in topics.values()) + 2 * (len(topics) - 1)
    assert text.checksum == hashlib.sha256(content).hexdigest()
    assert len(text.test) == len(content) // 10 and text.train.dtype == torch.uint8


def test_split_in_closed_form():
    text = Text.from_string("é", "é" + "0123456789" * 2)  # 22 bytes
    assert text.train.tolist() == [0xC3, 0xA9, *b"0123456789012345678"[:18]] and text.test.tolist() == [*b"89"]
    assert int(text.train.max()) < VOCABULARY
    other = Text.from_string("é", "é" + "0123456789" * 2 + "0")
    assert other.checksum != text.checksum


def test_batches_are_pieces_of_the_text_one_token_apart():
    tokens = torch.arange(30, dtype=torch.uint8)
    starts = []
    for x, y in batches(tokens, length=7, batch_size=5, steps=200, seed=3):
        assert x.shape == y.shape == (5, 7) and x.dtype == y.dtype == torch.int64
        assert torch.equal(x, x[:, :1] + torch.arange(7)) and torch.equal(y, x + 1)
        starts += x[:, 0].tolist()
    counts = torch.bincount(torch.tensor(starts), minlength=23)
    assert len(counts) == 23 and counts.min() > 20  # every place, the first and the last too; 43 each on average


def test_batches_follow_from_the_seed_alone():
    tokens = python_topics().train
    state = torch.random.get_rng_state()

    def drawn(seed, steps=3):
        return torch.stack([x for x, _ in batches(tokens, length=4, batch_size=2, steps=steps, seed=seed)])

    torch.manual_seed(5)
    first = drawn(1)
    torch.manual_seed(6)
    assert torch.equal(drawn(1), first) and not torch.equal(drawn(2), first) and torch.equal(drawn(1, 2), first[:2])
    torch.random.set_rng_state(state)
    drawn(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_errors_name_the_argument(monkeypatch):
    options = {"length": 4, "batch_size": 2, "steps": 3, "seed": 0}
    for name in ("length", "batch_size", "steps"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
            batches(torch.arange(9), **options | {name: 0})
    with pytest.raises(ValueError, match=r"more than length=4 entries, got \(4,\)"):
        batches(torch.arange(4), **options)
    with pytest.raises(TypeError, match="tokens must be a Tensor, got str"):
        batches("abcdefgh", **options)
    with pytest.raises(ValueError, match="text must have at least 10 bytes, got 3"):
        Text.from_string("short", "abc")
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataUnavailable, match="no pydoc_data.topics"):
        python_topics()
