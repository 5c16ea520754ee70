"""Calls of layers, and at how many positions each of their weights is multiplied."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ccprune.mask._kinds import kind_of

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: Weights whose parts along the first axis are multiplied with different inputs, with the number of parts.
PARTS = {"in_proj_weight": 3}


def uses(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> Iterator[tuple[nn.Module, str, int, int]]:
    """Yield (module, attribute, part, positions) of the weights that a call multiplies."""
    given = [*args, *kwargs.values()]
    if isinstance(module, nn.MultiheadAttention):
        query, key, value = (kwargs.get(n, args[i] if i < len(args) else None) for i, n in enumerate(_ATTENTION))
        places = [_rows(query), _rows(key), _rows(value)]
        yield from ((module, "in_proj_weight", part, count) for part, count in enumerate(places))
        yield from ((module, f"{name[0]}_proj_weight", 0, n) for name, n in zip(_ATTENTION, places, strict=True))
        # The output projection is computed with the layer's weight, but without a call of the layer.
        yield module.out_proj, "weight", 0, places[0]
        return
    kind = kind_of(module)
    for attribute, axes in kind.weights(module).items() if kind is not None else ():
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            yield module, attribute, 0, _rows(given[0])
        elif kind is not None and kind.linear:
            # An axis of a weight indexes the channels of that side; each entry is used once at every other position.
            axis, side = (axes.input, given[0]) if isinstance(module, _TRANSPOSED) else (axes.output, output)
            yield module, attribute, 0, side.numel() // getattr(module, attribute).shape[axis]


_ATTENTION = ("query", "key", "value")


def _rows(x: Any) -> int:
    values: Tensor = x.data if isinstance(x, PackedSequence) else x
    return values.numel() // values.shape[-1]
