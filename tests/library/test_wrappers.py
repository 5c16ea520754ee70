"""Wrapped models and optimisers: every function takes them, or names the attribute to pass.

Oracle: the numbers of the plain model.
"""

import pytest
import torch
from torch import nn

import ccprune
from ccprune import criteria, flatness
from ccprune.measure import latency, operations

CE = nn.functional.cross_entropy
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
WRAPPERS = {"DataParallel": nn.DataParallel, "compiled": lambda model: torch.compile(model, backend="eager")}


def made() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


class Wrapping(torch.optim.Optimizer):
    """Holds an optimiser and has no hooks of its own, as that of Accelerate."""

    def __init__(self, optimizer):
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("name", [name for name, one in criteria.registered().items() if one.store is None])
def test_scores_of_wrapped_models(wrap, name):
    expected = ccprune.score(name, made(), x=X, y=Y)
    found = ccprune.score(name, WRAPPERS[wrap](made()), x=X, y=Y)
    assert list(found) == list(expected) and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_measurements_and_choices_of_wrapped_models(wrap):
    plain, model = made(), WRAPPERS[wrap](made())
    mask = ccprune.prune(plain, ccprune.score("magnitude", plain), sparsity=0.5)
    mask.apply_(model)
    assert list(ccprune.score("snip", model, x=X, y=Y, only=["0"], skip=["2.weight"])) == ["0.weight"]
    assert operations.count(model, X, mask=mask).equals(operations.count(plain, X, mask=mask))
    assert ccprune.report(model, mask, X).layers.equals(ccprune.report(plain, mask, X).layers)
    expected = flatness.trace(plain, CE, (X, Y), probes=2, mask=mask).estimate
    assert flatness.trace(model, CE, (X, Y), probes=2, mask=mask).estimate == pytest.approx(expected)
    assert latency.inference(model, X, repeats=1, warmup=0).median > 0
    optimizer = torch.optim.AdamW(model.parameters())
    with ccprune.record(model, optimizer, names=["movement"]) as recording, mask.enforce(model, optimizer):
        for _ in range(3):
            loss = CE(model(X), Y)
            optimizer.zero_grad()
            loss.backward()
            recording.before(loss)
            optimizer.step()
    assert list(ccprune.score("movement", model, recording=recording)) == ["0.weight", "2.weight"]


def test_an_optimizer_that_holds_another_names_its_attribute():
    model = made()
    wrapped = Wrapping(torch.optim.SGD(model.parameters(), 0.1))
    mask = ccprune.Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.5)
    for call in (lambda: ccprune.record(model, wrapped), lambda: mask.enforce(model, wrapped)):
        with pytest.raises(TypeError, match="must be a torch Optimizer, got Wrapping; pass its attribute optimizer"):
            call()
    with ccprune.record(model, wrapped.optimizer):
        pass


def test_steps_that_a_gradient_scaler_omits_are_counted_if_allowed():
    def run(**options):
        model = made()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
        with ccprune.record(model, optimizer, **options) as recording:
            for _ in range(4):
                loss = 4 * CE(model(X), Y)
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                recording.before(loss)
                scaler.step(optimizer)
                scaler.update()
        return recording

    assert sum(recorder.skipped for recorder in run(may_skip=True)._recorders) > 0
    with pytest.raises(RuntimeError, match="may_skip=True allows"):
        run()
