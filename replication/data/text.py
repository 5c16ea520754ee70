"""Text for language models that every machine has: the pages of Python's `help()`, about 460,000 bytes.

Tokens are bytes, so the vocabulary is 256 for any text. The pages depend on the version of Python, so numbers of
different versions are not comparable. `Text.checksum` identifies the pages.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccprune._util.checks import require_at_least
from replication.ledger.errors import DataUnavailable

VOCABULARY = 256
_TEST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Text:
    """Text as bytes, split into a training part at its beginning and a test part at its end.

    Attributes
    ----------
    name : str
    train, test : Tensor (n,), (m,)
        Bytes, uint8.
    checksum : str
        SHA-256 (hex) of the bytes of train and test, in this order.
    """

    name: str
    train: Tensor
    test: Tensor
    checksum: str

    @classmethod
    def from_string(cls, name: str, text: str) -> "Text":
        """Encode a text in UTF-8, with the last tenth for testing.

        Parameters
        ----------
        name : str
            Name of the text.
        text : str
            The text.

        Returns
        -------
        Text

        Raises
        ------
        ValueError
            If the text has fewer than 10 bytes.
        """
        content = text.encode()
        if len(content) < 10:
            raise ValueError(f"text must have at least 10 bytes, got {len(content)}")
        tokens = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
        cut = len(tokens) - int(_TEST_SHARE * len(tokens))
        return cls(name, tokens[:cut], tokens[cut:], hashlib.sha256(content).hexdigest())


def python_topics() -> Text:
    """Return the pages of `pydoc_data.topics` in the order of their names, separated by empty lines.

    Returns
    -------
    Text

    Raises
    ------
    DataUnavailable
        If Python was installed without them.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataUnavailable("this Python has no pydoc_data.topics (the pages of help()): install them") from error
    return Text.from_string("python_topics", "\n\n".join(topics[name] for name in sorted(topics)))


def batches(tokens: Tensor, *, length: int, batch_size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random pieces of the text and their targets, which are the same pieces one token later.

    Parameters
    ----------
    tokens : Tensor (n,)
        A text, with n above `length`.
    length, batch_size, steps : int
        Tokens of a piece, pieces of a batch, and number of batches, at least 1.
    seed : int
        Seed of the positions, which depend on nothing else.

    Yields
    ------
    inputs, targets : Tensor (batch_size, length), int64

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.
    """
    require_at_least(1, length=length, batch_size=batch_size, steps=steps)
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
