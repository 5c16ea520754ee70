"""What all exports return and share."""

import copy
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.modes import eval_mode
from ccprune.mask import Mask, unwrap


@dataclass(frozen=True, eq=False)
class Exported:
    """A model made from a masked one, for inference.

    Attributes
    ----------
    model : Module
        A copy in eval mode; the original is as it was.
    layers : DataFrame
        One row per parameter: what was done to it, and the reason where nothing was.
    """

    model: nn.Module
    layers: pd.DataFrame


def masked_copy(model: nn.Module, mask: Mask) -> nn.Module:
    """A copy of the plain model under the mask, in eval mode. Raises ValueError where the mask does not fit."""
    mask.check(model)  # before a copy that may be large
    return mask.apply_(copy.deepcopy(unwrap(model))).eval()


def outputs(model: nn.Module, example: Tensor) -> Tensor:
    """Of a forward pass in eval mode; global random state untouched. Raises TypeError unless they are one Tensor."""
    with eval_mode(model), torch.no_grad(), torch.random.fork_rng([example.device] if example.is_cuda else []):
        found = model(example)
    if not isinstance(found, Tensor):
        raise TypeError(f"model must return one Tensor, got {type(found)}")
    return found
