"""Probability that a weight's coefficient is not zero, from one z-statistic per weight (two-groups model)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is slow to import, and tables of results need only the intervals beside this module
    from torch import Tensor

from ccprune._util.checks import require_fraction

_BINS, _LARGEST = 4096, 40.0  # |z| is counted in bins for the fit, so that its cost does not grow with the model
_ITERATIONS = 1000
_NULLS = 3.0  # additional statistics without an effect, a penalty against too few of them (Stephens, 2017)
_RATIO = 2**0.5  # between neighbouring slab widths, as in Stephens (2017)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Result of `posterior`.

    Attributes
    ----------
    probability : mapping of name to Tensor
        Posterior probability that each coefficient is not zero, float64. One minus it is the local false discovery
        rate. It is a score for `Mask.from_scores`: larger means keep.
    non_null : float
        Estimated share of coefficients that are not zero.
    """

    probability: dict[str, Tensor]
    non_null: float

    def wrong_removals(self, sparsity: float) -> float:
        """Return the expected number of nonzero coefficients among the pruned share with the smallest probabilities.

        TypeError or ValueError is raised unless `sparsity` is a number in [0, 1].
        """
        require_fraction("sparsity", sparsity)
        ordered = self._sorted_values()
        return float(ordered[: round(sparsity * len(ordered))].sum())

    def sparsity(self, wrong: float) -> float:
        """Return the largest sparsity whose expected share of nonzero coefficients among the pruned is <= `wrong`.

        TypeError or ValueError is raised unless `wrong` is a number in [0, 1].
        """
        import torch

        require_fraction("wrong", wrong)
        ordered = self._sorted_values()
        share = ordered.cumsum(0) / torch.arange(1, len(ordered) + 1, device=ordered.device)
        return int((share <= wrong).sum()) / len(ordered)

    def _sorted_values(self) -> Tensor:
        import torch

        return torch.cat([value.flatten() for value in self.probability.values()]).sort().values


def posterior(z: Mapping[str, Tensor]) -> Posterior:
    """Probability of a nonzero coefficient from z-statistics, with a prior estimated from all of them together.

    Of a weight without an effect z is N(0, 1). With an effect it is a mixture of N(0, 1 + tau^2) over a grid of
    tau >= 1; the weights of the mixture, the share without an effect among them, maximise the likelihood of all |z|.
    The null distribution is not estimated, so the z-statistics must allow for dependent records, as those of
    `ccprune.lasso.BlockCovariance` do. Effects well below a standard error cannot be distinguished from none.

    Parameters
    ----------
    z : mapping of name to Tensor
        Statistics of any shapes, on one device, infinite ones allowed. For two-sided p-values, such as those of
        `granger_test` at one lag, |z| is `-torch.special.ndtri(p / 2)`.

    Returns
    -------
    Posterior

    Raises
    ------
    ValueError
        If there is no statistic, or one is NaN.

    References
    ----------
    Efron (2008), Microarrays, empirical Bayes and the two-groups model, sections 2 and 3. Stephens (2017), False
    discovery rates: a new deal, for the mixture.

    Examples
    --------
    >>> noise = torch.special.ndtri(torch.linspace(0.01, 0.99, 90))
    >>> found = posterior({"weight": torch.cat([noise, torch.full((10,), 7.0)])})
    >>> found.sparsity(wrong=0.05), bool(found.probability["weight"][-1] > 0.99)
    (0.89, True)
    """
    import torch

    size = {name: value.to(torch.float64).abs().clamp(max=_LARGEST) for name, value in z.items()}
    for name, value in size.items():
        if bool(value.isnan().any()):
            raise ValueError(f"z[{name!r}] must not be NaN, got {int(value.isnan().sum())} NaN values")
    if not sum(value.numel() for value in size.values()):
        raise ValueError("z must hold at least one statistic, got none")
    counts = sum(torch.histc(value, _BINS, 0, _LARGEST).cpu() for value in size.values() if value.numel())
    filled = counts.nonzero()[:, 0]
    centres, counts = (filled + 0.5) * (_LARGEST / _BINS), counts[filled].double()
    widest = max(2.0, 2 * float(centres[-1]))
    tau = torch.cat([torch.zeros(1), _RATIO ** torch.arange(0, 2 * torch.tensor(widest).log2().ceil() + 1)]).double()
    spread = (1 + tau**2).sqrt()
    likelihood = _densities(centres.double(), spread)  # (bins, components)
    prior = torch.full_like(tau, 0.5 / (len(tau) - 1))
    prior[0] = 0.5
    for _ in range(_ITERATIONS):  # EM
        joint = likelihood * prior
        expected = (counts[:, None] * joint / joint.sum(1, keepdim=True)).sum(0)
        expected[0] += _NULLS
        prior = expected / expected.sum()
    constants = (prior[1:] / prior[0] / spread[1:]).log()
    probability = {}
    for name, value in size.items():
        log_odds = torch.full_like(value, -torch.inf)
        for constant, width in zip(constants.tolist(), spread[1:].tolist(), strict=True):  # no (weights, widths) tensor
            log_odds = torch.logaddexp(log_odds, constant + value.square() * (0.5 - 0.5 / width**2))
        probability[name] = log_odds.sigmoid()
    return Posterior(probability, float(1 - prior[0]))


def _densities(size: Tensor, spread: Tensor) -> Tensor:
    """Return normal densities at size (n,) for each spread (k,), (n, k), each row divided by a common factor."""
    log = -0.5 * (size[:, None] / spread).square() - spread.log()
    return (log - log.amax(1, keepdim=True)).exp()
