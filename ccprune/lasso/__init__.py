"""The Granger-Lasso: one stated problem, three ways to an answer.

`exact` solves it and proves that it did, `truncated_gradient` takes the authors' steps, `Screen` needs no stored
trajectory and says where it equals the second. `by_tensor` and `as_scores` go between tensors and columns.
"""

from ccprune.lasso.certified import exact, path, ranking
from ccprune.lasso.condition import LIMIT, Condition
from ccprune.lasso.problem import Gap, LassoResult, duality_gap, lambda_max, objective
from ccprune.lasso.screening import Screen
from ccprune.lasso.stochastic import record_weights, truncated_gradient
from ccprune.lasso.tensors import as_scores, by_tensor

__all__ = [
    "LIMIT",
    "Condition",
    "Gap",
    "LassoResult",
    "Screen",
    "as_scores",
    "by_tensor",
    "duality_gap",
    "exact",
    "lambda_max",
    "objective",
    "path",
    "ranking",
    "record_weights",
    "truncated_gradient",
]
