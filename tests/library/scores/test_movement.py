"""Oracles: -lr sum theta g taken step by step; and, for any optimiser, sum theta dtheta = (theta_T^2 - theta_0^2 -
sum dtheta^2) / 2. Null: weights that do not move.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from ccprune.mask import prunable
from ccprune.recording import PAIRINGS, Recorder, SquaredUpdates
from ccprune.scores import Movement

RATE = 0.1


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in prunable(model).items()}


def trained(optimizer_of, pairing, dtype=torch.float64, steps=12):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    optimizer = optimizer_of(model.parameters())
    store, squares, by_hand = Movement(model), SquaredUpdates(), None
    first = weights_of(model)
    with Recorder(model, optimizer, [store, squares], pairing=pairing) as recorder:
        for step in range(steps):
            generator = torch.Generator().manual_seed(step)
            x = torch.randn(8, 5, generator=generator, dtype=torch.float64).to(dtype)
            y = torch.randint(0, 2, (8,), generator=generator)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            last = weights_of(model)
            if by_hand is None:
                by_hand = {name: torch.zeros_like(value) for name, value in last.items()}
            if pairing == "same_batch" or step < steps - 1:  # the last step of all is no consecutive record
                for name, value in last.items():
                    gradient = model.get_parameter(name).grad
                    if gradient is not None:
                        by_hand[name] -= RATE * value * gradient
            recorder.before_step(loss)
            optimizer.step()
            if pairing == "same_batch":
                with torch.no_grad():
                    recorder.after_step(nn.functional.cross_entropy(model(x), y))
    end = weights_of(model) if pairing == "same_batch" else last
    return store.scores, by_hand, first, end, squares.scores


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_under_sgd_it_is_the_papers_sum_times_the_rate(pairing):
    found, by_hand, *_ = trained(lambda p: SGD(p, lr=RATE), pairing)
    for name, expected in by_hand.items():
        np.testing.assert_allclose(found[name].numpy(), expected.numpy(), rtol=1e-9, atol=1e-14)
        assert bool((found[name] > 0).any()) and bool((found[name] < 0).any())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_under_any_optimiser_it_is_the_growth_of_the_square_less_the_squared_updates(pairing):
    found, _, first, last, squares = trained(lambda p: Adam(p, lr=RATE, weight_decay=0.1), pairing)
    for name, score in found.items():
        expected = (last[name] ** 2 - first[name] ** 2 - squares[name]) / 2
        np.testing.assert_allclose(score.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def test_weights_of_half_precision_are_summed_in_float64():
    found, _, first, last, squares = trained(lambda p: SGD(p, lr=RATE), "same_batch", dtype=torch.bfloat16)
    for name, score in found.items():
        assert score.dtype == torch.float64
        expected = (last[name].double() ** 2 - first[name].double() ** 2 - squares[name]) / 2
        np.testing.assert_allclose(score.numpy(), expected.numpy(), rtol=1e-6, atol=1e-9)


def test_null_a_weight_that_stays_scores_zero():
    def partly(parameters):
        weight, *others = parameters
        return SGD([{"params": others}, {"params": [weight], "lr": 0.0}], lr=RATE)

    found, *_ = trained(partly, "same_batch")
    assert bool((found["0.weight"] == 0).all()) and bool((found["2.weight"] != 0).all())


def test_other_weights_are_refused_and_scores_are_copies():
    store = Movement(nn.Linear(2, 1))
    with pytest.raises(ValueError, match="the store holds no records"):
        _ = store.scores
    for changes in ({"bias": torch.ones(1)}, {"weight": torch.ones(1)}):
        with pytest.raises(
            ValueError, match=r"delta_weights must have the names and shapes .*\['weight': \(1, 2\) expected"
        ):
            store.update(torch.tensor(0.0), changes)
    store.update(torch.tensor(0.0), {"weight": torch.ones(1, 2)})
    store.scores["weight"].fill_(7.0)
    assert not bool((store.scores["weight"] == 7).any())
