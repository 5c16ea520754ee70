"""Wrapped models and optimisers: every function takes them, or names the attribute to pass.

Oracle: the numbers of the plain model.
"""

import pytest
import torch
from torch import nn

import ccprune
from ccprune import criteria, flatness
from ccprune.mask import unwrap
from ccprune.measure import latency, operations
from ccprune.trainers import GradualPruner

CE = nn.functional.cross_entropy
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
}


@pytest.fixture(autouse=True)
def process_group(request, tmp_path):
    if "wrap" not in request.fixturenames or request.getfixturevalue("wrap") != "DistributedDataParallel":
        yield
        return
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def made() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


class Wrapping(torch.optim.Optimizer):
    """Holds an optimiser and has no hooks of its own, as that of Accelerate."""

    def __init__(self, optimizer):
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("name", [name for name, one in criteria.list_criteria().items() if one.store is None])
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
            recording.before_step(loss)
            optimizer.step()
    assert list(ccprune.score("movement", model, recording=recording)) == ["0.weight", "2.weight"]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapped_models_are_pruned_and_compared(wrap):
    model = WRAPPERS[wrap](made())
    mask = ccprune.prune(model, ccprune.score("magnitude", model), sparsity=0.5)
    assert list(mask.keep) == ["0.weight", "2.weight"]
    inner = unwrap(model)
    assert int((inner[0].weight == 0).sum() + (inner[2].weight == 0).sum()) == 32

    def compared(wrapping):
        return ccprune.compare(
            lambda seed: wrapping(made()),
            (X, Y),
            (X, Y),
            optimizer=lambda parameters: torch.optim.SGD(parameters, 0.1),
            criteria=["magnitude", "movement"],
            sparsities=[0.5],
            seeds=2,
            before=2,
            after=1,
            batch_size=8,
            reference="dense",
        ).runs

    assert compared(WRAPPERS[wrap]).equals(compared(lambda model: model))


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_pruner_takes_wrapped_models(wrap):
    def trained(model):
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        settings = {"schedule": {2: 0.25, 4: 0.5}, "criterion": "causal_consecutive"}
        with GradualPruner(model, optimizer, **settings) as pruner:
            for _ in range(6):
                loss = CE(model(X), Y)
                optimizer.zero_grad()
                loss.backward()
                pruner.before_step(loss)
                optimizer.step()
        return pruner

    pruner, expected = trained(WRAPPERS[wrap](made())), trained(made())
    assert all(torch.equal(keep, expected.mask.keep[name]) for name, keep in pruner.mask.keep.items())
    assert pruner.report(X).layers.equals(expected.report(X).layers)


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
                recording.before_step(loss)
                scaler.step(optimizer)
                scaler.update()
        return recording

    assert sum(recorder.skipped for recorder in run(may_skip=True)._recorders) > 0
    with pytest.raises(RuntimeError, match="may_skip=True allows"):
        run()
