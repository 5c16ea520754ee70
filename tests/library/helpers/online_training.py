"""A small network that is pruned while it is trained."""

import small_models
import torch
from torch.nn.functional import cross_entropy

OPTIMIZERS = {
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.01, weight_decay=0.01, amsgrad=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.01),
}


FAST = {"ramp": 3, "every": 4, "fraction": 0.3, "half_life": 8.0}


def network(device="cpu", dtype=torch.float32, seed=0):
    return small_models.mlp((6, 10, 3), seed=seed).to(device, dtype)


def batch(step, device="cpu", dtype=torch.float32):
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
    return x.to(device, dtype), y.to(device)


def loss_of(model, x, y):
    outputs = model(x)
    return cross_entropy(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), y)


def train(model, optimizer, steps, pruner=None, after_step=None):
    """Steps of the stream with these numbers."""
    weight = next(model.parameters())
    for step in steps:
        x, y = batch(step, weight.device, weight.dtype)
        loss = loss_of(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        if pruner is not None:
            pruner.before_step(loss)
        optimizer.step()
        if pruner is not None and pruner.pairing == "same_batch":
            optimizer.zero_grad()  # allowed here: growth has been looked at
            with torch.no_grad():
                pruner.after_step(loss_of(model, x, y))
        if after_step is not None:
            after_step(step + 1)


def values(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())
