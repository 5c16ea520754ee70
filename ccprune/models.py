"""The papers' networks as torch modules."""

import torch
from torch import nn

from ccprune.ensemble import Ensemble, initialise


def sigmoid_mlp(inputs: int, hidden: int, outputs: int, *, scale: float = 0.1, seed: int = 0) -> nn.Sequential:
    """Paper A's small network: one hidden layer, sigmoids everywhere, float64.

    Weights and biases from N(0, scale^2) by `ensemble.initialise`. Weight names: "0.weight" (hidden, inputs) and
    "2.weight" (outputs, hidden). Raises ValueError for sizes below 1.
    """
    return from_ensemble(initialise((inputs, hidden, outputs), 1, seed=seed, scale=scale), 0)


def from_ensemble(ensemble: Ensemble, index: int) -> nn.Sequential:
    """One network of an ensemble as a torch module with parameters of its own."""
    if not 0 <= index < len(ensemble):
        raise ValueError(f"index must lie in 0..{len(ensemble) - 1}, got {index}")
    inputs, hidden, outputs = ensemble.sizes
    options = {"dtype": torch.float64, "device": ensemble.w1.device}
    last = nn.Sigmoid() if ensemble.output == "sigmoid" else nn.Softmax(-1)
    model = nn.Sequential(
        nn.Linear(inputs, hidden, **options),
        nn.Sigmoid(),
        nn.Linear(hidden, outputs, **options),
        last,
    )
    values = {"0.weight": ensemble.w1, "0.bias": ensemble.b1, "2.weight": ensemble.w2, "2.bias": ensemble.b2}
    model.load_state_dict({name: value[index] for name, value in values.items()})
    return model
