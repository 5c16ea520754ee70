"""The methods of paper B, and the library's criteria of the same recordings. Oracle: each other, bit for bit."""

import pytest
import torch
from torch import nn

from ccprune import criteria
from ccprune.mask import prunable
from ccprune.recording import Recorder
from replication.causal.methods import all_methods
from replication.networks import models

RATE = 0.1


def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)


def train(model, recorder, optimizer, steps):
    for step in range(steps):
        x, y = batch(step)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        recorder.before_step(loss)
        optimizer.step()
        if recorder.pairing == "same_batch":
            with torch.no_grad():
                recorder.after_step(nn.functional.cross_entropy(model(x), y))


@pytest.fixture(scope="module")
def recorded():
    model = models.mlp((6, 5, 3), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    with criteria.Recording(model, optimizer) as recording:
        train(model, recording, optimizer, 400)
    return model, recording


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize(
    ("name", "method", "pairing"),
    [
        ("causal", "causal", "same_batch"),
        ("causal_consecutive", "causal", "consecutive"),
        ("causal_exact", "causal_exact", "same_batch"),
        ("causal_sgd", "causal_sgd", "same_batch"),
        ("squared_updates", "squared_updates", "consecutive"),
    ],
)
def test_causal_criteria_are_the_methods_of_paper_b_on_the_same_records(name, method, pairing, recorded):
    model = models.mlp((6, 5, 3), seed=0)
    optimizer, chosen = torch.optim.SGD(model.parameters(), lr=RATE), all_methods(lr=RATE, seed=0)[method]
    store = chosen.store(model)
    with Recorder(model, optimizer, [store], pairing=pairing) as recorder:
        train(model, recorder, optimizer, 400)
    trained, recording = recorded
    for key, weight in prunable(trained).items():
        assert torch.equal(weight, prunable(model)[key])  # several recorders at once change nothing
    found = criteria.score(name, trained, lr=RATE, store=recording.stores[name])
    assert_same(found, chosen.score(model, store))
