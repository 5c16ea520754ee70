"""The dense network at the places of a mask: a principal submatrix of its Hessian, as computed in full by torch."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from ccprune.flatness import top_eigenvalues, trace
from ccprune.mask import Mask, prunable


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.8])
def test_restricting_alone_lowers_eigenvalues(network, sparsity):
    """Cauchy's interlacing theorem, on the full matrix and on what the library measures."""
    mask = network.some_mask(sparsity)
    keep = torch.cat([part.flatten() for part in mask.keep.values()])
    full = network.full_hessian()
    block = full[keep][:, keep]
    whole, part = (np.linalg.eigvalsh(matrix.numpy())[::-1] for matrix in (full, block))
    gone = len(whole) - len(part)
    assert (part <= whole[: len(part)] + 1e-12).all() and (part >= whole[gone:] - 1e-12).all()
    options = {"tol": 1e-8, "max_products": 1000}
    there, everywhere = (float(top_eigenvalues(*network, mask=one, **options).values[0]) for one in (mask, None))
    assert (there, everywhere) == pytest.approx((part[0], whole[0]), rel=1e-7)
    assert there <= everywhere


def test_the_trace_at_some_places_is_the_sum_of_their_diagonal_entries(network):
    """One weight has a 1 x 1 submatrix, whose trace any probe gives exactly; all of them add up."""
    weights = prunable(network.model)
    diagonal = network.full_hessian().diag()
    sizes = [weight.numel() for weight in weights.values()]
    rng = np.random.default_rng(0)
    for place in rng.choice(sum(sizes), size=6, replace=False):
        flat = torch.zeros(sum(sizes), dtype=torch.bool)
        flat[int(place)] = True
        parts = zip(weights.items(), flat.split(sizes), strict=True)
        mask = Mask({name: part.reshape(weight.shape) for (name, weight), part in parts})
        found = trace(*network, mask=mask, probes=2)
        assert found.estimate == pytest.approx(float(diagonal[int(place)]), rel=1e-9, abs=1e-12)
    mask = network.some_mask()
    keep = torch.cat([part.flatten() for part in mask.keep.values()])
    found = trace(*network, mask=mask, probes=400)
    assert abs(found.estimate - float(diagonal[keep].sum())) < 4 * found.stderr


def test_measured_points_have_the_dense_submatrix_beside_them(digits_points):
    from replication.causal import flatness_runs

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
    from sklearn.datasets import load_digits

    from replication.causal.protocols import Point
    from replication.causal.setting import Setting
    from replication.data.images import Images
    from replication.networks.models import mlp

    bunch = load_digits()
    x, y = torch.from_numpy(bunch.images * 15.9).to(torch.uint8)[:, None], torch.from_numpy(bunch.target).long()
    images = Images.from_tensors("digits", x[:500], y[:500], x[500:], y[500:], classes=10, source="scikit-learn")
    setting = Setting(batch_size=50, rate=0.1)
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
