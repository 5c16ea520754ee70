"""Oracles: path sums of two-layer networks, written out; the conservation law of the paper's theorem 1; autograd on a
network whose weights were made positive by hand. Null: a weight on no path.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ccprune import scores


def test_of_two_linear_layers_a_score_is_the_weight_times_the_paths_through_it(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)).to(device)
    a, b = (model[i].weight.detach().double().abs().cpu().numpy() for i in (0, 2))  # (5, 4), (3, 5)
    found = scores.synflow(model, torch.randn(2, 4, device=device))
    np.testing.assert_allclose(found["0.weight"].cpu().numpy(), a * b.sum(0)[:, None], rtol=1e-12)
    np.testing.assert_allclose(found["2.weight"].cpu().numpy(), b * a.sum(1)[None, :], rtol=1e-12)
    total = float(b.sum(0) @ a.sum(1))
    assert {name: float(score.sum()) for name, score in found.items()} == pytest.approx(dict.fromkeys(found, total))


def test_every_layer_of_a_network_without_biases_holds_the_same_flow():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 6, bias=False),
        nn.ReLU(),
        nn.Linear(6, 2, bias=False),
    )
    sums = [float(score.sum()) for score in scores.synflow(model, torch.zeros(1, 1, 6, 6)).values()]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-12) and sums[0] > 0


def test_biases_and_normalisation_enter_by_absolute_value():
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([-1.0, 2.0, -0.5, 1.0, 3.0]))
        model[1].running_mean.copy_(torch.tensor([-0.1, 0.2, -0.3, 0.0, 0.1]))
    positive = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for value in positive.state_dict().values():
            value.abs_()
    positive(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
    found = scores.synflow(model, torch.randn(3, 4))
    for name, index in (("0.weight", 0), ("3.weight", 3)):
        expected = positive[index].weight.detach() * positive[index].weight.grad
        np.testing.assert_allclose(found[name].numpy(), expected.numpy(), rtol=1e-12)


def test_deep_and_wide_networks_overflow_float32_only():
    layer = nn.Linear(64, 64, bias=False)
    with torch.no_grad():
        layer.weight.fill_(100.0)
    model = nn.Sequential(*[copy.deepcopy(layer) for _ in range(20)])  # a flow of 6400^20 * 64, about 1e78
    found = scores.synflow(model, torch.zeros(1, 64))
    assert float(found["0.weight"][0, 0]) == pytest.approx(6400.0**20 / 64, rel=1e-12)
    deeper = nn.Sequential(*[copy.deepcopy(layer) for _ in range(90)])
    with pytest.raises(ValueError, match=r"model's '0.weight' must have finite scores"):
        scores.synflow(deeper, torch.zeros(1, 64))


def test_the_data_do_not_matter_but_tokens_do():
    torch.manual_seed(3)
    model = nn.Linear(3, 2)
    x = torch.randn(5, 3)
    assert torch.equal(scores.synflow(model, x)["weight"], scores.synflow(model, 7 * x[:1] - 1)["weight"])
    text = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 2, bias=False))
    tokens = torch.tensor([[1, 4], [4, 4]])
    flow = text[0].weight.detach().double().abs()[tokens].flatten(1).sum(0)  # what the two texts bring together
    expected = text[2].weight.detach().double().abs() * flow
    np.testing.assert_allclose(scores.synflow(text, tokens)["2.weight"].numpy(), expected.numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match="x must hold at least one sample"):
        scores.synflow(model, x[:0])


def test_null_a_weight_on_no_path_from_input_to_output_scores_zero():
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
    with torch.no_grad():
        model[2].weight[:, 1] = 0.0  # nobody reads unit 1
        model[0].weight[3] = 0.0  # unit 3 hears nothing
    found = scores.synflow(model, torch.zeros(1, 4))
    assert bool((found["0.weight"][1] == 0).all()) and bool((found["2.weight"][:, 3] == 0).all())
    assert bool((found["0.weight"][[0, 2, 4]] > 0).all()) and bool((found["2.weight"][:, [0, 2, 4]] > 0).all())
