"""The fit of October 2025: stochastic gradient descent with weight decay, computed from products of records alone.

The optimiser starts at gamma = 0, and each of its steps adds a combination of records to gamma and to its momentum.
Therefore gamma = sum_t a_t x_t at any time, with one weight a_t per record. The steps need only the products x_s . x_t,
so that a fit over P weights costs one product of records, T^2 P multiplications, and no pass touches the P weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Largest loss that is finite in float32, in which the authors compute.
LARGEST = torch.finfo(torch.float32).max

_LR, _MOMENTUM = 0.1, 0.9
_TOL = 1e-7  # smallest decrease of the mean loss that counts as an improvement


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """Result of `ridge`.

    Attributes
    ----------
    weights : Tensor (T,) or None
        Weights a of the records, gamma = sum_t a_t x_t, float64. None if the loss overflowed.
    converged : bool
        True if a stopping rule was met, False at the largest number of passes or after an overflow.
    passes : int
        Passes over the records.
    explained : float or None
        1 - sum of squared residuals / sum of squared targets for the weights; None without them.
    losses : tuple of float
        Mean loss of each pass, over its batches.
    """

    weights: Tensor | None
    converged: bool
    passes: int
    explained: float | None
    losses: tuple[float, ...]


def ridge(
    gram: Tensor,
    y: Tensor,
    *,
    weight_decay: float = 0.01,
    batch_size: int = 16,
    max_iter: int = 30,
    r2: float = 0.95,
    patience: int = 2,
    seed: int = 0,
) -> RidgeFit:
    """Fit y by records with torch's SGD from gamma = 0, as the authors' code of October 2025.

    Each step takes the gradient g of the mean squared error of a batch plus `weight_decay` times gamma, updates the
    momentum v = 0.9 v + g, and subtracts 0.1 v from gamma. After each pass the coefficient of determination R2
    is computed over all records. The fit stops when R2 is above `r2`, or after `patience` passes in a row whose mean
    loss is not at least 1e-7 below the lowest. The result is gamma at the end of the pass with the lowest mean loss.
    The loss of a batch is taken before its step, and a pass's mean is over batches, the last and smaller one included.

    Steps in the weights of the records are the same as steps in gamma but for rounding: computations are in float64,
    those of the authors in float32.

    Parameters
    ----------
    gram : Tensor (T, T)
        Products x_s . x_t of the records, float64.
    y : Tensor (T,)
        Targets, loss changes over their mean.
    weight_decay : float, default 0.01
        Weight decay of SGD.
    batch_size : int, default 16
        Number of records of a batch.
    max_iter : int, default 30
        Largest number of passes.
    r2 : float, default 0.95
        Coefficient of determination above which the fit stops.
    patience : int, default 2
        Number of passes in a row without improvement after which the fit stops.
    seed : int, default 0
        Seed of the order of the records, which is new in each pass.

    Returns
    -------
    RidgeFit

    Raises
    ------
    ValueError
        If `gram` is not (T, T) for T targets, or a value of either is not finite.

    References
    ----------
    github.com/adityac20/causalpruning_20251016, commit 59e19d1a, causalpruner/causal_weights_trainer.py.
    """
    if gram.shape != (len(y), len(y)):
        raise ValueError(f"gram must have shape {(len(y), len(y))} for {len(y)} targets, got {tuple(gram.shape)}")
    for name, value in (("gram", gram), ("y", y)):
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} must be finite, got NaN or infinite values")
    # Small vectors: on another device each of their steps would wait for a kernel.
    gram, y = gram.to("cpu", torch.float64), y.to("cpu", torch.float64)
    weights, velocity = torch.zeros_like(y), torch.zeros_like(y)
    generator = torch.Generator().manual_seed(seed)
    best, kept, stale, converged = float("inf"), weights, 0, False
    losses: list[float] = []
    for _ in range(max_iter):
        total, order = 0.0, torch.randperm(len(y), generator=generator).split(batch_size)
        for batch in order:
            residual = gram[batch] @ weights - y[batch]
            total += float(residual.square().mean())
            gradient = weight_decay * weights
            gradient[batch] += 2 / len(batch) * residual
            velocity = _MOMENTUM * velocity + gradient
            weights = weights - _LR * velocity
        loss = total / len(order)
        losses.append(loss)
        if not loss <= LARGEST:
            return RidgeFit(None, False, len(losses), None, tuple(losses))
        stale = stale + 1 if loss > best - _TOL else 0
        if loss < best:
            best, kept = loss, weights
        if stale >= patience or _determination(gram, weights, y) > r2:
            converged = True
            break
    residual = gram @ kept - y
    if not float(residual.square().mean()) <= LARGEST:
        return RidgeFit(None, False, len(losses), None, tuple(losses))
    explained = float(1 - residual @ residual / (y @ y)) if bool(y.any()) else 0.0
    return RidgeFit(kept, converged, len(losses), explained, tuple(losses))


def _determination(gram: Tensor, weights: Tensor, y: Tensor) -> float:
    """Return R2 over all records; as scikit-learn's, 0 for a constant target unless it is met exactly."""
    residual, centred = gram @ weights - y, y - y.mean()
    squares, spread = float(residual @ residual), float(centred @ centred)
    if spread == 0:
        return 1.0 if squares == 0 else 0.0
    return 1 - squares / spread
