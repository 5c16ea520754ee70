"""The engine of `compare` and `pilot`: networks trained, recorded, pruned and trained further with equal budgets."""

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria as registry
from ccprune import training
from ccprune._pilot._data import first_batches
from ccprune._util.modes import copied
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
    batches: Callable[[int], Any]
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

    def train(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        epochs: int,
        *,
        done: int,
        seed: int,
        noise: int,
        mask: Mask | None = None,
        recorder: training.StepRecorder | None = None,
    ) -> None:
        """Train for `epochs` more epochs after the first `done`, by `training.fit` or the user's own function.

        `noise` is the seed of random numbers in training, such as dropout's.
        """
        if self.fit is None:
            batches = self.batches(seed).after(done)
            training.fit(
                model,
                batches,
                epochs=epochs,
                optimizer=optimizer,
                loss=self.loss,
                mask=mask,
                recorder=recorder,
                seed=noise,
            )
            return
        device = next(model.parameters()).device
        own = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        with own, nullcontext() if mask is None else mask.enforce(model, optimizer):
            torch.manual_seed(noise)
            if recorder is not None:
                recorder.restart()
            self.fit(model, optimizer, epochs, recorder, noise)

    def score(self, name: str, model: nn.Module, lr: float, seed: int, store: Any) -> dict[str, Tensor]:
        """Return the scores of one criterion."""
        ((x, y),) = self.first(seed)
        return registry.score(
            name,
            model,
            store=store,
            x=x,
            y=y,
            loss=self.loss,
            lr=lr,
            seed=seed,
            only=self.only,
            skip=self.skip,
        )


@dataclass(frozen=True, eq=False)
class Start:
    """A trained and scored network, from which all methods go on.

    Attributes
    ----------
    model, optimizer
    scores : {criterion: scores}
    curve : list of float
        Value of `watch` after each epoch, if it was given.
    seconds : {"plain", "recorded": seconds of an epoch; "score CRITERION": seconds; "epochs recorded": count}
    """

    model: nn.Module
    optimizer: Optimizer
    scores: dict[str, dict[str, Tensor]]
    curve: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Branch:
    """A network that was pruned (or not: `mask` is None) and trained further, with the values of `watch`."""

    model: nn.Module
    mask: Mask | None
    curve: list[float]


def start(setting: Setting, seed: int, watch: Callable[[nn.Module], float] | None = None) -> Start:
    """Train a network for `before` epochs, record the last `recorded` of them, and score its weights."""
    model = setting.make(seed)
    optimizer = setting.optimizer(model.parameters())
    curve: list[float] = []
    seconds: dict[str, float] = {}
    plain = setting.before - setting.recorded
    if plain:
        seconds["plain"] = _train(setting, model, optimizer, plain, curve, watch, done=0, seed=seed) / plain
    with registry.Recording(model, optimizer, setting.criteria, only=setting.only, skip=setting.skip) as recording:
        took = _train(
            setting, model, optimizer, setting.recorded, curve, watch, done=plain, seed=seed, recorder=recording
        )
    seconds |= {"recorded": took / setting.recorded, "epochs recorded": setting.recorded}
    scores = {}
    for name in setting.criteria:
        began = time.perf_counter()
        store = recording.stores.get(name)
        scores[name] = setting.score(name, model, optimizer.param_groups[0]["lr"], seed, store)
        seconds[f"score {name}"] = time.perf_counter() - began
    return Start(model, optimizer, scores, curve, seconds)


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
    model = copied(begin.model)
    optimizer = setting.optimizer(model.parameters())
    optimizer.load_state_dict(copy.deepcopy(begin.optimizer.state_dict()))
    rounds = 1 if schedule == "one_shot" or criterion is None else max(1, min(_ROUNDS, setting.after))
    steps = schedules.cubic(sparsity, iterations=rounds) if rounds > 1 else (sparsity,)
    scores = begin.scores[criterion] if criterion is not None else {}
    mask: Mask | None = None
    curve: list[float] = []
    done = setting.before
    for place, step in enumerate(steps):
        epochs = setting.after // rounds + (setting.after % rounds if place == rounds - 1 else 0)
        again = criterion is not None and place < rounds - 1
        if criterion is not None:
            mask = Mask.from_scores(scores, sparsity=step, previous=mask, allocation=setting.allocation)
            if corrected:
                reconstruct(model, mask, setting.first(seed, CALIBRATION))
            else:
                mask.apply_(model)
        if not epochs:
            continue
        common = {"seed": seed, "mask": mask}
        if not again:
            _train(setting, model, optimizer, epochs, curve, watch, done=done, **common)
        else:
            assert criterion is not None
            if epochs > 1:
                _train(setting, model, optimizer, epochs - 1, curve, watch, done=done, **common)
            with registry.Recording(model, optimizer, [criterion], only=setting.only, skip=setting.skip) as recording:
                _train(setting, model, optimizer, 1, curve, watch, done=done + epochs - 1, recorder=recording, **common)
            store = recording.stores.get(criterion)
            scores = setting.score(criterion, model, optimizer.param_groups[0]["lr"], seed, store)
        done += epochs
    _require(mask, model)
    return Branch(model, mask, curve)


def _train(
    setting: Setting,
    model: nn.Module,
    optimizer: Optimizer,
    epochs: int,
    curve: list[float],
    watch: Callable[[nn.Module], float] | None,
    *,
    done: int,
    seed: int,
    **options: Any,
) -> float:
    """Train, epoch by epoch where each is watched, and return the seconds of training."""
    took = 0.0
    each = epochs if watch is None else 1
    for first in range(0, epochs, each):
        # Epochs that are trained one by one must not all draw the same random numbers.
        noise = seed if watch is None else seed + 1_000_003 * (done + first)
        began = time.perf_counter()
        setting.train(model, optimizer, each, done=done + first, seed=seed, noise=noise, **options)
        took += time.perf_counter() - began
        if watch is not None:
            curve.append(watch(model))
    return took


def _require(mask: Mask | None, model: nn.Module) -> None:
    """Raise ValueError if the model does not have the mask."""
    violations = 0 if mask is None else int(mask.check(model).loc["all", "violations"])
    if violations:
        raise ValueError(f"optimizer must keep pruned weights at zero under a mask, got {violations} that are not")
