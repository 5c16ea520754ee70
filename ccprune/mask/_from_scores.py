"""Constructors that make a mask from scores."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from ccprune._util.checks import join_first, require_at_least
from ccprune.mask._allocation import ALLOCATIONS, protected_names
from ccprune.mask._groups import Group, rows, unit_scores
from ccprune.mask._select import check_scores, drop_lowest, n_of_m, select

if TYPE_CHECKING:
    from ccprune.mask._core import Mask


class MaskConstructors:
    """Constructors of `Mask` from scores {name: Tensor}, larger = keep."""

    if TYPE_CHECKING:  # the constructor of Mask

        def __init__(
            self, keep: Mapping[str, Tensor], *, requested: float | None = None, structured: bool = False
        ) -> None: ...

    @classmethod
    def from_scores(
        cls,
        scores: Mapping[str, Tensor],
        *,
        sparsity: float | Mapping[str, float],
        allocation: str = "global",
        protect: Iterable[str] = (),
        min_per_layer: int = 0,
        previous: "Mask | None" = None,
    ) -> Self:
        """Prune the weights with the lowest scores.

        Equal scores are pruned in the order of their index, and tensors in the given order.

        Parameters
        ----------
        scores : mapping of name to Tensor
            Scores of every prunable weight, larger = keep.
        sparsity : float or {name: float}
            Pruned fraction of all weights that have a score, including protected weights. With a mapping, each part of
            the model has its own: keys are parameters or modules, the most specific key holds, and '' is the key of all
            parameters that no other key names. All other arguments then apply within each part.
        allocation : str, default "global"
            Numbers of pruned weights in the tensors, of which floor(sparsity * weights + 1/2) are pruned in all:

            - "global": whatever the scores give when all weights are compared.
            - "uniform": floor(sparsity * weights + 1/2) of each tensor.
            - "erk": Erdős-Rényi-kernel [1]_. The density of a tensor is proportional to the sum of its dimensions
              divided by their product; tensors whose density would exceed 1 keep all weights.
            - "lamp": all weights are compared by s^2 / (sum of the squares of the scores of the tensor that are not
              smaller) in place of s [2]_. The formula is defined for magnitudes, and here for any finite scores of at
              least 0 in their place. Take the root of scores that are squares already, such as those of "obd".
        protect : collection of str
            Parameters, or modules ("head", "encoder.0"), that are not pruned. Other weights are pruned instead.
        min_per_layer : int
            Smallest number of weights that each tensor keeps, its best. Other weights are pruned instead.
        previous : Mask, optional
            Mask of the previous step in a schedule. Its pruned weights stay pruned and count towards `sparsity`.

        Raises
        ------
        TypeError
            If `protect` is a single string.
        ValueError
            For a sparsity that `protect` and `min_per_layer` do not allow (the message has the largest possible one) or
            that is below that of `previous`. Also for an unknown allocation or name, for a parameter without a
            sparsity, and for a score that is NaN, or negative or infinite with "lamp".

        Warns
        -----
        LayerFloorWarning
            Names the tensors that would have kept fewer than `min_per_layer` weights.

        References
        ----------
        .. [1] Evci et al. (2020), "Rigging the lottery: making all tickets winners", section 3.
        .. [2] Lee et al. (2021), "Layer-adaptive sparsity for the magnitude-based pruning", equation 1.

        Examples
        --------
        >>> from ccprune import Mask
        >>> scores = {"weight": torch.tensor([[3.0, 1.0], [1.0, 2.0]])}
        >>> Mask.from_scores(scores, sparsity=0.5).keep["weight"].tolist()  # of equal scores the first goes first
        [[True, False], [False, True]]
        >>> scores = {"body.0": torch.arange(8.0), "body.1": torch.arange(8.0), "head": torch.arange(4.0)}
        >>> Mask.from_scores(scores, sparsity={"body": 0.5, "head": 0.0}, allocation="uniform").counts
        {'body.0': 4, 'body.1': 4, 'head': 4}
        """
        check_scores(scores)
        require_at_least(0, min_per_layer=min_per_layer)
        keep = select(
            scores,
            fraction=sparsity,
            allocation=allocation,
            protect=protect,
            min_per_layer=min_per_layer,
            earlier=_earlier(scores, previous),
            asked="sparsity",
        )
        return cls(keep, requested=None if isinstance(sparsity, Mapping) else sparsity)

    @classmethod
    def from_n_m(
        cls,
        scores: Mapping[str, Tensor],
        *,
        n: int = 2,
        m: int = 4,
        protect: Iterable[str] = (),
        previous: "Mask | None" = None,
    ) -> Self:
        """Keep the n highest of every m consecutive scores along the inputs of each output (2:4 by default).

        The inputs are dimension 1 of a linear weight, as in torch's semi-structured tensors. Those of a convolution
        are its input channels at one position of the kernel after the other, as in the memory format channels_last.
        Where m divides the number of input channels, all m weights of a group have the same position, as ASP prunes
        them [1]_ and as TensorRT requires [2]_. Otherwise a group spans positions, which suits only a product with
        unfolded inputs, such as a patch embedding. Transposed layers have other axes and refuse the mask: leave them
        out of the scores with `skip`.

        Parameters
        ----------
        scores : mapping of name to Tensor
            Scores, larger = keep. Equal scores are pruned in the order of their index.
        n, m : int, default 2 and 4
        protect : collection of str
            Parameters or modules that are not pruned.
        previous : Mask, optional
            Mask whose pruned weights stay pruned, so that fewer than n of m weights may be kept.

        Raises
        ------
        TypeError, ValueError
            Unless 0 <= n <= m, for a number of inputs that m does not divide, with the name of the parameter, and for
            unknown names and scores that are NaN.

        References
        ----------
        .. [1] Mishra et al. (2021), "Accelerating sparse deep neural networks"; `create_mask` of NVIDIA's Apex
           (apex.contrib.sparsity), which permutes weights of shape (K, C, R, S) to rows of C.
        .. [2] NVIDIA TensorRT, Developer Guide, "Structured sparsity".

        Examples
        --------
        >>> from ccprune import Mask
        >>> Mask.from_n_m({"weight": torch.tensor([[4.0, 1.0, 3.0, 2.0]])}).keep["weight"].tolist()
        [[True, False, True, False]]
        """
        check_scores(scores)
        require_at_least(0, n=n)
        require_at_least(max(1, n), m=m)
        earlier, safe = _earlier(scores, previous), protected_names(scores, protect)
        keep = {}
        for name, score in scores.items():
            allowed = torch.ones_like(score, dtype=torch.bool)
            if earlier is not None:
                allowed = earlier[name].to(score.device).reshape(score.shape)
            keep[name] = allowed if name in safe else n_of_m(name, score, allowed, n=n, m=m)
        return cls(keep, requested=None if safe else 1 - n / m, structured=True)

    @classmethod
    def from_channels(
        cls,
        scores: Mapping[str, Tensor],
        *,
        share: float | Mapping[str, float],
        groups: Mapping[str, Group] | None = None,
        norm: str = "sum",
        allocation: str = "uniform",
        protect: Iterable[str] = (),
        min_per_layer: int = 0,
        previous: "Mask | None" = None,
    ) -> Self:
        """Prune whole output channels, or attention heads and channels with all weights that are coupled to them.

        Channels are dimension 0 of each tensor (rows of linear layers, filters of convolutions), or else the units of
        `groups`. Those with the lowest scores of all their weights together are pruned. Without `groups`, transposed
        layers, whose dimension 0 are inputs, refuse the mask: leave them out of the scores with `skip`.

        Parameters
        ----------
        scores : mapping of name to Tensor
            Scores of every prunable weight, larger = keep.
        share : float or {name: float}
            Pruned fraction of the channels, or of those of parameters, modules or groups; '' names all others. The
            fraction of weights is the mask's `sparsity`.
        groups : mapping of name to Group, optional
            From `mask.attention_heads` and `mask.coupled_channels` (``heads | channels``).
        norm : {"sum", "l2"}
            Score of a channel: sum or Euclidean norm of the scores of its weights.
        allocation : {"uniform", "global"}
            Whether floor(share * channels + 1/2) are pruned of each tensor or group, or of all.
        protect : collection of str
            Parameters, modules or groups that are not pruned, such as the output layer. Others are pruned instead.
        min_per_layer : int
            Smallest number of channels that each tensor or group keeps.
        previous : Mask, optional
            Mask whose pruned channels stay pruned and count towards `share`.

        Raises
        ------
        TypeError, ValueError
            For a share that `protect` and `min_per_layer` do not allow, an unknown name, allocation or norm, a sum that
            is NaN, and a parameter of a group without scores.

        Examples
        --------
        >>> from ccprune import Mask
        >>> Mask.from_channels({"weight": torch.tensor([[3.0, 0.0], [1.0, 1.0]])}, share=0.5).keep["weight"].tolist()
        [[True, True], [False, False]]
        """
        check_scores(scores)
        require_at_least(0, min_per_layer=min_per_layer)
        found = rows(scores) if groups is None else groups
        units = unit_scores(scores, found, norm)  # raises if a parameter has no scores
        earlier = None
        if previous is not None and _earlier(scores, previous) is not None:
            earlier = {name: group.sums(previous.keep) > 0 for name, group in found.items()}
        chosen = select(
            units,
            fraction=share,
            allocation=allocation,
            protect=protect,
            min_per_layer=min_per_layer,
            earlier=earlier,
            asked="share",
            allocations=ALLOCATIONS[:2],
        )
        keep = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
        for name, flags in chosen.items():
            for part in (*found[name].outputs, *found[name].inputs):
                keep[part.parameter] &= part.spread(flags.to(keep[part.parameter].device), scores[part.parameter].ndim)
        both = keep if previous is None else {n: k & previous.keep[n].to(k.device) for n, k in keep.items()}
        return cls(both, structured=groups is None)

    @classmethod
    def from_counts(cls, scores: Mapping[str, Tensor], *, kept: Mapping[str, int]) -> Self:
        """Keep the `kept[name]` highest scores of each tensor; of equal ones the first is pruned first.

        A ValueError is raised for NaN, for names other than those of the scores, and for a count outside 0..weights.
        """
        check_scores(scores)
        if kept.keys() != scores.keys():
            raise ValueError(
                f"kept must name the parameters {join_first(sorted(scores))}, got {join_first(sorted(kept))}"
            )
        for name, score in scores.items():
            if not 0 <= kept[name] <= score.numel():
                raise ValueError(f"kept[{name!r}] must lie in 0..{score.numel()}, got {kept[name]}")
        return cls({name: drop_lowest(score, score.numel() - kept[name]) for name, score in scores.items()})


def _earlier(scores: Mapping[str, Tensor], previous: "Mask | None") -> dict[str, Tensor] | None:
    """Return the flattened tensors of the previous mask."""
    if previous is None:
        return None
    shapes = {name: score.shape for name, score in scores.items()}
    if shapes != {name: keep.shape for name, keep in previous.keep.items()}:
        raise ValueError(
            "previous must have the names and shapes of the scores, "
            f"{join_first(sorted(scores))}, got {join_first(sorted(previous.keep))}"
        )
    return {name: previous.keep[name].flatten() for name in scores}
