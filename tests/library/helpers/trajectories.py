"""Series whose dynamics are known."""

import numpy as np
import torch


def walks(count, n, seed=0, decimals=None):
    series = np.random.default_rng(seed).standard_normal((count, n)).cumsum(1)
    return torch.from_numpy(series if decimals is None else series.round(decimals))
