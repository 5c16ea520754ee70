"""Checks before any training: arguments, the model factory, and a short trial of the training."""

import math
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from ccprune._pilot._data import Data
from ccprune._pilot._engine import SCHEDULES, Setting, Training
from ccprune._pilot._metrics import Metric, metric_value, r_squared
from ccprune._pilot._page import LANGUAGES
from ccprune._util.inputs import call, mean_loss
from ccprune._util.modes import eval_mode
from ccprune.criteria import Recording, get

#: File that marks a folder as a pilot's.
MARKER = ".ccprune-pilot"
_STEPS = 20  # of a trial
_LONG = 10.0  # seconds of an epoch that is not tried twice


def require_extra() -> None:
    """Raise ImportError if a package that only the pilot needs is missing."""
    missing = [name for name in ("cloudpickle", "joblib", "matplotlib", "pyarrow") if find_spec(name) is None]
    if missing:
        raise ImportError(f"ccprune.pilot needs {', '.join(missing)}: pip install '.[pilot]' in a clone of the project")


def check_grid(criteria: Any, sparsities: Any, schedules: Any, after: int) -> None:
    """Raise ValueError or TypeError naming the first invalid argument."""
    if isinstance(criteria, str) or (criteria is not None and (not criteria or len(set(criteria)) < len(criteria))):
        raise ValueError(f"criteria must be different names, got {criteria!r}")
    for name in criteria or ():
        get(name)
    if isinstance(sparsities, str) or not isinstance(sparsities, Iterable):
        raise TypeError(f"sparsities must be a sequence of numbers, got {sparsities!r}")
    numbers = all(isinstance(one, Real) and 0 < one < 1 for one in sparsities)
    if not len(sparsities) or not numbers or len(set(sparsities)) < len(sparsities):
        raise ValueError(f"sparsities must be different numbers in (0, 1), got {sparsities!r}")
    if isinstance(schedules, str) or not schedules or sorted(set(schedules) & set(SCHEDULES)) != sorted(schedules):
        raise ValueError(f"schedules must be some of {SCHEDULES}, each once, got {schedules!r}")
    if "gradual" in schedules and after < 2:
        raise ValueError(f"after must be at least 2 with the gradual schedule, which prunes in rounds, got {after}")


def check_options(margin: Any, better: Any, language: Any, seconds: Any, search: Any, folder: Path) -> None:
    """Raise ValueError naming the first invalid argument, and ImportError if a search lacks its package."""
    if search is not None:
        if not (isinstance(search, Real) and 0 < search < 1):
            raise ValueError(f"search must be a share of the grid's cost in (0, 1), got {search!r}")
        if seconds is not None:
            raise ValueError(f"seconds must not be given with search, whose budget is a share, got {seconds!r}")
        if find_spec("optuna") is None:
            raise ImportError(
                "ccprune.pilot with search needs optuna: pip install '.[search]' in a clone of the project"
            )
    for name, value in {"margin": margin, "seconds": seconds}.items():
        if value is not None and not (isinstance(value, Real) and 0 <= value < math.inf):
            raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    for name, value, known_values in (("better", better, ("larger", "smaller")), ("language", language, LANGUAGES)):
        if value not in known_values:
            raise ValueError(f"{name} must be one of {known_values}, got {value!r}")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file())):
        raise ValueError(f"folder must be new, empty or of an earlier pilot, got {folder}")


def check_factory(make: Any, seed: int, *, pretrained: bool = False) -> torch.device:
    """Return the device of the factory's models, or raise ValueError if it ignores seeds or is not repeatable."""
    if not callable(make):
        raise TypeError(f"make must map a seed to a model, got {type(make).__name__}")
    first, again, other = make(seed), make(seed), make(seed + 1)
    if not isinstance(first, nn.Module):
        raise TypeError(f"make must return a Module, got {type(first).__name__}")
    if not any(True for _ in first.parameters()):
        raise ValueError("make must return a model with parameters, got one without")
    if first in (again, other):  # training one would train the other
        raise ValueError("make must return a new model at each call, got the same one twice")
    if not _equal(first, again):
        raise ValueError(f"make must return the same model for the same seed, got two for seed {seed}")
    if _equal(first, other) and not pretrained:
        raise ValueError(
            f"make must use its seed, got equal weights for the seeds {seed} and {seed + 1}; trained weights need "
            "pretrained=True"
        )
    return next(first.parameters()).device


def _equal(a: nn.Module, b: nn.Module) -> bool:
    first, second = (dict(model.named_parameters()) for model in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def trial(setting: Setting, data: Data, metric: Metric, seed: int) -> tuple[float, float]:
    """Train a model for at most 20 steps, or two epochs of the user's function.

    Returns the seconds that an epoch takes, an estimate, and the loss of the first mini-batch after the trial.

    Raises
    ------
    ValueError
        If the loss is not finite, the metric is NaN, or the model, its outputs, the loss and the optimiser do not fit.
    """
    model = setting.make(seed)
    x, y = data.batch
    before = [one.detach().clone() for one in model.parameters()]
    few = replace(setting, batches=lambda seed, done: lambda epoch: islice(data.batches(seed, done)(epoch), _STEPS))
    parts = "make, train, loss, optimizer" + (" and fit" if setting.fit else "")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            run = Training(few, model, setting.optimizer(model.parameters()), seed)
            _check_targets(setting, metric, call(model, x), y, data.validation[1])
            seconds = run.train(1)
            if setting.fit and seconds < _LONG:  # the first epoch also pays for what is done only once
                chosen = {"only": setting.only, "skip": setting.skip}
                with Recording(model, run.optimizer, setting.criteria, **chosen) as recorder:
                    seconds = run.train(1, recorder=recorder)
            with torch.no_grad(), eval_mode(model):
                loss = mean_loss(setting.loss, call(model, x), y).item()
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"{parts} must fit, but a trial failed: {error}") from error
    if not math.isfinite(loss):
        raise ValueError(f"{parts} must fit, but the loss is {loss} after a trial")
    if all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)):
        raise ValueError(f"{parts} must train the model, got one whose parameters did not change")
    if math.isnan(value := metric_value(metric, model, *data.validation)):
        raise ValueError(f"metric must be a number, got {value} after a trial")
    return seconds * (1 if setting.fit else max(1.0, data.steps / _STEPS)), loss


def explainable(model: nn.Module, x: Any) -> bool:
    """Whether features can be explained: inputs are one tensor of numbers, and outputs have one row a sample."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2 or x[0].numel() < 2:
        return False
    with torch.no_grad(), eval_mode(model):
        outputs = model(x[:2])
    return isinstance(outputs, Tensor) and outputs.ndim == 2


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
