"""Largest eigenvalues and trace of the Hessian of the mean loss in the remaining weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_at_least, require_inside_unit_interval
from ccprune.flatness._hessian import COLUMNS, Hessian
from ccprune.flatness._lanczos import block_lanczos
from ccprune.flatness._landscape import Data, Loss, measuring
from ccprune.mask import Mask
from ccprune.mask._prunable import Chosen


@dataclass(frozen=True, eq=False)
class EigenResult:
    """Result of `top_eigenvalues`.

    Attributes
    ----------
    values : Tensor (k,)
        Eigenvalues, float64, in descending order; the largest, not those of largest absolute value.
    residuals : Tensor (k,)
        |H v - value v| / |value|: H has an eigenvalue within residual * |value| of the value. The divisor is at least a
        thousandth of the largest absolute value.
    converged : Tensor (k,) of bool
        residual <= tolerance.
    vectors : tuple of k {parameter name: Tensor}
        Unit eigenvectors, 0 at pruned weights; with scale "filter" in units of the norms of the filters.
    products : int
        Number of Hessian-vector products.
    weights, samples : int
        Size of the Hessian, and number of samples over which the loss is averaged.
    """

    values: Tensor
    residuals: Tensor
    converged: Tensor
    vectors: tuple[dict[str, Tensor], ...]
    products: int
    weights: int
    samples: int


@dataclass(frozen=True)
class TraceResult:
    """Result of `trace`.

    Attributes
    ----------
    estimate, stderr : float
        Estimate, and its standard error over the probes.
    probes, weights, samples : int
        Numbers of probes, which need one product each, of remaining weights, and of samples.
    """

    estimate: float
    stderr: float
    probes: int
    weights: int
    samples: int


def top_eigenvalues(
    model: nn.Module,
    loss: Loss,
    data: Data,
    *,
    k: int = 1,
    mask: Mask | None = None,
    scale: str = "none",
    tol: float = 1e-3,
    max_products: int = 100,
    seed: int = 0,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> EigenResult:
    """Compute the k largest eigenvalues of the Hessian of the mean loss in the remaining prunable weights.

    The method uses Hessian-vector products as in PyHessian (Yao et al., 2020), here those of curvlinops, and block
    Lanczos on the model's device. It finds an eigenvalue of multiplicity up to k with its multiplicity.

    Parameters
    ----------
    model, loss, data
        `loss(model(x), y)` is the mean loss of a batch; data is (x, y), or batches of such pairs, which are weighted by
        their sizes. x may be a tuple or mapping of the model's arguments. The model is evaluated in eval mode and in
        its dtype, and is left unchanged. On CUDA, float32 convolutions lose digits to TF32 unless it is disabled in
        torch, and the residuals then remain larger.
    k : int, default 1
        Number of eigenvalues.
    mask : Mask, optional
        Selects the block of the Hessian of the kept weights, by default of all prunable ones. Biases and norm
        parameters are not prunable.
    scale : str, default "none"
        "none": H. "filter": D H D, where D is the norm of the remaining weights of each weight's filter. This is the
        curvature along relative changes of filters, which does not change under a rescaling between ReLU layers (Kwon
        et al., 2021, section 3, here also for the rows of linear layers, which they scale weight by weight).
    tol : float, default 1e-3
        Largest relative residual, between 0 and 1, at which the method stops. The error of a well separated eigenvalue
        is proportional to the square of its residual.
    max_products : int, default 100
        Largest number of products. Two numbers per weight and product are stored.
    seed : int, default 0
        Seed of the starting block.
    only, skip : collection of str and Module
        Weights that are measured, and weights that are left out: modules, or names of modules or parameters. A mask
        names the same.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it): k above the number of remaining weights, a mask that keeps no
        weight or does not fit, or a loss that is not finite or differs between two passes.

    Examples
    --------
    The loss w^2 x^2 / 2 at x = 3 has the second derivative 9.

    >>> data = (torch.tensor([[3.0]]), torch.zeros(1, 1))
    >>> found = top_eigenvalues(nn.Linear(1, 1, bias=False), lambda out, y: (out - y).square().mean() / 2, data)
    >>> round(found.values.item(), 3)
    9.0
    """
    require_inside_unit_interval(tol=tol)
    require_at_least(1, k=k)
    require_at_least(k, max_products=max_products)
    with measuring(model, loss, data, mask, only, skip) as landscape:
        hessian = Hessian(landscape, scale)
        if k > hessian.size:
            raise ValueError(f"k must be at most the number of remaining weights ({hessian.size}), got {k}")
        start = hessian.draw("gaussian", k, torch.Generator().manual_seed(seed))
        values, vectors, residuals = block_lanczos(hessian, start, tol=tol, max_products=max_products)
        return EigenResult(
            values=values,
            residuals=residuals,
            converged=residuals <= tol,
            vectors=tuple(hessian.split_by_name(vector) for vector in vectors.T),
            products=hessian.products,
            weights=hessian.size,
            samples=landscape.samples,
        )


def trace(
    model: nn.Module,
    loss: Loss,
    data: Data,
    *,
    probes: int = 20,
    mask: Mask | None = None,
    scale: str = "none",
    seed: int = 0,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> TraceResult:
    """Estimate the trace of the Hessian of the mean loss in the remaining prunable weights, with a standard error.

    Hutchinson's estimator (1990; Yao et al., 2020) is the mean of v'Hv over random signs v. Those of a weight depend on
    the seed but not on the mask. Hutch++ (Meyer et al., 2021) gained little at equal cost on a LeNet, whose trace is
    spread over many eigenvalues.

    Parameters
    ----------
    model, loss, data : Module, callable, and (x, y) or batches of such pairs
        `loss(model(x), y)` is the mean loss of a batch.
    probes : int, default 20
        Number of vectors v, at least 2.
    mask, only, skip : Mask, and collections of str and Module
        Weights that are measured: those that the mask keeps, in the modules or parameters `only` and not in `skip`.
    scale : {"none", "filter"}
        Units of the weights: their own, or those of the norm of the filter, see `top_eigenvalues`.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> data = (torch.eye(2) * 3, torch.zeros(2, 1))  # the Hessian is diagonal, 9 / 2 for each of two weights
    >>> found = trace(nn.Linear(2, 1, bias=False), lambda out, y: (out - y).square().mean() / 2, data)
    >>> round(found.estimate, 3), round(found.stderr, 3)
    (9.0, 0.0)
    """
    require_at_least(2, probes=probes)
    with measuring(model, loss, data, mask, only, skip) as landscape:
        hessian = Hessian(landscape, scale)
        generator, estimates = torch.Generator().manual_seed(seed), []
        for done in range(0, probes, COLUMNS):
            signs = hessian.draw("signs", min(COLUMNS, probes - done), generator)
            estimates.append((signs * (hessian @ signs)).sum(0, dtype=torch.float64))
        found = torch.cat(estimates)
        return TraceResult(
            estimate=float(found.mean()),
            stderr=float(found.std()) / probes**0.5,
            probes=probes,
            weights=hessian.size,
            samples=landscape.samples,
        )
