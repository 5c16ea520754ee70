"""The Granger-Lasso: one optimisation problem with three solvers.

`exact` returns a solution with a duality gap that certifies it. `truncated_gradient` takes the stochastic
steps of causal pruning (Shah et al., 2024). `Screen` needs no stored trajectory and checks the condition under which it
agrees with `truncated_gradient`.
"""

from ccprune.lasso.blockwise import BlockCovariance
from ccprune.lasso.certified import exact, path, ranking
from ccprune.lasso.condition import LIMIT, Condition
from ccprune.lasso.problem import Gap, LassoResult, duality_gap, lambda_max, objective
from ccprune.lasso.screening import Screen
from ccprune.lasso.stochastic import record_weights, truncated_gradient

__all__ = [
    "LIMIT",
    "BlockCovariance",
    "Condition",
    "Gap",
    "LassoResult",
    "Screen",
    "duality_gap",
    "exact",
    "lambda_max",
    "objective",
    "path",
    "ranking",
    "record_weights",
    "truncated_gradient",
]
