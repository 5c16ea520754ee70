"""Checks before any training: arguments, the model factory, and a short trial of the training."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from ccprune._pilot._data import Data
from ccprune._pilot._engine import SCHEDULES, Setting
from ccprune._pilot._metrics import Metric, metric_value, r_squared
from ccprune._pilot._page import LANGUAGES
from ccprune._util.batches import Shuffled
from ccprune._util.checks import at_least
from ccprune._util.inputs import call, mean_loss, samples
from ccprune._util.modes import eval_mode
from ccprune.criteria import Recording, known

#: File that marks a folder as a pilot's.
MARKER = ".ccprune-pilot"
_TRIAL_STEPS = 20
_LONG = 10.0  # seconds of an epoch that is not tried twice


def require_extra() -> None:
    """Raise ImportError if a package that only the pilot needs is missing."""
    missing = [name for name in ("joblib", "matplotlib", "pyarrow") if find_spec(name) is None]
    if missing:
        raise ImportError(f"ccprune.pilot needs {', '.join(missing)}: pip install 'ccprune[pilot]'")


def check_arguments(
    *,
    sparsities: Any,
    schedules: Any,
    margin: Any,
    better: Any,
    language: Any,
    folder: Path,
    criteria: Any,
    seconds: Any,
    recorded: int,
    before: int,
    after: int,
    **counts: int,
) -> None:
    """Raise ValueError or TypeError naming the first invalid argument."""
    at_least(1, recorded=recorded, before=before, after=after, **counts)
    if isinstance(criteria, str) or (criteria is not None and (not criteria or len(set(criteria)) < len(criteria))):
        raise ValueError(f"criteria must be different names, got {criteria!r}")
    for name in criteria or ():
        known(name)
    if seconds is not None and (not isinstance(seconds, Real) or not seconds >= 0):
        raise ValueError(f"seconds must be a number of at least 0, got {seconds!r}")
    if recorded > before:
        raise ValueError(f"recorded must be at most before={before}, got {recorded}")
    if isinstance(sparsities, str) or not isinstance(sparsities, Iterable):
        raise TypeError(f"sparsities must be a sequence of numbers, got {sparsities!r}")
    numbers = all(isinstance(one, Real) and 0 < one < 1 for one in sparsities)
    if not len(sparsities) or not numbers or len(set(sparsities)) < len(sparsities):
        raise ValueError(f"sparsities must be different numbers in (0, 1), got {sparsities!r}")
    if isinstance(schedules, str) or not schedules or sorted(set(schedules) & set(SCHEDULES)) != sorted(schedules):
        raise ValueError(f"schedules must be some of {SCHEDULES}, each once, got {schedules!r}")
    if "gradual" in schedules and after < 2:
        raise ValueError(f"after must be at least 2 with the gradual schedule, which prunes in rounds, got {after}")
    if better not in ("larger", "smaller"):
        raise ValueError(f"better must be 'larger' or 'smaller', got {better!r}")
    if not isinstance(margin, Real) or not math.isfinite(margin) or margin < 0:
        raise ValueError(f"margin must be a number of at least 0, got {margin!r}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {LANGUAGES}, got {language!r}")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file())):
        raise ValueError(f"folder must be new, empty or of an earlier pilot, got {folder}")


def check_factory(make: Any, seed: int) -> torch.device:
    """Return the device of the factory's models, or raise ValueError if it ignores seeds or is not repeatable."""
    if not callable(make):
        raise TypeError(f"make must map a seed to a model, got {type(make).__name__}")
    first, again, other = make(seed), make(seed), make(seed + 1)
    if not isinstance(first, nn.Module):
        raise TypeError(f"make must return a Module, got {type(first).__name__}")
    if not any(True for _ in first.parameters()):
        raise ValueError("make must return a model with parameters, got one without")
    if not _equal(first, again):
        raise ValueError(f"make must give the same model whenever it gets the same seed, not so for seed {seed}")
    if _equal(first, other):
        raise ValueError(f"make must use its seed, it gives equal weights for the seeds {seed} and {seed + 1}")
    return next(first.parameters()).device


def _equal(a: nn.Module, b: nn.Module) -> bool:
    first, second = (dict(model.named_parameters()) for model in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@dataclass(frozen=True)
class Trial:
    """Seconds that one epoch of training takes, and a loss that is part of the units' keys."""

    seconds_an_epoch: float
    loss: float


def trial(setting: Setting, data: Data, metric: Metric, seed: int) -> Trial:
    """Train a model for at most 20 steps, or one epoch of the user's function, and estimate the seconds of an epoch.

    Raises
    ------
    ValueError
        If the loss is not finite, the metric is NaN, or the model, its outputs, the loss and the optimiser do not fit.
    """
    model = setting.make(seed)
    optimizer = setting.optimizer(model.parameters())
    x, y = data.batch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            outputs = call(model, x)
            _check_targets(setting, metric, outputs, y, data.validation[1])
            found = (_own_trial if setting.fit else _trial)(setting, model, optimizer, seed)
        except (RuntimeError, TypeError, IndexError) as error:
            raise ValueError(f"make, train, loss and optimizer must fit, but a trial step failed: {error}") from error
    if math.isnan(value := metric_value(metric, model, *data.validation)):
        raise ValueError(f"metric must be a number, got {value} after a trial")
    return found


def _check_targets(setting: Setting, metric: Metric, outputs: Any, y: Any, all_targets: Any) -> None:
    """Raise ValueError for targets that squared errors or R squared do not fit, though both would give a number."""
    squared = [name for name, one in (("loss", setting.loss is mse_loss), ("metric", metric is r_squared)) if one]
    if not squared:
        return
    got = f"y {tuple(y.shape)} for outputs {tuple(outputs.shape)}" if isinstance(y, Tensor) else type(y).__name__
    if not isinstance(y, Tensor) or not isinstance(outputs, Tensor) or y.shape != outputs.shape:
        raise ValueError(f"y must have the shape of the outputs, or {squared[0]} be given, got {got}")
    if not y.is_floating_point() or bool(((all_targets == 0) | (all_targets == 1)).all()):
        raise ValueError(f"{squared[0]} must be given for targets that are whole numbers or only 0 and 1, got {got}")


def _trial(setting: Setting, model: nn.Module, optimizer: Optimizer, seed: int) -> Trial:
    source = setting.batches(seed)
    first, took, steps, count = math.nan, 0.0, 0, 0
    model.train()
    for x, y in source(0):
        began = time.perf_counter()
        value = mean_loss(setting.loss, call(model, x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        took += time.perf_counter() - began
        first = value.item() if not steps else first
        if not math.isfinite(value.item()):
            raise ValueError(
                f"optimizer and loss must train the model, the loss is {value.item()} at step {steps} of a trial"
            )
        steps, count = steps + 1, count + samples(x)
        if steps == _TRIAL_STEPS:
            break
    loader = getattr(source, "loader", ())
    total = samples(source.x) if isinstance(source, Shuffled) else len(loader) * count / steps if _sized(loader) else 0
    return Trial(took * max(total, count) / count, first)


def _sized(loader: Any) -> bool:
    try:
        return len(loader) >= 0
    except TypeError:  # a DataLoader of a stream has the method, but no length
        return False


def _own_trial(setting: Setting, model: nn.Module, optimizer: Optimizer, seed: int) -> Trial:
    before = [one.detach().clone() for one in model.parameters()]
    losses: list[float] = []
    seconds = 0.0
    common = {"seed": seed, "noise": seed}
    while len(losses) < 2 and seconds < _LONG:  # the first epoch also pays for what is done only once
        began = time.perf_counter()
        if not losses:
            setting.train(model, optimizer, 1, done=0, **common)
        else:
            with Recording(model, optimizer, setting.criteria, only=setting.only, skip=setting.skip) as recorder:
                setting.train(model, optimizer, 1, done=1, recorder=recorder, **common)
        seconds = time.perf_counter() - began
        ((x, y),) = setting.first(seed)
        with torch.no_grad(), eval_mode(model):
            losses.append(mean_loss(setting.loss, call(model, x), y).item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"fit must train the model, the loss is {losses[-1]} after {len(losses)} epochs")
    if all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
        raise ValueError("fit must train the model, got one whose parameters did not change")
    return Trial(seconds, losses[0])
