"""What all measures share: the model stays as it was, and what they refuse."""

import copy
import math

import pytest
import torch
from torch import nn

from ccprune.flatness import sharpness, slice_1d, slice_2d, top_eigenvalues, trace
from ccprune.flatness._landscape import measuring
from ccprune.mask import Mask, prunable

MEASURES = {
    "eigenvalues": top_eigenvalues,
    "trace": trace,
    "random": lambda *a, **o: sharpness(*a, radius=0.1, draws=2, **o),
    "worst": lambda *a, **o: sharpness(*a, radius=0.1, mode="worst", steps=2, **o),
    "line": lambda *a, **o: slice_1d(*a, radius=0.1, points=3, **o),
    "plane": lambda *a, **o: slice_2d(*a, radius=0.1, points=3, **o),
}


@pytest.fixture(params=MEASURES)
def measure(request):
    return MEASURES[request.param]


class Counter(nn.Module):
    """Changes its buffers whenever it is called, in eval mode too: one in place, one by another tensor."""

    def __init__(self, in_place):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("nothing", None)
        self.in_place = in_place

    def forward(self, x):
        if self.in_place:
            self.calls.add_(1)
        else:
            self.calls = self.calls + 1
        return x


def snapshot(model):
    return (
        [module.training for module in model.modules()],
        {name: value.clone() for name, value in model.state_dict().items()},
        {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        {name: (id(p), p.requires_grad) for name, p in model.named_parameters()},
        {name: id(buffer) for name, buffer in model.named_buffers()},
        torch.get_rng_state(),
    )


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b)
        elif isinstance(a, dict):
            assert a.keys() == b.keys()
            for name in a:
                same = torch.equal(a[name], b[name]) if isinstance(a[name], torch.Tensor) else a[name] == b[name]
                assert same, name
        else:
            assert a == b


def in_training(conv, in_place=False):
    """Part in train mode, part in eval, gradients from before, one frozen parameter, and a module that counts."""
    model = nn.Sequential(conv.model, Counter(in_place))
    model.train()
    model[0][1].eval()
    model[0][0].bias.requires_grad_(False)
    conv.loss(model(conv.data[0]), conv.data[1]).backward()
    return model


def test_the_model_is_left_as_it_was(conv, measure):
    model = in_training(conv)
    before = snapshot(model)
    measure(model, conv.loss, conv.data)
    assert_same(snapshot(model), before)
    assert model[0][0].weight.grad is not None and model[0][5].training and not model[0][1].training


@pytest.mark.parametrize("name", ["random", "line"])
def test_buffers_written_in_place_are_put_back(conv, name):
    """Where derivatives are taken, torch refuses such models by itself."""
    model = in_training(conv, in_place=True)
    before = snapshot(model)
    MEASURES[name](model, conv.loss, conv.data)
    assert_same(snapshot(model), before)
    with pytest.raises(RuntimeError, match="in-place operation"):
        trace(model, conv.loss, conv.data)
    assert_same(snapshot(model), before)


def test_the_model_is_left_as_it_was_after_an_error(conv, measure):
    model = in_training(conv)
    before = snapshot(model)
    with pytest.raises(ValueError, match="loss must be finite"):
        measure(model, lambda output, target: output.sum() * math.nan, conv.data)
    assert_same(snapshot(model), before)


def test_it_is_measured_in_eval_mode(conv, measure):
    """Dropout off and stored batch-norm statistics: else two passes would differ, and the modes would matter."""
    modes = []
    conv.model.train()
    handle = conv.model.register_forward_pre_hook(lambda module, _: modes.append([m.training for m in module]))
    measure(*conv)
    handle.remove()
    assert modes and not any(sum(modes, []))


def test_a_caller_without_gradients_gets_the_same(mlp, measure):
    with torch.no_grad():
        without = measure(*mlp)
    assert repr(without) == repr(measure(*mlp))


def wrong(mask_of):
    return lambda case: {"mask": Mask(mask_of({n: torch.ones_like(w).bool() for n, w in prunable(case.model).items()}))}


@pytest.mark.parametrize(
    "options, message",
    [
        (wrong(lambda keep: {n: ~k for n, k in keep.items()}), "mask must keep at least one weight, got none"),
        (wrong(lambda keep: dict(list(keep.items())[1:])), "mask must cover exactly the model's prunable weights"),
        (wrong(lambda keep: {n: k[:1] for n, k in keep.items()}), "mask must cover exactly the model's prunable"),
    ],
    ids=["empty", "missing", "shape"],
)
def test_masks_that_cannot_be(mlp, measure, options, message):
    with pytest.raises(ValueError, match=message):
        measure(*mlp, **options(mlp))


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda m, f, d: (m, f, []), ValueError, "data must hold at least one sample"),
        (
            lambda m, f, d: (m, f, (d[0][:0], d[1][:0])),
            ValueError,
            "at least 1, got 0 and 0",
        ),
        (
            lambda m, f, d: (m, f, (d[0], d[1][1:])),
            ValueError,
            "same length, at least 1, got 30 and 29",
        ),
        (lambda m, f, d: (m, f, [(d[0], d[1], d[1])]), TypeError, "batch of .'Tensor', 'Tensor', 'Tensor'"),
        (lambda m, f, d: (m, f, [("x", d[1])]), TypeError, "data must have inputs with at least one Tensor, got str"),
        (lambda m, f, d: (m, lambda o, y: o.log(), d), ValueError, r"0-d Tensor, got shape \(30, 3\)"),
        (lambda m, f, d: (m, lambda o, y: 1.0, d), ValueError, "0-d Tensor, got float"),
        (lambda m, f, d: (m, lambda o, y: o.sum() / 0, d), ValueError, "loss must be finite, got -?inf on 30"),
        (
            lambda m, f, d: (copy.deepcopy(m).half(), f, d),
            TypeError,
            r"float32 or float64 .* got \['torch.float16 on cpu'\]",
        ),
        (
            lambda m, f, d: (nn.Sequential(copy.deepcopy(m), nn.Linear(3, 3)), f, d),
            TypeError,
            "torch.float32 on cpu', 'torch.float64 on cpu",
        ),
        (lambda m, f, d: (nn.Sequential(nn.Tanh()), f, d), ValueError, "model has no prunable weights"),
    ],
)
def test_errors_name_the_argument(mlp, measure, change, error, message):
    with pytest.raises(error, match=message):
        measure(*change(*mlp))


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, training=True))


def test_a_loss_that_differs_between_two_passes_is_an_error(measure):
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="loss must be the same in two passes"):
        measure(Noisy(5, 2), nn.CrossEntropyLoss(), (x, torch.arange(20) % 2))


def test_a_gradient_near_the_smallest_number_is_still_scaled_to_the_filter():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    with measuring(
        model, lambda out, y: out.sum() * 0 + y.sum() * 0, (torch.ones(2, 3), torch.ones(2, 2)), None
    ) as here:
        step = {"0.weight": torch.tensor([[1e-42, 0.0, -1e-42], [0.0, 0.0, 0.0]])}
        found = here.filter_normalised(step)["0.weight"]
    weight = model[0].weight.detach()
    assert float(found[0].norm()) == pytest.approx(float(weight[0].norm()), rel=1e-3)
    assert found[0, 1] == 0 and (found[1] == 0).all()
