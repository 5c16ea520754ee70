"""Every figure of the notebooks: one function each, which returns the Axes it drew on."""

from ccprune.plots._style import COLOURS, MARKERS, style
from ccprune.plots.causal import (
    accuracy_against_sparsity,
    intervals,
    known_answer,
    loss_slices,
    loss_surface,
    rank_correlations,
    selection_frequencies,
    sparsity_axis,
    step_prediction,
)
from ccprune.plots.legcnet import (
    differences,
    exponent_spread,
    exponents_and_risk,
    jaccards,
    p_values,
    paired_epochs,
    rejection_rates,
    separations,
    stretching,
    weight_series,
)
from ccprune.plots.operations import time_against_operations
from ccprune.plots.spectra import alphas, spectral_densities

__all__ = [
    "COLOURS",
    "MARKERS",
    "accuracy_against_sparsity",
    "alphas",
    "differences",
    "exponent_spread",
    "exponents_and_risk",
    "intervals",
    "jaccards",
    "known_answer",
    "loss_slices",
    "loss_surface",
    "p_values",
    "paired_epochs",
    "rank_correlations",
    "rejection_rates",
    "selection_frequencies",
    "separations",
    "sparsity_axis",
    "spectral_densities",
    "step_prediction",
    "stretching",
    "style",
    "time_against_operations",
    "weight_series",
]
