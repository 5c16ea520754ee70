"""What paper A's authors released for MNIST: initial states and masks of five trials; its pixels they did not.

Files are found, checked and downloaded by `replication.data.authors`, whose errors these functions raise.
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
    """Paths inside the authors' repository of all files that this module reads."""
    masks = [_mask_file(trial, method) for trial in TRIALS for method in ("ft", "pt")]
    return (*(_state_file(trial) for trial in TRIALS), *masks)


def initial_state(trial: int) -> dict[str, Tensor]:
    """State dict of one trial's network before training: fc1, fc2, fc4, weight and bias each, float32, on the CPU."""
    content = io.BytesIO(authors.read(_state_file(_checked(trial))))
    return torch.load(content, map_location="cpu", weights_only=True)


def removed(trial: int, method: Literal["ft", "pt"]) -> list[int]:
    """The trial's released mask: weights without a causal effect, counted from 0 through fc2, then fc4.

    Raises ValueError for an unknown method, or an index outside the last two layers.
    """
    if method not in ("ft", "pt"):
        raise ValueError(f"method must be 'ft' or 'pt', got {method!r}")
    found = [int(line) for line in authors.read(_mask_file(_checked(trial), method)).split()]
    if not all(0 <= index < _LAST_TWO for index in found):
        raise ValueError(f"{_mask_file(trial, method)} must hold indices in 0..{_LAST_TWO - 1}")
    return sorted(found)


def keep_mask(trial: int, method: Literal["ft", "pt"], *, as_applied: bool) -> Tensor:
    """The released mask over all 41,000 weights, (41000,) bool, True = keep.

    `as_applied` follows the authors' script, which looks for fc4's indices between 1,500 and 1,800 after it has added
    39,200 to all of them, and so finds none: fc4 is never pruned. An index of 0 also removes the last weight of fc1
    there. Else all indices are removed where they belong.
    """
    keep = torch.ones(sum(SIZES), dtype=torch.bool)
    for index in removed(trial, method):
        if not as_applied or index < SIZES[1]:
            keep[SIZES[0] + index] = False
        if as_applied and index == 0:
            keep[SIZES[0] - 1] = False
    return keep


def _checked(trial: int) -> int:
    if trial not in TRIALS:
        raise ValueError(f"trial must be one of {TRIALS}, got {trial!r}")
    return trial


def _state_file(trial: int) -> str:
    return f"init/mnist/model_{trial}.pth"


def _mask_file(trial: int, method: str) -> str:
    return f"masks/mask_mnist_{trial}{'2' if method == 'pt' else ''}.csv"
