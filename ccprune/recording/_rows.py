"""Records turned into rows of features, and which columns belong to which weight.

A row holds what the Granger-Lasso regresses on: the squared change of every weight, with the change of the loss beside
it. With momentum there are three features per weight, of two steps that follow each other: dtheta_t^2, dtheta_{t+1}^2
and dtheta_t dtheta_{t+1}, and the loss change is that of the later step (Shah et al., 2024). Rows hold these features
and not dtheta, so that a file larger than memory is the regression's matrix as it stands; a change of 1e-12 has a
square of 1e-24, far above the smallest float32, 1e-38.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ccprune._util.changes import check_changes


@dataclass(frozen=True)
class Layout:
    """Which columns belong to which weight.

    Attributes: shapes ({name: shape}, in the order of the columns), momentum (three features per weight: first all
    weights' dtheta_t^2, then all dtheta_{t+1}^2, then all products).
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
        """Number of features in a row: P, with momentum 3 P."""
        return self.weights * (3 if self.momentum else 1)

    def tensors(self, values: Tensor) -> dict[str, Tensor]:
        """One value per feature back to {name: tensor of the weight's shape}, with momentum (3, *shape).

        Raises ValueError unless `values` has shape (width,).
        """
        if values.shape != (self.width,):
            raise ValueError(f"values must have shape ({self.width},), got {tuple(values.shape)}")
        leading = (3,) if self.momentum else ()
        rows = values.reshape(*leading, self.weights)
        return {name: rows[..., part].reshape(*leading, *self.shapes[name]) for name, part in self.columns.items()}


class Rows:
    """Turns records into rows of features; what becomes of a row is the subclass's."""

    def __init__(self, momentum: bool) -> None:
        self._momentum = momentum
        self._layout: Layout | None = None
        self._previous: Tensor | None = None

    @property
    def layout(self) -> Layout:
        """Columns and shapes. Raises ValueError before the first record."""
        if self._layout is None:
            raise ValueError("the store holds no records")
        return self._layout

    @property
    def columns(self) -> dict[str, slice]:
        """`layout.columns`."""
        return self.layout.columns

    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Appends a row. Raises ValueError for other names or shapes than the first record's."""
        shapes = check_changes(delta_weights, None if self._layout is None else self._layout.shapes)
        if self._layout is None:
            self._layout = Layout(shapes, self._momentum)
        row = torch.cat([change.flatten() for change in delta_weights.values()])
        if not self._momentum:
            self._append(delta_loss, row.square_())
            return
        previous, self._previous = self._previous, row
        if previous is not None:
            self._append(delta_loss, torch.cat([previous.square(), row.square(), previous * row]))

    def restart(self) -> None:
        """The next record does not follow the last: no features are made of the two."""
        self._previous = None

    def _append(self, delta_loss: Tensor, row: Tensor) -> None:
        raise NotImplementedError
