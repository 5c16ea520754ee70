"""Models as functions of detached weights, float32 at least, for the computation of scores."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import join_first
from ccprune._util.inputs import batches, call, map_tensors, tensors
from ccprune._util.modes import decompose_layers, eval_mode, replaced
from ccprune.mask import prunable, unwrap


class FunctionalModel:
    """The model as a function of its prunable weights; tied tensors occur once, narrower types than `dtype` widened.

    `weights` are detached, under the names of `mask.prunable`. `rest` has all other parameters, and copies of the
    buffers, by the `id` of the model's tensor.
    """

    def __init__(self, model: nn.Module, *, dtype: torch.dtype = torch.float32) -> None:
        self.model = unwrap(model)
        weights = prunable(self.model)
        self._ids = {name: id(weight) for name, weight in weights.items()}
        self.weights = {name: widen(weight, dtype) for name, weight in weights.items()}
        scored = set(self._ids.values())
        parameters = {id(value): value for value in self.model.parameters() if id(value) not in scored}
        buffers = {id(value): value.clone() for value in self.model.buffers()}
        self.rest = {key: widen(value, dtype) for key, value in (parameters | buffers).items()}

    def __call__(self, weights: Mapping[str, Tensor], x: Any) -> Any:
        """Return the outputs for inputs x with these weights, or raise ValueError if x is on no device of the model."""
        devices = {str(parameter.device) for parameter in self.model.parameters()}
        for value in tensors(x):
            if str(value.device) not in devices:
                raise ValueError(f"x must be on the model's device {', '.join(sorted(devices))}, got {value.device}")
        with replaced(self.model, self.rest | {self._ids[name]: weight for name, weight in weights.items()}):
            return call(self.model, x)


@contextmanager
def eager_eval(model: nn.Module) -> Iterator[None]:
    """Set eval mode, run compiled parts without compilation, and use kernels that have second derivatives."""
    with ExitStack() as stack:
        stack.enter_context(eval_mode(model))
        # Compiled code has no second derivatives and would be recompiled for other weights. The stance is set only
        # where it is needed, because torch's compiler takes seconds to import.
        if any("_orig_mod" in module._modules or module._compiled_call_impl for module in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(decompose_layers(model))
        yield


def widen(value: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the detached value, in `dtype` if it has a narrower floating-point type. Integers are not converted."""
    value = value.detach()
    return value.to(torch.promote_types(value.dtype, dtype)) if value.is_floating_point() else value


def widened_batches(x: Any, y: Any = None) -> Iterator[tuple[Any, Any]]:
    """Yield batches (inputs, targets) with inputs of float32 at least."""
    for inputs, targets in batches(x, y):
        yield map_tensors(widen, inputs), targets


class Mean:
    """Mean of tensors over batches, weighted by their sizes; with one batch it is that batch's, bit for bit."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []
        self.count = 0

    def add(self, values: Sequence[Tensor], count: int) -> None:
        """Add the means of a batch of `count` samples."""
        self.count += count
        if not self.values:
            self.values = [value.detach() for value in values]
            return
        for mean, value in zip(self.values, values, strict=True):
            mean += (value.detach() - mean) * (count / self.count)


def require_called(names: Iterable[str], called: Container[str]) -> None:
    """Raise ValueError with the names of weights that are not among those whose layers were called."""
    if silent := [name for name in names if name not in called]:
        raise ValueError(
            f"model's {join_first(silent)} were not used by calling their layers: leave them out with skip"
        )


def finite(score: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the scores, or raise ValueError with the name of a parameter if one is NaN or infinite."""
    for name, value in score.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"model's {name!r} must have finite scores: its weights, the data or the loss are not")
    return dict(score)
