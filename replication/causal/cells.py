"""Paper B's measurements that are not concluded from curves, as cells: tables of the lessons in, cells out."""

from collections.abc import Mapping, Sequence

import pandas as pd

from replication.causal import robustness
from replication.causal.known_answers import Answer
from replication.ledger import Cell, row_cells, sample_cells
from replication.ledger.tabular import mean_fields


def granger_lasso_cells(
    compared: pd.DataFrame,
    exponents: pd.DataFrame,
    exact: pd.DataFrame,
    correlations: Mapping[int, pd.DataFrame],
    chance: pd.DataFrame,
    stable: pd.DataFrame,
    *,
    weights: int,
    dataset: str,
    architecture: str,
    profile: str,
) -> list[Cell]:
    """Return the cells of the lesson on the Granger-Lasso: those of `solver_cells` and of `is_it_causal_cells`.

    Parameters
    ----------
    compared, exponents, exact : DataFrame
        As for `solver_cells`.
    correlations, chance, stable, weights
        As for `is_it_causal_cells`.
    dataset, architecture, profile : str

    Returns
    -------
    list of Cell
    """
    where = {"dataset": dataset, "architecture": architecture, "profile": profile}
    found = solver_cells(compared, exponents, exact, **where)
    return found + is_it_causal_cells(correlations, chance, stable, weights=weights, **where)


def phase_shift_cells(
    answers: Mapping[str, Answer],
    sparsity: Cell | None,
    changed: pd.DataFrame,
    *,
    known: int,
    dataset: str,
    architecture: str,
    profile: str,
) -> list[Cell]:
    """Return the cells of the lesson on the phase shift that do not follow from its raw runs.

    Parameters
    ----------
    answers : mapping of str to Answer
        Problems whose answer is known, by name; empty if they were omitted.
    sparsity : Cell or None
        Of the paper's own protocol (`sparsity_cell`); None if it was omitted.
    changed : DataFrame
        Table of `robustness.run`; empty if it was omitted.
    known : int
        Number of seeds of the problems.
    dataset, architecture, profile : str

    Returns
    -------
    list of Cell
    """
    found = known_answer_cells(answers, seeds=known, profile=profile)
    if sparsity is not None:
        found.append(sparsity)
    if len(changed):
        found += robustness_cells(changed, dataset=dataset, architecture=architecture, profile=profile)
    return found


def solver_cells(
    compared: pd.DataFrame,
    exponents: pd.DataFrame,
    exact: pd.DataFrame,
    *,
    dataset: str,
    architecture: str,
    profile: str,
) -> list[Cell]:
    """Return how the solvers of the Lasso agree, with one value per seed.

    Parameters
    ----------
    compared : DataFrame
        Rows of `evidence.compare_solvers` with a column seed.
    exponents : DataFrame
        Rows of `evidence.compare_exponents` with a column seed.
    exact : DataFrame
        Rows of `evidence.compare_exact` with a column seed.
    dataset, architecture, profile : str
        Data set, network and profile of the run.

    Returns
    -------
    list of Cell
    """
    by_seed, exact_by_seed = compared.groupby("seed"), exact.groupby("seed")
    june = exponents[exponents.power_t == 0.1].groupby("seed")
    mean_of = "with the screen's mask, mean over tensors, lambdas"
    least_of = "the least over tensors and lambdas"
    weighted = f"the screen with the solver's weights of records; {least_of}"
    rows = [
        ("causal_sgd", "jaccard_kept", by_seed.jaccard_sgd.mean(), mean_of),
        ("causal_sgd", "least_jaccard_kept", by_seed.jaccard_sgd.min(), least_of),
        ("causal_sgd, t^-0.1", "jaccard_kept", june.jaccard_kept.mean(), f"the step of June 2025; {mean_of}"),
        ("causal_sgd, t^-0.1", "least_jaccard_kept", june.jaccard_kept.min(), f"the step of June 2025; {least_of}"),
        ("causal_sgd", "least_jaccard_kept_weighted", exponents.groupby("seed").jaccard_weighted.min(), weighted),
        ("causal_exact", "jaccard_kept", by_seed.jaccard_exact.mean(), f"exact ranking; {mean_of}"),
        ("causal_sgd", "duality_gap", exact_by_seed.gap_sgd.mean(), "relative, where the authors' solver stops"),
        ("causal_exact", "duality_gap", exact_by_seed.gap_exact.max(), "relative, the largest"),
    ]
    samples = pd.DataFrame(rows, columns=["method", "quantity", "value", "note"]).explode("value", ignore_index=True)
    where = {"paper": "causal", "table": f"solvers-{architecture}", "dataset": dataset, "profile": profile}
    return sample_cells(samples, **where)


def is_it_causal_cells(
    correlations: Mapping[int, pd.DataFrame],
    chance: pd.DataFrame,
    stable: pd.DataFrame,
    *,
    weights: int,
    dataset: str,
    architecture: str,
    profile: str,
) -> list[Cell]:
    """Return what the causal score shares with others, and what remains of it under a null.

    Parameters
    ----------
    correlations : dict of DataFrame
        By seed, rank correlations of scores (`evidence.rank_correlations`).
    chance : DataFrame
        Columns seed, pairing, share: the share of weights with a permutation p below 0.05.
    stable : DataFrame
        Statistic, loss changes, stable weights, and the bound on the expected false ones (`stability.select`).
    weights : int
        Number of weights that were selected from.
    dataset, architecture, profile : str
        Data set, network and profile of the run.

    Returns
    -------
    list of Cell
    """
    where = {"paper": "causal", "table": f"is_it_causal-{architecture}", "dataset": dataset, "profile": profile}
    shared = [
        (f"causal, {pairing}", f"rank correlation with {other}", found.loc[f"causal, {pairing}", other])
        for pairing in ("consecutive", "same batch")
        for other in ("|theta|", "squared updates", "Fisher")
        for found in correlations.values()
    ]
    note = "share of weights with permutation p < 0.05; 0.05 if the loss changes knew nothing of the step"
    below = chance.drop(columns="seed").rename(columns={"pairing": "method", "share": "value"})
    below = below.assign(method="causal, " + below.method, quantity="share below 0.05", note=note)
    chosen = [
        {
            "method": f"{statistic}, {losses}",
            "quantity": "stable weights",
            "value": count,
            "note": f"{statistic}, {losses}; of {weights}, chosen in 75% of half samples; "
            f"at most {bound:.0f} false ones expected",
        }
        for statistic, losses, count, bound in stable.itertuples(index=False)
    ]
    cells = sample_cells(pd.DataFrame(shared, columns=["method", "quantity", "value"]), **where)
    return cells + sample_cells(below, **where) + sample_cells(pd.DataFrame(chosen), **where)


def known_answer_cells(answers: Mapping[str, Answer], *, seeds: int, profile: str) -> list[Cell]:
    """Return what each score finds on the problems whose idle weights are known.

    Parameters
    ----------
    answers : mapping of str to Answer
        By problem, the result of `known_answers.ask`.
    seeds : int
        Number of seeds behind each answer.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    rows = []
    for problem, answer in answers.items():
        for score, row in answer.table.iterrows():
            where = {"dataset": problem, "method": score, "n": seeds}
            corner = {"ours": row.critical_sparsity, "ci_low": row.low, "ci_high": row.high, "p_value": row.p_value}
            note = "abrupt" if row.abrupt else "not shown to be abrupt"
            rows.append(where | corner | {"quantity": "critical_sparsity", "note": note})
            others = {"idle_share": answer.idle_fraction, "auc": row.auc, "chosen_sparsity": row.one_se}
            rows += [where | {"quantity": name, "ours": float(value)} for name, value in others.items()]
    return row_cells(pd.DataFrame(rows), paper="causal", table="known_answers", profile=profile)


def robustness_cells(changed: pd.DataFrame, *, dataset: str, architecture: str, profile: str) -> list[Cell]:
    """Return how a changed training affects scores, masks and the chosen sparsity.

    Parameters
    ----------
    changed : DataFrame
        Table of `robustness.run`.
    dataset, architecture, profile : str
        Data set, network and profile of the run.

    Returns
    -------
    list of Cell
    """
    least, most = changed.level.min(), changed.level.max()
    found = []
    for condition, row in robustness.summary(changed).iterrows():
        part, choice = changed[changed.condition == condition], row["chosen sparsity"]
        note = f"chosen by the one-standard-error rule over {changed.seed.nunique()} seeds"
        found.append((condition, "chosen_sparsity", None, [choice], note))
        for quantity, column, level, note in (
            ("accuracy_there", "test_accuracy", choice, "test accuracy at the chosen sparsity"),
            ("rank_correlation", "rank_correlation", least, "scores, with the unchanged training's"),
            ("jaccard_kept", "jaccard_kept", most, "masks, with the unchanged training's"),
        ):
            found.append((condition, quantity, level, part[part.level == level][column].tolist(), note))
    samples = pd.DataFrame(found, columns=["method", "quantity", "sparsity", "value", "note"])
    samples = samples.assign(method="causal, " + samples.method).explode("value", ignore_index=True)
    where = {"paper": "causal", "table": f"robustness-{architecture}", "dataset": dataset, "profile": profile}
    return sample_cells(samples, **where)


def sparsity_cell(
    sparsities: Sequence[Sequence[float]],
    share: float,
    iterations: int,
    *,
    epochs: int,
    architecture: str,
    dataset: str,
    profile: str,
) -> Cell:
    """Return the sparsity that the paper's lambda leads to, beside the one that its scripts imply.

    The paper's scripts let magnitude remove `share` of what is left in each iteration, 1 - (1 - share)^iterations in
    all. That number was never printed, so that it gets no verdict.

    Parameters
    ----------
    sparsities : sequence of sequence of float (runs, iterations)
        Sparsity after each iteration of each run.
    share : float
        Share of the remaining weights that magnitude removes in an iteration.
    iterations : int
        Number of iterations.
    epochs : int
        Number of epochs before the first iteration and in each.
    architecture, dataset, profile : str
        Network, data set and profile of the run.

    Returns
    -------
    Cell
    """
    derived = {"published": round(1 - (1 - share) ** iterations, 3), "origin": "derived"}
    note = f"{epochs} epochs before and in each of {iterations} iterations; derived: what magnitude removes to match"
    where = {"paper": "causal", "table": f"protocol_2024-{architecture}", "dataset": dataset, "profile": profile}
    found = mean_fields([path[-1] for path in sparsities])
    return Cell(**where, method="causal", quantity="sparsity", note=note, **found, **derived)
