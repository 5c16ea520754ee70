"""Result type and helper functions of all exports."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.inputs import call, tensors
from ccprune._util.modes import copy_model, eval_mode
from ccprune.mask import Mask, unwrap


@dataclass(frozen=True, eq=False)
class Exported:
    """A model for inference, exported from a masked model by `to_csr`, `to_semi_structured` or `to_structured`.

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
    return mask.apply_(copy_model(unwrap(model))).eval()


def outputs(model: nn.Module, inputs: Any) -> list[Tensor]:
    """Return the output tensors in eval mode, keeping the global random state; raises TypeError if there are none."""
    with eval_mode(model), torch.no_grad():
        found = call(model, inputs)
    if not tensors(found):
        raise TypeError(f"model must return Tensors, alone or in a tuple or mapping, got {type(found).__name__}")
    return tensors(found)
