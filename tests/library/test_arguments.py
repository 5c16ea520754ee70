"""Arguments as users have them: numbers and arrays of NumPy, tensors with gradients, weights without values."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import ccprune
from ccprune import flatness, lasso, lyapunov
from ccprune.granger import granger_test
from ccprune.mask import Mask, cubic, geometric, jaccard_kept

X = torch.randn(33, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def test_integers_and_arrays_of_numpy_are_integers_and_sequences():
    series = torch.randn(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = lyapunov.windowed_exponents(series, window=50, stride=45, steps=3, fit=(0, 2))
    for pair in (np.array([0, 2]), torch.tensor([0, 2]), [np.int32(0), np.int64(2)]):
        options = {"window": np.int64(50), "stride": np.int32(45), "steps": np.int64(3), "fit": pair}
        assert torch.equal(lyapunov.windowed_exponents(series, **options), expected)
    found = granger_test(series[:, 0], series, max_lag=np.int64(2))
    assert torch.equal(found.p_value, granger_test(series[:, 0], series, max_lag=2).p_value)
    features, target = series.square(), series[:, 0]
    ranking = lasso.ranking(features, target, alphas=np.int64(5))
    assert torch.equal(ranking, lasso.ranking(features, target, alphas=5))
    scores = {"a": torch.arange(8.0)}
    assert Mask.from_scores(scores, sparsity=np.float32(0.5), min_per_layer=np.int64(1)).kept == 4
    assert cubic(np.float64(0.9), iterations=np.int64(3)) == cubic(0.9, iterations=3)
    for wrong in (np.float64(3.0), 3.0, True, np.bool_(True), "3", None):
        with pytest.raises(ValueError, match="window must be an integer of at least 1, got"):
            lyapunov.windowed_exponents(series, window=wrong, stride=45, steps=3)


def test_series_with_gradients_are_tested():
    series = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = granger_test(series[:, 0], series, max_lag=2).p_value
    found = granger_test(series[:, 0].clone().requires_grad_(), series.clone().requires_grad_(), max_lag=2).p_value
    assert torch.equal(found, expected) and not found.requires_grad


@pytest.mark.parametrize("wrong", [{0.5}, "0.5", None, [0.5], torch.tensor([0.5])])
def test_a_sparsity_that_is_no_number_is_a_type_error(wrong):
    scores = {"a": torch.arange(8.0)}
    calls = {
        "sparsity": lambda: Mask.from_scores(scores, sparsity=wrong),
        "share": lambda: Mask.from_channels({"a": torch.ones(4, 2)}, share=wrong),
        "total": lambda: cubic(wrong, iterations=2),
    }
    for name, call in calls.items():
        with pytest.raises(TypeError, match=f"{name} must be a number in .*, got {type(wrong).__name__}"):
            call()
    with pytest.raises(TypeError, match="total must be a number"):
        geometric(wrong, iterations=2)


def normed(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def compared(**options):
    options = {"sparsities": [0.5], "seeds": 1, "before": 1, "after": 1, "batch_size": 8, **options}
    sgd = lambda p: torch.optim.SGD(p, 0.1)  # noqa: E731
    return ccprune.compare(normed, (X, Y), (X, Y), optimizer=sgd, criteria=["magnitude"], **options).runs


def test_a_comparison_takes_arrays_a_metric_that_is_a_tensor_and_one_row_left_over():
    """33 rows in mini-batches of 8 leave one over, on which batch norm cannot be trained."""
    expected = compared(sparsities=[0.25, 0.5])
    assert len(expected) == 4
    pd.testing.assert_frame_equal(compared(sparsities=np.array([0.25, 0.5])), expected)

    def loss(model, x, y):
        return nn.functional.cross_entropy(model.eval()(x), y)

    assert compared(metric=loss)["loss"].dtype == np.float64


def test_weights_without_values_are_an_error_with_their_names():
    meta = normed(0).to("meta")
    mask = Mask({"0.weight": torch.zeros(8, 6, dtype=torch.bool)})
    for call in (
        lambda: ccprune.score("magnitude", meta),
        lambda: ccprune.score("random", meta),
        lambda: mask.apply_(meta),
        lambda: mask.check(meta),
        lambda: ccprune.report(meta, mask),
    ):
        with pytest.raises(ValueError, match=r"'0.weight'.* are on the meta device"):
            call()
    with pytest.raises(ValueError, match=r"scores\['a'\] must have values, got a tensor on the meta device"):
        Mask.from_scores({"a": torch.zeros(3, device="meta")}, sparsity=0.5)
    lazy = nn.Sequential(nn.LazyLinear(8))
    for call in (
        lambda: ccprune.score("magnitude", lazy),
        lambda: mask.apply_(lazy),
        lambda: ccprune.report(lazy, mask),
    ):
        with pytest.raises(ValueError, match="'0.weight' has no values yet: call the model once"):
            call()


def test_messages_name_at_most_five_weights():
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(300)])
    scores = ccprune.score("magnitude", model)
    mask = Mask.from_scores(scores, sparsity=0.5)
    few = {name: scores[name] for name in list(scores)[:3]}
    other = nn.Sequential(*[nn.Linear(4, 5) for _ in range(300)])
    optimizer = torch.optim.SGD(other.parameters(), 0.1)
    loss = nn.functional.mse_loss
    for call in (
        lambda: Mask({"x": mask.keep["0.weight"]}).apply_(model),
        lambda: mask.enforce(model, optimizer),
        lambda: ccprune.record(model, optimizer),
        lambda: mask.restrict(few),
        lambda: Mask.from_scores(few, sparsity=0.6, previous=mask),
        lambda: Mask.from_scores(scores, sparsity=0.6, protect=["nothing"]),
        lambda: Mask.from_scores(scores, sparsity=0.6, protect=list(scores)),
        lambda: Mask.from_counts(scores, kept={}),
        lambda: jaccard_kept(mask, Mask({"x": mask.keep["0.weight"]})),
        lambda: flatness.trace(model, loss, (torch.ones(2, 4), torch.ones(2, 4)), mask=few_kept(mask)),
        lambda: ccprune.score("wanda", Idle(model), x=torch.ones(2, 4)),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert len(str(caught.value)) < 400, str(caught.value)


def few_kept(mask: Mask) -> Mask:
    return Mask({name: mask.keep[name] for name in list(mask.keep)[:3]})


class Idle(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return x
