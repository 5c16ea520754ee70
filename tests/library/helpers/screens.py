"""Records of steps, and screens of them."""

import torch

from ccprune.lasso import (
    Screen,
)

SHAPES = {"a": (3, 4), "b": (7,)}


def random_steps(count, seed=0, scale=1e-6):
    """Loss changes (T,) and weight changes, float32, on a scale that training has."""
    generator = torch.Generator().manual_seed(seed)
    losses = 2e-2 * torch.randn(count, generator=generator, dtype=torch.float64)
    return losses, [
        {name: scale * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()} for _ in range(count)
    ]


def filled(losses, changes, **options):
    screen = Screen(**options)
    for loss, change in zip(losses, changes, strict=True):
        screen.update(loss, change)
    return screen


def design(changes):
    """Squared changes (T, P) of all tensors."""
    return torch.stack([torch.cat([change.flatten() for change in step.values()]) for step in changes]).double() ** 2


def flat(values):
    return torch.cat([value.flatten().cpu() for value in values.values()])
