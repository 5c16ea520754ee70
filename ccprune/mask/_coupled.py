"""Attention heads and channels with all weights that are coupled to them, which are pruned as one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ccprune._util.checks import join_first, require_at_least
from ccprune._util.modes import copy_model
from ccprune.mask._groups import Group, Slices
from ccprune.mask._kinds import axes_of
from ccprune.mask._names import owners, unwrap
from ccprune.mask._prunable import prunable
from ccprune.mask._traced import removable, trace


def attention_heads(model: nn.Module, x: Any, heads: Mapping[str, int]) -> dict[str, Group]:
    """Group the query, key and value rows of each attention head with its columns of the output projection.

    Parameters
    ----------
    model : Module
    x : Tensor, tuple or mapping
        Example inputs, on which the groups are tested.
    heads : mapping of name to int
        Number of heads of each attention module; with grouped queries, that of the keys and values. The module's
        weights are those of the input projections, and last those of the output projection. One parameter for several
        projections has all queries first, then all keys, then all values.

    Returns
    -------
    {name: Group}
        One group for each module, for `Mask.from_channels`.

    Raises
    ------
    ValueError
        For a module without such weights, for a number that does not divide their sizes, and if the model's outputs
        depend on heads whose output columns are zero, because the weights of a head are then others.

    Examples
    --------
    >>> from ccprune import Mask, score
    >>> model = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> heads = attention_heads(model, torch.randn(1, 3, 8), {"self_attn": 2})
    >>> mask = Mask.from_channels(score("magnitude", model), share=0.5, groups=heads)
    >>> mask.counts["self_attn.in_proj_weight"], mask.counts["self_attn.out_proj.weight"]
    (96, 32)
    """
    model = unwrap(model)
    weights, places = prunable(model, frozen=True), owners(model)
    found = {}
    for module, count in heads.items():
        require_at_least(1, **{f"heads[{module!r}]": count})
        names = [name for name in weights if not module or name.startswith(f"{module}.")]
        if len(names) < 2:
            raise ValueError(f"heads must name modules with input and output projections, got {module!r}")
        axes = [axes_of(*places[name]) for name in names]
        chosen = [axis.output for axis in axes[:-1]] + [axes[-1].input]
        sizes = [weights[name].shape[axis] for name, axis in zip(names, chosen, strict=True)]
        parts = []
        for name, axis, size in zip(names, chosen, sizes, strict=True):
            block = size if size % sizes[-1] else sizes[-1]  # of one projection
            if block % count:
                raise ValueError(f"heads[{module!r}] must divide the size {block} of {name!r}, got {count}")
            parts.append(Slices(name, axis, torch.arange(size) % block * count // block))
        found[module] = Group(count, tuple(parts[:-1]), tuple(parts[-1:]))
    wrong = found.keys() - removable(model, x, found)
    if wrong:
        raise ValueError(
            "heads must name modules of that many heads whose last weight is the output projection, got "
            f"{join_first(sorted(wrong))}: heads without it influence the outputs"
        )
    return found


def coupled_channels(model: nn.Module, x: Any) -> dict[str, Group]:
    """Group output channels with the channels that they are added to or multiplied by, and the weights that use them.

    torch-pruning finds the couplings (Fang et al., 2023, "DepGraph"): the rows or filters of layers that residual
    connections add, depthwise convolutions, and the inputs of the next layers, also behind batch norm, pooling and
    flattening. A channel whose group is pruned has no influence on the outputs, whatever the biases and norms. This is
    tested on `x`, with random weights. Groups that fail are left out: channels that reach the outputs, and those that
    pass operations which mix them, such as layer norm and attention.

    Parameters
    ----------
    model : Module
    x : Tensor, tuple or mapping
        Example inputs.

    Returns
    -------
    {name: Group}
        Groups for `Mask.from_channels`, by the name of the first parameter whose channels they have.

    Raises
    ------
    ImportError
        If torch-pruning is not installed.
    ValueError
        If torch-pruning cannot trace the model, and for layers that it does not support, such as the transposed layers
        of GPT-2 and experts in one parameter. For their attention there is `attention_heads`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> coupled_channels(model, torch.randn(1, 4))["0.weight"].units  # the outputs of the last layer are the model's
    8
    """
    _, groups = trace(copy_model(unwrap(model)), x)
    return {group.outputs[0].parameter: group for _, group in groups if group is not None}
