"""Movement, a score of whether training moved the weights away from zero."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune._util.stateful import Stateful
from ccprune.mask import prunable


class Movement(Stateful):
    """sum_t theta_t dtheta_t per weight, float64 (movement pruning: Sanh, Wolf and Rush, 2020, section 4).

    The class is a store of `ccprune.recording.Recorder`. The paper's score is -sum_t theta_t dL/dtheta_t. For plain
    SGD, where dtheta_t = -rate dL/dtheta_t, that is this sum divided by the learning rate. A recorder passes changes
    and not gradients, so that under momentum, Adam or weight decay the movement of the weights is summed, and not that
    of the gradient. Weights that grow in magnitude have positive scores, weights that shrink negative ones.

    Parameters
    ----------
    model : Module
        The recorded model. theta_t is its weight after step t minus the change.
    """

    _held = ("_sums",)

    def __init__(self, model: nn.Module) -> None:
        self._weights = prunable(model)
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        if not self._sums:
            self._sums = {name: torch.zeros_like(change, dtype=torch.float64) for name, change in delta_weights.items()}
        for name, change in delta_weights.items():
            self._sums[name].addcmul_(self._weights[name].double() - change, change.double())

    @property
    def scores(self) -> dict[str, Tensor]:
        """Sums {name: Tensor}, float64; before the first record, a ValueError is raised."""
        if not self._sums:
            raise ValueError("the store holds no records")
        return {name: total.clone() for name, total in self._sums.items()}
