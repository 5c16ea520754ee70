"""Measured time of a network without a mask, with a mask, and with sparse layers.

A dense kernel multiplies zeros like any other number, and `Mask.enforce` adds work to every training step. Fewer
operations save time only if a kernel skips them; `sparse` creates a network with such kernels.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ccprune._util.checks import require_at_least
from ccprune._util.inputs import Inputs, call, first_inputs, mean_loss, tensors
from ccprune._util.modes import copy_model, eval_mode
from ccprune.mask import Mask
from ccprune.measure._sparse import SparseLinear, sparse

__all__ = ["FORMS", "SparseLinear", "Timing", "compare", "inference", "inferences", "sparse"]

Loss = Callable[[Any, Any], Tensor]
FORMS = ("dense", "masked", "sparse")


@dataclass(frozen=True)
class Timing:
    """Wall times of a repeated call, of which `inference` returns one.

    Attributes
    ----------
    seconds : tuple of float
        Times in order. Other load can only add time, so that a mean would mislead: take the median.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median in seconds."""
        return float(np.median(self.seconds))

    @property
    def low(self) -> float:
        """First quartile in seconds."""
        return float(np.quantile(self.seconds, 0.25))

    @property
    def high(self) -> float:
        """Third quartile in seconds."""
        return float(np.quantile(self.seconds, 0.75))


def inference(model: nn.Module, example: Inputs, *, repeats: int = 100, warmup: int = 10) -> Timing:
    """Time a forward pass over one batch, in eval mode and without gradients.

    Each call is timed until it has finished on the device.

    Parameters
    ----------
    model : Module
        Left unchanged.
    example : Tensor (n, ...), tuple, mapping, or iterable of batches
        A tensor, a tuple of positional or a mapping of keyword arguments of the model; of batches, the first is taken.
    repeats, warmup : int, default 100 and 10
        Number of timed calls, and of untimed calls before them.

    Examples
    --------
    >>> found = inference(nn.Linear(8, 4), torch.ones(1, 8), repeats=5)
    >>> len(found.seconds), 0 < found.low <= found.median <= found.high
    (5, True)
    """
    return inferences({"": model}, example, repeats=repeats, warmup=warmup)[""]


def inferences(
    models: Mapping[str, nn.Module], example: Inputs, *, repeats: int = 100, warmup: int = 10
) -> dict[str, Timing]:
    """Time `inference` of several models, which alternate call by call, so that other load affects all equally.

    Parameters
    ----------
    models : mapping of name to Module
    example : Tensor (n, ...), tuple, mapping, or iterable of batches
        Batch that each of the models takes.
    repeats, warmup : int, default 100 and 10
        Number of timed calls of each model, and of untimed calls before them.

    Examples
    --------
    >>> found = inferences({"small": nn.Linear(8, 1), "large": nn.Linear(8, 64)}, torch.ones(1, 8), repeats=5)
    >>> {name: len(timing.seconds) for name, timing in found.items()}
    {'small': 5, 'large': 5}
    """
    inputs = first_inputs(example, name="example")
    with ExitStack() as stack, torch.no_grad():
        for model in models.values():
            stack.enter_context(eval_mode(model))
        passes = {name: partial(call, model, inputs) for name, model in models.items()}
        return _time_calls(passes, tensors(inputs)[0].device, repeats, warmup)


def compare(
    model: nn.Module,
    mask: Mask,
    x: Any,
    y: Any,
    *,
    forms: Sequence[str] = FORMS,
    loss: Loss = cross_entropy,
    repeats: int = 100,
    warmup: int = 10,
) -> pd.DataFrame:
    """Time `inference` and a step of SGD (forward, backward, update) on one batch, for copies of the model.

    The forms alternate call by call, in changing order, so that other load on the machine affects all forms equally.
    The learning rate is 0, which needs the same work and makes all steps equal.

    Parameters
    ----------
    model : Module
        Left unchanged.
    mask : Mask
        Of the forms "masked" and "sparse".
    x, y : Tensor (n, ...), Tensor
        Batch on the model's device; x may be a tuple or mapping of the model's arguments, y what else `loss` takes.
    forms : sequence of str, default `FORMS`
        "dense" (the model without the mask) and any of "masked" (the same tensors with zeros, enforced in training) and
        "sparse" (see `sparse`).
    loss : callable
        Maps (outputs, y) to the mean loss.
    repeats, warmup : int, default 100 and 10
        Number of timed calls of each form, and of untimed calls before them.

    Returns
    -------
    DataFrame
        Columns task ("inference", "training step"), form, median, low and high (quartiles, seconds), n (timed calls),
        relative (median over the dense form's median in the same task).

    Raises
    ------
    ValueError
        For an invalid argument, with its name, and as `sparse`.

    Examples
    --------
    >>> from ccprune import prune, score
    >>> model = nn.Sequential(nn.Linear(8, 4))
    >>> mask = prune(model, score("magnitude", model), sparsity=0.75)
    >>> found = compare(model, mask, torch.ones(2, 8), torch.tensor([0, 1]), repeats=3)
    >>> sorted(set(found["form"])), found["n"].unique().tolist()
    (['dense', 'masked', 'sparse'], [3])
    """
    if not set(forms) <= set(FORMS) or "dense" not in forms:
        raise ValueError(f"forms must be 'dense' and any others of {FORMS}, got {tuple(forms)}")
    make = {
        "dense": lambda: copy_model(model),
        "masked": lambda: mask.apply_(copy_model(model)),
        "sparse": lambda: sparse(model, mask),
    }
    networks = {form: make[form]() for form in forms}
    found = {"inference": inferences(networks, x, repeats=repeats, warmup=warmup)}
    enforced = {"masked": mask}
    steps = {form: _step(network, x, y, enforced.get(form), loss) for form, network in networks.items()}
    found["training step"] = _time_calls(steps, tensors(x)[0].device, repeats, warmup)
    rows = [
        (task, form, timing.median, timing.low, timing.high, repeats, timing.median / timings["dense"].median)
        for task, timings in found.items()
        for form, timing in timings.items()
    ]
    return pd.DataFrame(rows, columns=["task", "form", "median", "low", "high", "n", "relative"])


def _step(model: nn.Module, x: Any, y: Any, mask: Mask | None, loss: Loss) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    if mask is not None:
        mask.enforce(model, optimizer)

    def step() -> None:
        optimizer.zero_grad()
        mean_loss(loss, call(model, x), y).backward()
        optimizer.step()

    return step


def _time_calls(
    calls: Mapping[str, Callable[[], object]], device: torch.device, repeats: int, warmup: int
) -> dict[str, Timing]:
    require_at_least(1, repeats=repeats)
    require_at_least(0, warmup=warmup)
    on_cuda = device.type == "cuda"
    wait = partial(torch.cuda.synchronize, device) if on_cuda else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    with torch.random.fork_rng([device] if on_cuda else []):  # dropout draws random numbers
        # The order changes, because a call is slightly slower after one that filled the caches with other data.
        for order in itertools.islice(itertools.cycle(itertools.permutations(calls)), warmup + repeats):
            for name in order:
                wait()  # timeit(1) of torch.utils.benchmark makes two extra calls before each timed one
                start = time.perf_counter()
                calls[name]()
                wait()
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values[warmup:])) for name, values in seconds.items()}
