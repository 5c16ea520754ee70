"""The runs of a pilot, each a unit that is stored when it is complete."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import Tensor, nn

from ccprune import export
from ccprune._pilot._data import Data
from ccprune._pilot._engine import Branch, Setting, Start, branch, start
from ccprune._pilot._metrics import Metric, metric_value
from ccprune._util.files import replacing
from ccprune._util.inputs import mapped, rows, samples, tensors
from ccprune._util.units import Rows, Units
from ccprune.mask import Mask, prunable
from ccprune.measure import explanation, latency, report

DENSE = "dense"
#: Sparsities at which one layer at a time is pruned, without further training, to find the layers that hurt.
SCREENED = (0.5, 0.8, 0.95)
#: Orders of the targets with which the dense networks' metric is compared; with 39 the smallest p-value is 0.025.
SHUFFLES = 39
_SHOWN = ("study", "method", "schedule", "sparsity", "seed")
_EXPLAINED = 20  # samples, and as many for the background
_MOST_FEATURES = 50  # for Shapley values; integrated gradients explain larger inputs


class OutOfTime(RuntimeError):
    """Raised if the time of a pilot ends before one seed is complete; what is done is stored."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that the runs of a pilot depend on; `inputs` is the hash of it all."""

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

    @property
    def branches(self) -> list[tuple[str, str, float]]:
        """Criterion, schedule and sparsity of each pruned network of a seed."""
        return [
            (criterion, schedule, sparsity)
            for criterion in self.setting.criteria
            for schedule in self.schedules
            for sparsity in self.sparsities
        ]

    @property
    def total(self) -> int:
        """Number of units."""
        return len(self.seeds) * (len(self.branches) + 1) + 1

    def measured(self, model: nn.Module, *, test: bool = False) -> float | None:
        """Return the metric on the validation or test samples."""
        part = self.data.test if test else self.data.validation
        return None if part is None else self.value(model, *part)

    def value(self, model: nn.Module, x: Any, y: Any) -> float:
        """Return the metric; NaN, as of a network whose outputs overflow, becomes the worst value there is."""
        value = metric_value(self.metric, model, x, y)
        return -self.sign * math.inf if math.isnan(value) else value


def run(plan: Plan, *, workers: int, seconds: float | None, progress: bool) -> tuple[Rows, Rows]:
    """Return the rows of all complete seeds, and those of the layers, one process a seed at a time.

    Raises
    ------
    OutOfTime
        If the seconds end before one seed is complete.
    """
    end = None if seconds is None else time.time() + seconds
    threads = torch.get_num_threads()  # the same in each process, because sums depend on it
    work = [joblib.delayed(_one_seed)(plan, seed, end, threads, progress) for seed in plan.seeds]
    found = [one for one in joblib.Parallel(n_jobs=min(workers, len(work)))(work) if one is not None]
    if not found:
        raise OutOfTime(
            f"seconds={seconds} ended before one seed was complete; {_stored(plan)} of {plan.total} units are stored "
            f"in {plan.folder}, and the same call goes on from there"
        )
    first = found[0][0]["seed"]  # the first complete one
    layers = _units(plan).get(_key(plan, first, "layers"), partial(_layers, plan, _Started(plan, first)))
    return [row for one in found for row in one], layers


def stored_start(plan: Plan, seed: int) -> Start:
    """Return the trained and scored network of a seed."""
    return _Started(plan, seed).start


def _one_seed(plan: Plan, seed: int, end: float | None, threads: int, progress: bool) -> Rows | None:
    torch.set_num_threads(threads)
    started, units = _Started(plan, seed), _units(plan)
    first = seed == plan.seeds[0]
    jobs: list[tuple[dict[str, Any], Callable[[], Rows]]] = [(_key(plan, seed, DENSE), partial(_dense, plan, started))]
    jobs += [
        (_key(plan, seed, criterion, schedule, sparsity), partial(_pruned, plan, started, *one, timed=first))
        for one in plan.branches
        for criterion, schedule, sparsity in [one]
    ]
    found: Rows = []
    for key, compute in jobs:
        unit = units.read(key)
        if unit is None:
            if end is not None and time.time() > end:
                return None
            unit = units.get(key, compute)
            if progress:
                print(f"pilot: {_stored(plan)} of {plan.total} units are done", file=sys.stderr, flush=True)
        found += unit
    return found


@dataclass(frozen=True, eq=False)
class _Started:
    """The trained network of a seed, from its file or trained anew, on first use."""

    plan: Plan
    seed: int

    @cached_property
    def start(self) -> Start:
        setting = self.plan.setting
        path = self.plan.folder / "starts" / f"seed{self.seed}-{self.plan.inputs[:12]}.pt"
        if path.is_file():
            model = setting.make(self.seed)
            optimizer = setting.optimizer(model.parameters())
            try:
                stored = torch.load(path, weights_only=True, map_location=next(model.parameters()).device)
                if not set(setting.criteria) <= set(stored["scores"]):
                    raise KeyError("criteria")
                model.load_state_dict(stored["model"])
                optimizer.load_state_dict(stored["optimizer"])
                return Start(model, optimizer, stored["scores"], stored["curve"], stored["seconds"])
            except (OSError, RuntimeError, KeyError, ValueError, EOFError):
                pass  # a file that cannot be read, or lacks a criterion, is written anew
        begun = start(setting, self.seed, self.plan.measured)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            torch.save(
                {
                    "model": begun.model.state_dict(),
                    "optimizer": begun.optimizer.state_dict(),
                    "scores": begun.scores,
                    "curve": begun.curve,
                    "seconds": begun.seconds,
                },
                temporary,
            )
        return begun


def _dense(plan: Plan, started: _Started) -> Rows:
    begun = started.start
    found = branch(plan.setting, begun, started.seed, None, watch=plan.measured)
    row = _row(plan, started, found, DENSE, "", 0.0, Mask.ones_like(found.model, only=plan.setting.only))
    return [row | {"before": begun.curve, "price": begun.seconds, "shuffled": _shuffled(plan, found.model)}]


def _shuffled(plan: Plan, model: nn.Module) -> list[float]:
    """Return the metric for targets in random orders, the same orders for every model."""
    x, y = plan.data.validation
    count, generator = samples(x), torch.Generator().manual_seed(0)
    found = []
    for _ in range(SHUFFLES):
        order = torch.randperm(count, generator=generator).to(tensors(y)[0].device)
        found.append(plan.value(model, x, rows(y, order, count=count)))
    return found


def _pruned(plan: Plan, started: _Started, criterion: str, schedule: str, sparsity: float, *, timed: bool) -> Rows:
    found = branch(
        plan.setting, started.start, started.seed, criterion, sparsity=sparsity, schedule=schedule, watch=plan.measured
    )
    assert found.mask is not None
    row = _row(plan, started, found, criterion, schedule, sparsity, found.mask)
    return [row | (_speed(plan, found.model, found.mask) if timed else {})]


def _row(
    plan: Plan, started: _Started, found: Branch, method: str, schedule: str, sparsity: float, mask: Mask
) -> dict[str, Any]:
    """Return all measures of one network but its speed."""
    forms = report(found.model, mask, example(plan)).forms.loc[DENSE if method == DENSE else "masked"]
    goal = started.start.curve[-1]
    reached = [epoch for epoch, value in enumerate(found.curve, 1) if plan.sign * (value - goal) >= 0]
    return {
        "seed": started.seed,
        "method": method,
        "schedule": schedule,
        "sparsity": sparsity,
        "achieved": 0.0 if method == DENSE else mask.sparsity,
        "validation": found.curve[-1] if found.curve else plan.measured(found.model),
        "test": plan.measured(found.model, test=True),
        "macs": int(forms["macs"]),
        "file_bytes": int(forms["compressed_bytes"]),
        "epochs_to_dense": reached[0] if reached else None,
        "curve": found.curve,
        "importance": _importance(plan, found.model),
    }


def example(plan: Plan) -> Any:
    """Return the inputs with which operations and time are measured."""
    return mapped(lambda one: one[:64] if one.ndim else one, plan.data.batch[0])


def _importance(plan: Plan, model: nn.Module) -> list[float] | None:
    """Return the importance of each feature, or None where the inputs are no tensor of numbers."""
    if not plan.explained:
        return None
    x, background = plan.data.validation[0][:_EXPLAINED], plan.data.batch[0][:_EXPLAINED]
    if x[0].numel() <= _MOST_FEATURES:
        values = explanation.shapley_values(model, x, background, permutations=8)
    else:
        values = explanation.integrated_gradients(model, x, background.mean(0), steps=16)
    return explanation.importance(values, x.shape[1:]).tolist()


def _speed(plan: Plan, model: nn.Module, mask: Mask) -> dict[str, Any]:
    """Return the median seconds of a forward pass of the dense and the exported form, and the joules where readable."""
    inputs = example(plan)
    if not isinstance(inputs, Tensor) or inputs.device.type != "cpu":
        return {}
    exported = export.csr(model, mask, inputs).model
    # The forms alternate, so that other load on the machine affects both equally.
    dense, fast = ([], [])
    for _ in range(5):
        for network, times in ((model, dense), (exported, fast)):
            times.append(latency.inference(network, inputs, repeats=20, warmup=3).median)
    found: dict[str, Any] = {"seconds_dense": sorted(dense)[2], "seconds_exported": sorted(fast)[2]}
    joules = [_joules(network, inputs) for network in (model, exported)]
    if None not in joules:
        found |= {"joules_dense": joules[0], "joules_exported": joules[1]}
    return found


#: Counter of the processor's energy in microjoules, which some systems let a user read.
COUNTER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def _joules(model: nn.Module, example: Tensor, repeats: int = 200) -> float | None:
    """Return the energy of a forward pass by the processor's counter, or None where it cannot be read."""
    if not os.access(COUNTER, os.R_OK):
        return None
    before = int(COUNTER.read_text())
    with torch.no_grad():
        for _ in range(repeats):
            model(example)
    used = int(COUNTER.read_text()) - before
    return used / 1e6 / repeats if used > 0 else None  # the counter began anew


def _layers(plan: Plan, started: _Started) -> Rows:
    """Return the metric after pruning one layer at a time by magnitude, without further training."""
    model = started.start.model
    weights = prunable(model, only=plan.setting.only, skip=plan.setting.skip)
    return [
        {"layer": name, "weights": weight.numel(), "sparsity": sparsity, "validation": value}
        for name, weight in weights.items()
        for sparsity in SCREENED
        for value in [_without(plan, model, Mask.from_scores({name: weight.detach().abs()}, sparsity=sparsity))]
    ]


def _without(plan: Plan, model: nn.Module, mask: Mask) -> float | None:
    with mask.applied(model):
        return plan.measured(model)


def _key(plan: Plan, seed: int, method: str, schedule: str = "", sparsity: float = 0.0) -> dict[str, Any]:
    key: dict[str, Any] = {"study": "pilot", "inputs": plan.inputs, "method": method, "seed": seed}
    return key | ({"schedule": schedule, "sparsity": sparsity} if schedule else {})


def _units(plan: Plan) -> Units:
    return Units(plan.folder / "units", _SHOWN)


def _keys(plan: Plan) -> Iterator[dict[str, Any]]:
    for seed in plan.seeds:
        yield _key(plan, seed, DENSE)
        for one in plan.branches:
            yield _key(plan, seed, *one)
    yield _key(plan, plan.seeds[0], "layers")


def _stored(plan: Plan) -> int:
    units = _units(plan)
    return sum(units.read(key) is not None for key in _keys(plan))
