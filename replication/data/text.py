"""Text that is on every machine: the help pages of Python's own `help()`, about 460,000 bytes, for language models.

Tokens are bytes, so the vocabulary is 256 whatever the text. The pages change with Python's version, so numbers from
different versions are of different data: `Text.checksum` tells which.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccprune._util.checks import at_least
from replication.ledger.errors import DataUnavailable

VOCABULARY = 256
_TEST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Text:
    """One text as bytes: its beginning to train on, its end to test on.

    Attributes
    ----------
    name : str
    train, test : Tensor (n,), (m,)
        uint8.
    checksum : str
        SHA-256 (hex) of the bytes of train and test, in this order.
    """

    name: str
    train: Tensor
    test: Tensor
    checksum: str

    @classmethod
    def from_string(cls, name: str, text: str) -> "Text":
        """The text in UTF-8, the last tenth for testing. Raises ValueError for fewer than 10 bytes."""
        content = text.encode()
        if len(content) < 10:
            raise ValueError(f"text must have at least 10 bytes, got {len(content)}")
        tokens = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
        cut = len(tokens) - int(_TEST_SHARE * len(tokens))
        return cls(name, tokens[:cut], tokens[cut:], hashlib.sha256(content).hexdigest())


def python_topics() -> Text:
    """The pages of `pydoc_data.topics`, in the order of their names, an empty line between them.

    Raises DataUnavailable where Python was installed without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataUnavailable("this Python has no pydoc_data.topics, the pages of help()") from error
    return Text.from_string("python_topics", "\n\n".join(topics[name] for name in sorted(topics)))


def batches(tokens: Tensor, *, length: int, batch_size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of the text at random places, and the same one token later: what a language model predicts.

    Yields `steps` pairs of int64 tensors (batch_size, length). The places follow from `seed` alone.

    Raises
    ------
    TypeError, ValueError
        For tokens that are no (n,) tensor of more than `length`, or a number that is no integer of at least 1.
    """
    at_least(1, length=length, batch_size=batch_size, steps=steps)
    if not isinstance(tokens, Tensor):
        raise TypeError(f"tokens must be a Tensor, got {type(tokens).__name__}")
    if tokens.ndim != 1 or len(tokens) <= length:
        raise ValueError(
            f"tokens must have one dimension and more than length={length} entries, got {tuple(tokens.shape)}"
        )
    return _batches(tokens, length, batch_size, steps, torch.Generator().manual_seed(seed))


def _batches(
    tokens: Tensor, length: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    offsets = torch.arange(length + 1)
    for _ in range(steps):
        places = torch.randint(len(tokens) - length, (batch_size, 1), generator=generator) + offsets
        pieces = tokens[places.to(tokens.device)].to(torch.int64)
        yield pieces[:, :-1], pieces[:, 1:]
