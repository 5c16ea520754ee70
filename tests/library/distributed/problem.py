"""The network, the data and the scores that one process and two processes are given."""

import torch
from torch import nn

#: Wrapping and the recorder's pairing. A forward pass alone leaves FSDP2's parameters otherwise than a backward pass.
TRAINED = (
    ("ddp", "consecutive"),
    ("fsdp", "consecutive"),
    ("fsdp", "same_batch"),
    ("one_replica", "consecutive"),
    ("two_replicas", "consecutive"),
)

ONLINE = {"sparsity": 0.6, "ramp": 2, "every": 4, "fraction": 0.3, "half_life": 8.0}


def network():
    """Shards are uneven on two ranks: 5 rows, 7 rows, and 1 row, of which the second rank has none."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(20, 7), nn.Tanh(), nn.Linear(7, 1)
    ).double()


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=0.01)


def loss(model, x, y):
    return (model(x).squeeze(1) - y).square().mean()


def batches(count=12):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 8, 2, 4, 4, generator=generator, dtype=torch.float64)
    return list(zip(x, x.mean((2, 3, 4)) + x[:, :, 0, 0, 0], strict=True))


def train(model, optimizer, recorder, data, device="cpu"):
    for x, y in data:
        value = loss(model, x.to(device), y.to(device))
        optimizer.zero_grad()
        value.backward()
        recorder.before_step(value)
        optimizer.step()
        if recorder.pairing == "same_batch":
            with torch.no_grad():
                recorder.after_step(loss(model, x.to(device), y.to(device)))


def exponents(model, recorder_of, store_of, own=lambda x: x, device="cpu"):
    """Train for five windows of six steps and return the store; `own` takes a process's share of a batch."""
    x, y = (own(part).to(device) for part in batches(1)[0])
    stepper, store = optimizer(model), store_of(model, window=6, risk=lambda model: loss(model, x, y))
    data = [(own(x), own(y)) for x, y in batches(28)]
    with recorder_of(model, stepper, [store], pairing="consecutive") as recorder:
        train(model, stepper, recorder, data, device)
    return store


def tied_scores():
    """{case: (scores, sparsities)}, scores of the network's weights."""
    generator = torch.Generator().manual_seed(2)
    shapes = {"0.weight": (5, 2, 3, 3), "3.weight": (7, 20), "5.weight": (1, 7)}
    few = {name: torch.randint(-2, 3, shape, generator=generator).float() for name, shape in shapes.items()}
    few["3.weight"][0, :7] = -0.0
    few["5.weight"][0, :2] = torch.tensor([torch.inf, -torch.inf])
    wide = {}
    for name, shape in shapes.items():
        powers = torch.randint(-300, 300, shape, generator=generator)
        wide[name] = torch.randn(shape, generator=generator, dtype=torch.float64) * 10.0**powers
    near = {  # float64 numbers next to each other: the last digits decide
        name: 1.0 + torch.randint(0, 50, shape, generator=generator).double() * 2.0**-52
        for name, shape in shapes.items()
    }
    return {
        "ties": (few, (0.0, 0.13, 0.5, 0.9, 1.0)),
        "all equal": ({name: torch.full(shape, 0.25) for name, shape in shapes.items()}, (0.4,)),
        "wide": (wide, (0.5,)),
        "other order, fewer": ({name: few[name] for name in ("5.weight", "0.weight")}, (0.6,)),
        "neighbours": (near, (0.7,)),
    }
