"""Sentences on the tables of the Granger-Lasso, with the numbers of the run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune import lasso


def step_sentence(predicted: Tensor, steps: Mapping[str, tuple[Tensor, Tensor]]) -> str:
    """Return a sentence on how well predicted loss changes agree with those measured in two ways.

    Parameters
    ----------
    predicted : Tensor (T,)
        Predicted loss changes.
    steps : mapping of str to (Tensor, Tensor)
        By pairing, "same_batch" and "consecutive", the recorded weight changes and loss changes (T,) or (T - 1,).

    Returns
    -------
    str
    """
    same, consecutive = (
        float(torch.corrcoef(torch.stack([predicted[: len(losses)].cpu(), losses.double().cpu()]))[0, 1])
        for losses in (steps["same_batch"][1], steps["consecutive"][1])
    )
    return (
        f"The correlation of prediction and measured change is {same:.2f} on the same mini-batch and {consecutive:.2f} "
        f"between consecutive mini-batches, over {len(predicted)} steps."
    )


def overlap_sentence(correlations: pd.DataFrame, overlaps: pd.DataFrame, one: str, other: str) -> str:
    """Return a sentence on how far two scores agree on all weights, and on the highest hundredth.

    Parameters
    ----------
    correlations : DataFrame
        Result of `rank_correlations`.
    overlaps : DataFrame
        Result of `top_overlaps` with the share 0.01.
    one, other : str
        Names of the scores.

    Returns
    -------
    str
        Markdown.
    """
    common = overlaps.loc[one, other]
    return (
        f"Between *{one}* and *{other}* the rank correlation is "
        f"{correlations.loc[one, other]:.2f}, and {common:.0%} of the "
        "highest hundredth agree. The first is over all weights. At 99% sparsity the two masks would differ in "
        f"{1 - common:.0%} of the kept weights, and accuracies can differ accordingly."
    )


def stable_sentence(counts: Sequence[int]) -> str:
    """Return a sentence on the numbers of stable weights, and on how many of them can be due to the loss.

    Parameters
    ----------
    counts : sequence of int
        Four numbers of stable weights: by covariance with the recorded and with a random order, and by correlation with
        the recorded and with a random order.

    Returns
    -------
    str
    """
    recorded, shuffled, by_correlation, shuffled_too = counts
    return (
        f"By the covariance {recorded:,} weights are stable with the recorded order and "
        f"{shuffled:,} with a random order. The "
        "second number is due to the size of the weight changes alone; only the difference of "
        f"{recorded - shuffled:,} can be due to the loss. By the correlation, which does not "
        "depend on the size, they are "
        f"{by_correlation:,} and {shuffled_too:,}."
    )


def exponent_sentences(exponents: pd.DataFrame) -> str:
    """Say how near the masks of the authors' solver are to the screen's, for each exponent of its step length.

    Parameters
    ----------
    exponents : DataFrame
        Table of `evidence.compare_exponents`, of one seed or more.

    Returns
    -------
    str
        One line for each exponent.
    """
    return "\n".join(
        f"step t^-{power:g}: the record weights have a standard deviation of {part.spread.mean():.3f} of their mean. "
        f"The Jaccard index with the screen is {part.jaccard_kept.mean():.3f} on average, "
        f"{part.jaccard_kept.min():.3f} at least and below 0.94 in {int((part.jaccard_kept < 0.94).sum())} of "
        f"{len(part)} masks. With weighted records it is {part.jaccard_weighted.min():.4f} at least."
        for power, part in exponents.groupby("power_t", sort=False)
    )


def solver_sentence(compared: pd.DataFrame, exact: pd.DataFrame, conditions: Sequence[lasso.Condition]) -> str:
    """Say whether the screen may replace the authors' solver, and how far that is from a minimum.

    Parameters
    ----------
    compared : DataFrame
        Table of `evidence.compare_solvers`, of one seed or more.
    exact : DataFrame
        Table of `evidence.compare_exact`, of one seed or more.
    conditions : sequence of Condition
        Condition of each seed's screen.

    Returns
    -------
    str
        Markdown.
    """
    holds = "holds" if all(found.holds for found in conditions) else "does **not** hold"
    passes = " or ".join(str(number) for number in sorted(set(compared.passes)))
    return (
        f"The predictions are at most {max(found.ratio for found in conditions):.1e} of the root mean square of the "
        f"loss changes, so the condition {holds} (limit {lasso.LIMIT:g}). The masks of the authors' solver and of the "
        f"screen have a Jaccard index of {compared.jaccard_sgd.min():.3f} or more, {compared.jaccard_sgd.mean():.3f} "
        f"on average. The authors' solver made {passes} passes. It stopped with a duality gap of "
        f"{exact.gap_sgd.min():.2g} to {exact.gap_sgd.max():.2g} of the objective at zero. The exact solutions have a "
        f"duality gap of {exact.gap_exact.max():.1e} at most and keep {exact.kept_exact.min()} to "
        f"{exact.kept_exact.max()} weights."
    )


def causal_sentence(
    correlations: Mapping[int, pd.DataFrame], compared: pd.DataFrame, *, dataset: str, architecture: str
) -> str:
    """Say what the causal score correlates with, and how near the authors' solver is to the screen.

    Parameters
    ----------
    correlations : mapping of int to DataFrame
        Rank correlations of scores by seed, see `evidence.rank_correlations`.
    compared : DataFrame
        Table of `evidence.compare_solvers`, of all seeds.
    dataset, architecture : str

    Returns
    -------
    str
    """

    def mean_and_range(other: str, pairing: str) -> str:
        values = np.array([found.loc[f"causal, {pairing}", other] for found in correlations.values()])
        return f"{values.mean():.2f}" + (f" ({values.min():.2f} to {values.max():.2f})" if len(values) > 1 else "")

    return (
        f"{dataset}, {architecture}, {len(correlations)} seeds: the rank correlation of the causal score with |theta| "
        f"is {mean_and_range('|theta|', 'consecutive')}, with the plain sum of squared updates "
        f"{mean_and_range('squared updates', 'consecutive')} (same mini-batch: "
        f"{mean_and_range('squared updates', 'same batch')}), with a diagonal Fisher "
        f"{mean_and_range('Fisher', 'consecutive')}; the authors' solver and the screen agree with Jaccard "
        f"{compared.jaccard_sgd.min():.3f} or more."
    )
