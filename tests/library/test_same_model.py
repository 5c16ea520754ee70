"""A model that was scored, measured or compared is afterwards the same: the same objects under every name, the same
values, modes, hooks and random numbers, also after an exception.

Oracles: identity of every tensor that a module holds, copies of the values, and the scores of the same network written
with one name for each module.
"""

import pandas as pd
import pytest
import torch
from same_model import assert_same
from torch import nn

import ccprune
from ccprune import criteria, export, flatness
from ccprune.measure import latency, operations
from ccprune.recording import Recorder, SquaredUpdates

CE = nn.functional.cross_entropy
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class TwoNames(nn.Module):
    """The body is an attribute and the first part of `net`, and one block is used twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.block = nn.Linear(6, 6)
        self.net = nn.Sequential(self.body, *[self.block] * 2, nn.Linear(6, 2))

    def forward(self, x):
        return self.net(x)


class TiedWeights(nn.Module):
    """One parameter in two modules, and one in a module and a plain attribute."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.second.weight = self.first.weight
        self.bias = self.first.bias

    def forward(self, x):
        return self.last(torch.relu(self.second(self.first(x))) + self.bias)


class Changing(nn.Module):
    """The forward pass replaces a buffer and adds another one."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(6, 6), nn.Linear(6, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        self.register_buffer("latest", x.detach().mean(), persistent=False)
        return self.last(torch.relu(self.layer(x)))


class Random(nn.Sequential):
    """Draws random numbers in eval mode."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.1)


class Renormalising(nn.Module):
    """The forward pass changes an embedding in place."""

    def __init__(self):
        super().__init__()
        self.table, self.last = nn.Embedding(4, 6, max_norm=0.5), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(x + self.table(torch.arange(len(x)) % 4))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x):
        return self.last(self.cell(x[:, None])[0][:, 0])


class MergesInEval(nn.Linear):
    """Changes its weight in `train` and `eval`, as some low-rank adapters do."""

    def train(self, mode: bool = True):
        with torch.no_grad():
            self.weight.mul_(1.5 if mode else 1 / 1.5)
        return super().train(mode)


MODELS = {
    "a module under two names": TwoNames,
    "tied weights": TiedWeights,
    "buffers that a forward pass replaces": Changing,
    "random numbers in eval mode": lambda: Random(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)),
    "an embedding that is renormalised": Renormalising,
    "a recurrent layer": Recurrent,
    "weights that change with the mode": lambda: nn.Sequential(MergesInEval(6, 5), nn.ReLU(), nn.Linear(5, 2)),
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS[name]()
    model.register_forward_hook(lambda *_: None)
    return model


def half(model: nn.Module) -> ccprune.Mask:
    return ccprune.Mask.from_scores(ccprune.score("random", model), sparsity=0.5)


def record(model: nn.Module) -> None:
    with Recorder(model, torch.optim.SGD(model.parameters(), 0.1), [SquaredUpdates()], pairing="consecutive"):
        pass


LOOKS = {
    name: (lambda model, name=name: ccprune.score(name, model, x=X, y=Y, loss=CE))
    for name, found in criteria.list_criteria().items()
    if found.store is None
} | {
    "eigenvalues": lambda model: flatness.top_eigenvalues(model, CE, (X, Y), mask=half(model)),
    "trace": lambda model: flatness.trace(model, CE, (X, Y), probes=2),
    "sharpness": lambda model: flatness.sharpness(model, CE, (X, Y), radius=0.1, draws=2),
    "worst sharpness": lambda model: flatness.sharpness(model, CE, (X, Y), radius=0.1, mode="worst", steps=2),
    "operations": lambda model: operations.count(model, X),
    "time": lambda model: latency.inference(model, X, repeats=2, warmup=0),
    "time of all forms": lambda model: latency.compare(model, half(model), X, Y, repeats=1, warmup=0),
    "report": lambda model: ccprune.report(model, half(model), X, latency=True, repeats=2),
    "csr": lambda model: export.to_csr(model, half(model), X, repeats=1),
    "recording": record,
}
# Looks that a model does not allow, after which it must be the same too.
TRANSFORMED = ("fisher", "obd", "eigenvalues", "trace", "worst sharpness")  # by torch.func, which refuses some calls
REFUSED = {
    ("time of all forms", "weights that change with the mode"),
    *((look, "a recurrent layer") for look in ("wanda", "wanda_row", "obs", "time of all forms")),
    *((look, "an embedding that is renormalised") for look in TRANSFORMED),
    *((look, "random numbers in eval mode") for look in (*TRANSFORMED, "sharpness")),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.filterwarnings("ignore::ccprune.measure.CoverageWarning")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_leaves_the_model_the_same(look, name):
    def tried(model):
        try:
            LOOKS[look](model)
        except (ValueError, RuntimeError):
            assert (look, name) in REFUSED, "unexpected error"

    assert_same(made(name).train(), tried)


class Stop(Exception):
    pass


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("look", ["snip", "synflow", "wanda", "fisher", "trace", "sharpness", "operations", "time"])
def test_an_exception_in_the_forward_pass_leaves_the_model_the_same(look, name):
    if (look, name) in REFUSED:
        pytest.skip("refused before the forward pass ends")
    model = made(name)

    def stop(*_):
        raise Stop

    [*model.modules()][-1].register_forward_hook(stop)

    def failing(model):
        with pytest.raises(Stop):
            LOOKS[look](model)

    assert_same(model, failing)


def test_shared_blocks_are_scored_over_all_their_uses():
    model = made("a module under two names").eval()
    found = ccprune.score("snip", model, x=X, y=Y)
    CE(model(X), Y).backward()
    for name, weight in {"body.0.weight": model.body[0].weight, "block.weight": model.block.weight}.items():
        torch.testing.assert_close(found[name], (weight * weight.grad).abs().detach(), rtol=1e-4, atol=1e-7)


def test_the_hessian_of_tied_weights_is_that_of_the_function_of_one_weight():
    model = made("tied weights").double().eval()
    x, weight = X.double(), model.first.weight.detach().clone()

    def value(w, last):
        hidden = nn.functional.linear(nn.functional.linear(x, w, model.bias), w, model.second.bias)
        return CE(nn.functional.linear(torch.relu(hidden) + model.bias, last, model.last.bias), Y)

    parts = torch.autograd.functional.hessian(value, (weight, model.last.weight.detach()))
    whole = torch.cat(
        [torch.cat([part.reshape(n, -1) for part in row], 1) for n, row in zip((36, 12), parts, strict=True)]
    )
    found = flatness.top_eigenvalues(model, CE, (x, Y), k=2, tol=1e-6)
    torch.testing.assert_close(found.values, torch.linalg.eigvalsh(whole).flip(0)[:2], rtol=1e-6, atol=1e-9)


def test_a_comparison_does_not_depend_on_the_other_criteria():
    def make(seed):
        torch.manual_seed(seed)
        return TwoNames()

    def runs(*names):
        result = ccprune.compare(
            make,
            (X, Y),
            (X, Y),
            optimizer=lambda p: torch.optim.SGD(p, 0.1),
            criteria=names,
            sparsities=[0.5],
            seeds=2,
            before=1,
            after=1,
            batch_size=8,
            metric=loss_of,
            reference="dense",
        ).runs
        return result[result.method == "random"].reset_index(drop=True)

    pd.testing.assert_frame_equal(runs("random"), runs("snip", "wanda", "fisher", "random"))


def loss_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.no_grad():
        return float(CE(model.eval()(x), y))
