"""Eigenvalue spectra of weight matrices by weightwatcher (Martin and Mahoney, 2021): paper A's table 4 and figure 2.

As in weightwatcher, the eigenvalues are the squared singular values of the weight matrix, which are those of W^T W, not
of W^T W / N. A convolution weight is one (outputs, inputs) matrix per kernel position. The eigenvalues of the matrices
are pooled and, as in weightwatcher, halved. 1-D and 3-D convolutions are treated in the same way.
"""

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.checks import require_at_least
from ccprune.mask import prunable

#: weightwatcher's default in 0.7.1 to 0.7.5, at the time of paper A; 50 in 0.6.4, 8 since 0.7.6. The paper's table 4
#: has a layer of 10 eigenvalues, so its threshold was at most 10.
MIN_EVALS = 10

# weightwatcher counts the traps of five permutations together below 100 eigenvalues, otherwise those of one.
_FEW, _PERMUTATIONS = 100, 5

# The power law is fitted to eigenvalues above this, for any scale of the weights (weightwatcher's EVALS_THRESH).
_ZERO = 1e-5

_TYPES = {
    "eigenvalues": "Int64",
    "fitted": "Int64",
    "alpha": "Float64",
    "alpha_error": "Float64",
    "xmin": "Float64",
    "in_tail": "Int64",
    "ks_distance": "Float64",
    "alpha_weighted": "Float64",
    "log_norm": "Float64",
    "log_spectral_norm": "Float64",
    "mp_edge": "Float64",
    "traps": "Float64",
    "min_evals": "Int64",
    "measurable": "bool",
    "why": "string",
}


def summary(
    model: nn.Module, *, min_evals: int = MIN_EVALS, small_n_correction: bool = True, seed: int | None = None
) -> pd.DataFrame:
    """Return the power law and norms of the eigenvalues of all prunable weights.

    Pruned weights are zeros of the matrix. The model is not changed. weightwatcher receives float64 copies, so that the
    figures do not depend on the device (it would use float32, or float16 with a GPU).

    Parameters
    ----------
    model : Module
        Its linear and convolution weights are measured.
    min_evals : int, default 10
        Smallest number of eigenvalues above 1e-5 for a power law, at least 2. Layers with fewer are not measurable.
    small_n_correction : bool, default True
        Whether to correct alpha's bias below 20 eigenvalues and to keep at least 8 of them in the tail, as
        weightwatcher does since 0.7.6. If False, alpha is the maximum-likelihood estimate on any tail, as in earlier
        releases and in the paper. The two can differ by more than 1 on 10 eigenvalues.
    seed : int, optional
        Seed of the permutations for `mp_edge` and `traps`, which take about a second per layer. None omits both.

    Returns
    -------
    DataFrame
        One row per parameter, with the index `parameter`. Missing figures are NA. Columns:

        - eigenvalues, fitted: their number, and the number above 1e-5;
        - alpha, alpha_error, xmin, in_tail, ks_distance: exponent of the density ~ eigenvalue^-alpha above xmin, its
          standard error (alpha - 1) / sqrt(in_tail), number above xmin, Kolmogorov-Smirnov distance of the fit;
        - alpha_weighted = alpha * log_spectral_norm; log_norm, log_spectral_norm: log10 of the sum and of the largest;
        - mp_edge: upper edge of the Marchenko-Pastur density fitted to the permuted matrix; traps: number of
          eigenvalues of the permuted matrix above this edge and its Tracy-Widom margin, mean per permutation. Both are
          NA if the density cannot be fitted. Traps are also caused by single large weights, a non-zero mean of the
          weights, and sparsity above about 0.8;
        - min_evals; measurable; why: the reason if the layer is not measurable, otherwise empty.

    Raises
    ------
    ValueError
        If weights are not finite (the message names the parameter), `min_evals` is below 2 or `seed` is negative.
    """
    require_at_least(2, min_evals=min_evals)
    if seed is not None:
        require_at_least(0, seed=seed)
    rows, measured = {}, {}
    for name, weight in prunable(model, frozen=True).items():
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"model's {name!r} must be finite")
        values = spectrum(weight)
        fitted = int((values > _ZERO).sum())
        rows[name] = dict.fromkeys(_TYPES) | {"eigenvalues": len(values), "fitted": fitted, "why": ""}
        if fitted < min_evals:
            rows[name]["why"] = f"{fitted} of {len(values)} eigenvalues are above {_ZERO:g}, fewer than {min_evals}"
        elif max(weight.shape[:2]) == 1:
            rows[name]["why"] = "weightwatcher leaves out layers with one input and one output"
        else:
            measured[name] = _array(weight)
    for name, details in _analyze(measured, min_evals, small_n_correction, seed).items():
        if details["lambda_max"] <= details["xmin"] * (1 + 1e-9):
            rows[name]["why"] = "no tail: the eigenvalues from xmin up are equal"
        else:
            rows[name] |= _figures(details)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    table["min_evals"], table["measurable"] = min_evals, table["why"] == ""
    return table.astype(_TYPES)


def spectrum(weight: Tensor) -> Tensor:
    """Return the k eigenvalues of a linear or convolution weight.

    Parameters
    ----------
    weight : Tensor
        Weight of at least two dimensions.

    Returns
    -------
    Tensor (k,), float64
        Ascending, including zeros, as counted in `summary`.

    Raises
    ------
    ValueError
        If the weight has fewer than two dimensions.
    """
    return _eigenvalues(_matrices(weight))


def randomised_spectrum(weight: Tensor, *, seed: int) -> Tensor:
    """Return `spectrum` of the matrix with permuted entries, which has the same values without correlations.

    Convolutions are permuted within each kernel position, as in weightwatcher.

    Parameters
    ----------
    weight : Tensor (outputs, inputs, ...)
        Weights of a linear or convolution layer.
    seed : int
        Seed of the permutation, at least 0.

    Returns
    -------
    Tensor, float64
        Eigenvalues in ascending order.

    Raises
    ------
    ValueError
        If the weight has fewer than two dimensions, or the seed is negative.
    """
    require_at_least(0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    matrices = _matrices(weight)
    shuffled = [
        matrix.flatten()[torch.randperm(matrix.numel(), generator=generator).to(matrix.device)] for matrix in matrices
    ]
    return _eigenvalues(torch.stack(shuffled).reshape(matrices.shape))


def _matrices(weight: Tensor) -> Tensor:
    """Return matrices (kernel positions, outputs, inputs), scaled as in weightwatcher."""
    if weight.ndim < 2:
        raise ValueError(f"weight must have at least 2 dimensions, got shape {tuple(weight.shape)}")
    values = weight.detach().to(torch.float64)
    return values[None] if weight.ndim == 2 else values.flatten(2).movedim(-1, 0) / 2**0.5


def _eigenvalues(matrices: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrices).square().flatten().sort().values


def _array(weight: Tensor) -> np.ndarray:
    """Return a float64 copy with its longer side first, because weightwatcher swaps sides wrongly for some kernels."""
    values = weight.detach().to("cpu", torch.float64)
    values = values.transpose(0, 1) if values.shape[0] < values.shape[1] else values
    return (values if values.ndim == 2 else values.flatten(2).unsqueeze(-1)).numpy().copy()


def _analyze(
    arrays: Mapping[str, np.ndarray], min_evals: int, small_n_correction: bool, seed: int | None
) -> dict[str, dict]:
    """Return the rows of `WeightWatcher.analyze` by parameter. It does not convert NumPy arrays in a state dict."""
    if not arrays:
        return {}
    with _quietly(seed):
        import weightwatcher
        from weightwatcher import WW_powerlaw

        cutoff = WW_powerlaw.SMALL_N_CUTOFF
        WW_powerlaw.SMALL_N_CUTOFF = cutoff if small_n_correction else 0
        try:
            details = weightwatcher.WeightWatcher().analyze(
                model={f"{name}.weight": array for name, array in arrays.items()},  # it removes the suffix
                min_evals=min_evals,
                max_evals=0,  # no limit
                max_N=max(max(array.shape) for array in arrays.values()) + min_evals,
                randomize=seed is not None,
                svd_method="accurate",  # "fast" is float32 on a GPU
                savefig=False,
            )
        finally:
            WW_powerlaw.SMALL_N_CUTOFF = cutoff
    return details.set_index("name").to_dict(orient="index")


def _figures(details: Mapping[str, float]) -> dict[str, float]:
    alpha, in_tail = details["alpha"], details["num_pl_spikes"]
    figures = {
        "alpha": alpha,
        "alpha_error": (alpha - 1) / in_tail**0.5,  # weightwatcher's is negative below 8 fitted eigenvalues
        "xmin": details["xmin"],
        "in_tail": in_tail,
        "ks_distance": details["D"],
        "alpha_weighted": details["alpha_weighted"],
        "log_norm": details["log_norm"],
        "log_spectral_norm": details["log_spectral_norm"],
    }
    if details.get("rand_num_spikes", -1) >= 0:  # -1: the Marchenko-Pastur density could not be fitted
        permutations = _PERMUTATIONS if details["num_evals"] < _FEW else 1
        figures |= {"mp_edge": details["rand_bulk_max"], "traps": details["rand_num_spikes"] / permutations}
    return figures


@contextmanager
def _quietly(seed: int | None) -> Iterator[None]:
    """Undo the changes that weightwatcher makes to the process.

    Its import configures the root logger and ignores all warnings, its fits print, and its permutations draw from
    NumPy's global generator.
    """
    root, figures, own = (logging.getLogger(name) for name in (None, "matplotlib", "weightwatcher"))
    handlers, levels, disabled = list(root.handlers), (root.level, figures.level), own.disabled
    numbers = np.random.get_state()
    own.disabled = True
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if seed is not None:
                np.random.seed(seed)
            yield
    finally:
        np.random.set_state(numbers)
        own.disabled = disabled
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        figures.setLevel(levels[1])
