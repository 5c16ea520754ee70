"""A mask holds under every way of training, or an error says that it does not.

Oracle: the pruned weights themselves, read after every step and in every forward pass.
"""

import copy
import pickle

import pytest
import torch
from torch import nn

import ccprune
from ccprune.mask import Mask

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def half(model: nn.Module) -> Mask:
    return Mask.from_scores(ccprune.score("random", model), sparsity=0.5)


def wrong(mask: Mask, model: nn.Module) -> int:
    parameters = dict(model.named_parameters())
    return sum(int((parameters[name][~keep] != 0).sum()) for name, keep in mask.keep.items())


def backward(model: nn.Module) -> None:
    model.zero_grad()
    nn.functional.cross_entropy(model(X), Y).backward()


class Sharpness(torch.optim.Optimizer):
    """Sharpness-aware minimisation as it is usually written: two steps, the second by an optimiser inside."""

    def __init__(self, parameters, base, **options):
        super().__init__(parameters, {})
        self.base_optimizer = base(self.param_groups, **options)

    @torch.no_grad()
    def first_step(self):
        for weight in self.param_groups[0]["params"]:
            self.state[weight]["old"] = weight.clone()
            weight.add_(weight.grad, alpha=0.05)

    @torch.no_grad()
    def second_step(self):
        for weight in self.param_groups[0]["params"]:
            weight.copy_(self.state[weight]["old"])
        self.base_optimizer.step()


class Averaging(torch.optim.SGD):
    """Keeps another set of weights and swaps it in by `eval`, as optimisers without a schedule do."""

    @torch.no_grad()
    def eval(self):
        for weight in self.param_groups[0]["params"]:
            weight.add_(0.01)


class OnlyData:
    """Is no torch optimiser, and changes weights through `data`."""

    def __init__(self, model):
        self._model = model

    def step(self):
        for weight in self._model.parameters():
            weight.data.sub_(0.1 * weight.grad)


@pytest.mark.parametrize(
    "parameters", [lambda model: copy.deepcopy(model).parameters(), lambda model: [model[0].weight, model[2].bias]]
)
def test_an_optimizer_without_the_weights_is_refused(parameters):
    model = network()
    mask, before = half(model), copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="optimizer must hold the model's pruned weights, it lacks .*'2.weight'"):
        mask.enforce(model, torch.optim.SGD(parameters(model), 0.1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_is_no_torch_optimizer_is_refused():
    model = network()
    with pytest.raises(TypeError, match="optimizer must be a torch Optimizer, got OnlyData"):
        half(model).enforce(model, OnlyData(model))


def test_weights_that_need_no_step_need_no_optimizer():
    model = network()
    mask = half(model)
    whole = Mask({"0.weight": torch.ones(8, 6, dtype=torch.bool), "2.weight": mask.keep["2.weight"]})
    with whole.enforce(model, torch.optim.SGD(model[2].parameters(), 0.1)):
        pass
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)
    with mask.enforce(model, optimizer):
        backward(model)
        optimizer.step()
        assert not wrong(mask, model)


def test_several_optimizers_are_enforced_together():
    model = network()
    mask = half(model)
    optimizers = [
        torch.optim.SGD([model[0].weight], 0.1, momentum=0.9),
        torch.optim.AdamW([model[0].bias, *model[2].parameters()], 0.1),
    ]
    with mask.enforce(model, *optimizers) as enforcement:
        for _ in range(3):
            backward(model)
            for optimizer in optimizers:
                optimizer.step()
                assert not wrong(mask, model)
        enforcement.check()


TRAINERS = {
    "a step of an optimiser inside": lambda model: Sharpness(model.parameters(), torch.optim.SGD, lr=0.1),
    "weights swapped between steps": lambda model: Averaging(model.parameters(), 0.1),
    "no torch optimiser": OnlyData,
}


def train(model: nn.Module, optimizer, steps: int = 2) -> None:
    for _ in range(steps):
        backward(model)
        if isinstance(optimizer, Sharpness):
            optimizer.first_step()
            backward(model)
            optimizer.second_step()
        else:
            optimizer.step()
    if isinstance(optimizer, Averaging):
        optimizer.eval()


@pytest.mark.parametrize("name", TRAINERS)
def test_a_violation_is_an_error_at_the_end(name):
    model = network()
    optimizer = TRAINERS[name](model)
    mask = half(model)
    hooked = optimizer if isinstance(optimizer, torch.optim.Optimizer) else torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match=r"pruned weights must be zero, got .* in \['0.weight', '2.weight'\]"):
        with mask.enforce(model, hooked):
            train(model, optimizer)
    enforcement = mask.enforce(model, hooked)
    enforcement.check()
    train(model, optimizer)
    with pytest.raises(ValueError, match="pruned weights must be zero"):
        enforcement.check()
    with pytest.raises(KeyError):  # an exception of the training is not replaced
        with mask.enforce(model, hooked):
            train(model, optimizer)
            raise KeyError


@pytest.mark.parametrize("name", TRAINERS)
def test_enforcement_without_an_optimizer_holds_in_every_forward_pass(name):
    model = network()
    optimizer, mask, seen = TRAINERS[name](model), half(model), []
    with mask.enforce(model) as enforcement:
        watch = model[0].register_forward_hook(lambda *_: seen.append(wrong(mask, model)))
        train(model, optimizer)
        model(X)
        enforcement.check()
        watch.remove()
        train(model, optimizer)
    assert not wrong(mask, model) and len(seen) > 2 and not any(seen)
    assert not model._forward_pre_hooks
    train(model, optimizer)
    assert wrong(mask, model)


def test_enforcement_without_an_optimizer_holds_after_every_torch_step_and_for_copies():
    model = network()
    mask = half(model)
    with mask.enforce(model):
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(2):
            loss = sum(nn.functional.cross_entropy(model(part), Y) for part in (X, X + 1))  # two passes, one backward
            loss.backward()
            optimizer.step()
            assert not wrong(mask, model)
        twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
        with torch.no_grad():
            twin[0].weight.add_(1.0)
        twin(X)
        assert not wrong(mask, twin)
        compiled = torch.compile(model, backend="eager")
        with torch.no_grad():
            model[0].weight.add_(1.0)
        compiled(X)
        assert not wrong(mask, model)


def test_a_mask_names_a_parameter_once():
    model = network()
    model[2].twin = model[2].weight
    keep = torch.ones(2, 8, dtype=torch.bool)
    with pytest.raises(ValueError, match="mask must name each parameter once, got '2.weight' and '2.twin'"):
        Mask({"2.weight": keep, "2.twin": keep}).apply_(model)


class Deaf(torch.optim.SGD):
    """Changes weights after its hooks, as a wrapper may."""

    def register_step_post_hook(self, hook):
        return super().register_step_post_hook(lambda *_: None)


def test_a_comparison_does_not_evaluate_a_model_without_its_mask():
    def run(optimizer):
        options = {"criteria": ["random"], "sparsities": [0.5], "seeds": 2, "before": 1, "after": 1}
        return ccprune.compare(
            lambda seed: network(),
            (X, Y),
            (X, Y),
            optimizer=lambda p: optimizer(p, 0.1),
            metric=lambda model, x, y: 0.0,
            reference="dense",
            **options,
        )

    run(torch.optim.SGD)
    with pytest.raises(ValueError, match="pruned weights must be zero"):
        run(Deaf)
