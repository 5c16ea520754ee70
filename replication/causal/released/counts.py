"""Counts of weights that the design of the authors' runs fixes: schedules of cuts, and what one cut leaves."""

from functools import cache
from typing import Literal

from replication.causal.released.figures import Figure

# ShrinkBench's ResNets for CIFAR-10 (He et al., 2016): 3 stages of 16, 32 and 64 channels with so many blocks each, and
# shortcuts without weights.
_BLOCKS = {"shrinkbench_resnet20": 3, "shrinkbench_resnet56": 9}
_STAGES, _CLASSES, _COLOURS, _KERNEL = (16, 32, 64), 10, 3, 9
# Records of one epoch: training images over the batch size, the last batch included.
_RECORDS = {"mnist": (60_000, 256), "cifar10": (50_000, 256)}

# Friedman's first problem as the authors' notebook generates it: a linear model has one weight for each feature.
_FEATURES = 10


def zeros(weights: int, total: float, *, cuts: int, iterations: int, schedule: Literal["cubic", "geometric"]) -> int:
    """Pruned weights after some cuts of a schedule, each rounded to whole weights as torch's pruning does.

    Parameters
    ----------
    weights
        Prunable weights.
    total
        Sparsity after the last iteration.
    cuts, iterations
        Cuts made so far, of how many.
    schedule
        "cubic" or "geometric".
    """
    from ccprune.mask import cubic, geometric  # torch is slow to import, and most commands do without it

    path = (0.0, *{"cubic": cubic, "geometric": geometric}[schedule](total, iterations=iterations))
    pruned = 0
    for before, after in zip(path[:cuts], path[1 : cuts + 1], strict=True):
        pruned += round((after - before) / (1 - before) * (weights - pruned))
    return pruned


def by_design(figure: Figure) -> int | None:
    """The count that one figure must have if the run followed its design, None where training decides the figure."""
    if figure.group in _BLOCKS and figure.quantity == "weights_left":
        return _shrinkbench_left(figure)
    if figure.group in ("fit_log_mlpnet", "fit_log_lenet_sklearn"):
        weights = _weights(figure.network)
        if figure.quantity == "records":
            images, batch = _RECORDS[figure.dataset]
            return -(-images // batch)
        if figure.quantity == "weights_regressed":
            return weights
        if figure.quantity == "weights_left":
            return weights - round(figure.sparsity * weights)
    if (figure.group, figure.quantity) == ("synthetic_friedman", "gammas"):
        return _FEATURES
    return None


@cache
def _weights(network: str) -> int:
    from replication.networks import models

    model = models.lenet(3, 32, 10, seed=0) if network == "lenet" else models.mlp((784, 40, 20, 10), seed=0)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)


def _shrinkbench_left(figure: Figure) -> int:
    convolutions, others = _resnet(_BLOCKS[figure.group])
    compression = figure.details["compression_asked"]
    if figure.method == "causal":  # a share of the convolutions
        return convolutions + others - round((1 - 1 / compression) * convolutions)
    every = convolutions + others  # a share of all parameters
    return every - int(every - every / compression)


def _resnet(blocks: int) -> tuple[int, int]:
    """Weights of the convolutions, and all other parameters: classifier, and scale and shift of batch norm."""
    convolutions, norms, before = _COLOURS * _STAGES[0] * _KERNEL, 2 * _STAGES[0], _STAGES[0]
    for width in _STAGES:
        convolutions += before * width * _KERNEL + (2 * blocks - 1) * width * width * _KERNEL
        norms += 2 * blocks * 2 * width
        before = width
    return convolutions, norms + _STAGES[-1] * _CLASSES + _CLASSES
