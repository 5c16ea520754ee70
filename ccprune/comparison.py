"""Comparison of criteria with equal training budgets, on the user's model and data: `compare`."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ccprune import criteria as registry
from ccprune._pilot._data import gather, training_batches
from ccprune._pilot._engine import SCHEDULES, Fit, Setting, branch, start
from ccprune._pilot._metrics import accuracy
from ccprune._util.checks import require_at_least, require_one_of
from ccprune.mask import ALLOCATIONS
from ccprune.stats import mean_interval, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Samples = tuple[Any, Any]
Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[nn.Module, Any, Any], float]
DENSE = "dense"
_GRADUAL, _UPDATE = ", gradual", " + update"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of `compare`. Notebooks display `table`.

    Attributes
    ----------
    runs : DataFrame
        One row per method, sparsity and seed. The columns are method (criterion, or "dense"), sparsity (requested),
        seed, achieved (sparsity of the mask), and the measured values by the names of the metrics.
    table : DataFrame
        One row per method and sparsity. Columns: mean with its interval, low and high, over n seeds; difference, the
        method's value minus that of `reference` at the same seed and sparsity, with its interval and p_value (see
        `stats.paired_difference`). One seed has no interval and no p-value.
    reference, metric : str
        Method with which the others are compared, and name of the quantity in `table`.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    reference: str
    metric: str

    def with_metric(self, metric: str) -> "Comparison":
        """Return the same comparison by another of its metrics, or raise ValueError if it was not measured."""
        if metric not in self.runs or metric in ("method", "sparsity", "seed", "achieved"):
            raise ValueError(f"metric must be one of {list(self.runs.columns[4:])}, got {metric!r}")
        return Comparison(self.runs, _table(self.runs, metric, self.reference), self.reference, metric)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the mean over seeds against sparsity, one line per method, with the range of the seeds shaded."""
        from matplotlib import pyplot as plt  # slow to import

        ax = ax or plt.subplots(figsize=(8.0, 4.2), layout="constrained")[1]
        methods = sorted(self.runs.method.unique(), key=lambda name: name == DENSE)  # stable sort, dense last
        for method, marker in zip(methods, "osD^vP*Xh" * 9, strict=False):
            values = self.runs[self.runs.method == method].groupby("sparsity")[self.metric]
            mean = values.mean()
            (line,) = ax.plot(mean.index, mean, ":" if method == DENSE else "-", marker=marker, label=method)
            ax.fill_between(mean.index, values.min(), values.max(), color=line.get_color(), alpha=0.15, lw=0)
        # The unit of a user's metric is unknown.
        label = "accuracy (share)" if self.metric == accuracy.__name__ else self.metric.replace("_", " ")
        ax.set(xlabel="sparsity", ylabel=f"{label}\nmean of n = {self.runs.seed.nunique()} seeds, range shaded")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        return ax

    def _repr_html_(self) -> str:
        return self.table.to_html(float_format=lambda value: f"{value:.4g}")

    def __str__(self) -> str:
        return self.table.to_string(float_format=lambda value: f"{value:.4g}")


def compare(
    make: Callable[[int], nn.Module],
    train: Any,
    test: Any,
    *,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    fit: Fit | None = None,
    criteria: Sequence[str] = ("causal", "squared_updates", "magnitude", "random"),
    sparsities: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    allocation: str = "global",
    schedules: Sequence[str] = ("one_shot",),
    seeds: int = 3,
    before: int = 5,
    recorded: int = 1,
    after: int = 5,
    batch_size: int = 64,
    loss: Loss = cross_entropy,
    metric: Metric | Sequence[Metric] = accuracy,
    reference: str = "magnitude",
    seed: int = 0,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
    reconstruct: Collection[str] = (),
) -> Comparison:
    """Prune one model by several criteria to the same sparsities, with the same number of training steps for each.

    For each seed, a network is trained for `before` epochs, the last of which are recorded for all criteria at once.
    Copies of the network and of its optimiser are pruned, and trained under the mask for `after` more epochs, on the
    same mini-batches. One copy, "dense", is not pruned and is trained equally long.

    Parameters
    ----------
    make : callable
        Maps a seed to a fresh model on the data's device.
    train, test : (x, y), or iterable of batches (x, y)
        Tensors or arrays with one row per sample, in the form that the model and the loss take, or an iterable of
        batches such as a DataLoader. Each of x and y may also be a tuple or mapping of Tensors; those of x are the
        model's positional or keyword arguments.
    optimizer : callable
        Maps parameters to an optimiser, such as ``lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)``.
    fit : callable, optional
        Own training function (model, optimizer, epochs, recorder, seed), see `pilot`.
    criteria : sequence of str
        Names from `ccprune.criteria`. Criteria that store a row per step need steps x weights x 4 bytes.
    sparsities : sequence of float
        Pruned fractions of the prunable weights, in [0, 1].
    allocation : str, default "global"
        How each sparsity is allocated to the layers: "global", "uniform", "erk" or "lamp", see `Mask.from_scores`.
    schedules : sequence of {"one_shot", "gradual"}
        Pruning at once, or in up to three rounds (at most one per epoch after pruning) with training and new scores
        between them, whose rows are "NAME, gradual".
    seeds, seed : int
        Number of seeds, and the first of them: of the model, the order of the samples, and all random numbers.
    before, recorded, after : int
        Numbers of epochs before pruning (at least 1), of these that are recorded (the last ones, at least 1), and after
        pruning (at least 0).
    batch_size : int
        Samples in a mini-batch.
    loss : callable
        Maps (outputs, y) to the mean loss.
    metric : callable, or sequence of callables
        Maps (model, x, y) to the compared quantity. It is computed on the test part. Of several, the table shows the
        first, and `Comparison.with_metric` the others.
    reference : str
        The row, such as a criterion or "dense", with which the others are compared.
    only, skip : collection of str
        Modules or parameters whose weights are pruned, and those whose weights are not.
    reconstruct : collection of str
        Those criteria that have a second row, "NAME + update", in which `scores.reconstruction.reconstruct` corrects
        the remaining weights, on 16 mini-batches, before any further training.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, before any training. A ValueError is also raised if training diverges.

    Examples
    --------
    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> y = (x[:, 0] > 0).long()
    >>> found = compare(
    ...     lambda seed: nn.Linear(2, 2), (x[:40], y[:40]), (x[40:], y[40:]), criteria=["magnitude", "random"],
    ...     optimizer=lambda p: torch.optim.SGD(p, lr=0.1), sparsities=[0.5], seeds=2, before=1, after=1,
    ... )
    >>> sorted(found.runs["method"].unique()), len(found.runs)  # two seeds
    (['dense', 'magnitude', 'random'], 6)
    """
    sparsities = np.ravel(np.asarray(sparsities, dtype=object)).tolist()  # a sequence, an array or one number
    metrics = {getattr(one, "__name__", "metric"): one for one in ([metric] if callable(metric) else metric)}
    _check(criteria, sparsities, schedules, reference, reconstruct)
    require_one_of(ALLOCATIONS, allocation=allocation)
    require_at_least(1, seeds=seeds, before=before, recorded=recorded, batch_size=batch_size)
    require_at_least(0, after=after)
    if recorded > before:
        raise ValueError(f"recorded must be at most before={before}, got {recorded}")
    batches, held = training_batches(train, batch_size), gather(test, "test")
    setting = Setting(make, optimizer, batches, loss, criteria, before, recorded, after, fit, only, skip, allocation)
    rows = []
    for one in range(seed, seed + seeds):
        begin = start(setting, one)
        dense = branch(setting, begin, one, None)  # trained once, and compared at every sparsity
        values = [_measure(of, dense.model, held) for of in metrics.values()]
        rows += [(DENSE, sparsity, one, 0.0, *values) for sparsity in sparsities]
        for name, schedule, sparsity in product(criteria, schedules, sparsities):
            for place, label in enumerate(_labels(name, schedule, reconstruct)):
                found = branch(setting, begin, one, name, sparsity=sparsity, schedule=schedule, corrected=bool(place))
                values = [_measure(of, found.model, held) for of in metrics.values()]
                rows.append((label, sparsity, one, found.mask.sparsity if found.mask else 0.0, *values))
    runs = pd.DataFrame(rows, columns=["method", "sparsity", "seed", "achieved", *metrics])
    measured = next(iter(metrics))
    return Comparison(runs, _table(runs, measured, reference), reference, measured)


def _measure(metric: Metric, model: nn.Module, test: Samples | None) -> float:
    assert test is not None
    value = metric(model, *test)
    return value.item() if isinstance(value, Tensor) else float(value)


def _table(runs: pd.DataFrame, metric: str, reference: str) -> pd.DataFrame:
    rows = []
    wide = runs.pivot(index="seed", columns=["method", "sparsity"], values=metric)
    for method, sparsity in wide.columns:
        values, other = wide[method, sparsity].to_numpy(), wide[reference, sparsity].to_numpy()
        row = {"method": method, "sparsity": sparsity, "n": len(values), "mean": values.mean()}
        if len(values) > 1:
            interval = mean_interval(values)
            row |= {"low": interval.low, "high": interval.high}
        if method != reference:
            row["difference"] = (values - other).mean()
            if len(values) > 1:
                test = paired_difference(values, other)
                row |= {"difference_low": test.low, "difference_high": test.high, "p_value": test.p_value}
        rows.append(row)
    return pd.DataFrame(rows).set_index(["method", "sparsity"])


def _check(
    criteria: Sequence[str],
    sparsities: Sequence[float],
    schedules: Sequence[str],
    reference: str,
    reconstruct: Collection[str],
) -> None:
    known = registry.list_criteria()
    unknown = [name for name in criteria if name not in known]
    if isinstance(criteria, str) or not criteria or unknown or len(set(criteria)) < len(criteria):
        raise ValueError(f"criteria must be different names from {sorted(known)}, got {criteria!r}")
    if isinstance(schedules, str) or not schedules or not set(schedules) <= set(SCHEDULES):
        raise ValueError(f"schedules must be some of {SCHEDULES}, got {schedules!r}")
    if isinstance(reconstruct, str) or not set(reconstruct) <= set(criteria):
        raise ValueError(f"reconstruct must be some of criteria={criteria}, got {reconstruct!r}")
    shown = [DENSE]
    for name, schedule in product(criteria, schedules):
        shown += _labels(name, schedule, reconstruct)
    if reference not in shown:
        raise ValueError(f"reference must be one of {shown}, got {reference!r}")
    numbers = all(isinstance(sparsity, Real) and 0 <= sparsity <= 1 for sparsity in sparsities)
    if not sparsities or not numbers or len(set(sparsities)) < len(sparsities):
        raise ValueError(f"sparsities must be different numbers in [0, 1], got {sparsities!r}")


def _labels(name: str, schedule: str, reconstruct: Collection[str]) -> list[str]:
    """Return the names of a criterion's rows: as it is, and with corrected weights."""
    label = name + (_GRADUAL if schedule == "gradual" else "")
    return [label, label + _UPDATE] if name in reconstruct else [label]
