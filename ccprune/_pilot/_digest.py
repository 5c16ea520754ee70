"""The hash of everything that the networks of a pilot depend on, which is part of the keys of its units."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from types import CodeType
from typing import Any

from torch import nn

from ccprune._pilot._data import Data
from ccprune._pilot._engine import Setting
from ccprune._pilot._metrics import Metric


def digest(
    setting: Setting, data: Data, metric: Metric, weights: Mapping[str, nn.Parameter], loss: float, seed: int
) -> str:
    """Return the hash of everything that the networks depend on.

    Functions are known by their code, and by what they do in the trial: its loss and the model's first weights.
    """
    model = setting.make(seed)
    described = {
        "version": version("ccprune"),
        "data": data.digest,
        "model": repr(model),
        "weights": [float(weight.detach().double().sum()) for weight in model.parameters()],
        "pruned": sorted(weights),
        "optimizer": repr(setting.optimizer(model.parameters())),
        "functions": [_describe(one) for one in (setting.fit, setting.loss, metric)],
        "trial": loss,
        "epochs": [setting.before, setting.recorded, setting.after],
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _describe(value: Any) -> Any:
    """Return what a function does, as its code and what that holds, without addresses, which differ in each process."""
    if isinstance(value, partial):
        return [_describe(one) for one in (value.func, *value.args, *sorted(value.keywords.items()))]
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, [_describe(one) for one in value.co_consts]]
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    if hasattr(value, "__code__"):
        held = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__qualname__, _describe(value.__code__), _describe((value.__defaults__, held))]
    return re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
