"""Rows of features made from records, and the columns of each weight in them.

A row holds the features of the Granger-Lasso, the squared changes of all weights, together with the change of the loss.
With momentum there are three features per weight, from two consecutive steps: dtheta_t^2, dtheta_{t+1}^2 and
dtheta_t dtheta_{t+1}. The loss change is then that of the later step (Shah et al., 2024). Rows hold these features and
not dtheta, so that a file larger than memory is the regression's matrix without conversion.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ccprune._util.changes import check_changes


@dataclass(frozen=True)
class RowLayout:
    """Columns of each weight in a row.

    With `momentum` there are three features per weight: all dtheta_t^2, then all dtheta_{t+1}^2, then all products.

    Attributes
    ----------
    shapes : mapping of name to shape
        Shapes of the weights, in the order of their columns.
    momentum : bool, default False

    Examples
    --------
    >>> layout = RowLayout({"a": (2, 2), "b": (3,)})
    >>> layout.columns, layout.width
    ({'a': slice(0, 4, None), 'b': slice(4, 7, None)}, 7)
    """

    shapes: Mapping[str, tuple[int, ...]]
    momentum: bool = False

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Columns {name: slice} of each weight tensor among the P weights, flattened in row-major order."""
        found, first = {}, 0
        for name, shape in self.shapes.items():
            found[name] = slice(first, first + math.prod(shape))
            first = found[name].stop
        return found

    @property
    def weights(self) -> int:
        """Number of weights, P."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def width(self) -> int:
        """Number of features in a row, which is P, or 3 P with momentum."""
        return self.weights * (3 if self.momentum else 1)

    def tensors(self, values: Tensor) -> dict[str, Tensor]:
        """Return values (width,) as {name: Tensor of the weight's shape}, or (3, *shape) with momentum."""
        if values.shape != (self.width,):
            raise ValueError(f"values must have shape ({self.width},), got {tuple(values.shape)}")
        leading = (3,) if self.momentum else ()
        rows = values.reshape(*leading, self.weights)
        return {name: rows[..., part].reshape(*leading, *self.shapes[name]) for name, part in self.columns.items()}


class Rows:
    """Base class of `InMemory` and `MemoryMapped` that converts records into rows of features, which these store.

    Parameters
    ----------
    momentum : bool
        Whether a row has the features of two consecutive steps (see `RowLayout`), or dtheta_t^2 only.
    """

    def __init__(self, momentum: bool) -> None:
        self._momentum = momentum
        self._layout: RowLayout | None = None
        self._previous: Tensor | None = None

    @property
    def layout(self) -> RowLayout:
        """Columns and shapes; before the first record, a ValueError is raised."""
        if self._layout is None:
            raise ValueError("the store holds no records")
        return self._layout

    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Append a row, or raise ValueError for names or shapes other than those of the first record."""
        shapes = check_changes(delta_weights, None if self._layout is None else self._layout.shapes)
        if self._layout is None:
            self._layout = RowLayout(shapes, self._momentum)
        row = torch.cat([change.flatten() for change in delta_weights.values()])
        if not self._momentum:
            self._append(delta_loss, row.square_())
            return
        previous, self._previous = self._previous, row
        if previous is not None:
            self._append(delta_loss, torch.cat([previous.square(), row.square(), previous * row]))

    def restart(self) -> None:
        """Note that the next record does not follow the last, so that no features are made from the two."""
        self._previous = None

    def _append(self, delta_loss: Tensor, row: Tensor) -> None:
        raise NotImplementedError
