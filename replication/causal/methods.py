"""The ways to choose weights that are compared under paper B's protocols."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ccprune import lasso, scores
from ccprune.criteria._builtin import causal_exact, causal_sgd
from ccprune.mask import Mask
from ccprune.recording import InMemory, SquaredUpdates

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Method:
    """A way to choose weights: what is recorded, the score made from it, and its spread over the layers.

    Attributes
    ----------
    score : callable
        (the network as it is, the filled store) -> scores.
    store : callable, optional
        Makes what a `Recorder` fills; None where nothing is recorded, and then `score` gets None.
    scope : str
        As in `Mask.from_scores`.
    allocation : callable, optional
        Another score of the network; each layer keeps as many weights as that one would keep there.
    """

    score: Callable[[nn.Module, Any], Scores]
    store: Callable[[], Any] | None = None
    scope: str = "global"
    allocation: Callable[[nn.Module], Scores] | None = None

    def mask(self, found: Scores, model: nn.Module, *, previous: Mask, sparsity: float) -> Mask:
        """The next mask from the scores found: `sparsity` of all weights, what `previous` prunes among them."""
        ranked = previous.restrict(found)
        if self.allocation is None:
            return Mask.from_scores(ranked, sparsity=sparsity, scope=self.scope)
        other = Mask.from_scores(previous.restrict(self.allocation(model)), sparsity=sparsity)
        return Mask.from_counts(ranked, kept=other.counts)


def methods(*, lr: float, seed: int) -> dict[str, Method]:
    """Every method by name; `rate` is the learning rate of the recorded steps, `seed` random's.

    causal: `lasso.Screen`. causal_sgd: the authors' solver as their follow-up sets it. causal_exact: order of entry on
    the exact Lasso's path. causal_lamp: `causal` with LAMP's count in every layer. squared_updates: the sum of squared
    weight changes, which never looks at the loss. magnitude (over all layers, the paper's), magnitude_layer, lamp,
    random.
    """
    return {
        "causal": Method(lambda _, screen: screen.scores, lasso.Screen),
        "causal_sgd": Method(lambda _, store: causal_sgd(store, lr), InMemory),
        "causal_exact": Method(lambda _, store: causal_exact(store), InMemory),
        "causal_lamp": Method(lambda _, screen: screen.scores, lasso.Screen, allocation=scores.lamp),
        "squared_updates": Method(lambda _, store: store.scores, SquaredUpdates),
        "magnitude": Method(lambda model, _: scores.magnitude(model)),
        "magnitude_layer": Method(lambda model, _: scores.magnitude(model), scope="layer"),
        "lamp": Method(lambda model, _: scores.lamp(model)),
        "random": Method(lambda model, _: scores.random(model, seed=seed)),
    }
