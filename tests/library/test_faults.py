"""What a user can do wrong with a model of their own, done on purpose: a clear error, and the model as it was."""

import re

import pytest
import torch
from torch import nn

import ccprune
from ccprune import criteria, export
from ccprune import training as minibatch

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def with_weight(value: float) -> nn.Sequential:
    model = network()
    with torch.no_grad():
        model[0].weight[1, 2] = value
    return model


def random_scores(model: nn.Module) -> dict[str, torch.Tensor]:
    return ccprune.score("random", model)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """The loss of a step that is about to be taken."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(X), Y)
    loss.backward()
    return loss


def looked_at(model: nn.Module) -> dict:
    """All that scoring, pruning and reporting must leave alone."""
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "grad": {name: parameter.grad for name, parameter in model.named_parameters()},
        "requires": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "random": torch.get_rng_state(),
    }


def assert_as_it_was(model: nn.Module, before: dict) -> None:
    torch.testing.assert_close(looked_at(model), before, rtol=0, atol=0, equal_nan=True)


# name: (model, what is done with it, error, message)
FAULTS = {
    "a NaN weight": (
        lambda: with_weight(float("nan")),
        lambda model: ccprune.score("magnitude", model),
        ValueError,
        "the criterion 'magnitude' must not return NaN, it does for '0.weight'",
    ),
    "an infinite weight": (
        lambda: with_weight(float("inf")),
        lambda model: ccprune.score("snip", model, x=X, y=Y, loss=nn.functional.cross_entropy),
        ValueError,
        "'0.weight' must have finite scores",
    ),
    "a loss that is NaN": (
        network,
        lambda model: ccprune.score("obd", model, x=X, y=Y, loss=lambda out, y: out.sum() * float("nan")),
        ValueError,
        "must have finite scores",
    ),
    "NaN scores": (
        network,
        lambda model: ccprune.prune(model, {"0.weight": torch.full((5, 6), torch.nan)}, sparsity=0.5),
        ValueError,
        "scores['0.weight'] holds NaN",
    ),
    "no samples": (
        network,
        lambda model: ccprune.score("wanda", model, x=X[:0]),
        ValueError,
        "x must hold at least one sample",
    ),
    "samples without labels": (
        network,
        lambda model: ccprune.score("snip", model, x=X, y=Y[:7], loss=nn.functional.cross_entropy),
        ValueError,
        "x and y must have the same length, at least 1, got 12 and 7",
    ),
    "an empty mask": (
        network,
        lambda model: ccprune.Mask({"0.weight": torch.ones(0, 6, dtype=torch.bool)}),
        ValueError,
        "keep['0.weight'] must hold at least one weight",
    ),
    "no scores": (
        network,
        lambda model: ccprune.prune(model, {}, sparsity=0.5),
        ValueError,
        "scores must name at least one parameter",
    ),
    "nothing that can be pruned, scored": (
        lambda: nn.Sequential(nn.LayerNorm(6), nn.ReLU()),
        lambda model: ccprune.score("magnitude", model),
        ValueError,
        "prunable",
    ),
    "nothing that can be pruned, recorded": (
        lambda: nn.Sequential(nn.LayerNorm(6), nn.ReLU()),
        lambda model: ccprune.record(model, optimizer_of(model)),
        ValueError,
        "prunable",
    ),
    "a sparsity below 0": (
        network,
        lambda model: ccprune.prune(model, random_scores(model), sparsity=-0.1),
        ValueError,
        "sparsity must lie in [0, 1], got -0.1",
    ),
    "a sparsity in per cent": (
        network,
        lambda model: ccprune.prune(model, random_scores(model), sparsity=90),
        ValueError,
        "sparsity must lie in [0, 1], got 90",
    ),
    "a sparsity that is NaN": (
        network,
        lambda model: ccprune.prune(model, random_scores(model), sparsity=float("nan")),
        ValueError,
        "sparsity must lie in [0, 1], got nan",
    ),
    "scores of another shape": (
        network,
        lambda model: ccprune.prune(model, {"0.weight": X[:6, :5]}, sparsity=0.5),
        ValueError,
        "'0.weight' has shape (5, 6), the mask (6, 5)",
    ),
    "scores of another model": (
        network,
        lambda model: ccprune.prune(model, {"features.0.weight": X[:5]}, sparsity=0.5),
        ValueError,
        "model has no parameter 'features.0.weight'",
    ),
    "an example of another size": (
        network,
        lambda model: ccprune.report(model, ccprune.Mask({"0.weight": torch.ones(5, 6) > 0}), X[:7].T),
        RuntimeError,
        "mat1 and mat2 shapes cannot be multiplied (6x7 and 6x5)",
    ),
    "samples on another device": (
        network,
        lambda model: ccprune.score("wanda", model, x=X.to("meta")),
        ValueError,
        "x must be on the model's device cpu, got meta",
    ),
    "an unknown criterion": (
        network,
        lambda model: ccprune.score("magnitud", model),
        ValueError,
        "name must be one of",
    ),
    "a criterion without its recording": (
        network,
        lambda model: ccprune.score("causal", model),
        ValueError,
        "recording must be of the criterion 'causal', which uses the training",
    ),
    "an optimiser of another model": (
        network,
        lambda model: ccprune.record(model, optimizer_of(network())),
        ValueError,
        "optimizer must hold the model's prunable weights",
    ),
    "latency of nothing": (
        network,
        lambda model: ccprune.report(model, ccprune.Mask({"0.weight": torch.ones(5, 6) > 0}), latency=True),
        ValueError,
        "latency needs an example_input",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_clear_error_and_the_model_stays_as_it_was(fault):
    make, act, error, message = FAULTS[fault]
    model = make()
    before = looked_at(model)
    with pytest.raises(error, match=re.escape(message)):
        act(model)
    assert_as_it_was(model, before)


def test_a_mask_on_another_device_works_all_the_same():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    model = network()
    keep = {name: torch.rand(score.shape, device="cuda") > 0.5 for name, score in random_scores(model).items()}
    ccprune.Mask(keep).apply_(model)
    assert torch.equal(model[0].weight != 0, keep["0.weight"].cpu())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_ends_the_recording_and_keeps_what_was_recorded(value):
    model = network()
    optimizer = optimizer_of(model)
    with ccprune.record(model, optimizer, names=["causal_consecutive"]) as recording:
        for _ in range(4):
            recording.before_step(step(model, optimizer))
            optimizer.step()
        recording.before_step(step(model, optimizer) * value)
        with pytest.raises(ValueError, match="loss of step 5 is (nan|inf); the 3 records before it are kept"):
            optimizer.step()
            recording.before_step(step(model, optimizer))
    scores = ccprune.score("causal_consecutive", model, recording=recording)
    assert all(bool(score.isfinite().all()) for score in scores.values())


def test_a_loader_that_ends_early_leaves_too_few_records_and_the_score_says_how_many():
    model = network()
    optimizer = optimizer_of(model)
    batches = iter([(X, Y)])  # ends after one batch
    with ccprune.record(model, optimizer, names=["causal_consecutive"]) as recording:
        for x, y in batches:
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            recording.before_step(loss)
            optimizer.step()
    before = looked_at(model)
    with pytest.raises(ValueError, match="record"):
        ccprune.score("causal_consecutive", model, recording=recording)
    assert_as_it_was(model, before)


def test_a_loader_that_ends_early_is_told_by_fit():
    model = network()
    with pytest.raises(ValueError, match="batches"):
        minibatch.fit(
            model, lambda epoch: iter(()), epochs=1, optimizer=optimizer_of(model), loss=nn.functional.cross_entropy
        )


def test_a_recording_closed_twice_is_closed_and_takes_no_more():
    model = network()
    optimizer = optimizer_of(model)
    recording = ccprune.record(model, optimizer)
    recording.close()
    recording.close()
    with pytest.raises(RuntimeError, match="the recorder is closed"):
        recording.before_step(step(model, optimizer))
    optimizer.step()  # and training goes on without it
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks


def test_a_pickled_file_is_not_read(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harmed").touch, ())

    model = network()
    torch.save({"model": model.state_dict(), "harm": Harm()}, tmp_path / "model.pt")
    before = looked_at(model)
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        export.load(tmp_path / "model.pt", model)
    assert not (tmp_path / "harmed").exists()
    assert_as_it_was(model, before)


def test_compare_names_a_bad_argument_before_it_trains():
    def make(seed):
        raise AssertionError("nothing may be trained")

    for bad, message in [
        ({"sparsities": [0.5, 1.5]}, "sparsities must be different numbers in [0, 1], got [0.5, 1.5]"),
        ({"criteria": ["magnitud"]}, "criteria must be different names from"),
        ({"seeds": 0}, "seeds must be"),
        ({"train": (X, Y[:5])}, "train"),
        ({"test": (X[:0], Y[:0])}, "test"),
    ]:
        arguments = {"train": (X, Y), "test": (X, Y), "optimizer": torch.optim.SGD} | bad
        with pytest.raises(ValueError, match=re.escape(message)):
            ccprune.compare(make, **arguments)


def test_every_criterion_refuses_a_model_without_weights_by_the_same_words():
    model = nn.Sequential(nn.ReLU())
    for name in criteria.list_criteria():
        with pytest.raises(ValueError, match="prunable|recording|store|x must|needs"):
            ccprune.score(name, model)
