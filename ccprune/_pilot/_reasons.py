"""Why each weight was cut or kept: its score, rank and threshold under the recommended method."""

from collections.abc import Mapping

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
    total = sum(value.numel() for value in scores.values())
    if total > MOST_WEIGHTS:
        units = [
            pd.DataFrame(
                {
                    "parameter": name,
                    "unit": range(len(value)),
                    "weights": value[0].numel(),
                    "kept": mask.keep[name].flatten(1).sum(1).cpu().numpy(),
                    "score_mean": value.flatten(1).double().mean(1).cpu().numpy(),
                }
            )
            for name, value in scores.items()
        ]
        return pd.concat(units, ignore_index=True)
    flat = torch.cat([value.flatten().double().cpu() for value in scores.values()])
    keep = torch.cat([mask.keep[name].flatten().cpu() for name in scores])
    rank = torch.empty(total, dtype=torch.int64)
    rank[flat.argsort(descending=True, stable=True)] = torch.arange(1, total + 1)
    table = pd.DataFrame(
        {
            "parameter": [name for name, value in scores.items() for _ in range(value.numel())],
            "index": [place for value in scores.values() for place in range(value.numel())],
            "score": flat.numpy(),
            "rank": rank.numpy(),
            "threshold": float(flat[keep].min()) if bool(keep.any()) else float("inf"),
            "kept": keep.numpy(),
        }
    )
    if criterion == "legcnet":
        table["p_value"] = 1 - table["score"]
    return table
