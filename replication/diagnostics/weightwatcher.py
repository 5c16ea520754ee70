"""Eigenvalue spectra of weight matrices by weightwatcher (Martin and Mahoney, 2021): paper A's table 4 and figure 2.

Normalisation, everywhere here: the eigenvalues are the squared singular values of the weight matrix, those of W^T W and
not of W^T W / N, as in weightwatcher. A convolution weight is one (outputs, inputs) matrix per kernel position, whose
eigenvalues are pooled and, as weightwatcher does, halved; 1-D and 3-D convolutions are taken the same way.
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

from ccprune._util.checks import at_least
from ccprune.mask import prunable

#: weightwatcher's default in 0.7.1 to 0.7.5, at the time of paper A; 50 in 0.6.4, 8 since 0.7.6. The paper's table 4
#: has a layer of 10 eigenvalues, so it was made with at most 10.
MIN_EVALS = 10

# weightwatcher counts traps over five permutations together where there are fewer than 100 eigenvalues, else over one.
_FEW, _PERMUTATIONS = 100, 5

# The power law is fitted to eigenvalues above this, whatever the scale of the weights (weightwatcher's EVALS_THRESH).
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
    """Power law and norms of each prunable weight's eigenvalues, one row per parameter, none left out.

    Pruned weights are zeros of the matrix. The model is only read; weightwatcher gets float64 copies, so that the
    figures do not depend on the device (by itself it reads float32, or float16 where there is a GPU).

    Parameters
    ----------
    model
        Its linear and convolution weights are measured.
    min_evals
        Fewest eigenvalues above 1e-5 for a power law, at least 2; layers with fewer are not measurable.
    small_n_correction
        Below 20 eigenvalues weightwatcher from 0.7.6 on corrects alpha's bias and keeps at least 8 of them in the tail;
        False: maximum likelihood on any tail, as in the releases before, the paper's among them. The two can differ by
        more than 1 on 10 eigenvalues.
    seed
        Of the permutations for `mp_edge` and `traps`, which take about a second per layer; None leaves both out.

    Returns
    -------
    DataFrame
        Index `parameter`. Missing figures are NA. Columns:

        - eigenvalues, fitted: their number, and how many lie above 1e-5;
        - alpha, alpha_error, xmin, in_tail, ks_distance: density ~ eigenvalue^-alpha from xmin up, standard error
          (alpha - 1) / sqrt(in_tail), number from xmin up, Kolmogorov-Smirnov distance of the fit;
        - alpha_weighted = alpha * log_spectral_norm; log_norm, log_spectral_norm: log10 of the sum and of the largest;
        - mp_edge: upper edge of the Marchenko-Pastur density fitted to the permuted matrix; traps: eigenvalues of the
          permuted matrix above that edge and its Tracy-Widom margin, mean per permutation. Both NA where that density
          cannot be fitted. Single large weights give traps, and so does a mean of the weights other than zero, or
          sparsity alone from about 0.8 on;
        - min_evals as asked for; measurable; why: empty, or the reason if not measurable.

    Raises
    ------
    ValueError
        For weights that are not finite, naming the parameter, for `min_evals` below 2, or for a negative `seed`.
    """
    at_least(2, min_evals=min_evals)
    if seed is not None:
        at_least(0, seed=seed)
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
    for name, found in _analyze(measured, min_evals, small_n_correction, seed).items():
        if found["lambda_max"] <= found["xmin"] * (1 + 1e-9):
            rows[name]["why"] = "no tail: the eigenvalues from xmin up are equal"
        else:
            rows[name] |= _figures(found)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")
    table["min_evals"], table["measurable"] = min_evals, table["why"] == ""
    return table.astype(_TYPES)


def spectrum(weight: Tensor) -> Tensor:
    """Eigenvalues (k,) of a linear or convolution weight, float64, ascending, zeros included; k as in `summary`.

    Raises ValueError for a weight of fewer than two dimensions.
    """
    return _eigenvalues(_matrices(weight))


def randomised_spectrum(weight: Tensor, *, seed: int) -> Tensor:
    """As `spectrum`, of the matrix with its entries permuted: what their sizes alone give, without correlations.

    Convolutions are permuted within each kernel position, as in weightwatcher.
    """
    at_least(0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    matrices = _matrices(weight)
    shuffled = [
        matrix.flatten()[torch.randperm(matrix.numel(), generator=generator).to(matrix.device)] for matrix in matrices
    ]
    return _eigenvalues(torch.stack(shuffled).reshape(matrices.shape))


def _matrices(weight: Tensor) -> Tensor:
    """(kernel positions, outputs, inputs), scaled as weightwatcher does."""
    if weight.ndim < 2:
        raise ValueError(f"weight must have at least 2 dimensions, got shape {tuple(weight.shape)}")
    values = weight.detach().to(torch.float64)
    return values[None] if weight.ndim == 2 else values.flatten(2).movedim(-1, 0) / 2**0.5


def _eigenvalues(matrices: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrices).square().flatten().sort().values


def _array(weight: Tensor) -> np.ndarray:
    """A float64 copy, its longer side first: weightwatcher swaps sides by itself, but wrongly for some kernels."""
    values = weight.detach().to("cpu", torch.float64)
    values = values.transpose(0, 1) if values.shape[0] < values.shape[1] else values
    return (values if values.ndim == 2 else values.flatten(2).unsqueeze(-1)).numpy().copy()


def _analyze(
    arrays: Mapping[str, np.ndarray], min_evals: int, small_n_correction: bool, seed: int | None
) -> dict[str, dict]:
    """Rows of `WeightWatcher.analyze` by parameter; NumPy arrays in a dict of its state-dict kind stay as they are."""
    if not arrays:
        return {}
    with _quietly(seed):
        import weightwatcher
        from weightwatcher import WW_powerlaw

        cutoff = WW_powerlaw.SMALL_N_CUTOFF
        WW_powerlaw.SMALL_N_CUTOFF = cutoff if small_n_correction else 0
        try:
            details = weightwatcher.WeightWatcher().analyze(
                model={f"{name}.weight": array for name, array in arrays.items()},  # it takes the suffix off
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


def _figures(found: Mapping[str, float]) -> dict[str, float]:
    alpha, in_tail = found["alpha"], found["num_pl_spikes"]
    figures = {
        "alpha": alpha,
        "alpha_error": (alpha - 1) / in_tail**0.5,  # its own is negative where fewer than 8 eigenvalues are fitted
        "xmin": found["xmin"],
        "in_tail": in_tail,
        "ks_distance": found["D"],
        "alpha_weighted": found["alpha_weighted"],
        "log_norm": found["log_norm"],
        "log_spectral_norm": found["log_spectral_norm"],
    }
    if found.get("rand_num_spikes", -1) >= 0:  # -1: the Marchenko-Pastur density could not be fitted
        permutations = _PERMUTATIONS if found["num_evals"] < _FEW else 1
        figures |= {"mp_edge": found["rand_bulk_max"], "traps": found["rand_num_spikes"] / permutations}
    return figures


@contextmanager
def _quietly(seed: int | None) -> Iterator[None]:
    """Keeps to itself what weightwatcher does to the process.

    Its import sets the root logger up and ignores all warnings, its fits print, and its permutations draw from NumPy's
    global generator.
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
