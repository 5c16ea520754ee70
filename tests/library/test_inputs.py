"""Inputs as users have them: a tuple, a mapping, a loader of batches; outputs that are mappings; arrays and DataFrames.

Oracle: the same numbers as for one tensor, or for all samples as one batch.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ccprune
from ccprune import criteria, flatness, lyapunov
from ccprune.granger import granger_test
from ccprune.measure import latency, operations

CE = nn.functional.cross_entropy
X = torch.randn(21, 6, generator=torch.Generator().manual_seed(0))
GATE = torch.rand(21, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long()
LOOKS = ("snip", "grasp", "fisher", "obd", "synflow", "wanda", "wanda_row", "obs")


class Gated(nn.Module):
    """Takes two tensors and a flag, and returns a mapping."""

    def __init__(self, *, as_dict: bool):
        super().__init__()
        self.as_dict, self.net = as_dict, nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, values, gate, *, scale: float = 1.0):
        logits = self.net(values * gate) * scale
        return {"logits": logits} if self.as_dict else logits


def gated(*, as_dict: bool) -> nn.Module:
    torch.manual_seed(0)
    return Gated(as_dict=as_dict)


def plain() -> nn.Module:
    """Return the same network as a function of one tensor."""
    return gated(as_dict=False).net


def of_logits(outputs, y):
    return CE(outputs["logits"], y)


def close(found: dict, expected: dict) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in LOOKS if name != "synflow"])
@pytest.mark.parametrize("form", ["tuple", "mapping"])
def test_scores_of_tuples_and_mappings_are_those_of_the_tensor(name, form):
    expected = criteria.score(name, plain(), x=X * GATE, y=Y)
    x = (X, GATE) if form == "tuple" else {"values": X, "gate": GATE, "scale": 1.0}
    close(criteria.score(name, gated(as_dict=False), x=x, y=Y), expected)
    close(criteria.score(name, gated(as_dict=True), x=x, y=Y, loss=of_logits), expected)


@pytest.mark.parametrize("name", LOOKS)
def test_scores_of_a_loader_are_those_of_all_samples_as_one_batch(name):
    expected = ccprune.score(name, plain(), x=X, y=Y)
    close(ccprune.score(name, plain(), x=DataLoader(TensorDataset(X, Y), batch_size=8)), expected)
    generator = ((part, y) for part, y in zip(X.split(8), Y.split(8), strict=True))
    close(ccprune.score(name, plain(), x=generator), expected)
    exact = ccprune.score(name, plain(), x=[(X, Y)])
    assert all(torch.equal(exact[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", LOOKS)
def test_loaders_of_tuples_and_of_mappings(name):
    pairs = DataLoader([((x, g), y) for x, g, y in zip(X, GATE, Y, strict=True)], batch_size=8)
    whole = {"values": X, "gate": GATE}
    expected = ccprune.score(name, gated(as_dict=False), x=whole, y=Y)
    close(ccprune.score(name, gated(as_dict=False), x=pairs), expected)
    maps = [({"values": x, "gate": g}, y) for (x, g), y in pairs]
    close(ccprune.score(name, gated(as_dict=True), x=maps, loss=of_logits), expected)


def test_a_model_that_returns_its_own_loss_needs_no_targets():
    @dataclass
    class Output:
        loss: torch.Tensor

    class Own(Gated):
        def forward(self, values, gate, labels):
            return Output(CE(self.net(values * gate), labels))

    torch.manual_seed(0)
    model, batch = Own(as_dict=False), {"values": X, "gate": GATE, "labels": Y}
    expected = ccprune.score("snip", plain(), x=X * GATE, y=Y)
    for x in (
        batch,
        [batch],
        [{key: value[rows] for key, value in batch.items()} for rows in (slice(9), slice(9, 21))],
    ):
        close(ccprune.score("snip", model, x=x, loss=lambda outputs, _: outputs.loss), expected)
    with pytest.raises(TypeError, match="loss must be given where outputs and y are not both Tensors, got Output"):
        ccprune.score("snip", model, x=[batch])
    with pytest.raises(ValueError, match=r"\['y'\] must be given"):
        ccprune.score("snip", model, x=batch)


def test_samples_that_vmap_cannot_take_are_differentiated_one_at_a_time():
    class Counts(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * float((x == x).float().mean())

    torch.manual_seed(0)
    model = Counts(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    close(ccprune.score("fisher", model, x=X, y=Y), ccprune.score("fisher", plain(), x=X, y=Y))


@pytest.mark.parametrize(
    "x, y, error, message",
    [
        ([(X, Y, Y)], None, TypeError, r"x must have batches \(inputs, targets\), got a batch of"),
        ([(X, Y)], Y, TypeError, "without y an iterable of batches .*, got list together with y"),
        ([], None, ValueError, "x must hold at least one sample, got no batch"),
        ({"values": X[:0], "gate": GATE}, Y, ValueError, "same length, at least 1, got 0 and 21"),
        ({"scale": 1.0}, Y, TypeError, "x must have inputs with at least one Tensor, got dict without one"),
        ([(X, Y[:3])], None, ValueError, "x and y must have the same length, at least 1, got 21 and 3"),
        ("text", None, TypeError, "x must be a Tensor, a tuple or mapping .*, got str"),
    ],
)
def test_other_inputs_are_refused(x, y, error, message):
    with pytest.raises(error, match=message):
        ccprune.score("snip", gated(as_dict=False), x=x, y=y)


def test_flatness_of_mappings_and_loaders():
    model, x = gated(as_dict=True), {"values": X, "gate": GATE}
    expected = flatness.trace(plain(), CE, (X * GATE, Y), probes=4).estimate
    batches = [({key: value[rows] for key, value in x.items()}, Y[rows]) for rows in (slice(9), slice(9, 21))]
    for data in ((x, Y), batches, iter(batches)):
        assert flatness.trace(model, of_logits, data, probes=4).estimate == pytest.approx(expected, rel=1e-4)
    found = flatness.top_eigenvalues(gated(as_dict=False), CE, ((X, GATE), Y)).values
    torch.testing.assert_close(found, flatness.top_eigenvalues(plain(), CE, (X * GATE, Y)).values, rtol=1e-4, atol=0)


def test_reports_and_times_of_mappings_tuples_and_loaders():
    model, x = gated(as_dict=True), {"values": X, "gate": GATE}
    mask = ccprune.Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.5)
    loader = DataLoader(TensorDataset(X, Y), batch_size=8)
    expected = operations.count(plain(), X)["macs_dense"].tolist()
    for inputs in (x, (X, GATE), [(x, Y)]):
        assert operations.count(model, inputs)["macs_dense"].tolist() == expected
        assert ccprune.report(model, mask, inputs, latency=True, repeats=1).forms.loc["dense", "macs"] == expected[-1]
    assert operations.count(plain(), loader)["macs_dense"].tolist() == expected
    times = latency.compare(model, mask, x, Y, loss=of_logits, repeats=1, warmup=0)
    assert len(times) == 6 and latency.inference(model, x, repeats=1, warmup=0).median > 0


def test_a_comparison_of_mappings_is_that_of_tensors():
    options = dict(criteria=["random", "snip", "causal"], sparsities=[0.5], seeds=1, before=1, after=1, batch_size=8)
    options |= dict(optimizer=lambda p: torch.optim.SGD(p, 0.1), reference="dense")

    @torch.no_grad()
    def error(model, x, y):
        outputs = model(**x) if isinstance(x, dict) else model(x)
        return float(CE(outputs["logits"] if isinstance(outputs, dict) else outputs, y))

    maps, tensors = ({"values": X, "gate": GATE}, Y), (X * GATE, Y)
    found = ccprune.compare(lambda _: gated(as_dict=True), maps, maps, loss=of_logits, metric=error, **options)
    expected = ccprune.compare(lambda _: plain(), tensors, tensors, metric=error, **options)
    pd.testing.assert_frame_equal(found.runs, expected.runs, rtol=1e-4)


def test_series_are_taken_from_arrays_and_data_frames():
    series = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    frame = pd.DataFrame(series.numpy(), columns=["a", "b", "c"])
    expected = lyapunov.windowed_exponents(series, window=30, stride=15, steps=3)
    tests = granger_test(series[:, 0], series, max_lag=2).p_value
    for table in (frame, series.numpy(), np.asfortranarray(frame)):
        assert torch.equal(lyapunov.windowed_exponents(table, window=30, stride=15, steps=3), expected)
        assert torch.equal(lyapunov.stretching_curves(table.T, steps=3), lyapunov.stretching_curves(series.T, steps=3))
        assert torch.equal(lyapunov.exponents_of(table.T, steps=3), lyapunov.exponents_of(series.T, steps=3))
    assert torch.equal(granger_test(frame["a"], frame, max_lag=2).p_value, tests)
    assert torch.equal(granger_test(series[:, 0].numpy(), frame.to_numpy(), max_lag=2).p_value, tests)
    whole = (frame * 10).round().astype(int)
    same = lyapunov.windowed_exponents(whole.astype(float), window=30, stride=15, steps=3)
    assert torch.equal(lyapunov.windowed_exponents(whole, window=30, stride=15, steps=3), same)
    for wrong in (frame.astype(str), np.array([["a"]]), [[1.0]]):
        with pytest.raises(TypeError, match="series must be a Tensor, or an array or DataFrame of numbers, got"):
            lyapunov.stretching_curves(wrong)
    with pytest.raises(ValueError, match="causes must be finite"):
        granger_test(frame["a"], frame.where(frame > 0), max_lag=2)
