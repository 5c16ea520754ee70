"""Explanations. Oracle: Shapley's formula over all subsets of features, and closed forms of linear models."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from ccprune.measure import explanation


def _network(inputs=4, outputs=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs)).double()


def _by_subsets(model, x, background):
    """Shapley values of one sample by their definition (Shapley, 1953)."""
    d = len(x)

    def value(subset):
        rows = background.clone()
        rows[:, list(subset)] = x[list(subset)]
        return model(rows).mean(0)

    values = torch.zeros(d, model(background).shape[1], dtype=torch.float64)
    for feature in range(d):
        others = [one for one in range(d) if one != feature]
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for subset in itertools.combinations(others, size):
                values[feature] += weight * (value((*subset, feature)) - value(subset))
    return values.detach()


def test_shapley_values_are_those_of_all_subsets_up_to_the_error_of_sampling():
    model, x, background = _network(), torch.randn(3, 4).double(), torch.randn(5, 4).double()
    expected = torch.stack([_by_subsets(model, one, background) for one in x])
    errors = [
        (explanation.shapley_values(model, x, background, permutations=n, seed=1) - expected).abs().max().item()
        for n in (2, 200)
    ]
    assert errors[1] < 0.02 < expected.abs().max()
    assert errors[1] < errors[0]


def test_shapley_values_sum_to_the_output_and_are_zero_for_an_unused_feature():
    model, x, background = _network(), torch.randn(3, 4).double(), torch.randn(5, 4).double()
    with torch.no_grad():
        model[0].weight[:, 2] = 0
    values = explanation.shapley_values(model, x, background, permutations=1)
    torch.testing.assert_close(values.sum(1), (model(x) - model(background).mean(0)).detach())
    assert values[:, 2].abs().max() == 0
    assert values[:, 0].abs().max() > 0


def test_both_explanations_of_a_linear_model_are_its_terms():
    model = nn.Linear(3, 2).double()
    x, background = torch.randn(4, 3).double(), torch.randn(6, 3).double()
    terms = ((x - background.mean(0))[:, :, None] * model.weight.T).detach()
    torch.testing.assert_close(explanation.shapley_values(model, x, background, permutations=1), terms)
    torch.testing.assert_close(explanation.integrated_gradients(model, x, background.mean(0), steps=2), terms)


def test_integrated_gradients_sum_to_the_difference_of_outputs():
    model, x = _network(), torch.randn(3, 4).double()
    found = explanation.integrated_gradients(model, x, torch.zeros(4).double(), steps=400)
    torch.testing.assert_close(found.sum(1), (model(x) - model(torch.zeros(1, 4).double())).detach(), atol=1e-4, rtol=0)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    explanation.integrated_gradients(model, x, torch.zeros(4))
    explanation.shapley_values(model, x, x, permutations=1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_samples_of_different_features_are_refused(shape):
    with pytest.raises(ValueError, match="background|baseline"):
        explanation.shapley_values(_network(), torch.zeros(2, 4), torch.zeros(shape))
    with pytest.raises(ValueError, match="baseline"):
        explanation.integrated_gradients(_network(), torch.zeros(2, 4), torch.zeros(shape))


def test_outputs_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match=r"model must give outputs \(n, o\)"):
        explanation.shapley_values(nn.Flatten(0), torch.zeros(2, 4), torch.zeros(2, 4))


def test_agreement_is_full_with_itself_none_with_the_reverse_and_by_chance_in_between():
    values = np.arange(1.0, 11.0)
    assert explanation.agreement(values, values) == (pytest.approx(1), 1, 5)
    assert explanation.agreement(values, values[::-1]) == (pytest.approx(-1), 0, 5)
    generator = np.random.default_rng(0)
    found = [explanation.agreement(values, generator.permutation(values)) for _ in range(400)]
    # Five places of ten, drawn without replacement: the mean of 400 has a standard deviation of 0.01.
    assert abs(np.mean([one.top_k for one in found]) - 0.5) < 0.04
    assert abs(np.mean([one.rank_correlation for one in found])) < 0.07
    assert explanation.agreement(values, np.ones(10)).rank_correlation == 0


def test_features_of_an_image_are_patches():
    values = torch.zeros(2, 3 * 32 * 32, 1)
    values.reshape(2, 3, 32, 32)[:, :, :2, :2] = 4.0
    found = explanation.importance(values, torch.Size([3, 32, 32]))
    assert found.shape == (256,)
    assert found[0] == 4 and found[1:].abs().max() == 0


def test_importances_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="a and b must be importances"):
        explanation.agreement([1.0, 2.0], [1.0, 2.0, 3.0])
