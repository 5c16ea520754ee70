"""The files of a pilot: its page, its numbers, the reasons for each weight, and the recommended network."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune import export
from ccprune._pilot._page import price, sentences, write_page
from ccprune._pilot._runs import Plan, stored_start, train
from ccprune._util.files import write_atomic
from ccprune.mask import Mask

if TYPE_CHECKING:
    from ccprune._pilot import Pilot

#: With more weights the table has one row per output unit instead of one per weight.
MOST_WEIGHTS = 5_000_000


def reasons(criterion: str, scores: Mapping[str, Tensor], mask: Mask) -> pd.DataFrame:
    """Return why each weight was cut or kept, one row per weight, or per output unit of large models.

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


def write(plan: Plan, result: "Pilot") -> None:
    """Write the page, its numbers, and the recommended network of the first seed."""
    folder, found = plan.folder, result.recommendation
    table, lists = result.table.reset_index(), ["curve", "importance", "before", "price", "shuffled"]
    for name, part in {"table": table, "runs": result.runs.drop(columns=lists), "layers": result.layers}.items():
        part.to_csv(folder / f"{name}.csv", index=False)
    seed = int(result.runs["seed"].iloc[0])
    begun = stored_start(plan, seed)
    criterion, sparsity = found.method or plan.setting.criteria[0], found.sparsity or plan.sparsities[0]
    scores = begun.scores[criterion]
    reasons(criterion, scores, Mask.from_scores(scores, sparsity=sparsity)).to_parquet(folder / "reasons.parquet")
    (folder / "pruned.safetensors").unlink(missing_ok=True)
    if found.answer == "prune":
        network = train(plan, begun, seed, (found.method, found.schedule, found.sparsity))
        assert network.mask is not None
        export.save(folder / "pruned.safetensors", network.model, network.mask)
    write_page(plan, result)
    seconds, memory = price(result.runs) or (None, None)
    numbers = {
        "recommendation": asdict(found),
        "sentences": sentences(plan, found),
        "margin": plan.margin,
        "sizes": dict(plan.data.sizes),
        "table": json.loads(table.to_json(orient="records")),
        "price_seconds": seconds,
        "price_bytes": memory,
        "search": result.search,
    }
    write_atomic(folder / "pilot.json", json.dumps(numbers, indent=1) + "\n")
