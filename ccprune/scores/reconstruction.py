"""Pruning with a correction of the remaining weights, so that the outputs of the layers change little.

The optimal brain surgeon (Hassibi and Stork, 1993) is used on each layer alone, whose error is the squared change of
its outputs (Dong, Chen and Pan, 2017). SparseGPT (Frantar and Alistarh, 2023) makes this fast for large layers.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from ccprune._util.checks import join_first, require_at_least, require_fraction
from ccprune._util.inputs import Inputs
from ccprune.mask import Mask, drop_lowest, prunable
from ccprune.mask._names import require_axes
from ccprune.mask._prunable import Chosen, chosen
from ccprune.mask._select import n_of_m, pruned_count
from ccprune.scores._functional import finite, widen
from ccprune.scores._hessians import Hessians, cholesky

_COLUMNS = 128  # inputs whose weights are chosen at once: the block size of SparseGPT, section 3.2
#: Maps the Hessians and the name of a weight to its pruned matrices and to what is kept of them.
_Pruning = Callable[[Hessians, str], tuple[Tensor, Tensor]]


def obs(model: nn.Module, x: Inputs, *, damping: float = 0.01) -> dict[str, Tensor]:
    """Saliency w^2 / (2 [H^-1]_jj) of the layer-wise optimal brain surgeon (Hassibi and Stork, 1993, eq. 5), float64.

    H is the sum of x x^T over the inputs x of the layer (Dong, Chen and Pan, 2017). The saliency is half the squared
    error of the layer's output if weight j is pruned and the others of its row are corrected. It is 0 where input j is
    0 in all samples.

    Parameters
    ----------
    model : Module
        Every weight must be used by calling a linear layer or a convolution.
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Calibration inputs.
    damping : float, default 0.01
        Fraction of the mean of the diagonal of the Hessian that is added to the diagonal.

    Raises
    ------
    ValueError
        For weights of other layers, for inputs that are not finite, and for a damping that is negative or too small.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[2.0, 2.0]])
    >>> obs(layer, torch.tensor([[1.0, 0.0], [0.0, 3.0]]), damping=0)  # inputs that are not correlated: (w |x_j|)^2 / 2
    {'weight': tensor([[ 2., 18.]], dtype=torch.float64)}
    """
    weights = prunable(model)
    hessians, found = Hessians(model, x, weights, damping), {}
    for name in hessians.order:
        weight, hessian, dead = hessians.damped_hessians(name)
        variance = _inverse_root(name, hessian).square().sum(1)[:, None]
        found[name] = hessians.tensor(name, (weight.square() / (2 * variance)).masked_fill(dead[:, None], 0.0))
    return finite({name: found[name] for name in weights})


def sparsegpt(
    model: nn.Module,
    x: Inputs,
    *,
    sparsity: float | None = None,
    n: int | None = None,
    m: int | None = None,
    damping: float = 0.01,
    frozen: bool = False,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> Mask:
    """Prune every layer, correct its remaining weights, both in place, and return the mask (SparseGPT, algorithm 1).

    Weights are chosen by w^2 / [H^-1]_jj in blocks of 128 inputs, after the correction by earlier blocks.

    Parameters
    ----------
    model : Module
        Changed in place, unless an error is raised.
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Calibration inputs.
    damping : float, default 0.01
        Fraction of the mean of the diagonal of the Hessian that is added to the diagonal.
    sparsity : float
        Pruned fraction of each layer, of exactly floor(sparsity * weights + 1/2) weights.
    n, m : int
        In place of `sparsity`: n of every m consecutive inputs are kept.
    frozen : bool, default False
        Whether weights with `requires_grad=False` are pruned, too.
    only, skip : collection of str and Module
        Weights that are pruned, and weights that are left out: modules, or names of modules or parameters.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name, and for layers that `reconstruct` refuses.

    Examples
    --------
    >>> layer, x = nn.Linear(8, 4), torch.randn(32, 8)
    >>> mask = sparsegpt(layer, x, sparsity=0.75)
    >>> mask.kept, int((layer.weight != 0).sum())
    (8, 8)
    """
    weights = prunable(model, frozen=frozen, only=only, skip=skip)
    choose: Callable[[Tensor, int, int], Tensor]
    if sparsity is not None and n is None and m is None:
        require_fraction("sparsity", sparsity)
        choose, requested = partial(_lowest, sparsity), float(sparsity)
    elif sparsity is None and n is not None and m is not None:
        require_at_least(0, n=n)
        require_at_least(max(1, n), m=m)
        require_axes(model, weights)
        if wrong := [name for name, weight in weights.items() if weight[0].numel() % m]:
            raise ValueError(f"m must divide the inputs of every layer, not so m={m} of {join_first(wrong)}: use skip")
        choose, requested = partial(_best, n, m), 1 - n / m
    else:
        raise ValueError(f"either sparsity or n and m must be given, got sparsity={sparsity}, n={n} and m={m}")
    keep = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    if requested > 0:
        keep |= _reconstruct(model, x, weights, partial(_sweep, choose, m), damping)
    return Mask(keep, requested=requested, structured=m is not None)


def reconstruct(model: nn.Module, mask: Mask, x: Inputs, *, damping: float = 0.01, skip: Chosen = ()) -> nn.Module:
    """Prune by any mask, correct the remaining weights of pruned layers, both in place, and return the model.

    Layers are corrected in the order of their use, each with its inputs after the earlier layers were pruned. The
    remaining weights of each row are the least-squares solution for the layer's outputs, as in an optimal brain surgeon
    that prunes all weights of the row at once. Kept weights whose inputs are 0 in all samples do not change;
    SparseGPT's code sets them to zero.

    Parameters
    ----------
    model : Module
        Changed in place, unless an error is raised. Layers without pruned weights, and biases, do not change.
    mask : Mask
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Calibration inputs, read once for each pruned layer. Without at least as many samples (or positions) as a layer
        has inputs, the correction depends on the damping.
    damping : float, default 0.01
        Fraction of the mean of the diagonal of the Hessian that is added to the diagonal.
    skip : collection of str and Module
        Weights that are pruned without a correction: modules, or names of modules or parameters.

    Raises
    ------
    TypeError, ValueError
        For a mask that does not fit the model; with their names, for weights that are not used by calling linear layers
        or convolutions (such as recurrent layers, transposed convolutions, `nn.MultiheadAttention`); for inputs that
        are not finite; and for a damping that is negative, or too small for linearly dependent inputs.

    Examples
    --------
    >>> layer, x = nn.Linear(8, 4), torch.randn(32, 8)
    >>> mask = Mask.from_scores({"weight": layer.weight.detach().abs()}, sparsity=0.75)
    >>> int((reconstruct(layer, mask, x).weight != 0).sum())
    8
    """
    weights = {name: weight for name, weight, keep in mask._matches(model) if not bool(keep.all())}
    if weights:
        ids = {id(weight) for weight in prunable(model, frozen=True, only=weights, skip=skip).values()}
        corrected = {name: weight for name, weight in weights.items() if id(weight) in ids}
        others = {name: mask.keep[name] for name in weights if name not in corrected}
        with Mask(others).applied(model) if others else nullcontext():
            _reconstruct(model, x, corrected, partial(_least_squares, mask), damping)
    return mask.apply_(model)


def _reconstruct(
    model: nn.Module, x: Inputs, weights: Mapping[str, Tensor], prune: _Pruning, damping: float
) -> dict[str, Tensor]:
    """Prune and correct these weights, one layer after the other, and return what is kept of each."""
    with chosen(model, weights):
        hessians = Hessians(model, x, weights, damping)
    new, kept = hessians.look.weights, {}
    for name in hessians.order:
        after, keep = prune(hessians, name)
        kept[name] = hessians.tensor(name, keep)
        # Later layers have the inputs that the rounded weights give.
        new[name] = widen(hessians.tensor(name, after.masked_fill(~keep, 0.0)).to(weights[name].dtype))
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(new[name])
    return kept


def _least_squares(mask: Mask, hessians: Hessians, name: str) -> tuple[Tensor, Tensor]:
    weight, hessian, _ = hessians.damped_hessians(name)
    keep = hessians.matrices(name, mask.keep[name].to(weight.device))
    for rows, kept, square in zip(weight, keep, hessian, strict=True):
        for row, stays in zip(rows, kept, strict=True):
            if bool(stays.any()) and not bool(stays.all()):
                factor = cholesky(name, square[stays][:, stays])
                row[stays] += torch.cholesky_solve(square[stays][:, ~stays] @ row[~stays, None], factor)[:, 0]
    return weight, keep


def _inverse_root(name: str, hessian: Tensor) -> Tensor:
    """Return upper triangular U (groups, inputs, inputs) with U^T U = H^-1."""
    # H = R R^T, where the upper triangular R is a Cholesky factor in reversed order, and U is its inverse.
    root = cholesky(name, hessian.flip(1, 2)).flip(1, 2)
    unit = torch.eye(hessian.shape[1], dtype=hessian.dtype, device=hessian.device)
    return torch.linalg.solve_triangular(root, unit.expand_as(hessian), upper=True)


def _sweep(
    choose: Callable[[Tensor, int, int], Tensor], group: int | None, hessians: Hessians, name: str
) -> tuple[Tensor, Tensor]:
    """SparseGPT, algorithm 1. `choose` maps the saliency of inputs first..last, of `group` or a block, to the kept."""
    weight, hessian, dead = hessians.damped_hessians(name)
    root, keep = _inverse_root(name, hessian), torch.ones_like(weight, dtype=torch.bool)
    scale = root.diagonal(dim1=1, dim2=2)[:, None]
    width = _COLUMNS if group is None else max(group, _COLUMNS - _COLUMNS % group)
    columns = weight.shape[2]
    for first in range(0, columns, width):
        last = min(first + width, columns)
        errors = torch.zeros_like(weight[..., first:last])
        for column in range(first, last):
            if (column - first) % (group or width) == 0:
                part = slice(column, min(column + (group or width), last))
                saliency = (weight[..., part] / scale[..., part]).square().masked_fill(dead[:, None, part], 0.0)
                keep[..., part] = choose(saliency, part.start, part.stop)
            error = weight[..., column].masked_fill(keep[..., column], 0.0) / scale[..., column]
            weight[..., column:last] -= error[..., None] * root[:, None, column, column:last]
            errors[..., column - first] = error
        weight[..., last:] -= errors @ root[:, first:last, last:]
    return weight, keep


def _lowest(share: float, saliency: Tensor, first: int, last: int) -> Tensor:
    """Keep all but the lowest, whose number over all blocks is exact."""
    rows = saliency[..., 0].numel()
    return drop_lowest(saliency, pruned_count(share, rows * last) - pruned_count(share, rows * first))


def _best(n: int, m: int, saliency: Tensor, first: int, last: int) -> Tensor:
    """Keep the n highest of each row's m."""
    rows = saliency.flatten(0, 1)
    return n_of_m("", rows, torch.ones_like(rows, dtype=torch.bool), n=n, m=m).reshape(saliency.shape)
