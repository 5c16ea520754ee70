"""A decoder-only transformer whose weights are all prunable: for recording and pruning beyond the papers' networks.

The decoder of Vaswani et al. (2017, section 3) without its second attention, with the normalisation ahead of each part
and one more after the last (Radford et al., 2019, section 2.3), GELU, and learned positions. No dropout. Every
projection is an nn.Linear, so `mask.prunable` finds it; nn.MultiheadAttention keeps its own in a bare parameter.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ccprune._util.checks import at_least

_DEVIATION = 0.02  # of the initial weights (Radford et al., 2019, and their code)


class Transformer(nn.Module):
    """Tokens (n, t) of at most `context` each to logits (n, t, vocabulary); logits at t depend on tokens up to t alone.

    The output layer is not tied to the embedding: tied, pruning it would prune the embedding.
    """

    def __init__(self, vocabulary: int, context: int, width: int, heads: int, layers: int):
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (n, t, vocabulary). Raises ValueError unless tokens are (n, t) with t at most `context`."""
        if tokens.ndim != 2 or tokens.shape[1] > self.context:
            raise ValueError(f"tokens must have shape (n, t) with t <= {self.context}, got {tuple(tokens.shape)}")
        x = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class _Block(nn.Module):
    """Causal self-attention, then two layers with GELU between, each added to its input."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.query_key_value(self.norm1(x)).unflatten(
            -1, (3, self.heads, -1)
        )  # (n, t, 3, heads, width / heads)
        query, key, value = split.transpose(1, 3).unbind(2)  # (n, heads, t, width / heads)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.projection(attended.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


def transformer(
    vocabulary: int, *, context: int = 256, width: int = 384, heads: int = 6, layers: int = 6, seed: int
) -> Transformer:
    """A transformer in float32 on the CPU, first values from `seed` alone.

    12 layers width^2 + width vocabulary prunable weights: 10,715,136 for a vocabulary of 256. Weights come from
    N(0, 0.02^2), those of layers that add to the sum over blocks from 0.02^2 / (2 layers); biases are 0.

    Parameters
    ----------
    vocabulary : int
        Different tokens.
    context : int
        Most tokens in a row that it can take.
    width, heads, layers : int
        Numbers per token, attention heads (`width` must be a multiple), blocks.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    at_least(1, vocabulary=vocabulary, context=context, width=width, heads=heads, layers=layers)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads={heads}, got {width}")
    with torch.device("meta"):
        model = Transformer(vocabulary, context, width, heads, layers)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()  # scale 1, shift 0
        elif isinstance(module, nn.Linear | nn.Embedding):
            added = name.endswith(("projection", "down"))
            nn.init.normal_(module.weight, 0.0, _DEVIATION / (2 * layers) ** (0.5 * added), generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
