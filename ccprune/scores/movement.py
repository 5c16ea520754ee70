"""Movement, a score of whether training moved the weights away from zero."""

from collections.abc import Mapping

from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune.mask import prunable
from ccprune.recording._stores import Sums


class Movement(Sums):
    """sum_t theta_t dtheta_t per weight, float64 (movement pruning: Sanh, Wolf and Rush, 2020, section 4).

    The class is a store of `ccprune.recording.Recorder`. The paper's score is -sum_t theta_t dL/dtheta_t, which for
    plain SGD is this sum divided by the learning rate. Under momentum, Adam or weight decay the movement of the weights
    is summed, and not the gradient. Weights that grow in magnitude have positive scores, others negative ones.

    Parameters
    ----------
    model : Module
        The recorded model. theta_t is its weight after step t minus the change.

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> layer.weight.data = torch.tensor([[3.0]])  # after a step of +1 from 2
    >>> store = Movement(layer)
    >>> store.update(torch.tensor(0.0, dtype=torch.float64), {"weight": torch.ones(1, 1)})
    >>> store.scores
    {'weight': tensor([[2.]], dtype=torch.float64)}
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._weights = prunable(model)

    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        super().update(delta_loss, delta_weights)

    def _factor(self, name: str, change: Tensor) -> Tensor:
        return self._weights[name].double() - change
