"""Table of the registered criteria for the site: what each needs, what it costs, when to use it, how it did.

Costs are measured on a small network, and the areas under the ROC curve are those of the committed measurements.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ccprune import criteria
from ccprune.recording import InMemory
from ccprune.training import fit
from replication.reporting.markdown import table

STEPS = (69, 113)  # ends of windows of LEGCNet's exponents, 25 steps long and 22 apart

USE = {
    "magnitude": "first, after training: needs nothing else",
    "magnitude_layer": "the same share of each layer, if the global choice empties one",
    "lamp": "one threshold for layers of different sizes",
    "random": "the control of any comparison",
    "snip": "before training",
    "grasp": "before training, to keep the flow of gradients",
    "synflow": "before training without data, in many rounds",
    "fisher": "as a measure of sensitivity; `obd` includes the size of the weight",
    "obd": "after training, with labels",
    "wanda": "after training without labels, for large language models",
    "wanda_row": "as `wanda`, compared within rows as in its paper",
    "obs": "after training without labels, with a correction of the other weights",
    "movement": "fine-tuning of a trained model",
    "squared_updates": "the control of the causal scores",
    "legcnet": "to study paper A: short runs test weakly",
    "causal": "to study paper B, with a second forward pass a step",
    "causal_consecutive": "paper B's screen in an ordinary training loop",
    "causal_exact": "to check the screen on small networks",
    "causal_sgd": "to repeat the authors' solver of 2025",
}


def criteria_table(root: Path) -> str:
    """Return the table of the library's criteria, those of `USE`, in Markdown."""
    areas, rows = _areas(root), []
    for name, use in USE.items():
        criterion = criteria.get(name)
        arguments = criterion.arguments
        needs = ["a recording of the training"] if criterion.store else []
        needs += ["a batch of inputs" + (" and labels" if "y" in arguments else "")] if "x" in arguments else []
        what = (inspect.getdoc(criterion.function) or "").partition("\n")[0]
        cells = [f"`{name}`", ", ".join(needs) or "the weights alone", *_cost(criterion), use]
        rows.append([*cells, *areas.loc[name], what.replace("*", "\\*")])
    head = ["criterion", "needs", "numbers a weight in T steps", "forward passes of the batch", "when to use"]
    return table([*head, *(f"area: {problem}" for problem in areas), "what it is, and its source"], rows)


def _areas(root: Path) -> pd.DataFrame:
    """Return the areas of trained networks, from lesson 07: a row per criterion, a dash if it was not measured."""
    found = pd.read_csv(root / "replication" / "measurements.csv", low_memory=False)
    found = found[(found["table"] == "planted_networks") & (found["quantity"] == "auc, trained")]
    wide = found.pivot(index="method", columns="dataset", values="ours").map("{:.2f}".format)
    return wide.reindex(list(USE), fill_value="-")


def _cost(criterion: criteria.Criterion) -> tuple[str, str]:
    """Return the numbers that are held for each weight, and the cost of passes in forward passes of the batch."""
    if criterion.store:
        few, many = (_stored_numbers(criterion, steps) for steps in STEPS)
        slope = (many - few) / (STEPS[1] - STEPS[0])
        fixed = round(few - slope * STEPS[0])
        grown = f"T/{1 / slope:.0f}" if 0 < slope < 0.9 else "T" if slope else ""
        return " + ".join(filter(None, [str(fixed) if fixed else "", grown])), (
            "1 a step" if criterion.pairing == "same_batch" else "0"
        )
    model, x, y = _problem()
    given = {"x": x, "y": y, "seed": 0}
    return "0", f"{_flops(lambda: criteria.score(criterion.name, model, **given)) / _flops(lambda: model(x)):.3g}"


def _problem() -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    return model, torch.randn(64, 32, generator=generator), torch.randint(32, (64,), generator=generator)


def _flops(call: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _stored_numbers(criterion: criteria.Criterion, steps: int) -> float:
    """Return the numbers that a store holds after so many steps, for each weight."""
    model, x, y = _problem()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with criteria.Recording(model, optimizer, [criterion.name]) as recording:
        count = steps + (recording.pairing == "consecutive")  # whose last record needs the next step's loss
        fit(model, lambda _: [(x, y)] * count, epochs=1, optimizer=optimizer, recorder=recording)
    own = {id(parameter) for parameter in model.parameters()}
    weights = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim > 1)
    store = recording.stores[criterion.name]
    if isinstance(store, InMemory):
        store.records()  # without the free rows of its last block
    held = (value.numel() for value in _tensors(store, own))
    return sum(size for size in held if size > steps) / weights


def _tensors(value: Any, seen: set[int]):
    """Yield each tensor in an object once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, nn.Module):
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        for part in [*parts, *vars(value).values()] if hasattr(value, "__dict__") else parts:
            yield from _tensors(part, seen)
