"""Models, optimisers and loaders that Accelerate prepares, with the real library.

Oracle: the numbers of the plain model and loader.
"""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from training_by_others import KEPT, SCHEDULE, X, Y, loop, network, same, violations

import ccprune
from ccprune.trainers import GradualPruner

accelerate = pytest.importorskip("accelerate", reason="needs accelerate")


@pytest.fixture(params=["no", "bf16"])
def prepared(request):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision=request.param)
    yield accelerator, *accelerator.prepare(model, optimizer, loader)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)  # it is one for the process
    accelerate.state.GradientState._reset_state()


def test_scores_masks_and_reports(prepared):
    accelerator, model, _, loader = prepared
    plain = network()
    for name in ("magnitude", "snip", "wanda", "obd"):
        found = ccprune.score(name, model, x=loader)
        if accelerator.mixed_precision == "no":
            expected = ccprune.score(name, plain, x=DataLoader(TensorDataset(X, Y), batch_size=16))
            assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert list(found) == ["0.weight", "2.weight"]
    mask = ccprune.prune(model, ccprune.score("magnitude", plain), sparsity=0.5)
    table = ccprune.report(model, mask, X).layers
    assert table.equals(ccprune.report(mask.apply_(plain), mask, X).layers)


def test_the_optimizer_inside_is_asked_for_and_taken(prepared):
    accelerator, model, optimizer, loader = prepared
    mask = ccprune.Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.5)
    for call in (
        lambda: ccprune.record(model, optimizer),
        lambda: mask.enforce(model, optimizer),
        lambda: GradualPruner(model, optimizer, schedule=SCHEDULE),
    ):
        with pytest.raises(TypeError, match="got AcceleratedOptimizer; pass its attribute optimizer"):
            call()
    with ccprune.record(model, optimizer.optimizer) as recording, mask.enforce(model, optimizer.optimizer):
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            accelerator.backward(loss)
            recording.before_step(loss)
            optimizer.step()
            assert not violations(mask, model)
    assert list(ccprune.score("causal_consecutive", model, recording=recording)) == ["0.weight", "2.weight"]


def test_a_loop_of_accelerate_is_pruned(prepared):
    accelerator, model, optimizer, loader = prepared
    kept = []
    settings = {"schedule": SCHEDULE, "criterion": "causal_consecutive"}
    with GradualPruner(model, optimizer.optimizer, **settings) as pruner:
        for _ in range(6):
            for x, y in loader:
                loss = nn.functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                accelerator.backward(loss)
                pruner.before_step(loss)
                optimizer.step()
                kept.append(pruner.mask.kept)
                assert not violations(pruner.mask, model)
    assert kept == KEPT
    if accelerator.mixed_precision == "no":
        assert same(model, loop()[0])
