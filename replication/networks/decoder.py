"""Decoder-only transformer whose weights are all prunable, for studies beyond the papers' networks.

It is the decoder of Vaswani et al. (2017, section 3) without the second attention, with the normalisation before each
part and after the last one (Radford et al., 2019, section 2.3), GELU, and learned positions. It has no dropout. Every
projection is an nn.Linear, so `mask.prunable` includes it, unlike the bare parameter of nn.MultiheadAttention.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ccprune._util.checks import require_at_least

_DEVIATION = 0.02  # standard deviation of the initial weights (Radford et al., 2019, and their code)


class Transformer(nn.Module):
    """Transformer from tokens (n, t), with t at most `context`, to logits (n, t, vocabulary).

    The logits at a position depend on the tokens up to it only. The output layer is not tied to the embedding, because
    its pruning would then prune the embedding.
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
        """Return the logits of the next tokens.

        Parameters
        ----------
        tokens : Tensor (n, t), int64
            Tokens, with t at most `context`.

        Returns
        -------
        Tensor (n, t, vocabulary)

        Raises
        ------
        ValueError
            If the tokens have another shape.
        """
        if tokens.ndim != 2 or tokens.shape[1] > self.context:
            raise ValueError(f"tokens must have shape (n, t) with t <= {self.context}, got {tuple(tokens.shape)}")
        x = self.embedding(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class _Block(nn.Module):
    """Causal self-attention, then two layers with GELU between them; each part is added to its input."""

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
    """Return a transformer in float32 on the CPU, whose initial values depend on `seed` only.

    It has 12 * layers * width^2 + width * vocabulary prunable weights, by default 10,715,136 for a vocabulary of 256.
    Initial weights are drawn from N(0, 0.02^2), and those of layers whose output is added to the residual stream from
    N(0, 0.02^2 / (2 layers)). Biases are 0.

    Parameters
    ----------
    vocabulary : int
        Number of tokens.
    context : int, default 256
        Largest number of consecutive tokens.
    width : int, default 384
        Numbers per token, a multiple of `heads`.
    heads : int, default 6
        Attention heads.
    layers : int, default 6
        Blocks.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    Transformer

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    require_at_least(1, vocabulary=vocabulary, context=context, width=width, heads=heads, layers=layers)
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
