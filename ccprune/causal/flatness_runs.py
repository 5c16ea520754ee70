"""How flat the minima are that pruning leads to: measurements of one network, and ratios to its dense twin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune import flatness
from ccprune.data.images import Images
from ccprune.mask import Mask
from ccprune.stats import Interval, student_interval

#: Measures that `measure` takes, with what larger means: less flat. "relative" ones take the filters' norms as units.
MEASURES = (
    "top_eigenvalue",
    "trace",
    "relative_top_eigenvalue",
    "relative_trace",
    "sharpness_random",
    "sharpness_worst",
)

_BATCH = 250  # images whose activations are held at once; larger batches are not faster


@dataclass(frozen=True)
class Effort:
    """Of a measurement: training images, Hutchinson probes, random directions, ascent steps, relative radius."""

    samples: int
    probes: int = 10
    draws: int = 10
    steps: int = 5
    radius: float = 0.1


def measure(model: nn.Module, images: Images, mask: Mask | None, effort: Effort, *, seed: int) -> dict[str, float]:
    """`MEASURES` of a network on random training images, on the weights that `mask` keeps, or on all without one.

    With the loss on these images, the largest eigenvalue's residuals and the traces' standard errors.
    """
    x, y = images.sample(effort.samples, seed=seed)
    data = list(zip(x.split(_BATCH), y.split(_BATCH), strict=True))
    asked = (model, cross_entropy, data)
    found: dict[str, float] = {}
    for prefix, scale in (("", "none"), ("relative_", "filter")):
        top = flatness.top_eigenvalues(*asked, mask=mask, scale=scale, tolerance=1e-2, seed=seed)
        total = flatness.trace(*asked, mask=mask, scale=scale, probes=effort.probes, seed=seed)
        found |= {f"{prefix}top_eigenvalue": float(top.values[0]), f"{prefix}residual": float(top.residuals[0])}
        found |= {f"{prefix}trace": total.estimate, f"{prefix}trace_stderr": total.stderr}
    options = {"mask": mask, "radius": effort.radius, "seed": seed}
    random = flatness.sharpness(*asked, mode="random", draws=effort.draws, **options)
    worst = flatness.sharpness(*asked, mode="worst", steps=effort.steps, **options)
    return found | {"sharpness_random": random.increase, "sharpness_worst": worst.increase, "loss": random.loss}


def ratios(measured: pd.DataFrame, *, reference: str = "dense") -> pd.DataFrame:
    """Each method's measures over the dense network's after the same steps: geometric means over seeds, 95% intervals.

    `measured` has the columns seed, level, method, weights ("remaining" or "all") and the measures. One row per method,
    level, weights and measure: estimate, low, high (NaN with a single seed), n, and `claim`: "flatter" when the whole
    interval lies below 1, "sharper" when above, else "undecided". A measure that is not positive has no ratio and is
    left out, its number of runs with it.
    """
    rows = []
    for (level, weights), part in measured.groupby(["level", "weights"], sort=False):
        base = part[part.method == reference].set_index("seed")
        for method in dict.fromkeys(part.method):
            if method == reference:
                continue
            here = part[part.method == method].set_index("seed")
            for name in MEASURES:
                pair = pd.concat([here[name], base[name]], axis=1, keys=["here", "base"]).dropna()
                pair = pair[(pair > 0).all(axis=1)]
                if len(pair):
                    rows.append((method, level, weights, name, *_geometric(np.log(pair.here / pair.base).tolist())))
    columns = ["method", "level", "weights", "measure", "estimate", "low", "high", "n", "claim"]
    return pd.DataFrame(rows, columns=columns)


def _geometric(logs: Sequence[float]) -> tuple[float, float, float, int, str]:
    if len(logs) < 2:
        return float(np.exp(logs[0])), np.nan, np.nan, 1, "undecided"
    found: Interval = student_interval(logs)
    estimate, low, high = (float(np.exp(value)) for value in (found.estimate, found.low, found.high))
    return estimate, low, high, found.n, "flatter" if high < 1 else "sharper" if low > 1 else "undecided"
