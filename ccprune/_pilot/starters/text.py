"""A pilot on text, the next byte from those before: replace TEXT by yours, and run `ccprune pilot` on this file."""

from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn.functional import cross_entropy

TEXT = "\n".join(topics[name] for name in sorted(topics))[:120_000]
LENGTH = 32  # bytes in a sample


class NextByte(nn.Module):
    """An embedding, one recurrent layer, and one output for each byte."""

    def __init__(self):
        super().__init__()
        self.embedding, self.recurrent = nn.Embedding(256, 16), nn.GRU(16, 64, batch_first=True)
        self.output = nn.Linear(64, 256)

    def forward(self, x):
        """Map bytes (n, LENGTH) to logits (n, LENGTH, 256)."""
        return self.output(self.recurrent(self.embedding(x))[0])


def make(seed):
    """Return the network of a seed."""
    torch.manual_seed(seed)
    return NextByte()


def loss(outputs, y):
    """Return the mean cross-entropy of a byte."""
    return cross_entropy(outputs.flatten(0, 1), y.flatten())


@torch.no_grad()
def perplexity(model, x, y):
    """Return the exponential of the loss; smaller is better."""
    return loss(model.eval()(x), y).exp()


def settings():
    """Return the arguments of `ccprune.pilot`."""
    data = torch.tensor(list(TEXT.encode()))
    rows = data[: len(data) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)
    cut = len(rows) * 4 // 5
    parts = [(part[:, :-1], part[:, 1:]) for part in (rows[:cut], *rows[cut:].chunk(2))]
    return {
        "make": make,
        "train": parts[0],
        "validation": parts[1],
        "test": parts[2],
        "loss": loss,
        "metric": perplexity,
        "better": "smaller",
        "margin": 0.2,
        "criteria": ("magnitude", "causal", "random"),
        "seeds": 3,
        "before": 6,
        "after": 3,
    }
