"""Cells and a sentence of the lesson on your own model, where criteria are compared and tested on planted problems."""

import pandas as pd

from replication.ledger import Cell, row_cells, sample_cells
from replication.null.planted import Roc, planted_cells


def planted_sentence(trained: pd.DataFrame) -> str:
    """Name the criterion that is best on its worst planted problem, beside both papers' scores and simple ones.

    Parameters
    ----------
    trained : DataFrame
        Rows of `Roc.table` with the state "trained", among them those of the criteria causal, squared_updates,
        magnitude and random.

    Returns
    -------
    str
    """
    worst = trained.groupby("criterion", sort=False).auc.min().sort_values()
    best = worst.index[-1]
    return (
        f"Planted networks, {trained.seeds.min()} seeds: of {len(worst)} criteria {best} is best on its worst problem, "
        f"with an area of {worst[best]:.2f}; causal has {worst['causal']:.2f}, squared updates "
        f"{worst['squared_updates']:.2f}, magnitude {worst['magnitude']:.2f}, random {worst['random']:.2f}."
    )


def own_model_cells(
    runs: pd.DataFrame, bits: pd.DataFrame, roc: Roc, *, dataset: str, text: str, profile: str
) -> list[Cell]:
    """Return the cells of the lesson on your own model.

    Parameters
    ----------
    runs : DataFrame
        Accuracy of each pruned network on images: `runs` of `ccprune.compare`.
    bits : DataFrame
        Columns criterion, sparsity and bits per byte of each pruned transformer.
    roc : Roc
        Of the planted problems.
    dataset, text : str
        Names of the images and of the text.
    profile : str

    Returns
    -------
    list of Cell
    """
    where = {"paper": "causal", "profile": profile}
    samples = runs[["method", "sparsity", "accuracy"]].assign(quantity="accuracy")
    rows = bits.set_axis(["method", "sparsity", "ours"], axis=1).assign(quantity="bits per byte", n=1)
    found = sample_cells(samples, "accuracy", table="own_model-cnn", dataset=dataset, **where)
    found += row_cells(rows, table="own_model-transformer", dataset=text, **where)
    return found + planted_cells(roc, profile=profile)
