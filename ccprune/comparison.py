"""Comparison of criteria with equal training budgets, on the user's model and data: `compare`."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ccprune import criteria as registry
from ccprune import training as minibatch
from ccprune._util.batches import Shuffled
from ccprune._util.checks import at_least
from ccprune._util.inputs import samples, tensors
from ccprune._util.modes import copied
from ccprune.mask import ALLOCATIONS, Mask
from ccprune.scores.reconstruction import reconstruct
from ccprune.stats import mean_interval, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Samples = tuple[Any, Any]
Loss = Callable[[Any, Any], Tensor]
DENSE = "dense"
_UPDATE = " + update"
_CALIBRATION = 16  # mini-batches


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of `compare`. Notebooks display `table`.

    Attributes
    ----------
    runs : DataFrame
        One row per method, sparsity and seed. The columns are method (criterion, or "dense"), sparsity (requested),
        seed, achieved (sparsity of the mask), and the measured value, whose column has the name in `metric`.
    table : DataFrame
        One row per method and sparsity. The columns mean, low and high are those of `stats.mean_interval` over n seeds.
        The columns difference, difference_low, difference_high and p_value are those of `stats.paired_difference`: the
        method's value minus that of `reference` at the same seed and sparsity. One seed has no interval and no p-value.
    reference : str
        Method with which the others are compared.
    metric : str
        Name of the measured quantity.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    reference: str
    metric: str

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


def accuracy(model: nn.Module, x: Any, y: Tensor) -> float:
    """Return the fraction of samples whose largest output is that of their class, in eval mode."""
    return minibatch.evaluate(model, x, y, normalise=lambda part: part).accuracy


def compare(
    make: Callable[[int], nn.Module],
    train: Samples,
    test: Samples,
    *,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    criteria: Sequence[str] = ("causal", "squared_updates", "magnitude", "random"),
    sparsities: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    allocation: str = "global",
    seeds: int = 3,
    before: int = 5,
    recorded: int = 1,
    after: int = 5,
    batch_size: int = 64,
    loss: Loss = cross_entropy,
    metric: Callable[[nn.Module, Any, Any], float] = accuracy,
    reference: str = "magnitude",
    seed: int = 0,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
    updated: Collection[str] = (),
) -> Comparison:
    """Prune one model by several criteria to the same sparsities, with the same number of training steps for each.

    For each seed, a network is trained for `before` epochs, the last of which are recorded for all criteria at once.
    Copies of the network and of its optimiser are pruned in one shot, and trained under the mask for
    `after` more epochs. One copy, "dense", is not pruned and is trained equally long. All copies are trained on the
    same mini-batches.

    Parameters
    ----------
    make : callable
        Maps a seed to a fresh model on the data's device.
    train, test : (x, y)
        Tensors with one row per sample, in the form that the model and the loss take. Each of x and y may also be a
        tuple or mapping of Tensors; those of x are the model's positional or keyword arguments.
    optimizer : callable
        Maps parameters to an optimiser, such as ``lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)``.
    criteria : sequence of str
        Names from `ccprune.criteria`. Criteria that store a row per step need steps x weights x 4 bytes.
    sparsities : sequence of float
        Pruned fractions of the prunable weights, in [0, 1].
    allocation : str, default "global"
        How each sparsity is allocated to the layers, as in `Mask.from_scores`.
    seeds, seed : int
        Number of seeds, and the first of them. The seeds seed, seed + 1, ... determine the model, the order of the
        samples, and the random numbers of training and criteria.
    before, after : int
        Number of epochs before and after pruning; `before` is at least 1 and `after` at least 0.
    recorded : int
        Number of recorded epochs, the last of `before`.
    batch_size : int
        Samples in a mini-batch.
    loss : callable
        Maps (outputs, y) to the mean loss.
    metric : callable
        Maps (model, x, y) to the compared quantity. It is computed on the test part.
    reference : str
        The criterion, "dense", or row of `updated`, with which the others are compared.
    only, skip : collection of str
        Names of the weights that are pruned, and of those that are not, as in `mask.prunable`.
    updated : collection of str
        Those criteria that have a second row, "NAME + update", in which the remaining weights are corrected before any
        further training, by `scores.reconstruction.reconstruct` on 16 mini-batches.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, before any training. A ValueError is also raised if training diverges.
    """
    sparsities = np.ravel(np.asarray(sparsities, dtype=object)).tolist()  # a sequence, an array or one number
    _check(train, test, criteria, sparsities, reference, updated)
    if allocation not in ALLOCATIONS:
        raise ValueError(f"allocation must be one of {ALLOCATIONS}, got {allocation!r}")
    at_least(1, seeds=seeds, before=before, recorded=recorded, batch_size=batch_size)
    at_least(0, after=after)
    if recorded > before:
        raise ValueError(f"recorded must be at most before={before}, got {recorded}")
    rows = []
    for one in range(seed, seed + seeds):
        batches = Shuffled(*train, batch_size, seed=1_000_003 * one)
        model = make(one)
        begin = optimizer(model.parameters())
        fit = partial(minibatch.fit, model, optimizer=begin, loss=loss, seed=one)
        if before > recorded:
            fit(batches, epochs=before - recorded)
        with registry.Recording(model, begin, criteria, only=only, skip=skip) as recording:
            fit(batches.after(before - recorded), epochs=recorded, recorder=recording)
        x, y = next(iter(batches(0)))
        score = partial(
            registry.score, only=only, skip=skip, x=x, y=y, loss=loss, lr=begin.param_groups[0]["lr"], seed=one
        )
        for name in (DENSE, *criteria):
            masks: list[Mask | None] = [None]  # the dense network is trained once and compared at every sparsity
            if name != DENSE:
                cut = partial(Mask.from_scores, score(name, model, store=recording.stores.get(name)))
                masks = [cut(sparsity=sparsity, allocation=allocation) for sparsity in sparsities]
            for label in (name, name + _UPDATE) if name in updated else (name,):
                # Of the same mini-batches for every mask, the first of which the scores use too.
                inputs = None if label == name else [*islice(batches(0), _CALIBRATION)]
                results = [
                    _trained_on(model, begin, optimizer, mask, inputs, batches.after(before), after, loss, one)
                    for mask in masks
                ]
                values = [_measured(metric, *pair, test) for pair in zip(results, masks, strict=True)]
                achieved = [0.0 if mask is None else mask.sparsity for mask in masks]
                if name == DENSE:
                    values, achieved = values * len(sparsities), achieved * len(sparsities)
                rows += [(label, *row) for row in zip(sparsities, [one] * len(values), achieved, values, strict=True)]
    measured = getattr(metric, "__name__", "metric")
    runs = pd.DataFrame(rows, columns=["method", "sparsity", "seed", "achieved", measured])
    return Comparison(runs, _table(runs, measured, reference), reference, measured)


def _trained_on(
    model: nn.Module,
    state: Optimizer,
    make_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    mask: Mask | None,
    calibration: Iterable[Any] | None,
    batches: Shuffled,
    epochs: int,
    loss: Loss,
    seed: int,
) -> nn.Module:
    """Return a copy of the model, pruned, corrected, and trained further with a copy of the optimiser's state."""
    branch = copied(model)
    if mask is not None and calibration is not None:
        reconstruct(branch, mask, calibration)
    elif mask is not None:
        mask.apply_(branch)
    if epochs:
        own = make_optimizer(branch.parameters())
        own.load_state_dict(copy.deepcopy(state.state_dict()))
        minibatch.fit(branch, batches, epochs=epochs, optimizer=own, loss=loss, mask=mask, seed=seed)
    return branch


def _measured(
    metric: Callable[[nn.Module, Any, Any], float], model: nn.Module, mask: Mask | None, test: Samples
) -> float:
    """Return the metric of a model, or raise ValueError if the model does not have the mask."""
    violations = 0 if mask is None else int(mask.check(model).loc["all", "violations"])
    if violations:
        raise ValueError(f"optimizer must keep pruned weights at zero under a mask, got {violations} that are not")
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
    train: Samples,
    test: Samples,
    criteria: Sequence[str],
    sparsities: Sequence[float],
    reference: str,
    updated: Collection[str],
) -> None:
    for name, part in (("train", train), ("test", test)):
        if len(part) != 2 or not all(isinstance(value, Tensor | tuple | Mapping) and tensors(value) for value in part):
            raise TypeError(f"{name} must be a pair of Tensors (x, y), or of tuples or mappings of them")
        lengths = {len(value) if value.ndim else 0 for value in tensors(part)}
        if len(lengths) > 1 or 0 in lengths:
            got = " and ".join(str(samples(value)) for value in part)
            raise ValueError(f"{name} must have as many x as y, at least 1, got {got}")
    known = registry.registered()
    unknown = [name for name in criteria if name not in known]
    if isinstance(criteria, str) or not criteria or unknown or len(set(criteria)) < len(criteria):
        raise ValueError(f"criteria must be different names from {sorted(known)}, got {criteria!r}")
    if isinstance(updated, str) or not set(updated) <= set(criteria):
        raise ValueError(f"updated must be some of criteria={criteria}, got {updated!r}")
    if reference not in (shown := [DENSE, *criteria, *(name + _UPDATE for name in updated)]):
        raise ValueError(f"reference must be one of {shown}, got {reference!r}")
    numbers = all(isinstance(sparsity, Real) and 0 <= sparsity <= 1 for sparsity in sparsities)
    if not sparsities or not numbers or len(set(sparsities)) < len(sparsities):
        raise ValueError(f"sparsities must be different numbers in [0, 1], got {sparsities!r}")
