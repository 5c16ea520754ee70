"""A small problem for trainers of other libraries, and what makes these libraries importable."""

import contextlib
import importlib

import torch
from torch import nn

from ccprune.mask import cubic
from ccprune.trainers import GradualPruner

with contextlib.suppress(ModuleNotFoundError):
    # Lightning, transformers and timm import torchvision if it is installed. Its wheel for CUDA cannot be imported
    # beside a CPU build of torch, except after this module.
    importlib.import_module("replication.data._torchvision")

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
#: Sparsities after steps 4, 8, 12 and 16, and the weights that are left of 64 after each step of 24.
SCHEDULE = dict(zip(range(4, 20, 4), cubic(0.8, iterations=4), strict=True))
KEPT = [64] * 3 + [34] * 4 + [19] * 4 + [14] * 4 + [13] * 9


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def violations(mask, model: nn.Module) -> int:
    """Pruned weights of the model that are not zero, without the code that enforces the mask."""
    parameters = dict(model.named_parameters())
    return sum(int((parameters[name].detach()[~keep] != 0).sum()) for name, keep in mask.keep.items())


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether all parameters and buffers are the same bit for bit."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class OverflowingScaler(torch.amp.GradScaler):
    """Scaler of half precision that finds an overflow in the steps of these numbers, counted from 1."""

    def __init__(self, *overflows: int):
        super().__init__("cpu", init_scale=1024.0)
        self._overflows, self._number = overflows, 0

    def unscale_(self, optimizer):
        self._number += 1
        if self._number in self._overflows:
            optimizer.param_groups[0]["params"][0].grad.fill_(float("inf"))
        super().unscale_(optimizer)


def loop(steps=24, *, accumulate=1, scaler=None, half=True, **settings):
    """Train AdamW without a trainer on batches of 16 in their order; return the model and its pruner."""
    model, number = network(), 0
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    settings = {"schedule": SCHEDULE, "criterion": "causal_consecutive", "may_skip": scaler is not None} | settings
    with GradualPruner(model, optimizer, **settings) as pruner:
        for _ in range(steps):
            optimizer.zero_grad()
            losses = []
            for _ in range(accumulate):
                batch = slice(16 * (number % 4), 16 * (number % 4) + 16)
                number += 1
                with torch.autocast("cpu", torch.half, enabled=scaler is not None and half):
                    loss = nn.functional.cross_entropy(model(X[batch]), Y[batch])
                losses.append(loss)
                part = loss / accumulate
                (part if scaler is None else scaler.scale(part)).backward()
            pruner.before_step(losses)
            if scaler is None:
                optimizer.step()
            else:
                scaler.unscale_(optimizer)
                scaler.step(optimizer)
                scaler.update()
    return model, pruner
