"""State of the stores that are saved in checkpoints of the training."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ccprune._util.inputs import map_tensors


class Stateful:
    """Base class of stores whose records are tensors, or lists and mappings of tensors, in the attributes `_held`."""

    _held: ClassVar[tuple[str, ...]]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the records in plain tensors."""
        return {name: map_tensors(torch.clone, getattr(self, name)) for name in self._held}

    def load_state_dict(self, state: Mapping[str, Any], like: Mapping[str, Tensor]) -> None:
        """Replace the records by a copy of saved ones, on the device of `like`, which has a tensor for each weight."""
        device = next(iter(like.values())).device
        for name in self._held:
            setattr(self, name, map_tensors(lambda value: value.to(device, copy=True), state[name]))
