"""Result type and helper functions of all exports."""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.modes import copied, eval_mode
from ccprune.mask import Mask, unwrap


@dataclass(frozen=True, eq=False)
class Exported:
    """A model for inference, exported from a masked model.

    Attributes
    ----------
    model : Module
        Copy in eval mode; the original is unchanged.
    layers : DataFrame
        One row per parameter with the change that was made to it, or the reason if there was none.
    """

    model: nn.Module
    layers: pd.DataFrame


def masked_copy(model: nn.Module, mask: Mask) -> nn.Module:
    """Copy the plain model and apply the mask, in eval mode; raises ValueError if the mask does not fit."""
    mask.check(model)  # before copying, since the model may be large
    return mask.apply_(copied(unwrap(model))).eval()


def outputs(model: nn.Module, example: Tensor) -> Tensor:
    """Return the output in eval mode, keeping the global random state; raises TypeError unless it is one Tensor."""
    with eval_mode(model), torch.no_grad():
        found = model(example)
    if not isinstance(found, Tensor):
        raise TypeError(f"model must return one Tensor, got {type(found)}")
    return found
