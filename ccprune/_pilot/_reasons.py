"""Why each weight was cut or kept: its score, rank and threshold under the recommended method."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune.mask import Mask

#: With more weights the table has one row per output unit instead of one per weight.
MOST_WEIGHTS = 5_000_000


def reasons(scores: Mapping[str, Tensor], mask: Mask, *, criterion: str) -> pd.DataFrame:
    """Return one row per weight, or per output unit of large models.

    The columns for weights are parameter, index (in the flattened tensor), score, rank (1 is pruned last), threshold
    (the smallest score that was kept), kept, and for LEGCNet p_value, which is 1 - score. The columns for units are
    parameter, unit, weights, kept, score_mean.
    """
    counts = [value.numel() for value in scores.values()]
    if sum(counts) > MOST_WEIGHTS:
        units = [
            {"parameter": name, "unit": unit, "weights": one.numel(), "kept": int(keep.sum())}
            | {"score_mean": one.double().mean().item()}
            for name, value in scores.items()
            for unit, (one, keep) in enumerate(zip(value, mask.keep[name], strict=True))
        ]
        return pd.DataFrame(units)
    flat = torch.cat([value.flatten().double().cpu() for value in scores.values()])
    keep = torch.cat([mask.keep[name].flatten().cpu() for name in scores])
    table = pd.DataFrame(
        {
            "parameter": np.repeat(list(scores), counts),
            "index": np.concatenate([np.arange(count) for count in counts]),
            "score": flat.numpy(),
            "rank": (flat.argsort(descending=True, stable=True).argsort() + 1).numpy(),
            "threshold": float(flat[keep].min()) if bool(keep.any()) else float("inf"),
            "kept": keep.numpy(),
        }
    )
    return table.assign(p_value=1 - table["score"]) if criterion == "legcnet" else table
