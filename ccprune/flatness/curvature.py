"""Largest eigenvalues and trace of the Hessian of the mean loss in the weights that remain."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import at_least
from ccprune.flatness._hessian import COLUMNS, Hessian
from ccprune.flatness._lanczos import block_lanczos
from ccprune.flatness._landscape import Data, Loss, measuring
from ccprune.mask import Mask


@dataclass(frozen=True, eq=False)
class EigenResult:
    """Outcome of `top_eigenvalues`.

    Attributes
    ----------
    values : Tensor (k,)
        float64, largest first; the largest, not the largest in size.
    residuals : Tensor (k,)
        |H v - value v| / |value| for the unit vectors below; H has an eigenvalue within residual * |value| of the
        value. An eigenvalue below a thousandth of the largest in size has that thousandth for divisor.
    converged : Tensor (k,) of bool
        residual <= tolerance.
    vectors : tuple of k {parameter name: Tensor}
        Unit eigenvectors, 0 at pruned weights. With scale "filter" in units of the filters' norms.
    products : int
        Hessian-vector products taken.
    weights, samples : int
        Size of the Hessian; samples the loss is averaged over.
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
    """Outcome of `trace`: estimate, standard error over the probes (one product each), weights and samples."""

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
) -> EigenResult:
    """The k largest eigenvalues of the Hessian of the mean loss in the prunable weights that remain.

    By Hessian-vector products as in PyHessian (Yao et al., 2020), here curvlinops', and block Lanczos on the model's
    device, which finds an eigenvalue repeated up to k times as often and stops once the residuals allow.

    Parameters
    ----------
    model, loss, data
        `loss(model(x), y)` is a batch's mean loss; data is (x, y), or batches of such pairs weighted by their sizes.
        The model is measured in eval mode, in its own dtype, and left as it was. On CUDA, float32 convolutions lose
        digits to TF32 unless torch is told otherwise, and residuals then stay higher.
    k : int
    mask : Mask, optional
        Measures the block of the Hessian that belongs to the kept weights. None: all prunable weights. Biases and
        norm parameters never belong to it.
    scale : str
        "none": H. "filter": D H D, D the norm of each weight's filter (of its remaining weights): curvature along
        relative changes of filters, the same after a rescaling between ReLU layers. D is the filter-wise operator of
        Kwon et al. (2021, section 3), here also for the rows of linear layers, which they scale weight by weight.
    tol : float
        Largest relative residual, between 0 and 1. The error of a value that stands apart goes with its square.
    max_products : int
        The search ends before it would take more. Two numbers per weight and product are kept in memory.
    seed : int
        Of the starting block.

    Raises
    ------
    TypeError, ValueError
        Naming the argument: k above the number of remaining weights, a mask that keeps none or does not fit, a loss
        that is not finite or differs between two passes.
    """
    if not 0 < tol < 1:
        raise ValueError(f"tol must lie between 0 and 1, got {tol!r}")
    at_least(1, k=k)
    at_least(k, max_products=max_products)
    with measuring(model, loss, data, mask) as landscape:
        hessian = Hessian(landscape, scale)
        if k > hessian.size:
            raise ValueError(f"k must be at most the number of remaining weights ({hessian.size}), got {k}")
        start = hessian.draw("gaussian", k, torch.Generator().manual_seed(seed))
        values, vectors, residuals = block_lanczos(hessian, start, tol=tol, max_products=max_products)
        return EigenResult(
            values=values,
            residuals=residuals,
            converged=residuals <= tol,
            vectors=tuple(hessian.named(vector) for vector in vectors.T),
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
) -> TraceResult:
    """Trace of the Hessian of the mean loss in the prunable weights that remain, with a standard error.

    Hutchinson's estimator (1990; Yao et al., 2020): the mean of v'Hv over probes v of random signs, at least 2. They
    are independent, so their spread gives the standard error. Hutch++ (Meyer et al., 2021) gained little at equal cost
    on a LeNet, whose trace is spread over many eigenvalues. A weight's signs depend on the seed, not on the mask. Other
    arguments and errors as in `top_eigenvalues`.
    """
    at_least(2, probes=probes)
    with measuring(model, loss, data, mask) as landscape:
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
