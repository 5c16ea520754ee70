"""The runs of a pilot, each a unit that is stored when it is complete."""

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor, nn

from ccprune import export
from ccprune._pilot._data import Data
from ccprune._pilot._engine import Branch, Setting, Start, branch, start
from ccprune._pilot._metrics import Metric, metric_value
from ccprune._util.files import replacing
from ccprune._util.inputs import count_samples, map_tensors, rows, tensors
from ccprune._util.units import Rows, Units
from ccprune.mask import Mask, prunable
from ccprune.measure import explanation, latency, report

DENSE = "dense"
#: Sparsities at which one layer at a time is pruned, without further training, to find the layers that hurt.
SCREENED = (0.5, 0.8, 0.95)
#: Orders of the targets with which the dense networks' metric is compared; with 39 the smallest p-value is 0.025.
SHUFFLES = 39
#: Counter of the processor's energy in microjoules, which some systems let a user read.
COUNTER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_SHOWN = ("study", "method", "schedule", "sparsity", "seed")
_EXPLAINED = 20  # samples, and as many for the background
_MOST_FEATURES = 50  # for Shapley values; integrated gradients explain larger inputs
_LAYERS = "layers"

Network = tuple[str, str, float]  # method, schedule and sparsity


class OutOfTime(RuntimeError):
    """Error of `pilot`: the time ends before one seed is complete; what is done is stored."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the runs of a pilot depend on, whose hash is `inputs`, and how they are judged and reported."""

    setting: Setting
    data: Data
    metric: Metric
    seeds: Sequence[int]
    sparsities: Sequence[float]
    schedules: Sequence[str]
    folder: Path
    inputs: str
    explained: bool
    sign: int  # 1 if larger values of the metric are better, else -1
    margin: float
    language: str
    pretrained: bool

    @property
    def networks(self) -> list[Network]:
        """The networks of a seed, the dense one first."""
        grid = [(one, of, share) for one in self.setting.criteria for of in self.schedules for share in self.sparsities]
        return [(DENSE, "", 0.0), *grid]

    @property
    def units(self) -> Units:
        """Store of the units."""
        return Units(self.folder / "units", _SHOWN)

    def key(self, seed: int, method: str, schedule: str = "", sparsity: float = 0.0) -> dict[str, Any]:
        """Return the key of a unit."""
        key: dict[str, Any] = {"study": "pilot", "inputs": self.inputs, "method": method, "seed": seed}
        return key | ({"schedule": schedule, "sparsity": sparsity} if schedule else {})

    def count_stored(self) -> tuple[int, int]:
        """Return how many units are stored, and how many there are."""
        keys = [self.key(seed, *one) for seed in self.seeds for one in self.networks]
        keys.append(self.key(self.seeds[0], _LAYERS))
        return sum(self.units.read(key) is not None for key in keys), len(keys)

    def measure(self, model: nn.Module, part: tuple[Any, Any] | None = None) -> float:
        """Return the metric on the validation or other samples; NaN, as of an overflow, becomes the worst value."""
        value = metric_value(self.metric, model, *(part or self.data.validation))
        return -self.sign * math.inf if math.isnan(value) else value

    @property
    def example(self) -> Any:
        """Inputs with which operations and time are measured."""
        return map_tensors(lambda one: one[:64] if one.ndim else one, self.data.batch[0])


def run(plan: Plan, *, workers: int, seconds: float | None, progress: bool) -> tuple[Rows, Rows]:
    """Return the rows of all complete seeds, and those of the layers, one process a seed at a time.

    Raises
    ------
    OutOfTime
        If the seconds end before one seed is complete.
    """
    end = None if seconds is None else time.time() + seconds
    begun = (time.time(), plan.count_stored()[0]) if progress else None
    threads = torch.get_num_threads()  # the same in each process, because sums depend on it
    work = [joblib.delayed(_one_seed)(plan, seed, end, threads, begun) for seed in plan.seeds]
    found = [one for one in joblib.Parallel(n_jobs=min(workers, len(work)))(work) if one is not None]
    if not found:
        done, total = plan.count_stored()
        raise OutOfTime(
            f"seconds={seconds} ended before one seed was complete; {done} of {total} units are stored in "
            f"{plan.folder}, and the same call resumes"
        )
    first = found[0][0]["seed"]  # the first complete one
    layers = plan.units.get(plan.key(first, _LAYERS), lambda: _layers(plan, stored_start(plan, first).model))
    return [row for one in found for row in one], layers


def _one_seed(plan: Plan, seed: int, end: float | None, threads: int, since: tuple[float, int] | None) -> Rows | None:
    torch.set_num_threads(threads)
    begun = cache(partial(stored_start, plan, seed))  # trained on first use
    found: Rows = []
    for one in plan.networks:
        key = plan.key(seed, *one)
        unit = plan.units.read(key)
        if unit is None:
            if end is not None and time.time() > end:
                return None
            unit = plan.units.get(key, lambda one=one: [_measures(plan, begun(), seed, one)])
            if since is not None:  # the time at which the pilot began, and the units that were stored then
                done, total = plan.count_stored()
                left = (time.time() - since[0]) / max(done - since[1], 1) * (total - done)
                print(f"pilot: {done} of {total} units are done, about {left:.0f} s left", file=sys.stderr, flush=True)
        found += unit
    return found


def stored_start(plan: Plan, seed: int) -> Start:
    """Return the trained and scored network of a seed, from its file if that has the scores of all criteria."""
    setting = plan.setting
    path = plan.folder / "starts" / f"seed{seed}-{plan.inputs[:12]}.pt"
    if path.is_file():
        model = setting.make(seed)
        optimizer = setting.optimizer(model.parameters())
        try:
            stored = torch.load(path, weights_only=True, map_location=next(model.parameters()).device)
            model.load_state_dict(stored["model"])
            optimizer.load_state_dict(stored["optimizer"])
            if set(setting.criteria) <= set(stored["scores"]):
                return Start(model, optimizer, stored["scores"], stored["curve"], stored["price"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError):
            pass  # a file that cannot be read is written again
    begun = start(setting, seed, plan.measure)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": begun.model.state_dict(), "optimizer": begun.optimizer.state_dict()}
    with replacing(path) as temporary:
        torch.save(vars(begun) | state, temporary)
    return begun


def train(plan: Plan, begun: Start, seed: int, network: Network) -> Branch:
    """Return a network of the plan, trained to the end."""
    method, schedule, sparsity = network
    criterion = None if method == DENSE else method
    options = {"sparsity": sparsity, "schedule": schedule, "watch": plan.measure}
    return branch(plan.setting, begun, seed, criterion, **options)


def _measures(plan: Plan, begun: Start, seed: int, network: Network) -> dict[str, Any]:
    """Return all measures of one network; the time of a forward pass for the first seed alone."""
    found = train(plan, begun, seed, network)
    model, dense = found.model, found.mask is None
    mask = found.mask or Mask.ones_like(model, only=plan.setting.only)
    forms = report(model, mask, plan.example).forms.loc[DENSE if dense else "masked"]
    reached = [epoch for epoch, value in enumerate(found.curve, 1) if plan.sign * (value - begun.curve[-1]) >= 0]
    row = dict(zip(("method", "schedule", "sparsity"), network, strict=True)) | {
        "seed": seed,
        "achieved": mask.sparsity,
        "validation": found.curve[-1],
        "test": plan.measure(model, plan.data.test) if plan.data.test else None,
        "macs": int(forms["macs"]),
        "file_bytes": int(forms["compressed_bytes"]),
        "epochs_to_dense": reached[0] if reached else None,
        "seconds_to_dense": sum(found.seconds[: reached[0]]) if reached else None,
        "curve": found.curve,
        "importance": _importance(plan, model),
    }
    if dense:
        return row | {"before": begun.curve, "price": begun.price, "shuffled": _shuffle_targets(plan, model)}
    return row | (_speed(model, mask, plan.example) if seed == plan.seeds[0] else {})


def _shuffle_targets(plan: Plan, model: nn.Module) -> list[float]:
    """Return the metric for targets in random orders, the same orders for every model."""
    x, y = plan.data.validation
    count, generator = count_samples(x), torch.Generator().manual_seed(0)
    orders = [torch.randperm(count, generator=generator).to(tensors(y)[0].device) for _ in range(SHUFFLES)]
    return [plan.measure(model, (x, rows(y, order, count=count))) for order in orders]


def _importance(plan: Plan, model: nn.Module) -> list[float] | None:
    """Return the importance of each feature, or None unless the inputs are a tensor of numbers."""
    if not plan.explained:
        return None
    x, background = plan.data.validation[0][:_EXPLAINED], plan.data.batch[0][:_EXPLAINED]
    if x[0].numel() <= _MOST_FEATURES:
        values = explanation.shapley_values(model, x, background, permutations=8)
    else:
        values = explanation.integrated_gradients(model, x, background.mean(0), steps=16)
    return explanation.importance(values, x.shape[1:]).tolist()


def _speed(model: nn.Module, mask: Mask, inputs: Any) -> dict[str, Any]:
    """Return the seconds of a forward pass, dense and exported, with quartiles of the ratio, and joules if readable."""
    if not isinstance(inputs, Tensor) or inputs.device.type != "cpu":
        return {}
    networks = {"dense": model, "exported": export.to_csr(model, mask, inputs).model}
    times = latency.inferences(networks, inputs)
    ratios = np.divide(times["dense"].seconds, times["exported"].seconds)
    found = {f"speed{end}": float(np.quantile(ratios, q)) for end, q in (("_low", 0.25), ("", 0.5), ("_high", 0.75))}
    found |= {f"seconds_{form}": timing.median for form, timing in times.items()}
    joules = {f"joules_{form}": _joules(network, inputs) for form, network in networks.items()}
    return found | (joules if None not in joules.values() else {})


@torch.no_grad()
def _joules(model: nn.Module, example: Tensor) -> float | None:
    """Return the energy of a forward pass by the processor's counter, or None where it cannot be read."""
    if not os.access(COUNTER, os.R_OK):
        return None
    before = int(COUNTER.read_text())
    for _ in range(200):
        model(example)
    used = int(COUNTER.read_text()) - before
    return used / 200e6 if used > 0 else None  # the counter was reset


def _layers(plan: Plan, model: nn.Module) -> Rows:
    """Return the metric after pruning one layer at a time by magnitude, without further training."""
    found = []
    for name, weight in prunable(model, only=plan.setting.only, skip=plan.setting.skip).items():
        for sparsity in SCREENED:
            mask = Mask.from_scores({name: weight.detach().abs()}, sparsity=sparsity)
            with mask.applied(model):
                value = plan.measure(model)
            found.append({"layer": name, "weights": weight.numel(), "sparsity": sparsity, "validation": value})
    return found
