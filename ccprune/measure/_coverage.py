"""Parameters that a mask does not name, by kind, so that a sparsity states what it is a fraction of."""

import pandas as pd
from torch import nn

from ccprune._util.checks import join_first
from ccprune.mask import Mask
from ccprune.mask._kinds import kind_of
from ccprune.mask._names import owners

VECTORS = "biases and other vectors"


class CoverageWarning(UserWarning):
    """Warning of `report`: a mask leaves out most of the weights in tensors of two or more dimensions."""


def left_out(model: nn.Module, mask: Mask) -> pd.DataFrame:
    """Return one row per parameter that the mask does not name, with the columns kind, dimensions and weights.

    The kind is the type of the module, with "frozen" where a layer could be pruned but is not trained.
    """
    found = owners(model)
    seen = {id(found[name][0]._parameters[found[name][1]]) for name in mask.keep}
    rows = []
    for name, (module, attribute) in found.items():
        parameter = module._parameters[attribute]
        if parameter is None or id(parameter) in seen:
            continue
        seen.add(id(parameter))
        kind = kind_of(module)
        frozen = kind is not None and kind.default and attribute in kind.weights(module) and not parameter.requires_grad
        rows.append((name, type(module).__name__ + ", frozen" * frozen, parameter.ndim, parameter.numel()))
    return pd.DataFrame(rows, columns=["parameter", "kind", "dimensions", "weights"]).set_index("parameter")


def describe_shared(model: nn.Module, mask: Mask) -> list[str]:
    """Return a sentence for each weight of the mask that a module of another type has too, such as an embedding."""
    found = owners(model)
    lines = []
    for name in mask.keep:
        module, attribute = found[name]
        weight = module._parameters[attribute]
        others = {
            other: type(holder).__name__
            for other, (holder, own) in found.items()
            if holder._parameters[own] is weight and type(holder) is not type(module)
        }
        lines += [f"{name!r} is also {other!r} of {kind}, which is pruned with it" for other, kind in others.items()]
    return lines


def coverage(table: pd.DataFrame, masked: int, pruned: int) -> list[str]:
    """Return sentences on the share of the mask and on what it leaves out; `table` is that of `left_out`."""
    total = masked + int(table["weights"].sum())
    lines = [
        f"the mask names {masked} of {total} parameters ({masked / total:.1%}); {pruned / total:.1%} of all are pruned"
    ]
    matrices = table["dimensions"] > 1
    kinds = table["kind"].where(matrices, VECTORS)
    for kind, part in table.groupby(kinds, sort=False):
        lines.append(f"left out: {int(part['weights'].sum())} in {kind} {join_first(part.index)}")
    return lines


def mostly_left_out(table: pd.DataFrame, mask: Mask) -> str:
    """Return a warning if the mask names less than half of the weights in matrices, else an empty string."""
    out = int(table.loc[table["dimensions"] > 1, "weights"].sum())
    named = sum(keep.numel() for keep in mask.keep.values() if keep.ndim > 1)
    if out <= named:
        return ""
    return f"most of the matrices are left out: {out} of {out + named} weights in them are not in the mask"
