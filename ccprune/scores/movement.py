"""Movement: weights by whether training carried them away from zero."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune.mask import prunable


class Movement:
    """sum_t theta_t dtheta_t per weight, float64 (movement pruning: Sanh, Wolf and Rush, 2020, section 4).

    A store of `ccprune.recording.Recorder`. The paper's score is -sum_t theta_t dL/dtheta_t, which is this over the
    learning rate for plain SGD, where dtheta_t = -rate dL/dtheta_t. A recorder hands on changes, not gradients;
    under momentum, Adam or weight decay it is the movement of the weights that is summed, not that of the gradient.
    Weights that grow score above zero, weights that shrink below.

    Parameters ---------- model : Module The recorded one: theta_t is its weight, as it is after step t, less the
    change.
    """

    def __init__(self, model: nn.Module) -> None:
        self._weights = prunable(model)
        self._sums: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Adds one step. Raises ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        if not self._sums:
            self._sums = {name: torch.zeros_like(change, dtype=torch.float64) for name, change in delta_weights.items()}
        for name, change in delta_weights.items():
            self._sums[name].addcmul_(self._weights[name].double() - change, change.double())

    @property
    def scores(self) -> dict[str, Tensor]:
        """The sums {name: Tensor}, float64. Raises ValueError before the first record."""
        if not self._sums:
            raise ValueError("the store holds no records")
        return {name: total.clone() for name, total in self._sums.items()}
