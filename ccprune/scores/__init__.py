"""Scores: one number per prunable weight, {parameter name: Tensor of its shape}, larger = keep.

By what they look at: the weights alone (`magnitude`, `lamp`, `random`), the loss's derivatives (`snip`, `grasp`,
`fisher`, `obd`), the layers' inputs (`wanda`), the network without data (`synflow`), what training did (`Movement`,
`legcnet`, `legcnet_of_records`; the causal scores are in `ccprune.lasso`). `ranks` makes any of them comparable within
layers or rows only. `ccprune.criteria` has them all by name.

Scores are those of the model in eval mode. Weights of half precision, and the batch, are taken in float32; frozen
weights are scored like the others; of a weight that is used in several places all uses count. Nothing of the model is
changed.
"""

from ccprune.scores.activations import wanda
from ccprune.scores.flow import synflow
from ccprune.scores.gradients import fisher, grasp, obd, snip
from ccprune.scores.movement import Movement
from ccprune.scores.series import PRUNE, WeightSeries, legcnet, legcnet_of_records
from ccprune.scores.weights import lamp, magnitude, random, ranks

__all__ = [
    "PRUNE",
    "Movement",
    "WeightSeries",
    "fisher",
    "grasp",
    "lamp",
    "legcnet",
    "legcnet_of_records",
    "magnitude",
    "obd",
    "random",
    "ranks",
    "snip",
    "synflow",
    "wanda",
]
