"""Flatness of the dense network at the places of a mask. Oracle: the full Hessian, as computed by torch."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from ccprune.mask import Mask, prunable
from replication.causal.flatness import runs as flatness_runs
from replication.causal.protocols import Point
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.networks.models import mlp


@pytest.fixture(autouse=True)
def _tiny(one_thread):
    pass


def test_measured_points_have_the_dense_submatrix_beside_them(digits_points):
    images, dense, pruned = digits_points
    effort = flatness_runs.Effort(samples=60, probes=40, draws=2, steps=1)
    measured = list(flatness_runs.measure_points([(3, "dense", dense), (3, "random", pruned)], images, effort))
    rows = {(row["method"], row["weights"]): row for *_, found in measured for row in found}
    assert list(rows) == [
        ("dense", "remaining"),
        ("dense", "all"),
        ("random", "remaining"),
        ("random", "all"),
        ("dense", "same places"),
    ]
    there = rows["dense", "same places"]
    assert (there["places"], there["seed"], there["level"]) == ("random", 3, 0.9)
    assert there["test_accuracy"] == rows["dense", "all"]["test_accuracy"] != rows["random", "all"]["test_accuracy"]
    x, y = images.sample(60, seed=3)
    for model, row in ((dense.model, there), (pruned.model, rows["random", "remaining"])):
        weights = prunable(model)
        sizes = [weight.numel() for weight in weights.values()]

        def loss_at(flat, model=model, weights=weights, sizes=sizes):
            parts = zip(weights.items(), flat.split(sizes), strict=True)
            moved = {name: part.reshape(weight.shape) for (name, weight), part in parts}
            return cross_entropy(torch.func.functional_call(model, moved, (x,)), y)

        flat = torch.cat([weight.detach().flatten() for weight in weights.values()])
        keep = torch.cat([part.flatten() for part in pruned.mask.keep.values()])
        block = torch.autograd.functional.hessian(loss_at, flat)[keep][:, keep]
        assert row["top_eigenvalue"] == pytest.approx(float(torch.linalg.eigvalsh(block)[-1]), rel=1e-3)
        assert abs(row["trace"] - float(block.trace())) < 4 * row["trace_stderr"]
    with pytest.raises(ValueError, match="points must have 'dense' as the first method of seed 4, got 'random'"):
        list(flatness_runs.measure_points([(3, "dense", dense), (4, "random", pruned)], images, effort))


@pytest.fixture
def digits_points():
    """Digits, a dense network and a pruned one, both trained."""
    bunch = load_digits()
    x, y = torch.from_numpy(bunch.images * 15.9).to(torch.uint8)[:, None], torch.from_numpy(bunch.target).long()
    images = Images.from_tensors("digits", x[:500], y[:500], x[500:], y[500:], classes=10, source="scikit-learn")
    setting = Setting(batch_size=50, lr=0.1)
    points = []
    for sparsity in (0.0, 0.9):
        model = mlp((64, 6, 10), seed=0)
        generator = torch.Generator().manual_seed(0)
        scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}
        mask = Mask.from_scores(scores, sparsity=sparsity)
        mask.apply_(model)
        training = {"epochs": 3, "optimizer": setting.sgd(model), "seed": 0, "mask": mask}
        loss = setting.train(model, images, **training).loss[-1]
        points.append(Point(0.9, mask, {}, model, loss, 3))
    return images, *points
