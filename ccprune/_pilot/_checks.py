"""Checks before any training: arguments, the model factory, and a short trial of the training."""

import math
import time
from dataclasses import dataclass
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ccprune._pilot._engine import SCHEDULES, Setting
from ccprune._pilot._page import LANGUAGES
from ccprune._util.batches import Shuffled
from ccprune._util.checks import at_least
from ccprune._util.inputs import call, mean_loss, samples
from ccprune._util.modes import copied

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
    recorded: int,
    before: int,
    **counts: int,
) -> None:
    """Raise ValueError or TypeError naming the first invalid argument."""
    at_least(1, recorded=recorded, before=before, **counts)
    if recorded > before:
        raise ValueError(f"recorded must be at most before={before}, got {recorded}")
    numbers = all(isinstance(one, Real) and 0 < one < 1 for one in sparsities)
    if not len(sparsities) or not numbers or len(set(sparsities)) < len(sparsities):
        raise ValueError(f"sparsities must be different numbers in (0, 1), got {sparsities!r}")
    if isinstance(schedules, str) or not schedules or not set(schedules) <= set(SCHEDULES):
        raise ValueError(f"schedules must be some of {SCHEDULES}, got {schedules!r}")
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


def trial(setting: Setting, seed: int) -> Trial:
    """Train a copy for at most 20 steps, and estimate the seconds of an epoch.

    Raises
    ------
    ValueError
        If the loss is not finite.
    """
    model = setting.make(seed)
    if setting.fit is not None:
        return _own_trial(setting, model)
    optimizer = setting.optimizer(model.parameters())
    source = setting.batches(seed)
    first, took, steps, count = math.nan, 0.0, 0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
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
    total = samples(source.x) if isinstance(source, Shuffled) else len(getattr(source, "loader", ())) * count / steps
    return Trial(took * max(total, count) / count, first)


def _own_trial(setting: Setting, model: nn.Module) -> Trial:
    assert setting.fit is not None
    model = copied(model)
    optimizer, seconds = setting.optimizer(model.parameters()), 0.0
    for epoch in range(2):
        if seconds < _LONG:  # the first epoch also pays for what is done only once
            began = time.perf_counter()
            setting.fit(model, optimizer, 1, None, epoch)
            seconds = time.perf_counter() - began
    ((x, y),) = setting.first(0)
    with torch.no_grad():
        value = mean_loss(setting.loss, call(model, x), y).item()
    if not math.isfinite(value):
        raise ValueError(f"fit must train the model, the loss is {value} after one epoch")
    return Trial(seconds, value)
