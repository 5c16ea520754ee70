"""Is pruning worth it for a model? `pilot` trains, prunes, measures and recommends; `Pilot` is its result."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.optim import Optimizer

from ccprune._pilot._checks import MARKER, check_factory, check_grid, check_options, explainable, require_extra, trial
from ccprune._pilot._data import load
from ccprune._pilot._digest import digest
from ccprune._pilot._engine import SCHEDULES, Fit, Setting
from ccprune._pilot._files import write
from ccprune._pilot._metrics import Metric, accuracy, bounds, r_squared
from ccprune._pilot._page import sentences
from ccprune._pilot._rules import Recommendation, recommend, tabulate
from ccprune._pilot._runs import OutOfTime, Plan, run
from ccprune._pilot._search import narrow
from ccprune._util.checks import require_at_least
from ccprune.mask import prunable
from ccprune.mask._prunable import Chosen

__all__ = ["OutOfTime", "Pilot", "Recommendation", "pilot"]

# LEGCNet is among the default criteria up to so many weights and from so many records on.
_SMALL, _RECORDS_OF_LEGCNET = 20_000, 377


@dataclass(frozen=True, eq=False)
class Pilot:
    """Result of `pilot`. Notebooks display the recommendation and the table.

    Attributes
    ----------
    recommendation : Recommendation
    table : DataFrame
        One row per method, schedule and sparsity: validation, test and their differences from dense with intervals,
        operations, times, and whether the network is as_good as the dense one.
    runs : DataFrame
        One row per trained network.
    layers : DataFrame
        The metric after pruning one layer at a time. Columns layer, weights, sparsity, validation.
    folder : Path
        Folder of `index.html`, `pilot.json`, `table.csv`, `runs.csv`, `layers.csv`, `reasons.parquet` and, if a network
        is recommended, `pruned.safetensors`: that of the first seed, for `ccprune.export.load`.
    sentence : str
        The recommendation in words.
    search : dict or None
        With `search`: the chosen setting, its difference from dense on the search's samples and on the others
        (reported), and the first minus the second (optimism); repetitions, number of settings tried, and epochs spent.
    """

    recommendation: Recommendation
    table: pd.DataFrame
    runs: pd.DataFrame
    layers: pd.DataFrame
    folder: Path
    sentence: str
    search: dict[str, Any] | None = None

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
    pretrained: bool = False,
    seconds: float | None = None,
    search: float | None = None,
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
    with its explanation. Every network is stored in `folder`; the same call resumes an interrupted pilot.

    Parameters
    ----------
    make : callable, optional
        Maps a seed to a new model. It may be left out for tables, which then get a small multilayer perceptron.
    train, validation, test
        Each a pair (x, y) of tensors or arrays, an iterable of batches such as a DataLoader, a DataFrame, or the path
        of a CSV file. Tables are encoded (see `target`); with one table alone, 60% of its rows are for training and
        20% each for validation and test. Networks are compared on the validation samples. The recommended one is
        measured once more on the test samples.
    target : str, optional
        Column of a table that is predicted. A numeric column holds classes if it has at most 20 different values, all
        whole numbers. Otherwise it is a regression target and is standardised.
    optimizer : callable, optional
        Maps parameters to an optimiser; by default Adam with learning rate 0.003.
    fit : callable, optional
        Own training function (model, optimizer, epochs, recorder, seed). Where `recorder` is not None it must call
        ``recorder.before_step(loss)`` between the backward pass and the step and, if ``recorder.pairing`` is
        "same_batch", ``recorder.after_step(loss)`` after it, with the loss of the same mini-batch. Masks are enforced
        by the pilot.
    loss : callable, optional
        Maps (outputs, y) to the mean loss; by default cross-entropy for classes and squared error for numbers.
    metric : callable, optional
        Maps (model, x, y) to a number; by default accuracy for classes and R squared for numbers.
    better : {"larger", "smaller"}
        Which values of the metric are better.
    margin : float, optional
        Loss of the metric that is accepted. By default 0.01 for the default metrics; required with others.
    criteria : sequence of str, optional
        Names from `ccprune.criteria`; by default causal, magnitude, random and, for models of at most 20,000 weights,
        LEGCNet if there are enough records, with the gradual schedule in each recorded epoch.
    sparsities : sequence of float
        Pruned fractions of the prunable weights, in (0, 1).
    schedules : sequence of {"one_shot", "gradual"}
        Pruning at once, or in up to three rounds (at most one per epoch of `after`), between which the network is
        trained and scored again.
    seeds, seed : int
        Number of seeds, and the first of them.
    before, recorded, after : int
        Epochs before pruning, how many of these are recorded, and epochs after pruning (at least 2 with "gradual").
    batch_size : int
        For data that are not a loader.
    only, skip
        Weights that are pruned, and weights that are left out: modules, or names of modules or parameters.
    pretrained : bool
        Whether `make` returns a trained model, which may be the same for all seeds. These then only change the order of
        the samples and other random numbers in `before` and `after` epochs of further training.
    seconds : float, optional
        Time after which no new network is begun; not with `search`. The page is about the seeds that are complete.
    search : float, optional
        Share of the grid's epochs, in (0, 1), by which one criterion, schedule and sparsity are chosen (by Optuna)
        before the pilot, which then trains networks of these and, if they are among the criteria, of random masks. The
        choice uses other seeds and half of the validation samples, and the pilot the other half.
    workers : int
        Processes, which each train one seed at a time.
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
    TypeError, ValueError
        For an invalid argument, before any training: missing columns and values, classes that one part lacks, a
        factory that ignores its seed or gives different models for one, and a loss that is not finite in a trial.
    ImportError, OutOfTime
        If a package of the extra `pilot`, or of `search` for a search, is missing; if `seconds` end before one seed is
        complete.

    Examples
    --------
    >>> table = pd.DataFrame({"x": range(100), "target": [0, 1] * 50})
    >>> seconds = pilot(train=table, target="target", seeds=2, before=2, recorded=1, after=2, dry_run=True)
    >>> seconds > 0  # an estimate; without dry_run, found.recommendation.answer, and a page in the folder
    True
    """
    require_extra()
    folder = Path(folder)
    require_at_least(
        1, recorded=recorded, before=before, after=after, seeds=seeds, batch_size=batch_size, workers=workers
    )
    if recorded > before:
        raise ValueError(f"recorded must be at most before={before}, got {recorded}")
    check_grid(criteria, sparsities, schedules, after)
    check_options(margin, better, language, seconds, search, folder)
    device = torch.device("cpu") if make is None else check_factory(make, seed, pretrained=pretrained)
    data = load(train, validation, test, target=target, batch_size=batch_size, seed=seed, device=device)
    if metric is not None and margin is None:
        raise ValueError("margin must be given with a metric of your own, got None")
    if metric is None and better != "larger":
        raise ValueError(f"better must be 'larger' for the default metric, got {better!r}")
    metric = metric or (accuracy if data.classifies else r_squared)
    if make is None and data.features is None:
        raise ValueError("make must be given unless train is a table, got None")
    make = make or partial(_perceptron, len(data.features or ()), len(data.classes or "1"))
    weights = prunable(make(seed), only=only, skip=skip)
    # An epoch has one record less than steps, and one step less than `data.steps` if a single sample is left over. The
    # gradual schedule records one epoch for each new score.
    records = (1 if "gradual" in schedules else recorded) * (data.steps - 2)
    names = criteria or _default_criteria(weights, records)
    loss = loss or (cross_entropy if data.classifies else mse_loss)
    optimizer = optimizer or partial(torch.optim.Adam, lr=0.003)
    setting = Setting(make, optimizer, data.batches, loss, tuple(names), before, recorded, after, fit, only, skip)
    epoch, first_loss = trial(setting, data, metric, seed)
    if pretrained and trial(setting, data, metric, seed + 1)[1] == first_loss:
        raise ValueError("train must be shuffled with pretrained=True, because seeds otherwise change nothing")
    plan = Plan(
        setting,
        data,
        metric,
        range(seed, seed + seeds),
        tuple(sorted(map(float, sparsities))),
        tuple(schedules),
        folder,
        inputs=digest(setting, data, metric, weights, first_loss, seed),
        explained=explainable(make(seed), data.batch[0]),
        sign=1 if better == "larger" else -1,
        margin=0.01 if margin is None else margin,
        language=language,
        pretrained=pretrained,
    )
    if dry_run:
        whole = epoch * (before + after * len(plan.networks)) * seeds
        return whole if search is None else search * whole + epoch * (before + 3 * after) * seeds
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    plan, found_by = (plan, None) if search is None else narrow(plan, search, progress=progress)
    rows, layers = run(plan, workers=workers, seconds=seconds, progress=progress)
    table = tabulate(rows, margin=plan.margin, sign=plan.sign, bounds=bounds(metric))
    found = recommend(table, rows, layers, margin=plan.margin, sign=plan.sign)
    if found_by is not None:
        reported = float(table.loc[tuple(found_by["setting"].values()), "validation_difference"])
        found_by |= {"reported": reported, "optimism": found_by["difference"] - reported}
    sentence = sentences(plan, found)[0]
    result = Pilot(found, table, pd.DataFrame(rows), pd.DataFrame(layers), folder, sentence, found_by)
    write(plan, result)
    return result


def _default_criteria(weights: dict[str, nn.Parameter], records: int) -> tuple[str, ...]:
    small = sum(weight.numel() for weight in weights.values()) <= _SMALL and records >= _RECORDS_OF_LEGCNET
    return ("causal", "magnitude", "random", *(["legcnet"] if small else []))


def _perceptron(features: int, outputs: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, outputs))
