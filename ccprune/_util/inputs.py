"""Inputs and targets as users have them: tensors, tuples, mappings, or an iterable of batches of these."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn, uint8
from torch.nn.functional import cross_entropy

#: A tensor, a tuple of positional arguments, a mapping of keyword arguments, or batches (inputs, targets) of these.
Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any] | Iterable[Any]


def call(model: nn.Module, inputs: Any) -> Any:
    """Call the model with a tensor, with a tuple as positional arguments, or with a mapping as keyword arguments."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Return the value with every tensor in tuples, lists and mappings replaced by the function of it."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(function, one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        parts = [map_tensors(function, one) for one in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def raw_bytes(value: Tensor) -> bytes:
    """Return the bytes of a tensor's values, for hashes; by them NaN is equal to itself."""
    return value.detach().cpu().contiguous().reshape(-1).view(uint8).numpy().tobytes()


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors in a value."""
    found: list[Tensor] = []
    map_tensors(found.append, value)
    return found


def rows(value: Any, chosen: Any, *, count: int) -> Any:
    """Return a value with the chosen rows of every tensor that has `count` rows."""
    return map_tensors(lambda one: one[chosen] if one.ndim and len(one) == count else one, value)


def mean_loss(loss: Callable[[Any, Any], Tensor], outputs: Any, y: Any) -> Tensor:
    """Return the loss; raise TypeError if cross-entropy does not fit the outputs, ValueError if it is not a number."""
    if loss is cross_entropy and not (isinstance(outputs, Tensor) and isinstance(y, Tensor)):
        kinds = f"{type(outputs).__name__} and {type(y).__name__}"
        raise TypeError(f"loss must be given where outputs and y are not both Tensors, got {kinds}")
    value = loss(outputs, y)
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must give one number, got {got}")
    return value


def count_samples(value: Any) -> int:
    """Return the number of rows of the first tensor that is not a single number, or 0 without one."""
    return next((len(one) for one in tensors(value) if one.ndim), 0)


def batches(x: Any, y: Any = None, *, name: str = "x") -> Iterator[tuple[Any, Any]]:
    """Yield the batches (inputs, targets), each with at least one sample, or raise TypeError or ValueError.

    `x` holds inputs, with the targets `y`, or is an iterable of batches: of pairs (inputs, targets), or of inputs alone
    as tensors or mappings, whose targets are None.
    """
    if is_inputs(x):
        yield _check_pair(_plain(x), y, name)
        return
    if y is not None or isinstance(x, str) or not isinstance(x, Iterable):
        with_y = " together with y" if y is not None and isinstance(x, Iterable) else ""
        raise TypeError(
            f"{name} must be a Tensor, a tuple or mapping with tensors, or without y an iterable of batches (inputs, "
            f"targets), got {type(x).__name__}{with_y}"
        )
    empty = True
    for batch in x:
        pair = (batch, None) if isinstance(batch, Tensor | Mapping) else tuple(batch)
        if len(pair) > 2 or not pair:
            kinds = [type(one).__name__ for one in pair]
            raise TypeError(f"{name} must have batches (inputs, targets), got a batch of {kinds}")
        inputs, targets = pair if len(pair) == 2 else (pair[0], None)
        if not isinstance(inputs, Tensor) or len(inputs):
            yield _check_pair(_plain(inputs), targets, name)
            empty = False
    if empty:
        raise ValueError(f"{name} must hold at least one sample, got no batch with one")


def is_inputs(x: Any) -> bool:
    """Return whether `x` holds the inputs of one batch; an iterable of batches is neither tuple nor mapping."""
    return isinstance(x, Tensor | Mapping | tuple) or (isinstance(x, list) and bool(x) and isinstance(x[0], Tensor))


def first_inputs(x: Any, *, name: str) -> Any:
    """Return the inputs of the first batch."""
    return next(batches(x, name=name))[0]


def _plain(inputs: Any) -> Any:
    """Return inputs as a tensor, a tuple or a dict. A list, which a DataLoader makes of a tuple, becomes a tuple."""
    inputs = map_tensors(lambda one: one, inputs)
    return tuple(inputs) if isinstance(inputs, list) else inputs


def _check_pair(inputs: Any, y: Any, name: str) -> tuple[Any, Any]:
    if not tensors(inputs):
        raise TypeError(f"{name} must have inputs with at least one Tensor, got {type(inputs).__name__} without one")
    count, labels = count_samples(inputs), count_samples(y)
    if tensors(y) and (count != labels or not count):
        parts = "x and y must have" if name == "x" else f"{name} must have inputs and targets of"
        raise ValueError(f"{parts} the same length, at least 1, got {count} and {labels}")
    if not count:
        raise ValueError(f"{name} must hold at least one sample")
    return inputs, y
