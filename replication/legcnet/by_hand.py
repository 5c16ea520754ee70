"""Result cells of lesson 11: one small network pruned by hand."""

from collections.abc import Mapping

from torch import Tensor

from ccprune.stats import Interval, mean_interval
from replication.ledger import Cell


def by_hand_cells(
    accuracies: Mapping[str, Tensor],
    removed: Mapping[str, int],
    weights: int,
    *,
    dataset: str,
    network: int,
    profile: str,
    seed: int = 0,
) -> list[Cell]:
    """Return the accuracy under each mask, and how many weights FT and PT remove.

    Parameters
    ----------
    accuracies : mapping of str to Tensor (draws,)
        Test accuracy by mask. Of more than one draw the mean with its interval is taken.
    removed : mapping of str to int
        Number of weights that each mask removes.
    weights : int
        Number of all weights of the network.
    dataset : str
        Name of the data set.
    network : int
        Number of the initialisation.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
    """
    cells = []
    for name, values in accuracies.items():
        key = ("legcnet", "by_hand", dataset, name.replace(", as ", "_"))
        note = f"network {network}, {removed[name]} of {weights} weights removed"
        if len(values) > 1:
            interval = mean_interval(values.numpy(), seed=seed)
            cells.append(Cell.from_interval(*key, "accuracy", interval, profile=profile, note=f"{note} at random"))
        else:
            cells.append(Cell.from_interval(*key, "accuracy", _single(values), note=note, profile=profile))
        if name in ("ft", "pt"):
            gone = _single(removed[name])
            cells.append(Cell.from_interval(*key, "removed", gone, note=f"network {network}", profile=profile))
    return cells


def _single(value: Tensor | int) -> Interval:
    """Return the value of one run, which has no interval."""
    return Interval(value if isinstance(value, int) else value.item(), None, None, 1)
