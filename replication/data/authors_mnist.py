"""Files that paper A's authors released for MNIST: initial states and masks of five trials, but not the pixels.

The files are searched for, checked and downloaded by `replication.data.authors`, whose errors these functions raise.
"""

import io
from typing import Literal

import torch
from torch import Tensor

from replication.data import authors

TRIALS = (1, 2, 3, 4, 5)
SIZES = (39_200, 1_500, 300)  # weights of fc1, fc2 and fc4
_LAST_TWO = sum(SIZES[1:])


def files() -> tuple[str, ...]:
    """Return the paths in the authors' repository of all files that this module reads.

    Returns
    -------
    tuple of str
    """
    masks = [_mask_file(trial, method) for trial in TRIALS for method in ("ft", "pt")]
    return (*(_state_file(trial) for trial in TRIALS), *masks)


def initial_state(trial: int) -> dict[str, Tensor]:
    """Return the state dict of a trial's network before training.

    Parameters
    ----------
    trial : int
        One of `TRIALS`.

    Returns
    -------
    dict of str to Tensor
        Weight and bias of fc1, fc2 and fc4, float32, on the CPU.
    """
    content = io.BytesIO(authors.read(_state_file(_check_trial(trial))))
    return torch.load(content, map_location="cpu", weights_only=True)


def removed_weights(trial: int, method: Literal["ft", "pt"]) -> list[int]:
    """Return a trial's released mask, which lists the weights without a causal effect.

    Parameters
    ----------
    trial : int
        One of `TRIALS`.
    method : str
        "ft" or "pt".

    Returns
    -------
    list of int
        Sorted indices, which count from 0 through fc2, then fc4.

    Raises
    ------
    ValueError
        If an argument is unknown, or an index is outside the last two layers.
    """
    if method not in ("ft", "pt"):
        raise ValueError(f"method must be 'ft' or 'pt', got {method!r}")
    indices = [int(line) for line in authors.read(_mask_file(_check_trial(trial), method)).split()]
    if not all(0 <= index < _LAST_TWO for index in indices):
        raise ValueError(f"{_mask_file(trial, method)} must have indices from 0 to {_LAST_TWO - 1} only")
    return sorted(indices)


def keep_mask(trial: int, method: Literal["ft", "pt"], *, as_applied: bool) -> Tensor:
    """Return a trial's released mask over all 41,000 weights.

    Parameters
    ----------
    trial, method
        As in `removed_weights`.
    as_applied : bool
        Whether to follow the authors' script. It selects fc4's indices between 1,500 and 1,800 after it has added
        39,200 to all indices, so it finds none and never prunes fc4. It also prunes the last weight of fc1 for an index
        of 0. Otherwise all indices are pruned in their layers.

    Returns
    -------
    Tensor (41000,), bool
        True = keep.
    """
    keep = torch.ones(sum(SIZES), dtype=torch.bool)
    for index in removed_weights(trial, method):
        if not as_applied or index < SIZES[1]:
            keep[SIZES[0] + index] = False
        if as_applied and index == 0:
            keep[SIZES[0] - 1] = False
    return keep


def _check_trial(trial: int) -> int:
    if trial not in TRIALS:
        raise ValueError(f"trial must be one of {TRIALS}, got {trial!r}")
    return trial


def _state_file(trial: int) -> str:
    return f"init/mnist/model_{trial}.pth"


def _mask_file(trial: int, method: str) -> str:
    return f"masks/mask_mnist_{trial}{'2' if method == 'pt' else ''}.csv"
