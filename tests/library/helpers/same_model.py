"""Check that a model is the same after a look: the same objects, values, modes, hooks and random numbers."""

from collections.abc import Callable

import torch
from torch import nn


def held(model: nn.Module) -> list:
    """Return what a look must leave alone, with the tensors themselves."""
    places = [
        (name, attribute, value, getattr(value, "grad", None), getattr(value, "requires_grad", None))
        for name, module in model.named_modules(remove_duplicate=False)
        for slots in (module._parameters, module._buffers)
        for attribute, value in slots.items()
    ]
    places += [
        (name, module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    flat = [w for module in model.modules() if isinstance(module, nn.RNNBase) for w in module._flat_weights]
    return [*places, flat]


def assert_same(model: nn.Module, look: Callable[[nn.Module], object]) -> None:
    before, random = held(model), torch.get_rng_state()
    values = {key: value.clone() for key, value in model.state_dict().items()}
    look(model)
    after = held(model)
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert len(one) == len(other) and all(
            a is b or (type(a) in (int, str) and a == b) for a, b in zip(one, other, strict=True)
        )
    assert torch.equal(torch.get_rng_state(), random)
    assert model.state_dict().keys() == values.keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, values[key]), key
