"""Whatever the model is made of, scores are those of the plain float32 network, and the model is left as it was."""

import copy

import pytest
import torch
from torch import nn

from ccprune import scores
from ccprune.mask import Mask, prunable

SCORES = {
    "snip": scores.snip,
    "grasp": scores.grasp,
    "fisher": scores.fisher,
    "obd": scores.obd,
    "synflow": lambda model, x, y: scores.synflow(model, x),
    "wanda": lambda model, x, y: scores.wanda(model, x),
    "obs": lambda model, x, y: scores.obs(model, x),
}


@pytest.fixture(params=SCORES)
def score(request):
    return SCORES[request.param]


def network(device="cpu"):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3)]
    model = nn.Sequential(*layers).to(device)
    with torch.no_grad():
        model[1].running_mean += 0.1
    return model


def batch(device="cpu"):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 1, 4, 4, generator=generator).to(device), (torch.arange(9) % 3).to(device)


def close(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(value.abs().max())
        assert scale > 0
        assert float((found[name].cpu() - value.cpu()).abs().max()) <= tolerance * scale, name


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(score, training, device):
    model = network(device).train(training)
    model[5].weight.grad = torch.full_like(model[5].weight, 3.0)
    model[0].weight.requires_grad_(False)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = score(model, *batch(device))
    assert {name: value.shape for name, value in found.items()} == {n: w.shape for n, w in prunable(model).items()}
    assert all(value.device.type == device and not value.requires_grad for value in found.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    assert bool((model[5].weight.grad == 3).all()) and model[0].weight.grad is None
    assert not model[0].weight.requires_grad and model[5].weight.requires_grad
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    Mask.from_scores(found, sparsity=0.5)
    found["5.weight"].fill_(99.0)
    assert torch.equal(model[5].weight, before["5.weight"])


def test_a_score_is_that_of_eval_mode_and_needs_no_gradients_on(score):
    close(score(network().train(), *batch()), score(network().eval(), *batch()), 0.0)
    with torch.no_grad():
        close(score(network(), *batch()), score(network(), *batch()), 0.0)


def test_a_score_leaves_frozen_weights_out_and_is_else_the_same(score):
    model = network()
    model[0].requires_grad_(False)
    found = score(model, *batch())
    assert list(found) == ["5.weight"]
    if score is not scores.grasp:  # whose gradient and Hessian are those of the scored weights
        close(found, {"5.weight": score(network(), *batch())["5.weight"]}, 0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_scored_in_float32(score, dtype):
    x, y = batch()
    rounded = network().to(dtype)
    found = score(rounded, x.to(dtype), y)
    assert all(value.dtype in (torch.float32, torch.float64) for value in found.values())
    close(found, score(copy.deepcopy(rounded).float(), x.to(dtype).float(), y))
    assert rounded[0].weight.dtype == dtype


class Twice(nn.Module):
    def __init__(self, tied):
        super().__init__()
        self.embed, self.one, self.two = nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(4, 5, bias=False)
        if tied:
            self.two.weight, self.head.weight = self.one.weight, self.embed.weight

    def forward(self, tokens):
        hidden = torch.tanh(self.two(torch.tanh(self.one(torch.tanh(self.one(self.embed(tokens)))))))
        return self.head(hidden.mean(1))


def test_tied_weights_and_layers_used_twice_have_one_score_of_all_uses(score):
    """Each tensor once, and the gradient is the sum over its uses: as autograd has it."""
    torch.manual_seed(0)
    model = Twice(tied=True)
    tokens, y = torch.randint(0, 5, (6, 3), generator=torch.Generator().manual_seed(0)), torch.arange(6) % 5
    if score is SCORES["obs"]:
        with pytest.raises(ValueError, match=r"in linear layers .* only .*, got \['head.weight of Embedding'\]"):
            score(model, tokens, y)
        return
    found = score(model, tokens, y)
    assert list(found) == ["one.weight", "head.weight"] and all(bool((v != 0).any()) for v in found.values())
    if score is scores.snip:
        nn.functional.cross_entropy(model(tokens), y).backward()
        close(found, {n: (w * w.grad).abs().detach() for n, w in prunable(model).items()})
    untied = Twice(tied=False)
    untied.load_state_dict(model.state_dict())
    apart = score(untied, tokens, y)
    assert not torch.allclose(apart["one.weight"].float(), found["one.weight"].float())


def test_wrapped_models_have_the_scores_of_the_plain_one(score):
    """Backends other than "eager" have no second derivatives, and compile again for every new set of weights."""
    model, (x, y) = network(), batch()
    expected = score(model, x, y)
    close(score(torch.compile(model, backend="aot_eager"), x, y), expected)
    part = network()
    part[0] = torch.compile(part[0], backend="aot_eager")
    close(score(part, x, y), expected)
    whole = network()
    whole.compile(backend="aot_eager")
    close(score(whole, x, y), expected)
    close(score(nn.DataParallel(model, device_ids=[]), x, y), expected)


class Detour(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.used(x)


def test_null_a_layer_that_nothing_goes_through_scores_zero_or_is_told(score):
    torch.manual_seed(0)
    model, x, y = Detour(), torch.randn(6, 4), torch.arange(6) % 3
    if score in (SCORES["wanda"], SCORES["obs"]):
        with pytest.raises(ValueError, match=r"model's \['unused.weight'\] were not used"):
            score(model, x, y)
        return
    found = score(model, x, y)
    assert bool((found["unused.weight"] == 0).all()) and bool((found["used.weight"] != 0).all())


def test_attention_can_be_scored(score):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 3)

        def forward(self, x):
            q, k, v = self.qkv(x).unflatten(-1, (3, 1, 4)).permute(2, 0, 3, 1, 4)
            return self.out(nn.functional.scaled_dot_product_attention(q, k, v)[:, 0].mean(1))

    torch.manual_seed(0)
    found = score(Attention(), torch.randn(6, 5, 4), torch.arange(6) % 3)
    assert all(bool((value != 0).any()) for value in found.values())


def test_weights_computed_from_others_are_refused_by_name(score):
    model = network()
    nn.utils.parametrizations.weight_norm(model[5])
    with pytest.raises(ValueError, match=r"'5.weight' is not a parameter but computed from others"):
        score(model, *batch())
