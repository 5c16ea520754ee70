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

_SHOWN = 8  # products in a table one by one
_TOP_SHARE = 0.1  # of the weights that count as the highest; at least one


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
    """Train a copy of a model by plain SGD, and fill the stores with its steps.

    Parameters
    ----------
    model : Module
        The network, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Mini-batch size, label smoothing and augmentation.
    stores : sequence of Store
        Stores to fill.
    epochs : int
        Number of recorded epochs.
    lr : float
        Learning rate of the recorded steps.
    pairing : str
        "same_batch" or "consecutive", as in `ccprune.recording.Recorder`.
    seed : int
        Seed of the order of the mini-batches.

    Returns
    -------
    Module
        The trained copy.
    """
    model = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=lr)
    with Recorder(model, optimizer, stores, pairing=pairing) as recorder:
        setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed, recorder=recorder)
    return model


def compare_solvers(store: InMemory, screen: lasso.Screen, *, sparsities: Sequence[float]) -> pd.DataFrame:
    """Compare three solvers of the Lasso on the same records, with one Lasso per tensor (the 2024 protocol).

    The penalty lambda is where the screen prunes `sparsities` of the tensor. Such penalties are far below those at
    which an exact solution has fewer weights than records; for these see `compare_exact`.

    Parameters
    ----------
    store : InMemory
        T records.
    screen : Screen
        Marginal screening of the same records.
    sparsities : sequence of float
        Pruned fractions of each tensor.

    Returns
    -------
    DataFrame
        One row per tensor and penalty: tensor, weights, alpha (the penalty), sparsity (the screen's), sparsity_sgd,
        jaccard_sgd (of the weights kept by `truncated_gradient` and by the screen), passes, gap_sgd (relative duality
        gap of `truncated_gradient`), and jaccard_exact (of the first weights of the exact ranking, as many as the
        screen keeps, and the screen's).

    References
    ----------
    Shah et al., arXiv:2412.03035.
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
    """Compare the authors' fit with the screen for several exponents of the step.

    The penalties are those of `compare_solvers`.

    Parameters
    ----------
    store : InMemory
        T records.
    screen : Screen
        Marginal screening of the same records.
    sparsities : sequence of float
        Pruned fractions of each tensor.
    powers : sequence of float
        Exponents of the step, `power_t` of `lasso.truncated_gradient`.

    Returns
    -------
    DataFrame
        One row per tensor, penalty and exponent: tensor, sparsity (one of `sparsities`), alpha (the penalty), power_t,
        passes, jaccard_kept (of the weights kept by the fit and by the screen), jaccard_weighted (of the fit's and of
        the screen's statistic with the records weighted by `lasso.record_weights`), and spread (standard deviation of
        these weights over their mean).
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
                        "jaccard_kept": jaccard_kept(kept, fitted),
                        "jaccard_weighted": jaccard_kept(Mask({name: weighted}), fitted),
                        "spread": float(weights.std(correction=0) / weights.mean()),
                    }
                )
    return pd.DataFrame(found)


def _penalty(score: Tensor, sparsity: float) -> float:
    """The lambda at which the screen prunes `sparsity` of the tensor's weights, from its scores (P,)."""
    return float(score.kthvalue(max(1, round(sparsity * len(score)))).values)


def compare_exact(store: InMemory, *, fractions: Sequence[float]) -> pd.DataFrame:
    """Compare exact solutions and the authors' solver at penalties given as fractions of `lambda_max`.

    Parameters
    ----------
    store : InMemory
        T records.
    fractions : sequence of float
        Penalties as fractions of the smallest one at which all coefficients are zero.

    Returns
    -------
    DataFrame
        One row per tensor and penalty: tensor, fraction, alpha (the penalty), and for both solvers (_exact, _sgd) kept
        (number of weights) and gap (relative duality gap).
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
    """Return Spearman's rank correlation of every two scores over all weights.

    Parameters
    ----------
    scores : mapping of str to mapping of str to Tensor
        By name, the scores of each tensor of weights.

    Returns
    -------
    DataFrame
        Square, with the names as index and columns.

    Raises
    ------
    ValueError
        If scores are not of the same weights, or one is constant, so that it has no ranks.
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
    """Return the share of the highest weights that every two scores have in common; by chance it is `share`.

    Parameters
    ----------
    scores : mapping of str to mapping of str to Tensor
        By name, the scores of each tensor of weights.
    share : float, default 0.01
        Share of all weights that counts as the highest; at least one weight.

    Returns
    -------
    DataFrame
        Square, with the names as index and columns.
    """
    tops = {}
    for method, score in scores.items():
        flat = torch.cat([value.flatten().double() for value in score.values()]).cpu()
        tops[method] = flat.argsort(descending=True, stable=True)[: max(1, round(share * len(flat)))]
    common = {
        one: {other: float(torch.isin(a, b).double().mean()) for other, b in tops.items()} for one, a in tops.items()
    }
    return pd.DataFrame(common)


def permutation_p(X: Tensor, y: Tensor, *, permutations: int = 99, seed: int) -> Tensor:
    """Return the p-value of each column's covariance with y, against those with y in another order.

    The p-value is (number of permutations with at least as large an absolute covariance + 1) / (permutations + 1). It
    is uniform under the null hypothesis that the loss changes are independent of the step. The part of |x_k . y| that
    is due to the mean of y is the same in every order and is left out: a loss that falls alike in every step is no
    evidence.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes.
    y : Tensor (T,)
        Loss changes.
    permutations : int, default 99
        Number of permutations.
    seed : int
        Seed of the permutations.

    Returns
    -------
    Tensor (P,)
        On the device of `X`.
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


def partial_sums(products: Tensor, names: Sequence[str]) -> pd.DataFrame:
    """Return the first 8 products, their sum, the sum of the others, the whole sum S, and |S| / T.

    Parameters
    ----------
    products : Tensor (T, K)
        Products of loss changes and squared weight changes, for K weights.
    names : sequence of str
        Names of the K columns.

    Returns
    -------
    DataFrame
        Has 12 rows.
    """
    first = _SHOWN
    table = pd.DataFrame(products[:first].numpy(), columns=list(names))
    table.loc[f"these {first}"] = products[:first].sum(0).numpy()
    table.loc[f"the other {len(products) - first}"] = products[first:].sum(0).numpy()
    table.loc[f"S, all {len(products)}"] = products.sum(0).numpy()
    table.loc["|S| / T"] = products.sum(0).abs().numpy() / len(products)
    return table


def shared_top(one: pd.Series, other: pd.Series) -> float:
    """Return the share of the highest tenth of weights that two scores have in common; by chance it is 0.1.

    Parameters
    ----------
    one, other : Series (P,)
        Scores with the same index.

    Returns
    -------
    float
    """
    count = max(1, round(_TOP_SHARE * len(one)))
    return len(set(one.nlargest(count).index) & set(other.nlargest(count).index)) / count
