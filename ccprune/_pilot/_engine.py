"""The engine of `compare` and `pilot`: networks trained, recorded, pruned and trained further with equal budgets."""

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria as registry
from ccprune import training
from ccprune._pilot._data import Source, first_batches
from ccprune._util.modes import copy_model
from ccprune.mask import Mask, schedules
from ccprune.mask._prunable import Chosen
from ccprune.scores.reconstruction import reconstruct

#: How a network gets to its sparsity: at once, or in rounds between which it is trained and scored again.
SCHEDULES = ("one_shot", "gradual")
#: Mini-batches by which remaining weights are corrected.
CALIBRATION = 16
_ROUNDS = 3  # of the gradual schedule, fewer where there are fewer epochs

Fit = Callable[[nn.Module, Optimizer, int, Any, int], object]


@dataclass(frozen=True, eq=False)
class Setting:
    """What is trained, and how. The attributes are arguments of `ccprune.pilot` and `ccprune.compare`."""

    make: Callable[[int], nn.Module]
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    batches: Source
    loss: Callable[[Any, Any], Tensor]
    criteria: Sequence[str]
    before: int
    recorded: int
    after: int
    fit: Fit | None = None
    only: Chosen | None = None
    skip: Chosen = ()
    allocation: str = "global"

    def first(self, seed: int, count: int = 1) -> list[tuple[Any, Any]]:
        """Return the first mini-batches of a seed, which scores and corrections use."""
        return first_batches(self.batches, seed, count)


@dataclass(frozen=True, eq=False)
class Start:
    """A trained and scored network, from which all methods start.

    Attributes
    ----------
    model, optimizer
    scores : mapping of criterion to scores
    curve : list of float
        Value of `watch` after each epoch, if it was given.
    price : {"plain", "recorded": seconds of an epoch; "score CRITERION": seconds; "bytes": memory of the records}
    """

    model: nn.Module
    optimizer: Optimizer
    scores: dict[str, dict[str, Tensor]]
    curve: list[float]
    price: dict[str, float]


@dataclass(frozen=True, eq=False)
class Branch:
    """A network that was pruned (or not: `mask` is None) and trained further.

    With `watch`, its value after each epoch is in `curve`, and the seconds that this epoch took in `seconds`.
    """

    model: nn.Module
    mask: Mask | None
    curve: list[float]
    seconds: list[float]


def start(setting: Setting, seed: int, watch: Callable[[nn.Module], float] | None = None) -> Start:
    """Train a network for `before` epochs, record the last `recorded` of them, and score its weights."""
    model = setting.make(seed)
    run = Training(setting, model, setting.optimizer(model.parameters()), seed, watch)
    plain = setting.before - setting.recorded
    price = {"plain": run.train(plain) / plain} if plain else {}
    scores, cost = run.record(setting.criteria, setting.recorded)
    return Start(model, run.optimizer, scores, run.curve, price | cost)


def branch(
    setting: Setting,
    begin: Start,
    seed: int,
    criterion: str | None,
    *,
    sparsity: float = 0.0,
    schedule: str = "one_shot",
    corrected: bool = False,
    watch: Callable[[nn.Module], float] | None = None,
) -> Branch:
    """Prune a copy of the network by one criterion, or by none, and train it for `after` more epochs.

    With `corrected`, the remaining weights are corrected after each pruning, by `scores.reconstruction.reconstruct`.
    """
    model = copy_model(begin.model)
    optimizer = setting.optimizer(model.parameters())
    optimizer.load_state_dict(copy.deepcopy(begin.optimizer.state_dict()))
    run = Training(setting, model, optimizer, seed, watch, setting.before)
    rounds = 1 if schedule == "one_shot" or criterion is None else max(1, min(_ROUNDS, setting.after))
    steps = schedules.cubic(sparsity, iterations=rounds) if rounds > 1 else (sparsity,)
    scores, mask = begin.scores, None
    for place, step in enumerate(steps, 1):
        epochs = setting.after // rounds
        if criterion is not None:
            mask = Mask.from_scores(scores[criterion], sparsity=step, previous=mask, allocation=setting.allocation)
            if corrected:
                reconstruct(model, mask, setting.first(seed, CALIBRATION))
            else:
                mask.apply_(model)
        if place == rounds:
            run.train(epochs + setting.after % rounds, mask)
        else:
            assert criterion is not None
            run.train(epochs - 1, mask)
            scores, _ = run.record([criterion], 1, mask)
    violations = 0 if mask is None else int(mask.check(model).loc["all", "violations"])
    if violations:
        raise ValueError(f"optimizer must keep pruned weights at zero under a mask, got {violations} that are not")
    return Branch(model, mask, run.curve, run.seconds)


@dataclass(eq=False)
class Training:
    """A network in training, by `training.fit` or the user's own function.

    With `watch` it is trained epoch by epoch, each followed by a measurement.
    """

    setting: Setting
    model: nn.Module
    optimizer: Optimizer
    seed: int
    watch: Callable[[nn.Module], float] | None = None
    done: int = 0
    curve: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def train(self, epochs: int, mask: Mask | None = None, recorder: training.StepRecorder | None = None) -> float:
        """Train, and return the seconds of training alone."""
        first, each = len(self.seconds), epochs if self.watch is None else 1
        for _ in range(0, epochs, each or 1):
            began = time.perf_counter()
            # Epochs that are trained one by one must not all draw the same random numbers.
            self._train(each, mask, recorder, self.seed if self.watch is None else self.seed + 1_000_003 * self.done)
            self.seconds.append(time.perf_counter() - began)
            self.done += each
            if self.watch is not None:
                self.curve.append(self.watch(self.model))
        return sum(self.seconds[first:])

    def _train(self, epochs: int, mask: Mask | None, recorder: training.StepRecorder | None, noise: int) -> None:
        """Train; `noise` is the seed of random numbers in training, such as dropout's."""
        setting, model, optimizer = self.setting, self.model, self.optimizer
        if setting.fit is None:
            options = {"loss": setting.loss, "mask": mask, "recorder": recorder, "seed": noise}
            training.fit(model, setting.batches(self.seed, self.done), epochs=epochs, optimizer=optimizer, **options)
            return
        device = next(model.parameters()).device
        own = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with own, nullcontext() if mask is None else mask.enforce(model, optimizer):
            torch.manual_seed(noise)
            if recorder is not None:
                recorder.restart()
            setting.fit(model, optimizer, epochs, recorder, noise)

    def record(
        self, names: Sequence[str], epochs: int, mask: Mask | None = None
    ) -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
        """Train while the criteria record, and return their scores, and what recording and scoring cost."""
        setting, scores = self.setting, {}
        with registry.Recording(self.model, self.optimizer, names, only=setting.only, skip=setting.skip) as recording:
            seconds = {"recorded": self.train(epochs, mask, recording) / epochs, "epochs recorded": epochs}
        seconds["bytes"] = sum(map(_bytes, {id(store): store for store in recording.stores.values()}.values()))
        ((x, y),) = setting.first(self.seed)
        lr = self.optimizer.param_groups[0]["lr"]
        common = {"loss": setting.loss, "lr": lr, "seed": self.seed, "only": setting.only, "skip": setting.skip}
        for name in names:
            began = time.perf_counter()
            scores[name] = registry.score(name, self.model, store=recording.stores.get(name), x=x, y=y, **common)
            seconds[f"score {name}"] = time.perf_counter() - began
        return scores, seconds


def _bytes(value: Any, depth: int = 4) -> int:
    """Return the bytes of the tensors and arrays that a store holds, without the model's parameters."""
    if isinstance(value, Tensor | np.ndarray):
        return 0 if isinstance(value, nn.Parameter) else value.nbytes
    if isinstance(value, nn.Module | type) or not depth:
        return 0
    if not isinstance(value, list | tuple):
        value = (value if isinstance(value, Mapping) else getattr(value, "__dict__", {})).values()
    return sum(_bytes(part, depth - 1) for part in value)
