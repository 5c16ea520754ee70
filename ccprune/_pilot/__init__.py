"""Is pruning worth it for a model? `pilot` trains, prunes, measures and recommends; `Pilot` is its result."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import Optimizer

from ccprune._pilot._checks import MARKER, check_arguments, check_factory, require_extra, trial
from ccprune._pilot._data import Data, load
from ccprune._pilot._engine import SCHEDULES, Fit, Setting
from ccprune._pilot._metrics import Metric, accuracy, bounds, r_squared
from ccprune._pilot._page import price, sentences, write_page
from ccprune._pilot._reasons import reasons
from ccprune._pilot._rules import Recommendation, recommend, tabulate
from ccprune._pilot._runs import OutOfTime, Plan, example, run, stored_start
from ccprune._util.files import write_atomic
from ccprune._util.inputs import samples
from ccprune._util.modes import eval_mode
from ccprune.mask import Mask, prunable
from ccprune.mask._prunable import Chosen

__all__ = ["OutOfTime", "Pilot", "Recommendation", "pilot"]

# LEGCNet, which stores every step, is among the default criteria up to so many weights and from so many steps on.
_SMALL, _STEPS_OF_LEGCNET = 20_000, 377


@dataclass(frozen=True, eq=False)
class Pilot:
    """Result of `pilot`. Notebooks display the recommendation and the table.

    Attributes
    ----------
    recommendation : Recommendation
    table : DataFrame
        One row per method, schedule and sparsity; the columns are those of `_rules.tabulate`.
    runs : DataFrame
        One row per trained network.
    layers : DataFrame
        The metric after pruning one layer at a time. Columns layer, weights, sparsity, validation.
    folder : Path
        Folder of `index.html`, `pilot.json`, `table.csv`, `runs.csv`, `layers.csv` and `reasons.parquet`.
    sentence : str
        The recommendation in words.
    batch : int
        Samples in the forward passes that were timed.
    """

    recommendation: Recommendation
    table: pd.DataFrame
    runs: pd.DataFrame
    layers: pd.DataFrame
    folder: Path
    sentence: str
    batch: int

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table.to_string(float_format=lambda value: f'{value:.4g}')}"

    def _repr_html_(self) -> str:
        return f"<p>{self.sentence}</p>{self.table.to_html(float_format=lambda value: f'{value:.4g}')}"


def pilot(
    make: Callable[[int], nn.Module] | None = None,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    *,
    target: str | None = None,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
    fit: Fit | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    metric: Metric | None = None,
    better: str = "larger",
    margin: float | None = None,
    criteria: Sequence[str] | None = None,
    sparsities: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    schedules: Sequence[str] = SCHEDULES,
    seeds: int = 5,
    seed: int = 0,
    before: int = 10,
    recorded: int = 2,
    after: int = 6,
    batch_size: int = 64,
    only: Chosen | None = None,
    skip: Chosen = (),
    seconds: float | None = None,
    workers: int = 1,
    folder: str | Path = "pilot",
    language: str = "en",
    dry_run: bool = False,
    progress: bool = True,
) -> "Pilot | float":
    """Measure whether pruning is worth it for a model, and write one page with the answer.

    For each seed a dense network is trained, and its last epochs are recorded. Copies of it are pruned by each
    criterion, at once and gradually, and trained further, as is the dense network, for the same number of epochs. All
    are measured by the metric, operations and their time, epochs to reach the dense network's metric, and agreement
    with its explanation. Every network is a unit that is stored in `folder`; the same call goes on where another ended.

    Parameters
    ----------
    make : callable, optional
        Maps a seed to a fresh model. It may be left out for tables, which then get a small multilayer perceptron.
    train, validation, test
        Each a pair (x, y) of tensors or arrays, an iterable of batches such as a DataLoader, a DataFrame, or the path
        of a CSV file. Tables are encoded (see `target`); with one table alone, 60% of its rows are for training and
        20% each for validation and test. Networks are compared on the validation samples. The recommended one is
        measured once more on the test samples.
    target : str, optional
        Column of a table that is predicted. Numbers that are not at most 20 whole numbers are a regression, which is
        standardised.
    optimizer : callable, optional
        Maps parameters to an optimiser; by default Adam with learning rate 0.003.
    fit : callable, optional
        Own training function (model, optimizer, epochs, recorder, seed). Where `recorder` is not None it must call
        ``recorder.before(loss)`` between the backward pass and the step and, if ``recorder.pairing`` is "same_batch",
        ``recorder.after(loss)`` after it, with the loss of the same mini-batch. Masks are enforced by the pilot.
    loss : callable, optional
        Maps (outputs, y) to the mean loss; by default cross-entropy for classes and squared error for numbers.
    metric : callable, optional
        Maps (model, x, y) to a number; by default accuracy for classes and R squared for numbers.
    better : {"larger", "smaller"}
        Which values of the metric are better.
    margin : float, optional
        Loss of the metric that is accepted. By default 0.01 for the default metrics; required with others.
    criteria : sequence of str, optional
        Names from `ccprune.criteria`; by default causal, magnitude, random and, for models of at most 20,000 weights
        whose recorded steps suffice, LEGCNet.
    sparsities : sequence of float
        Pruned fractions of the prunable weights, in (0, 1).
    schedules : sequence of {"one_shot", "gradual"}
        Pruning at once, or in three rounds between which the network is trained and scored again.
    seeds, seed : int
        Number of seeds, and the first of them.
    before, recorded, after : int
        Epochs before pruning, how many of these are recorded, and epochs after pruning.
    batch_size : int
        For data that are no loader.
    only, skip
        Weights that are pruned, and weights that are left out, as in `mask.prunable`.
    seconds : float, optional
        Time after which no new network is begun. The page is about the seeds that are complete.
    workers : int
        Processes, which each train one seed at a time. The numbers do not depend on them.
    folder : path
        Folder of the page and the stored units: new, empty, or of an earlier pilot.
    language : {"en", "ja"}
        Language of the page.
    dry_run : bool
        Only estimate the time: return the seconds that all training takes on one worker, and store nothing.
    progress : bool
        Print a line to standard error after each network.

    Returns
    -------
    Pilot, or float for a dry run

    Raises
    ------
    ImportError
        If a package of the extra `pilot` is missing.
    TypeError, ValueError
        For an invalid argument, before any training: missing columns and values, classes without validation samples, a
        factory that ignores its seed or gives different models for one, and a loss that is not finite within 20 trial
        steps.
    OutOfTime
        If `seconds` end before one seed is complete.
    """
    require_extra()
    folder = Path(folder)
    check_arguments(
        sparsities=sparsities,
        schedules=schedules,
        margin=0 if margin is None else margin,
        better=better,
        language=language,
        folder=folder,
        recorded=recorded,
        before=before,
        criteria=criteria,
        seconds=seconds,
        after=after,
        seeds=seeds,
        batch_size=batch_size,
        workers=workers,
    )
    device = torch.device("cpu") if make is None else check_factory(make, seed)
    data = load(train, validation, test, target=target, batch_size=batch_size, seed=seed, device=device)
    if metric is not None and margin is None:
        raise ValueError("margin must be given with a metric of your own, got None")
    if metric is None and better != "larger":
        raise ValueError(f"better must be 'larger' for the default metric, got {better!r}")
    margin = 0.01 if margin is None else margin
    metric = metric or (accuracy if data.classifies else r_squared)
    make = make or partial(_perceptron, *_sizes(data))
    weights = prunable(make(seed), only=only, skip=skip)
    setting = Setting(
        make,
        optimizer or _adam,
        data.batches,
        loss or (cross_entropy if data.classifies else mse_loss),
        tuple(criteria or _default_criteria(weights, recorded * ((data.sizes["train"] or 0) // batch_size))),
        before,
        recorded,
        after,
        fit,
        only,
        skip,
    )
    tried = trial(setting, data, metric, seed)
    plan = Plan(
        setting,
        data,
        metric,
        range(seed, seed + seeds),
        tuple(sorted(map(float, sparsities))),
        tuple(schedules),
        folder,
        inputs=_digest(setting, data, metric, weights, tried.loss),
        explained=_explained(data, make(seed)),
        sign=1 if better == "larger" else -1,
    )
    if dry_run:
        return tried.seconds_an_epoch * (before + after * (len(plan.branches) + 1)) * seeds
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    rows, layers = run(plan, workers=workers, seconds=seconds, progress=progress)
    table = tabulate(rows, margin=margin, sign=plan.sign, bounds=bounds(metric))
    found = recommend(table, rows, layers, margin=margin, sign=plan.sign)
    answer = sentences(found, margin, language)[0]
    runs, screened = pd.DataFrame(rows), pd.DataFrame(layers)
    result = Pilot(found, table, runs, screened, folder, answer, samples(example(plan)))
    _write(plan, result, margin, language)
    return result


def _default_criteria(weights: dict[str, nn.Parameter], steps: int) -> tuple[str, ...]:
    small = sum(weight.numel() for weight in weights.values()) <= _SMALL and steps >= _STEPS_OF_LEGCNET
    return ("causal", "magnitude", "random", *(["legcnet"] if small else []))


def _adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return torch.optim.Adam(parameters, lr=0.003)


def _sizes(data: Data) -> tuple[int, int]:
    """Return the numbers of features and of outputs of a table, or raise ValueError for other data."""
    if data.features is None:
        raise ValueError("make must be given where train is no table, got None")
    return len(data.features), 1 if data.classes is None else len(data.classes)


def _perceptron(features: int, outputs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, outputs))


def _explained(data: Data, model: nn.Module) -> bool:
    """Whether features can be explained: inputs are one tensor of numbers, and outputs have one row a sample."""
    x = data.batch[0]
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim < 2 or x[0].numel() < 2:
        return False
    with torch.no_grad(), eval_mode(model):
        outputs = model(x[:2])
    return isinstance(outputs, Tensor) and outputs.ndim == 2


def _digest(setting: Setting, data: Data, metric: Metric, weights: dict[str, nn.Parameter], loss: float) -> str:
    """Return the hash of everything that the networks depend on.

    Functions are known by their code, and by what they do in the trial: its loss and the model's first weights.
    """
    model = setting.make(0)
    described = {
        "version": version("ccprune"),
        "data": data.digest,
        "model": repr(model),
        "weights": [float(weight.detach().double().sum()) for weight in model.parameters()],
        "pruned": sorted(weights),
        "optimizer": repr(setting.optimizer(model.parameters())),
        "functions": [_described(one) for one in (setting.fit, setting.loss, metric)],
        "trial": loss,
        "epochs": [setting.before, setting.recorded, setting.after],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _described(value: Any) -> Any:
    """Return what a function does, as its code and what that holds, without addresses, which differ in each process."""
    if isinstance(value, partial):
        return [_described(one) for one in (value.func, *value.args, *sorted(value.keywords.items()))]
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, [_described(one) for one in value.co_consts]]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if hasattr(value, "__code__"):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__qualname__, _described(value.__code__), _described((value.__defaults__, held))]
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))


def _write(plan: Plan, result: Pilot, margin: float, language: str) -> None:
    """Write the page, and its numbers beside it."""
    folder, found = plan.folder, result.recommendation
    result.table.reset_index().to_csv(folder / "table.csv", index=False)
    lists = ["curve", "importance", "before", "price", "shuffled"]
    result.runs.drop(columns=lists).to_csv(folder / "runs.csv", index=False)
    result.layers.to_csv(folder / "layers.csv", index=False)
    begun = stored_start(plan, int(result.runs["seed"].iloc[0]))
    criterion = found.method or plan.setting.criteria[0]
    sparsity = found.sparsity or plan.sparsities[0]
    scores = begun.scores[criterion]
    reasons(scores, Mask.from_scores(scores, sparsity=sparsity), criterion=criterion).to_parquet(
        folder / "reasons.parquet"
    )
    write_page(plan, result, margin=margin, language=language, planned=len(plan.seeds))
    numbers = {
        "recommendation": asdict(found),
        "sentences": sentences(found, margin, language),
        "margin": margin,
        "sizes": dict(plan.data.sizes),
        "table": json.loads(result.table.reset_index().to_json(orient="records")),
        "price_seconds": price(result.runs),
    }
    write_atomic(folder / "pilot.json", json.dumps(numbers, indent=1) + "\n")
