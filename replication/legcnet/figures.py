"""Paper A's printed figures, each once, and the verdict on each from the authors' trials and from fresh runs.

Tables 1 to 3 print some numbers twice or three times. A figure that is repeated (FT in table 2), that follows from
another (`pruned_pct` from `kept`) or that is no result (a dense network keeps all its weights) is left out, so that
every figure is judged once: 16 on each of seven datasets.
"""

import numpy as np
import pandas as pd

from ccprune.stats import mean_interval
from replication.data import authors
from replication.ledger.cell import AUTHORS, Cell
from replication.ledger.figures import prediction_range, verdict_exact, verdict_range, verdict_sample
from replication.ledger.paired import median_interval
from replication.ledger.reading import read_json

# (table, method, quantity, key in the published figures, printed decimals)
PRINTED = (
    ("1", "dense", "epochs", "epochs_dense", 0),
    ("1", "dense", "accuracy", "accuracy_dense", 4),
    ("1", "dense", "f1", "f1_dense", 4),
    ("1", "ft", "epochs", "epochs_ft", 0),
    ("1", "ft", "accuracy", "accuracy_ft", 4),
    ("1", "ft", "f1", "f1_ft", 4),
    ("1", "ft", "kept", "weights_ft", 0),
    ("2", "pt", "epochs", "epochs_pt", 0),
    ("2", "pt", "accuracy", "accuracy_pt", 4),
    ("2", "pt", "f1", "f1_pt", 4),
    ("2", "pt", "kept", "weights_pt", 0),
    ("3", "random", "epochs", "epochs_random", 0),
    ("3", "random", "accuracy", "accuracy_random", 4),
    ("3", "random", "f1", "f1_random", 4),
    ("3", "magnitude", "accuracy", "accuracy_magnitude", 4),
    ("3", "magnitude", "f1", "f1_magnitude", 4),
)
TABLES = {"1": "table1_dense_vs_ft", "2": "table2_ft_vs_pt", "3": "table3_baselines"}
#: How many distinct figures tables 1 to 3 print.
DISTINCT = 7 * len(PRINTED)
#: Data sets whose settings were found by a search for the printed rows.
SEARCHED = ("vowel",)
# Table 3's magnitude columns come out without retraining, see `runs.rerun_authors`.
RUN_AS = {"magnitude": "magnitude_after"}
# The printed trial of vowel is not named; only the third gives the printed row. MNIST's is the trial whose released PT
# mask has the printed number of weights.
_TRIALS = {"vowel": 3, "mnist": 3}


def published_figures() -> dict:
    """Return the paper's figures, from replication/paper/legcnet_tables.json.

    Returns
    -------
    dict
        The file's content. Each of the keys in `TABLES` has a dict of figures by data set.
    """
    return read_json(authors.PUBLISHED)


def printed_trial(dataset: str) -> int:
    """Number, from 1, of the authors' trial that tables 1 and 2 print for a dataset.

    Parameters
    ----------
    dataset : str
        Name of a data set.

    Returns
    -------
    int
    """
    return published_figures()["table1_trial"].get(dataset) or _TRIALS[dataset]


def figure(table: str, dataset: str, key: str) -> float:
    """Return a printed figure of tables 1 to 3.

    Parameters
    ----------
    table : str
        "1", "2" or "3".
    dataset : str
        Name of a data set.
    key : str
        Key of the figure, such as "epochs_ft"; `PRINTED` lists them.

    Returns
    -------
    float

    Raises
    ------
    KeyError
        If the table has no such figure.

    References
    ----------
    LEGCNet, arXiv 2308.09955, tables 1 to 3.
    """
    return published_figures()[TABLES[table]][dataset][key]


def contradiction(dataset: str, method: str, quantity: str) -> str:
    """What table 2 prints where table 1 prints another number for the same run; empty where they agree."""
    first, second = (published_figures()[TABLES[table]][dataset].get(f"{quantity}_{method}") for table in "12")
    if method != "ft" or second is None or first == second:
        return ""
    return f"table 2 prints {second} for the same run"


def author_cell(
    table: str, dataset: str, method: str, quantity: str, ours: float | None, trial: int, **more: object
) -> Cell:
    """A number from one trial of the authors' files."""
    where = {"paper": "legcnet", "table": table, "dataset": dataset, "method": method, "quantity": quantity}
    return Cell(**where, ours=ours, n=1, trial=trial, profile=AUTHORS, **more)


def trial_value(row: pd.Series, quantity: str) -> float | None:
    """A trial's figure; None for the epochs of one that never reached the benchmark, or for what was not stored."""
    if (quantity == "epochs" and not row.reached) or pd.isna(row[quantity]):
        return None
    return float(row[quantity])


def exact_fields(printed: float, ours: float | None, decimals: int) -> dict[str, object]:
    """Fields of a figure that a deterministic re-run is compared with."""
    verdict = verdict_exact(printed, ours, decimals=decimals)
    return {"kind": "figure", "origin": "printed", "published": printed, "verdict": verdict}


def fresh_cells(fresh: pd.DataFrame, dataset: str, *, profile: str, seed: int = 0) -> list[Cell]:
    """Compare the printed figures with fresh initialisations, each judged as one more single run.

    Epochs of networks that never reached the benchmark count as infinite, and epochs have a median with its interval
    instead of a mean. Methods with fewer than two networks are left out.

    Parameters
    ----------
    fresh : DataFrame
        One row per network and method, as yielded by `runs.fresh_runs`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
        One figure for each row of `PRINTED`.

    References
    ----------
    LEGCNet, arXiv 2308.09955, tables 1 to 3.
    """
    cells = []
    for table, method, quantity, key, decimals in PRINTED:
        part = fresh[fresh.method == RUN_AS.get(method, method)]
        if len(part) < 2:
            continue
        single = values(part, quantity)
        printed = figure(table, dataset, key)
        ends = prediction_range(single)
        verdict = verdict_range(printed, ends, decimals=decimals)
        where = {"paper": "legcnet", "table": table, "dataset": dataset, "method": method, "quantity": quantity}
        judged = {"kind": "figure", "origin": "printed", "published": printed, "verdict": verdict, "profile": profile}
        sentences = (f"95% of single runs: {_range_text(ends)}", contradiction(dataset, method, quantity))
        note = "; ".join(filter(None, sentences))
        cells.append(Cell(**where, **judged, **summary(single, quantity, seed=seed), note=note))
    return cells


def values(part: pd.DataFrame, quantity: str) -> np.ndarray:
    """A quantity of some networks as single runs; infinite epochs where the benchmark was never reached."""
    single = part[quantity].astype(float)
    return (single.where(part.reached.astype(bool), np.inf) if quantity == "epochs" else single).to_numpy()


def single_range(fresh: pd.DataFrame, method: str, quantity: str) -> str:
    """Return the range of 95% of a method's single runs as text.

    An end of epochs is infinite where the benchmark may not be reached.

    Parameters
    ----------
    fresh : DataFrame
        One row per network and method, as yielded by `runs.fresh_runs`.
    method : str
        Method, such as "ft".
    quantity : str
        Column of `fresh`, such as "epochs".

    Returns
    -------
    str
        For example "31 to 58", in units of the quantity.
    """
    return _range_text(prediction_range(values(fresh[fresh.method == RUN_AS.get(method, method)], quantity)))


def _range_text(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g}"


def summary(single: np.ndarray, quantity: str, *, seed: int = 0) -> dict[str, float | int | None]:
    """Estimate, interval and count of single runs, as fields of a cell: median of epochs, mean of all else."""
    found = median_interval(single) if quantity == "epochs" else mean_interval(single, seed=seed)
    ends = [found.low, found.high]
    if any(end is None or not np.isfinite(end) for end in ends):
        ends = [None, None]
    estimate = found.estimate if np.isfinite(found.estimate) else None
    return {"ours": estimate, "ci_low": ends[0], "ci_high": ends[1], "n": found.n}


def outside_by_chance(fresh: pd.DataFrame, methods: set[str]) -> np.ndarray:
    """How many figures of a dataset one of our own runs would have outside the range of the others.

    Each network in turn stands for the printed trial: its figures, rounded as the paper rounds, against the range of
    all other networks. Returns (networks,) counts over those figures whose method is in `methods`.
    """
    networks = np.sort(fresh.network.unique())
    counts = np.zeros(len(networks), dtype=int)
    for _, method, quantity, _, decimals in PRINTED:
        part = fresh[fresh.method == RUN_AS.get(method, method)].sort_values("network")
        if method not in methods or len(part) != len(networks):
            continue
        single = values(part, quantity)
        for i, value in enumerate(single):
            others = np.delete(single, i)
            if not np.isfinite(value):  # no printed figure can say so
                counts[i] += prediction_range(others)[1] < np.inf
            else:
                counts[i] += verdict_sample(round(value, decimals), others, decimals=decimals) == "outside"
    return counts
