"""The ways to choose weights that are compared under paper B's protocols."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ccprune import criteria
from ccprune.mask import Mask
from ccprune.recording import Store

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Method:
    """A criterion of the library, and how the weights that it keeps spread over the layers.

    Attributes
    ----------
    criterion : str
        One of `ccprune.criteria.list_criteria()`.
    allocation : str
        As in `Mask.from_scores`.
    counts_of : str, optional
        Another criterion; each layer keeps as many weights as that one would keep there.
    given : dict
        Arguments of `ccprune.criteria.score`, such as the learning rate of the recorded steps and a seed.
    """

    criterion: str
    allocation: str = "global"
    counts_of: str | None = None
    given: dict[str, Any] = field(default_factory=dict)

    def store(self, model: nn.Module) -> Store | None:
        """Return the store that a `Recorder` fills, or None for a criterion that uses no training.

        Parameters
        ----------
        model : Module
            The network.

        Returns
        -------
        Store or None
        """
        make = criteria.get(self.criterion).store
        return None if make is None else make(model)

    def score(self, model: nn.Module, store: Store | None) -> Scores:
        """Return the scores of the network as it is, with its filled store.

        Parameters
        ----------
        model : Module
            The network.
        store : Store or None
            Its filled store.

        Returns
        -------
        dict of Tensor
            Scores by name of the tensor.
        """
        return criteria.score(self.criterion, model, store=store, **self.given)

    def mask(self, found: Scores, model: nn.Module, *, previous: Mask, sparsity: float) -> Mask:
        """Return the next mask from the scores.

        Parameters
        ----------
        found : dict of Tensor
            Scores by name of the tensor.
        model : Module
            The network.
        previous : Mask
            Weights that it prunes stay pruned.
        sparsity : float
            Pruned fraction of all weights, those that `previous` prunes included.

        Returns
        -------
        Mask
        """
        ranked = previous.restrict(found)
        if self.counts_of is None:
            return Mask.from_scores(ranked, sparsity=sparsity, allocation=self.allocation)
        other = criteria.score(self.counts_of, model, **self.given)
        return Mask.from_counts(ranked, kept=Mask.from_scores(previous.restrict(other), sparsity=sparsity).counts)


def all_methods(*, lr: float, seed: int) -> dict[str, Method]:
    """Return every method by name.

    Each is the criterion of its name with global selection, which is the paper's, but for causal_lamp (the causal
    score with LAMP's count in every layer) and magnitude_layer (the same sparsity in every layer).

    Parameters
    ----------
    lr : float
        Learning rate of the recorded steps.
    seed : int
        Seed of the random scores.

    Returns
    -------
    dict of Method
    """
    names = ("causal", "causal_sgd", "causal_exact", "squared_updates", "magnitude", "lamp", "random")
    given = {"lr": lr, "seed": seed}
    return {name: Method(name, given=given) for name in names} | {
        "causal_lamp": Method("causal", counts_of="lamp", given=given),
        "magnitude_layer": Method("magnitude", allocation="uniform", given=given),
    }
