"""Scores of the prunable weights, {parameter name: Tensor of its shape}, larger = keep.

The scores use the weights alone (`magnitude`, `lamp`, `random`), derivatives of the loss (`snip`, `grasp`, `fisher`,
`obd`), the inputs of the layers (`wanda`, `obs`), the network without data (`synflow`), or the training (`Movement`,
`legcnet`, `legcnet_of_exponents`; the causal scores are in `ccprune.lasso`). `ranks` makes any score comparable within
layers or rows only. `ccprune.criteria` registers all scores by name.

Scores are computed with the model in eval mode. Half-precision weights and the batch are converted to float32. Frozen
weights are left out; `criteria.score` has the argument `frozen`, which includes them. If a weight is used in several
places, all uses count. The model is not changed.
"""

from ccprune.scores.activations import wanda
from ccprune.scores.exponents import WeightExponents, legcnet_of_exponents
from ccprune.scores.flow import synflow
from ccprune.scores.gradients import fisher, grasp, obd, snip
from ccprune.scores.movement import Movement
from ccprune.scores.reconstruction import obs
from ccprune.scores.series import legcnet
from ccprune.scores.weights import lamp, magnitude, random, ranks

__all__ = [
    "Movement",
    "WeightExponents",
    "fisher",
    "grasp",
    "lamp",
    "legcnet",
    "legcnet_of_exponents",
    "magnitude",
    "obd",
    "obs",
    "random",
    "ranks",
    "snip",
    "synflow",
    "wanda",
]
