"""Operations of the papers' networks. Oracles: torch's flop counter on dense models, and numbers worked out by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ccprune.mask import Mask, prunable
from ccprune.measure import operations as flops
from replication.networks import models


def random_mask(model, sparsity=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = {name: weight for name, weight in prunable(model).items()}
    scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
    return Mask.from_scores(scores, sparsity=sparsity)


def by_torch(model, example):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    return counter.get_total_flops()


PAPERS = {
    "paper A's MLP": (models.sigmoid_mlp(9, 6, 1), (4, 9)),
    "LeNet": (models.lenet(1, 28, 10, seed=0), (2, 1, 28, 28)),
    "ResNet-20": (models.resnet20(3, 10, seed=0), (2, 3, 16, 16)),
    "AlexNet": (models.alexnet32(3, 32, 10, seed=0), (1, 3, 32, 32)),
}


@pytest.mark.parametrize("name", PAPERS)
def test_dense_totals_are_those_of_torchs_counter(name, device):
    model, shape = PAPERS[name]
    dtype = next(model.parameters()).dtype
    model, example = model.to(device), torch.zeros(shape, dtype=dtype, device=device)
    table = flops.count(model, example)
    assert table.loc["all", "flops_dense"] * shape[0] == by_torch(model.eval(), example)
    assert (table.loc["other"] == 0).all()  # all of it in the layers' own rows
    assert (table["flops_dense"] == 2 * table["macs_dense"]).all()
    assert (table["flops_kept"] == table["flops_dense"]).all() and (table["kept"] == table["weights"]).all()
    model.to("cpu")


@pytest.mark.parametrize("name", ["paper A's MLP", "LeNet", "ResNet-20"])
def test_rows_are_the_prunable_weights_and_the_papers_flops_their_number(name):
    model, shape = PAPERS[name]
    mask = random_mask(model)
    table = flops.count(model, torch.zeros(shape, dtype=next(model.parameters()).dtype), mask=mask)
    assert list(table.index) == [*prunable(model), "other", "all"]
    for parameter, weight in prunable(model).items():
        assert table.loc[parameter, "weights"] == weight.numel()
        assert table.loc[parameter, "kept"] == mask.counts[parameter]
    assert table.loc["all", "kept"] == mask.kept and table.loc["all", "weights"] == mask.total
    assert (table.loc["all"] == table.iloc[:-1].sum()).all() and (table.dtypes == "int64").all()


def test_numbers_of_paper_a_and_of_lenet_by_hand():
    """9-6-1 has 60 weights (the paper's table 1: 60), each used once; LeNet's convolutions go over 24^2, 8^2 places."""
    table = flops.count(models.sigmoid_mlp(9, 6, 1), torch.zeros(1, 9, dtype=torch.float64))
    assert table.loc["all", ["kept", "macs_dense", "flops_dense"]].tolist() == [60, 60, 120]
    table = flops.count(models.lenet(1, 28, 10, seed=0), torch.zeros(1, 1, 28, 28))
    expected = [20 * 25 * 24**2, 50 * 20 * 25 * 8**2, 800 * 500, 500 * 10]
    assert table["macs_dense"].tolist() == [*expected, 0, sum(expected)]


@pytest.mark.parametrize("name", ["LeNet"])
def test_null_a_full_mask_is_dense_and_an_empty_one_nothing(name):
    model, shape = PAPERS[name]
    full = Mask({parameter: torch.ones(w.shape, dtype=torch.bool) for parameter, w in prunable(model).items()})
    empty = Mask({parameter: ~keep for parameter, keep in full.keep.items()})
    dense, nothing = (flops.count(model, torch.zeros(shape), mask=mask) for mask in (full, empty))
    assert dense.equals(flops.count(model, torch.zeros(shape)))
    assert (nothing[["kept", "macs_kept", "flops_kept"]] == 0).all(axis=None)
    assert nothing[["macs_dense", "uses"]].equals(dense[["macs_dense", "uses"]])
