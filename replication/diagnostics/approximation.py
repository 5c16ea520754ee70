"""Distance between a pruned network and the dense one: the epsilon of LEGCNet's theorem 3.1.

By the theorem, some sparse network is within epsilon of a dense one on the unit ball. Here the distance is computed for
the networks that pruning produces: exactly over given inputs, as a lower bound over a ball (by search) and, for one
hidden layer of sigmoids, as an upper bound over the ball.

Distances are Euclidean distances of the outputs, so for o probabilities or sigmoids they are at most sqrt(o).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from ccprune._util.checks import require_at_least
from replication.data import Dataset
from replication.diagnostics._ball_bound import largest_possible, layers_of
from replication.diagnostics._ball_search import check_radius, largest_in_ball, largest_on
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import run
from replication.legcnet.settings import Settings
from replication.networks import models
from replication.networks.ensemble import MLPBatch, initialise
from replication.networks.masks import remove_lowest, remove_random

WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512)
# Spawn key of the random masks, far above those of initialisations, which are their indices.
_MASK_KEY = 2_000_000


def upper_bound(dense: nn.Module, pruned: nn.Module, *, radius: float = 1.0, boxes: int = 1000) -> float:
    """Return an upper bound of the distance of the outputs over inputs with a norm of at most `radius`.

    The ball is divided into boxes by branch and bound: the box with the largest bound is halved until `boxes` have been
    bounded. More boxes take more time and lower the bound, faster with fewer inputs. It does not include rounding.

    Parameters
    ----------
    dense, pruned : Sequential
        Linear, Sigmoid, Linear of the same shapes, with or without a Sigmoid or Softmax at the end.
    radius : float, default 1.0
    boxes : int, default 1000
        Number of boxes. With 1 the ball itself is bounded.

    Returns
    -------
    float
        0 for equal models.

    Raises
    ------
    TypeError, ValueError
        If a model has other layers or the shapes differ, and as `largest_in_ball`.

    Notes
    -----
    On one box, hidden unit j has inputs z and z' in the two models. The ranges of z, z' and z - z' are known: an affine
    function w.x + b has the range b +- radius |w| on the ball, and b + w.c +- |w|.half on a box with centre c. For any
    slope s, sigmoid(z) = s z + r(z), where the range of r has a closed form (its derivative vanishes where sigmoid' =
    s). By the mean value theorem, sigmoid(z) - sigmoid(z') = s (z - z') + e (z - z') with e in the range of
    sigmoid' - s. Both are inserted into v sigmoid(z) - v' sigmoid(z') = (v - v') sigmoid(z) + v' (sigmoid(z) -
    sigmoid(z')). Summed over the hidden units, the terms with s are one affine function of x, whose range is known, and
    the others are intervals. The range of v r(z) - v' r(z') gives a second bound. The best bound for s = 0 and for s in
    the middle of the range of sigmoid' bounds the difference before the output unit. For a sigmoid output, the bound is
    the largest rise over an interval of this length, which is centred at 0 or as near to it as the networks' ranges
    permit. Softmax is 1/2-Lipschitz; its bound stays above the maximum for any number of boxes.
    """
    check_radius(radius)
    (f, output), (g, other) = (layers_of(model, name) for model, name in ((dense, "dense"), (pruned, "pruned")))
    if output != other or [p.shape for p in vars(f).values()] != [p.shape for p in vars(g).values()]:
        raise ValueError(f"pruned must have the layers of dense, got {pruned} and {dense}")
    return largest_possible(f, g, output=output, radius=radius, boxes=boxes)


def epsilons_by_width(
    data: Dataset,
    settings: Settings,
    *,
    widths: Sequence[int] = WIDTHS,
    seeds: int = 5,
    seed: int = 0,
    method: str = "pt",
    radius: float = 1.0,
    boxes: int = 500,
) -> pd.DataFrame:
    """Compute epsilon for several hidden widths, for LEGCNet's masks and random and magnitude masks of the same count.

    Every network is trained as in paper A, to the benchmark or the end of the budget. A pruned network is either
    "retrained" from the dense network's initial weights under the mask (as in the paper), or the trained dense network
    is "cut", that is pruned without retraining (a sparse part of the given network, as in the theorem). Magnitudes are
    those of the trained dense network. The rows of method "dense" are the noise floor: the distance to a dense network
    of another initialisation. A mask that prunes nothing has epsilon 0.

    Parameters
    ----------
    data : Dataset
    settings : Settings
        Settings of LEGCNet, except the hidden width.
    widths : sequence of int, default `WIDTHS`
        Numbers of hidden units.
    seeds : int, default 5
        Number of initialisations.
    seed : int, default 0
    method : str, default "pt"
        LEGCNet's method, "pt" or "ft".
    radius : float, default 1.0
        Radius of the ball in units of the scaled inputs. The theorem has 1, a ball that may contain few inputs or none.
        The largest norm of the inputs is a useful second radius.
    boxes : int, default 500
        As in `upper_bound`.

    Returns
    -------
    DataFrame
        One row per width, seed, method and `when` ("retrained", "cut", or "other initialisation" for dense), with the
        columns weights, removed, reached (whether both networks reached the benchmark), epsilon_test (test inputs),
        epsilon_ball (`largest_in_ball`), epsilon_ball_upper (`upper_bound`), radius, and test_in_ball (share of test
        inputs in the ball).
    """
    check_radius(radius)
    require_at_least(1, seeds=seeds, boxes=boxes)
    for width in widths:
        require_at_least(1, widths=width)
    state = int(np.random.SeedSequence(seed, spawn_key=(_MASK_KEY,)).generate_state(1)[0])
    inside = float((data.x_test.norm(dim=1) <= radius).double().mean())
    rows = []
    for width in widths:
        here = replace(settings, hidden=width)
        sizes = (data.x_train.shape[1], width, data.y_train.shape[1])
        everyone = initialise(sizes, 2 * seeds, seed=seed, scale=here.scale, output=here.output)
        first, second = everyone.select(range(seeds)), range(seeds, 2 * seeds)
        count = everyone.weights.shape[1]
        trained = run(data, here, everyone, torch.ones(2 * seeds, count, dtype=torch.bool))
        dense, reached = trained.ensemble.select(range(seeds)), trained.reached[:seeds]
        keep = {method: legcnet.masks(first, data, here, method=method)}
        removed = (~keep[method]).sum(1)
        keep["random"] = remove_random(removed, count, seed=state)
        keep["magnitude"] = remove_lowest(dense.weights.abs(), removed)
        twins = [
            ("dense", "other initialisation", trained.ensemble.select(second), trained.reached[second], 0 * removed)
        ]
        for name, mask in keep.items():
            again = run(data, here, first, mask)
            twins.append((name, "retrained", again.ensemble, again.reached, removed))
            twins.append((name, "cut", dense.with_weights(dense.weights * mask), reached, removed))
        for name, when, other, done, fewer in twins:
            for i in range(seeds):
                row = {"width": width, "seed": i, "method": name, "when": when, "weights": count}
                row |= {"removed": int(fewer[i]), "reached": bool(reached[i] & done[i])}
                row |= _epsilons(dense, other, i, data, radius=radius, seed=seed, boxes=boxes)
                rows.append(row | {"radius": radius, "test_in_ball": inside})
    return pd.DataFrame(rows)


def _epsilons(
    dense: MLPBatch, other: MLPBatch, index: int, data: Dataset, *, radius: float, seed: int, boxes: int
) -> dict[str, float]:
    pair = [models.from_ensemble(ensemble, index) for ensemble in (dense, other)]
    ball = largest_in_ball(*pair, inputs=data.x_test.shape[1], radius=radius, seed=seed)
    return {
        "epsilon_test": largest_on(*pair, data.x_test).distance,
        "epsilon_ball": ball.distance,
        "epsilon_ball_upper": upper_bound(*pair, radius=radius, boxes=boxes),
    }
