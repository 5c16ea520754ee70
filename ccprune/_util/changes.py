"""Check of recorded weight changes, which all stores share."""

from collections.abc import Mapping

from torch import Tensor

from ccprune._util.checks import differing

Shapes = dict[str, tuple[int, ...]]


def check_changes(delta_weights: Mapping[str, Tensor], like: Mapping[str, Tensor] | Shapes | None = None) -> Shapes:
    """Return the shapes of the changes, or raise TypeError or ValueError unless they fit `like`, tensors or shapes."""
    for name, change in delta_weights.items():
        if not isinstance(change, Tensor):
            raise TypeError(f"delta_weights[{name!r}] must be a Tensor, got {type(change).__name__}")
    got = {name: tuple(change.shape) for name, change in delta_weights.items()}
    if like is None:
        like = got
    expected = {name: tuple(one.shape) if isinstance(one, Tensor) else tuple(one) for name, one in like.items()}
    if not got or got != expected:
        raise ValueError(
            "delta_weights must have the names and shapes of the weights, at least one; they differ in "
            f"{differing(expected, got)}"
        )
    return got
