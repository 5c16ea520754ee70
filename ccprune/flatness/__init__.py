"""Flatness of a minimum in the weights that remain after pruning: curvature, perturbed losses, and loss slices.

Every measure leaves the model unchanged and perturbs prunable weights only, frozen ones included: those that a mask
keeps, or all of them.
Curvature depends on the scale of the weights, which pruning changes. Besides the plain Hessian there are therefore
measures in units of the norm of each filter.
"""

from ccprune.flatness.curvature import EigenResult, TraceResult, top_eigenvalues, trace
from ccprune.flatness.perturbation import SharpnessResult, sharpness
from ccprune.flatness.slices import SliceResult, slice_1d, slice_2d

__all__ = [
    "EigenResult",
    "SharpnessResult",
    "SliceResult",
    "TraceResult",
    "sharpness",
    "slice_1d",
    "slice_2d",
    "top_eigenvalues",
    "trace",
]
