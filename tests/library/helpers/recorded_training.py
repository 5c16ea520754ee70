"""A small network that is trained and recorded."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.recording import Recorder


class Covariance:
    """A streaming store: sum_t dL_t dtheta_t^2, and copies of what came, for the tests that ask."""

    def __init__(self):
        self.sums, self.losses, self.changes = {}, [], []

    def update(self, delta_loss, delta_weights):
        self.losses.append(delta_loss.clone())
        self.changes.append({name: change.clone() for name, change in delta_weights.items()})
        for name, change in delta_weights.items():
            self.sums[name] = self.sums.get(name, 0) + delta_loss * change.double().square()


def network(dtype=torch.float64, device="cpu"):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).to(device, dtype)


def batches(count, dtype=torch.float64, device="cpu", size=6):
    generator = torch.Generator().manual_seed(0)
    found = [
        (torch.randn(size, 3, generator=generator, dtype=torch.float64), torch.randint(4, (size,), generator=generator))
        for _ in range(count)
    ]
    return [(x.to(device, dtype), y.to(device)) for x, y in found]


def train(model, optimizer, data, recorder=None, scheduler=None):
    for x, y in data:
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        if recorder is not None:
            recorder.before_step(loss)
        optimizer.step()
        if recorder is not None and recorder.pairing == "same_batch":
            recorder.after_step(cross_entropy(model(x), y))
        if scheduler is not None:
            scheduler.step()


def recorded(pairing, data, stores, *, model=None, lr=0.3, **options):
    model = network(data[0][0].dtype, data[0][0].device) if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **options)
    with Recorder(model, optimizer, stores, pairing=pairing) as recorder:
        train(model, optimizer, data, recorder)
    return recorder
