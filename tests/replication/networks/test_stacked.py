"""Oracle: torch's own SGD on each model by itself."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from ccprune.mask import Mask
from replication.networks.models import legcnet_mnist, resnet20
from replication.networks.stacked import stack_models


def networks(device="cpu", count=3):
    return [legcnet_small(seed).to(device) for seed in range(count)]


def legcnet_small(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3), nn.Softmax(-1)).double()


def batches(device="cpu", count=20):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield (
            torch.randn(8, 6, generator=generator, dtype=torch.float64).to(device),
            torch.rand(8, 3, generator=generator, dtype=torch.float64).to(device),
        )


def test_steps_are_those_of_torch_sgd_under_a_mask(device):
    models = networks(device)
    together = stack_models(models)
    keep = torch.rand(3, 45, generator=torch.Generator().manual_seed(1)).to(device) > 0.3
    together.apply_(keep)
    kept = together.split(keep)
    for x, y in batches(device):
        together.sgd_(x, y, loss=mse_loss, lr=0.5, keep=kept)
    for index, model in enumerate(models):
        mask = Mask({name: part[index] for name, part in kept.items()})
        mask.apply_(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for x, y in batches(device):
            loss = mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            mask.apply_(model)
        for name, value in model.named_parameters():
            torch.testing.assert_close(together.parameters[name][index], value.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(together.model(index)(x), model(x), rtol=1e-9, atol=1e-12)
        assert (together.weights[index] == 0).eq(~keep[index]).all()


def test_models_are_copied_and_left_alone():
    models = networks()
    before = copy.deepcopy(models[0].state_dict())
    together = stack_models(models)
    x, y = next(batches())
    twice = together.select([0, 0, 2])
    together.sgd_(x, y, loss=mse_loss, lr=0.5)
    assert all(torch.equal(value, before[name]) for name, value in models[0].state_dict().items())
    torch.testing.assert_close(twice.outputs(x), torch.stack([models[i](x) for i in (0, 0, 2)]).detach())
    assert len(twice) == 3 and torch.equal(
        twice.weights[0], torch.cat([models[0][0].weight.flatten(), models[0][2].weight.flatten()])
    )
    alone = together.model(1)
    alone[0].weight.data.zero_()
    assert bool((together.parameters["0.weight"][1] != 0).any())


def test_split_is_the_inverse_of_weights():
    together = stack_models(networks())
    parts = together.split(together.weights)
    assert all(torch.equal(parts[name], together.parameters[name]) for name in together.prunable)


def test_a_weight_that_is_pruned_stays_zero_even_if_it_diverged():
    together = stack_models(networks(count=1))
    together.parameters["0.weight"][0, 0, 0] = float("inf")
    keep = torch.ones(1, 45, dtype=torch.bool)
    keep[0, 0] = False
    together.apply_(keep)
    assert together.parameters["0.weight"][0, 0, 0] == 0


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="models must not be empty"):
        stack_models([])
    with pytest.raises(ValueError, match="models must have no buffers"):
        stack_models([resnet20(1, 10, seed=0)])
    together = stack_models([legcnet_mnist(seed=0)])
    with pytest.raises(ValueError, match=r"keep must be bool of shape \(1, 41000\)"):
        together.apply_(torch.ones(2, 41000, dtype=torch.bool))
