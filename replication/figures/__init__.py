"""Figures of the notebooks, with one function for each, which returns its Axes."""

from replication.figures._style import COLOURS, MARKERS, line_style, style
from replication.figures.approximation import epsilon_by_width
from replication.figures.causal import (
    accuracy_against_sparsity,
    intervals,
    known_answer,
    loss_slices,
    loss_surface,
    score_agreements,
    selection_frequencies,
    sparsity_axis,
    step_prediction,
)
from replication.figures.criteria import roc_areas
from replication.figures.explanations import agreements as shap_agreements
from replication.figures.explanations import bar as shap_bars
from replication.figures.explanations import beeswarm as shap_beeswarm
from replication.figures.legcnet import (
    differences,
    exponent_spread,
    exponents_and_risk,
    jaccards,
    p_values,
    paired_epochs,
    points_by_method,
    pruned_by_lag,
    rejection_rates,
    separations,
    stretching,
    weight_series,
)
from replication.figures.operations import time_against_operations
from replication.figures.spectra import alphas, spectral_densities

__all__ = [
    "COLOURS",
    "MARKERS",
    "accuracy_against_sparsity",
    "alphas",
    "differences",
    "epsilon_by_width",
    "exponent_spread",
    "exponents_and_risk",
    "intervals",
    "jaccards",
    "known_answer",
    "line_style",
    "loss_slices",
    "loss_surface",
    "p_values",
    "paired_epochs",
    "points_by_method",
    "pruned_by_lag",
    "rejection_rates",
    "roc_areas",
    "score_agreements",
    "selection_frequencies",
    "separations",
    "shap_agreements",
    "shap_bars",
    "shap_beeswarm",
    "sparsity_axis",
    "spectral_densities",
    "step_prediction",
    "stretching",
    "style",
    "time_against_operations",
    "weight_series",
]
