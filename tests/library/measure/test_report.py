"""What the report says. Oracles: masks small enough to count by hand, flops.count, torch.save and zlib, set clocks."""

import io
import zlib

import pandas as pd
import pytest
import torch
from torch import nn

import ccprune
from ccprune import compare, export, report
from ccprune.mask import Mask, prunable
from ccprune.measure import CoverageWarning, latency
from ccprune.measure import _report as sparsity_report
from ccprune.measure import operations as flops
from ccprune.measure.latency import Timing


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 2, groups=2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.Linear(3, 2)
    )


def by_hand():
    keep = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(network()).items()}
    keep["0.weight"][:2] = False  # both channels of the first group, and with them the first input
    keep["3.weight"][1] = False
    keep["3.weight"][:, [4, 7]] = False
    keep["4.weight"][:] = False
    return Mask(keep, requested=0.5)


def test_layers_by_hand():
    model, mask = network(), by_hand()
    mask.apply_(model)
    with torch.no_grad():
        model[3].weight[1, :2] = 1.0
    found = report(model, mask)
    columns = ["weights", "kept", "pruned", "violations", "dead_outputs", "dead_inputs", "collapsed"]
    assert found.layers[columns].to_numpy().tolist() == [
        [16, 8, 8, 0, 2, 1, 0],
        [48, 28, 20, 2, 1, 2, 0],
        [6, 0, 6, 0, 2, 3, 1],
        [70, 36, 34, 2, 5, 6, 1],
    ]
    assert found.layers["density"]["all"] == 36 / 70 and found.layers.loc["3.weight", "kept"] == 28
    assert (found.requested, found.achieved) == (0.5, pytest.approx(34 / 70))
    text, html = str(found), found._repr_html_()
    for line in (
        "sparsity 48.5714% (50.0000% requested)",
        "apply_ it): 2",
        "nothing of the input passes them): 1",
        "without weights left: 5",
        "Masking alone does not make inference faster",
    ):
        assert line in text and line in html
    assert "<table" in html and "4.weight" in html and "<td>–</td>" in html and "NaN" not in html
    unknown = report(mask.apply_(model), Mask(mask.keep))
    assert unknown.requested is None and "requested" not in str(unknown) and "not zero" not in str(unknown)


def file_bytes(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return len(file.getvalue()), len(zlib.compress(file.getvalue()))


def test_forms_are_counted_and_saved_and_the_model_is_left_alone():
    model, mask = network(), by_hand()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    smaller = nn.Sequential(nn.Flatten(), nn.Linear(18, 2))
    x = torch.randn(5, 2, 3, 3)
    found = report(model.train(), mask, x, exported=smaller)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.training
    forms, counted = found.forms, flops.count(model, x, mask=mask)
    assert forms["parameters"].tolist() == [75, 75 - 34, 38]
    assert forms["macs"].tolist() == [counted["macs_dense"]["all"], counted["macs_kept"]["all"], 36]
    assert forms["flops"].tolist() == [2 * macs for macs in forms["macs"]]
    assert found.layers.loc["0.weight", "macs_dense"] == 16 * 4 and found.layers.loc["0.weight", "macs_kept"] == 8 * 4
    sizes = [file_bytes(network) for network in (model, mask.apply_(network()), smaller)]
    assert [*zip(forms["file_bytes"], forms["compressed_bytes"], strict=True)] == sizes
    assert forms["compressed_bytes"]["masked"] < forms["compressed_bytes"]["dense"]
    bare = report(model, mask).forms
    assert list(bare.index) == ["dense", "masked"] and list(bare) == ["parameters", "file_bytes", "compressed_bytes"]


def test_tied_weights_take_their_space_once():
    model = nn.Sequential(nn.Linear(50, 50), nn.Linear(50, 50))
    model[1].weight = model[0].weight
    mask = Mask({"0.weight": torch.rand(50, 50, generator=torch.Generator().manual_seed(0)) > 0.5})
    forms = report(model, mask).forms
    assert forms["file_bytes"]["masked"] == forms["file_bytes"]["dense"] < 4 * 2500 * 1.5
    assert forms["parameters"]["dense"] == 2600


def test_times_are_those_of_the_forms(monkeypatch):
    model, mask = network(), by_hand()
    exported = nn.Sequential(nn.Flatten(), nn.Linear(18, 2))
    asked = []

    def inference(network, x, *, repeats):
        zeros = sum(int((parameter == 0).sum()) for parameter in network.parameters())
        asked.append((zeros, len(x), repeats))
        return Timing({0: (3.0, 4.0, 5.0), 34: (4.0, 6.0, 8.0)}[zeros] if network is not exported else (1.0, 1.0, 2.0))

    monkeypatch.setattr(sparsity_report.timing, "inference", inference)
    forms = report(model, mask, torch.randn(5, 2, 3, 3), exported=exported, latency=True, repeats=9).forms
    assert asked == [(0, 5, 9), (34, 5, 9), (0, 5, 9)]
    assert forms["median"].tolist() == [4, 6, 1] and forms["relative"].tolist() == [1, 1.5, 0.25]
    assert forms.loc["dense", ["low", "high"]].tolist() == [3.5, 4.5]


def test_real_times_and_sparse_kernels_whose_work_is_not_counted():
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
    mask = Mask.from_scores({name: weight.detach().abs() for name, weight in prunable(model).items()}, sparsity=0.5)
    found = report(torch.compile(model, backend="eager"), mask, torch.randn(3, 6), exported=latency.sparse(model, mask),
                         latency=True, repeats=3)  # fmt: skip
    assert (found.forms["median"] > 0).all()
    assert found.forms["macs"].isna().tolist() == [False, False, True] and "NA" in str(found)
    assert isinstance(found.layers, pd.DataFrame)


def test_errors():
    model, mask = network(), by_hand()
    with pytest.raises(ValueError, match="latency needs an example_input"):
        report(model, mask, latency=True)
    with pytest.raises(ValueError, match="model has no parameter 'w'"):
        report(model, Mask({"w": torch.ones(1, dtype=torch.bool)}))
    with pytest.raises(ValueError, match="repeats must be an integer of at least 1"):
        report(model, mask, torch.randn(1, 2, 3, 3), latency=True, repeats=0)


class Tagger(nn.Module):
    """Most of its matrices are in layers that are not pruned, one weight is tied, and one layer is frozen."""

    def __init__(self):
        super().__init__()
        self.words, self.cell = nn.Embedding(20, 8), nn.GRU(8, 16, batch_first=True)
        self.frozen, self.norm, self.down = nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 20)
        self.head.weight = self.words.weight
        self.frozen.weight.requires_grad_(False)

    def forward(self, tokens):
        return self.head(self.down(self.norm(self.frozen(self.cell(self.words(tokens))[0]))))


def scores_of(model):
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}


def test_the_summary_says_what_the_sparsity_is_a_fraction_of():
    model = Tagger()
    mask = Mask.from_scores(ccprune.score("magnitude", model, skip=["cell"]), sparsity=0.5)
    with pytest.warns(CoverageWarning, match="most of the matrices are left out: 1408 of 1696 weights in them"):
        found = report(model, mask, torch.arange(12).reshape(2, 6))
    named, every = 128 + 160, sum(p.numel() for p in model.parameters())
    assert found.left_out["weights"].sum() + named == every
    assert found.left_out.loc["cell.weight_hh_l0"].tolist() == ["GRU", 2, 3 * 16 * 16]
    assert found.left_out.loc["frozen.weight"].tolist() == ["Linear, frozen", 2, 256]
    text, html = str(found), found._repr_html_()
    for line in (
        f"the mask names 288 of {every} parameters ({288 / every:.1%}); {144 / every:.1%} of all are pruned",
        "left out: 1152 in GRU ['cell.weight_ih_l0', 'cell.weight_hh_l0']",
        "left out: 256 in Linear, frozen ['frozen.weight']",
        "left out: 172 in biases and other vectors ['cell.bias_ih_l0', 'cell.bias_hh_l0', 'frozen.bias', "
        "'norm.weight', 'norm.bias' and 2 more]",
        "'head.weight' is also 'words.weight' of Embedding, which is pruned with it",
        "most of the matrices are left out",
    ):
        assert line in text, line
        assert line.split("'")[0] in html
    whole = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    assert "most of" not in str(report(whole, Mask.from_scores(scores_of(whole), sparsity=0.5)))


def test_the_dense_size_is_shown_only_where_the_pruned_values_are_known():
    model = nn.Linear(60, 60)
    scores = scores_of(model)
    half, mask = (Mask.from_scores(scores, sparsity=sparsity) for sparsity in (0.5, 0.9))
    dense = file_bytes(model)
    known = report(model, mask).forms
    assert (known["file_bytes"]["dense"], known["compressed_bytes"]["dense"]) == dense
    for earlier in (half, mask):  # the mask of an earlier step has pruned some of the values, or all
        earlier.apply_(model)
        forms = report(model, mask).forms
        assert forms["compressed_bytes"].isna().tolist() == [True, False]
        assert forms["compressed_bytes"]["masked"] == known["compressed_bytes"]["masked"]
        assert forms[["parameters", "file_bytes"]].equals(known[["parameters", "file_bytes"]])


class Keeps(nn.Module):
    """Keeps its last output, of which torch makes no copy."""

    def __init__(self):
        super().__init__()
        self.layer, self.kept = nn.Linear(4, 2), {}

    def forward(self, x):
        self.kept["last"] = [self.layer(x)]
        return self.kept["last"][0]


def test_models_that_keep_a_result_are_reported_timed_exported_and_compared():
    model, x, y = Keeps(), torch.randn(6, 4), torch.arange(6) % 2
    model(x)
    mask = Mask.from_scores(scores_of(model), sparsity=0.5)
    assert report(model, mask, x, latency=True, repeats=2).forms["macs"].tolist() == [8, 4]
    latency.compare(model, mask, x, y, repeats=1, warmup=0)
    assert torch.equal(export.to_csr(model, mask, x, repeats=1).model(x), mask.apply_(model)(x))

    def make(seed):
        model = Keeps()
        model(x)
        return model

    compare(
        make, (x, y), (x, y), optimizer=lambda p: torch.optim.SGD(p, 0.1), criteria=["magnitude"], sparsities=[0.5],
        seeds=1, before=1, after=1,
    )  # fmt: skip


def test_uncounted_products_are_named_in_the_summary():
    class Far(nn.Sequential):
        def forward(self, x):
            return torch.cdist(super().forward(x), x)

    model = Far(nn.Linear(3, 3))
    found = report(model, Mask.from_scores(scores_of(model), sparsity=0.5), torch.randn(2, 5, 3))
    assert "not counted: _cdist_forward (1 calls)" in found.summary


def test_the_compressed_size_of_a_large_model_is_estimated_to_a_percent():
    model = nn.Linear(1500, 1500)  # 9 MB
    for sparsity in (0.0, 0.9):
        mask = Mask.from_scores({"weight": model.weight.detach().abs()}, sparsity=sparsity)
        mask.apply_(model)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        found = ccprune.report(model, mask).forms.loc["masked", "compressed_bytes"]
        assert found == pytest.approx(len(zlib.compress(file.getvalue())), rel=0.01)
