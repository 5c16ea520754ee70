"""What the Granger-Lasso says: solvers against each other, scores against simpler ones, records against noise."""

import copy
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import SGD

from ccprune import lasso
from ccprune.lasso.problem import blocks, correlation
from ccprune.mask import Mask, jaccard_kept
from ccprune.recording import InMemory, Recorder, Store
from replication.causal.methods import Scores
from replication.causal.setting import Setting
from replication.data.images import Images


def record(
    model: nn.Module,
    images: Images,
    setting: Setting,
    stores: Sequence[Store],
    *,
    epochs: int,
    lr: float,
    pairing: str,
    seed: int,
) -> nn.Module:
    """Fills the stores from `epochs` of SGD on a copy of the model, which is returned."""
    model = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=lr)
    with Recorder(model, optimizer, stores, pairing=pairing) as recorder:
        setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed, recorder=recorder)
    return model


def compare_solvers(store: InMemory, screen: lasso.Screen, *, sparsities: Sequence[float]) -> pd.DataFrame:
    """The three solvers on the same records, one Lasso per tensor (the 2024 protocol): one row per tensor and lambda.

    lambda is where the screen prunes `sparsities` of the tensor. Columns: tensor, weights, alpha, sparsity (the
    screen's), sparsity_sgd, jaccard_sgd (of the masks of `truncated_gradient` and the screen), passes and gap_sgd (its
    relative duality gap); jaccard_exact (the exact ranking at the screen's count against the screen). Such lambdas are
    far below those at which an exact solution has fewer weights than records; for these see `certified`.
    """
    changes, losses = store.records()
    scores, found = screen.scores, []
    for name, columns in store.layout.columns.items():
        part, score = changes[:, columns], scores[name].flatten()
        order = lasso.ranking(part, losses)
        for sparsity in sparsities:
            alpha = _penalty(score, sparsity)
            kept = Mask({name: score > alpha})
            sgd = lasso.truncated_gradient(part, losses, alpha, seed=0)
            ranked = Mask.from_counts({name: order}, kept=kept.counts)
            found.append(
                {
                    "tensor": name,
                    "weights": len(score),
                    "alpha": alpha,
                    "sparsity": kept.sparsity,
                    "sparsity_sgd": 1 - float(sgd.support.double().mean()),
                    "jaccard_sgd": jaccard_kept(kept, Mask({name: sgd.support})),
                    "passes": sgd.iterations,
                    "gap_sgd": sgd.duality_gap,
                    "jaccard_exact": jaccard_kept(kept, ranked),
                }
            )
    return pd.DataFrame(found)


def compare_exponents(
    store: InMemory, screen: lasso.Screen, *, sparsities: Sequence[float], powers: Sequence[float]
) -> pd.DataFrame:
    """How the exponent of the authors' step moves their mask: one row per tensor, lambda and exponent.

    lambda as in `compare_solvers`. Columns: tensor, sparsity (one of `sparsities`), alpha, power_t (one of `powers`,
    the exponent in `truncated_gradient`), passes; jaccard (of the fit's mask and the screen's), jaccard_weighted (of
    the fit's mask and the screen's statistic with the records weighed by `lasso.record_weights`), spread (standard
    deviation of these weights over their mean).
    """
    changes, losses = store.records()
    count, scores, found = len(losses), screen.scores, []
    for name, columns in store.layout.columns.items():
        part, score = changes[:, columns], scores[name].flatten()
        for sparsity in sparsities:
            alpha = _penalty(score, sparsity)
            kept = Mask({name: score > alpha})
            for power in powers:
                fit = lasso.truncated_gradient(part, losses, alpha, power_t=power, seed=0)
                weights = lasso.record_weights(count, max_iter=fit.iterations, power_t=power, seed=0)
                weighted = correlation(part, count * weights.to(losses) * losses).abs() > alpha
                fitted = Mask({name: fit.support})
                found.append(
                    {
                        "tensor": name,
                        "sparsity": sparsity,
                        "alpha": alpha,
                        "power_t": power,
                        "passes": fit.iterations,
                        "jaccard": jaccard_kept(kept, fitted),
                        "jaccard_weighted": jaccard_kept(Mask({name: weighted}), fitted),
                        "spread": float(weights.std(correction=0) / weights.mean()),
                    }
                )
    return pd.DataFrame(found)


def _penalty(score: Tensor, sparsity: float) -> float:
    """The lambda at which the screen prunes `sparsity` of the tensor's weights, from its scores (P,)."""
    return float(score.kthvalue(max(1, round(sparsity * len(score)))).values)


def certified(store: InMemory, *, fractions: Sequence[float]) -> pd.DataFrame:
    """Exact solutions and the authors' solver at lambda = `fractions` of `lambda_max`: one row per tensor and lambda.

    Columns: tensor, fraction, alpha; kept and gap (relative duality gap) of each, named _exact and _sgd.
    """
    changes, losses = store.records()
    found = []
    for name, columns in store.layout.columns.items():
        part = changes[:, columns]
        top = lasso.lambda_max(part, losses)
        alphas = [fraction * top for fraction in fractions]
        for fraction, alpha, exact in zip(fractions, alphas, lasso.path(part, losses, alphas), strict=True):
            sgd = lasso.truncated_gradient(part, losses, alpha, seed=0)
            row = {"tensor": name, "fraction": fraction, "alpha": alpha}
            row |= {"kept_exact": int(exact.support.sum()), "gap_exact": exact.duality_gap}
            found.append(row | {"kept_sgd": int(sgd.support.sum()), "gap_sgd": sgd.duality_gap})
    return pd.DataFrame(found)


def rank_correlations(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Spearman's rank correlation of every two scores over all weights, as a square table.

    Raises ValueError when the scores are not of the same weights, or one is constant, which has no ranks.
    """
    flat = {}
    for method, score in scores.items():
        if score.keys() != next(iter(scores.values())).keys():
            raise ValueError(f"scores[{method!r}] names other weights than the first")
        flat[method] = torch.cat([value.flatten().double() for value in score.values()]).cpu().numpy()
        if flat[method].min() == flat[method].max():
            raise ValueError(f"scores[{method!r}] is constant")
    return pd.DataFrame(flat).corr(method="spearman")


def top_overlaps(scores: Mapping[str, Scores], *, share: float = 0.01) -> pd.DataFrame:
    """Share of the highest weights that every two scores have in common, as a square table; `share` by chance."""
    tops = {}
    for method, score in scores.items():
        flat = torch.cat([value.flatten().double() for value in score.values()]).cpu()
        tops[method] = flat.argsort(descending=True, stable=True)[: max(1, round(share * len(flat)))]
    common = {
        one: {other: float(torch.isin(a, b).double().mean()) for other, b in tops.items()} for one, a in tops.items()
    }
    return pd.DataFrame(common)


def permutation_p(X: Tensor, y: Tensor, *, permutations: int = 99, seed: int) -> Tensor:
    """p-value (P,) of each column's covariance with y, against those with the records of y in another order.

    (Number of permutations with at least as large a |covariance| + 1) / (permutations + 1). Under the null, that the
    loss changes do not know which step they belong to, p is uniform. The part of |x_k . y| that comes from y's mean is
    the same in every order and left out: a loss that falls alike in every step is no evidence.
    """
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(y), generator=generator) for _ in range(permutations)]
    centred = y.cpu().double() - y.cpu().double().mean()
    rows = torch.stack([centred, *(centred[order] for order in orders)]).to(X.device)
    exceeding = []
    for _, columns in blocks(X):
        statistic = (rows @ columns).abs()
        exceeding.append((statistic[1:] >= statistic[0]).sum(0))
    return (torch.cat(exceeding) + 1) / (permutations + 1)


def partial_sums(products: Tensor, names: Sequence[str], *, first: int = 8) -> pd.DataFrame:
    """Return the first rows of products (T, K), their sum, the sum of the others, the whole sum S, and |S| / T."""
    table = pd.DataFrame(products[:first].numpy(), columns=list(names))
    table.loc[f"these {first}"] = products[:first].sum(0).numpy()
    table.loc[f"the other {len(products) - first}"] = products[first:].sum(0).numpy()
    table.loc[f"S, all {len(products)}"] = products.sum(0).numpy()
    table.loc["|S| / T"] = products.sum(0).abs().numpy() / len(products)
    return table


def shared_top(one: pd.Series, other: pd.Series, *, share: float = 0.1) -> float:
    """Return the share of the highest weights that two scores have in common; `share` by chance."""
    count = max(1, round(share * len(one)))
    return len(set(one.nlargest(count).index) & set(other.nlargest(count).index)) / count
