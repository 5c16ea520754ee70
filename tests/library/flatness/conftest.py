"""Models small enough for their Hessian to be written down, or computed in full by another program."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ccprune.mask import Mask, prunable


@pytest.fixture(autouse=True)
def _tiny(one_thread):
    pass


class Case:
    """A model, a loss and data, with what an oracle needs of them."""

    def __init__(self, model, loss, data, name=""):
        self.model, self.loss, self.data, self.name = model, loss, data, name

    def __iter__(self):
        return iter((self.model, self.loss, self.data))

    def to(self, target):
        x, y = self.data
        x = x.to(target)
        y = y.to(target) if y.is_floating_point() or not isinstance(target, torch.dtype) else y
        return Case(copy.deepcopy(self.model).to(target), self.loss, (x, y), self.name)

    def batches(self, *sizes):
        return list(zip(self.data[0].split(sizes), self.data[1].split(sizes), strict=True))

    def flat_weights(self):
        return torch.cat([weight.detach().flatten() for weight in prunable(self.model).values()])

    def loss_at(self, flat):
        """Loss with the prunable weights taken from one vector; biases as they are."""
        weights = prunable(self.model)
        parts = flat.split([weight.numel() for weight in weights.values()])
        moved = {name: part.reshape(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}
        return self.loss(functional_call(self.model, moved, (self.data[0],)), self.data[1])

    def full_hessian(self):
        """By torch.autograd.functional: reverse over reverse, one row at a time."""
        return torch.autograd.functional.hessian(self.loss_at, self.flat_weights())

    def some_mask(self, sparsity=0.4):
        generator = torch.Generator().manual_seed(5)
        scores = {name: torch.rand(w.shape, generator=generator) for name, w in prunable(self.model).items()}
        return Mask.from_scores(scores, sparsity=sparsity)

    def filter_norms(self, mask=None):
        norms = []
        for name, weight in prunable(self.model).items():
            rows = weight.detach().clone().flatten(1)
            if mask is not None:
                rows[~mask.keep[name].flatten(1)] = 0.0
            norms.append(rows.square().sum(1, keepdim=True).sqrt().expand_as(rows).flatten())
        return torch.cat(norms)


def make_linear(outputs=1, at_minimum=False):
    torch.manual_seed(1)
    x = torch.randn(40, 6, dtype=torch.float64) * torch.tensor([2.0, 1.5, 1.0, 0.7, 0.5, 0.2])
    y = torch.randn(40, outputs, dtype=torch.float64)
    model = nn.Linear(6, outputs, bias=False).double()
    if at_minimum:
        model.weight.data = torch.linalg.lstsq(x, y).solution.T.contiguous()
    return Case(model, nn.MSELoss(), (x, y), "linear")


def make_mlp(activation=nn.Tanh):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 3)).double()
    return Case(
        model, nn.CrossEntropyLoss(), (torch.randn(30, 4, dtype=torch.float64), torch.randint(0, 3, (30,))), "mlp"
    )


def make_conv():
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(12, 3),
    ).double()
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    model.eval()
    return Case(
        model, nn.CrossEntropyLoss(), (torch.randn(20, 1, 6, 6, dtype=torch.float64), torch.arange(20) % 3), "conv"
    )


@pytest.fixture
def linear():
    return make_linear


@pytest.fixture
def mlp():
    return make_mlp()


@pytest.fixture
def relu_mlp():
    return make_mlp(nn.ReLU)


@pytest.fixture
def conv():
    return make_conv()


@pytest.fixture(params=[make_mlp, make_conv], ids=["mlp", "conv"])
def network(request):
    return request.param()
