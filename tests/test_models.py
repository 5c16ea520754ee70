"""Oracle: the network written out with NumPy, and the ensemble's own outputs, which are computed by other code."""

import numpy as np
import pytest
import torch

from ccprune.ensemble import initialise
from ccprune.mask import prunable
from ccprune.models import from_ensemble, sigmoid_mlp
from ccprune.train import outputs


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_outputs_equal_the_ensembles_and_the_formula():
    ensemble = initialise((4, 6, 3), 3, seed=0, scale=0.8)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((10, 4)))
    for index in range(3):
        model = from_ensemble(ensemble, index)
        found = model(x).detach()
        torch.testing.assert_close(found, outputs(ensemble, x)[index], rtol=1e-13, atol=0)
        w1, b1, w2, b2 = (getattr(ensemble, part)[index].numpy() for part in ("w1", "b1", "w2", "b2"))
        expected = sigmoid(sigmoid(x.numpy() @ w1.T + b1) @ w2.T + b2)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)


def test_weights_are_counted_as_in_the_ensemble_and_owned_by_the_model():
    ensemble = initialise((4, 6, 3), 2, seed=0)
    before = ensemble.weights
    model = from_ensemble(ensemble, 1)
    weights = prunable(model)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {"0.weight": (6, 4), "2.weight": (3, 6)}
    assert torch.equal(torch.cat([weight.detach().flatten() for weight in weights.values()]), before[1])
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(ensemble.weights, before)


def test_sigmoid_mlp_is_the_first_network_of_its_seed():
    model = sigmoid_mlp(4, 6, 3, scale=0.5, seed=7)
    same = from_ensemble(initialise((4, 6, 3), 1, seed=7, scale=0.5), 0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    other = sigmoid_mlp(4, 6, 3, scale=0.5, seed=8)
    assert not torch.equal(other[0].weight, model[0].weight)
    assert all(parameter.dtype == torch.float64 and parameter.requires_grad for parameter in model.parameters())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"index must lie in 0..1, got 2"):
        from_ensemble(initialise((2, 2, 1), 2, seed=0), 2)
    with pytest.raises(ValueError, match="sizes must be at least 1"):
        sigmoid_mlp(2, 0, 1)
