"""How flat a minimum is: curvature, loss under perturbations, and slices, on the weights that remain after pruning.

Every measure leaves the model as it was and moves prunable weights only: those a mask keeps, or all of them. What a
curvature says depends on the scale of the weights, which pruning changes: beside the plain Hessian stand measures in
units of each filter's norm.
"""

from ccprune.flatness.curvature import EigenResult, TraceResult, top_eigenvalues, trace
from ccprune.flatness.perturbation import SharpnessResult, SliceResult, sharpness, slice_1d, slice_2d

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
