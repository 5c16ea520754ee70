"""Oracles: the formulas of the papers written out, one token at a time; counts of weights by hand; a text that repeats
can be learned and one without order cannot."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from ccprune.recording import Recorder, SquaredUpdates
from replication.data.text import batches
from replication.networks.decoder import transformer

SMALL = {"context": 12, "width": 16, "heads": 2, "layers": 2}


def small(vocabulary=11, seed=0, **options):
    return transformer(vocabulary, seed=seed, **SMALL | options)


def tokens(n=3, t=12, vocabulary=11, seed=0):
    return torch.randint(vocabulary, (n, t), generator=torch.Generator().manual_seed(seed))


def normed(x, module):
    centred = x - x.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt() * module.weight + module.bias


def by_hand(model, sequence):
    """Logits (t, vocabulary) of one sequence, token by token and head by head."""
    x = [model.embedding.weight[token] + model.position.weight[place] for place, token in enumerate(sequence)]
    for block in model.blocks:
        width = len(x[0])
        size = width // block.heads
        rows = [block.query_key_value.weight @ normed(one, block.norm1) + block.query_key_value.bias for one in x]
        after = []
        for place, one in enumerate(x):
            heads = []
            for head in range(block.heads):
                part = slice(head * size, (head + 1) * size)
                query = rows[place][:width][part]
                keys = torch.stack([row[width : 2 * width][part] for row in rows[: place + 1]])
                values = torch.stack([row[2 * width :][part] for row in rows[: place + 1]])
                share = (keys @ query / math.sqrt(size)).exp()
                heads.append((share / share.sum()) @ values)
            one = one + block.projection.weight @ torch.cat(heads) + block.projection.bias
            inner = block.up.weight @ normed(one, block.norm2) + block.up.bias
            inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
            after.append(one + block.down.weight @ inner + block.down.bias)
        x = after
    return torch.stack([model.head.weight @ normed(one, model.norm) for one in x])


def test_logits_equal_the_formulas():
    model = small().double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():  # as first drawn, attention is flat and biases are zero
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        found = model(tokens(2, 9))
        for sequence, logits in zip(tokens(2, 9), found, strict=True):
            torch.testing.assert_close(logits, by_hand(model, sequence.tolist()), rtol=1e-10, atol=1e-10)


def test_no_logit_depends_on_a_later_token(device):
    model, x = small().to(device), tokens().to(device)
    with torch.no_grad():
        before = model(x)
        assert before.shape == (3, 12, 11)
        for place in range(12):
            other = x.clone()
            other[:, place] = (other[:, place] + 1) % 11
            after = model(other)
            assert torch.equal(after[:, :place], before[:, :place])
            assert ((after - before)[:, place:].abs().amax(2) > 0).all()  # all later ones do
        torch.testing.assert_close(model(x[:, :5]), before[:, :5], rtol=1e-4, atol=1e-6)


def test_every_weight_of_a_linear_layer_is_prunable_and_counted():
    assert sum(weight.numel() for weight in prunable(transformer(256, seed=0)).values()) == 10_715_136
    model = small()
    weights = prunable(model)
    assert sum(weight.numel() for weight in weights.values()) == 12 * 2 * 16**2 + 16 * 11
    assert len(weights) == 4 * 2 + 1 and "head.weight" in weights
    assert model.head.weight is not model.embedding.weight
    score = {name: weight.detach().abs() for name, weight in weights.items()}
    mask = Mask.from_scores(score, sparsity=0.9)
    assert int(mask.apply_(model).embedding.weight.count_nonzero()) == 11 * 16
    assert int(mask.check(model).loc["all", "violations"]) == 0


def test_first_values_follow_from_the_seed_alone():
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    one = small(seed=4)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), small(seed=4).parameters(), strict=True))
    torch.random.set_rng_state(state)
    other = small(seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(one.head.weight, other.head.weight)
    wide = transformer(50, context=8, width=128, heads=2, layers=4, seed=0)
    for name, parameter in wide.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert bool((parameter == 1).all()), name
        else:
            expected = 0.02 / 8**0.5 if name.endswith(("projection.weight", "down.weight")) else 0.02
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.05), name
    with torch.no_grad():  # so it begins as ignorant as can be
        loss = cross_entropy(wide(tokens(20, 8, 50)).flatten(0, 1), tokens(20, 8, 50, seed=1).flatten())
    assert float(loss) == pytest.approx(math.log(50), rel=0.02)


def trained(text, steps=200):
    """Cross-entropy on what a small one has not seen, after training on the beginning; and the squared updates."""
    model = small(seed=1)
    optimizer, store = torch.optim.AdamW(model.parameters(), 1e-2), SquaredUpdates()
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        for x, y in batches(text[:2000], length=12, batch_size=16, steps=steps, seed=0):
            loss = cross_entropy(model(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            recorder.before_step(loss)
            optimizer.step()
    x, y = next(batches(text[2000:], length=12, batch_size=64, steps=1, seed=1))
    with torch.no_grad():
        return float(cross_entropy(model(x)[:, 6:].flatten(0, 1), y[:, 6:].flatten())), store.scores


def test_a_small_one_learns_a_text_that_repeats_and_every_weight_takes_part():
    phrase = torch.tensor([1, 2, 3, 1, 4, 5, 1, 2, 6])  # what follows 1 or 2 depends on what came before them
    loss, moved = trained(phrase.repeat(300))
    assert loss < 0.02
    assert all(bool((score > 0).float().mean() > 0.9) for score in moved.values())


def test_null_a_text_without_order_is_not_learned():
    text = torch.randint(11, (2700,), generator=torch.Generator().manual_seed(2))
    loss, _ = trained(text)
    assert math.log(11) * 0.99 < loss < math.log(11) * 1.05


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 15}, "width must be a multiple of heads=2, got 15"),
        ({"layers": 0}, "layers must be an integer of at least 1, got 0"),
        ({"vocabulary": 0}, "vocabulary must be an integer of at least 1, got 0"),
        ({"context": 1.5}, "context must be an integer of at least 1, got 1.5"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small(**options)


@pytest.mark.parametrize("shape", [(3, 13), (12,)])
def test_more_tokens_than_the_context_are_refused(shape):
    with pytest.raises(ValueError, match=r"tokens must have shape \(n, t\) with t <= 12"):
        small()(torch.zeros(shape, dtype=torch.int64))
