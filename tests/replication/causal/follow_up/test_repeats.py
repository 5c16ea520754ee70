"""Networks trained again: what is measured on them, and which released figures they answer.

Oracles: the full Hessian of a small network, the authors' noise written out, and rows planted beside released figures.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from replication.causal import released, runs
from replication.causal.follow_up import Effort, Protocol, released_cells, repeat_runs
from replication.causal.follow_up.released_cells import sample
from replication.causal.follow_up.repeats import hessian_eigenvalues, with_noise
from replication.causal.released.rows import rows
from replication.causal.setting import Setting
from replication.data import load_images
from replication.ledger import Units


@pytest.fixture(scope="module")
def raw():
    images = load_images("mnist5k").take(train=200, test=100, seed=0)
    protocol = Protocol("ridge", "cubic", pre=1, iterations=2, between=1, final=2, lr_min=None)
    setting = Setting(batch_size=50, lr=0.05, augment="flip_erase")
    network, options = runs.network("mlp", images), {"units": Units(None), "key": {}, "seeds": [0, 1]}
    effort = Effort(3, (1e-3, 1e-1), draws=2)
    found = repeat_runs(
        network, images, setting, protocol, effort, names=["ridge", "magnitude"], totals=[0.5], **options
    )
    return pd.DataFrame(found)


def test_magnitude_runs_are_one_shot_and_shorter(raw):
    facts = raw[raw.seed == 0].set_index(["method", "quantity"]).value
    assert (facts["ridge", "epochs"], facts["magnitude", "epochs"]) == (4, 3)
    assert facts["ridge", "pruned"] == facts["magnitude", "pruned"] == facts["ridge", "weights"] / 2
    assert facts["ridge", "best_on_test"] >= facts["ridge", "last_epoch"]


def test_noise_grows_with_the_level(raw):
    noise = raw[raw.quantity == "noise"].groupby("at").value.mean()
    assert abs(noise[1e-3] - 1) < 0.05 < noise[1e-1] - 1


def test_eigenvalues_of_largest_magnitude_over_all_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    x, y = torch.randn(40, 4), torch.arange(40) % 3
    weights = [weight.detach() for weight in model.parameters()]
    flat = torch.cat([weight.flatten() for weight in weights])

    def loss(vector):
        parts = vector.split([weight.numel() for weight in weights])
        names = dict(zip(dict(model.named_parameters()), parts, strict=True))
        shaped = {name: part.reshape(weight.shape) for (name, part), weight in zip(names.items(), weights, strict=True)}
        return cross_entropy(torch.func.functional_call(model, shaped, (x,)), y)

    full = torch.linalg.eigvalsh(torch.func.hessian(loss)(flat))
    expected = sorted(full.tolist(), key=abs, reverse=True)[:5]
    np.testing.assert_allclose(hessian_eigenvalues(model, x, y, count=5, seed=0), expected, rtol=0.02)


def test_noise_reaches_pruned_weights_and_scales_the_rest():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[0].weight[:4] = 0
    noisy = with_noise(model, 0.1, seed=0).state_dict()
    assert float((noisy["0.weight"] - model[0].weight).detach().std()) == pytest.approx(0.1, rel=0.25)
    assert bool((noisy["0.weight"][:4] != 0).all())
    torch.testing.assert_close(noisy["0.bias"], 1.1 * before["0.bias"])
    torch.testing.assert_close(noisy["1.weight"], torch.full((8,), 1.1))


@pytest.fixture(scope="module")
def figures():
    return released.load()


def _planted(figures, factor, *, seeds=3):
    """Rows whose runs scatter by 1% around the released figures of LeNet, times a factor for each fit."""
    generator, found = np.random.default_rng(0), []

    def add(method, total, seed, quantity, value, at=None, draw=None):
        found.append(dict(seed=seed, method=method, total=total, quantity=quantity, at=at, draw=draw, value=value))

    spectra = {tuple(key.split()): values for key, values in figures.eigenvalues.items() if key.startswith("lenet")}
    for method, name in (("causal", "ridge"), ("causal", "2025-06"), ("magnitude", "magnitude")):
        for total in (0.5, 0.7, 0.9):
            chosen = [f for f in figures.figures if (f.network, f.method, f.sparsity) == ("lenet", method, total)]
            for seed in range(seeds):
                scale = factor.get(name, 1.0) * float(np.exp(0.01 * generator.standard_normal()))
                for rank, value in enumerate(spectra["lenet", method, f"{total:g}"], 1):
                    add(name, total, seed, "eigenvalue", scale * value, rank)
                for f in chosen:
                    if f.quantity == "test_accuracy" and f.group == "lenet_cifar10_accuracy":
                        add(name, total, seed, "best_on_test", scale * f.value)
                    if f.quantity == "test_loss_without_noise":
                        add(name, total, seed, "loss", scale * f.value)
                    if f.quantity == "relative_test_loss_median":
                        add(name, total, seed, "noise", scale * f.value, f.details["level"], 0)
    return pd.DataFrame(found)


def _verdicts(figures, raw, profile="paper"):
    found = released_cells(raw, figures, network="lenet", dataset="cifar10", profile=profile)
    return [cell for cell in found if cell.kind == "figure"]


def test_runs_like_the_authors_are_within_noise_and_answer_their_rows(figures):
    cells = _verdicts(figures, _planted(figures, {}))
    keys = {(cell.table, cell.method, cell.sparsity, cell.quantity) for cell in cells}
    declared = {(row.cell.table, row.cell.method, row.cell.sparsity, row.cell.quantity): row for row in rows(figures)}
    assert keys <= set(declared)
    assert sum(len(declared[key].figures) for key in keys) >= 200
    share = np.mean([cell.verdict == "within_noise" for cell in cells])
    assert share > 0.9


def test_fits_that_differ_leave_a_causal_figure_underspecified(figures):
    cells = _verdicts(figures, _planted(figures, {"ridge": 3.0}))
    assert {cell.verdict for cell in cells if cell.method == "causal" and cell.published} == {"underspecified"}
    assert "outside" not in {cell.verdict for cell in cells if cell.method == "magnitude"}


def test_runs_unlike_the_authors_leave_a_figure_underspecified(figures):
    """The stored script writes another folder than the one that the measured networks were read from."""
    cells = _verdicts(figures, _planted(figures, {"ridge": 3.0, "2025-06": 3.0, "magnitude": 3.0}))
    unlike = [cell for cell in cells if cell.published != 0]
    assert {cell.verdict for cell in unlike} == {"underspecified"}
    assert all("which settings made the figure is not known" in cell.note for cell in unlike)


def test_one_run_of_each_gives_no_range_and_short_runs_answer_nothing(figures):
    assert not _verdicts(figures, _planted(figures, {}, seeds=1))
    assert not _verdicts(figures, _planted(figures, {}), profile="default")


def test_a_quantity_that_no_run_answers_is_refused(figures):
    with pytest.raises(ValueError, match="quantity must be"):
        sample(_planted(figures, {}, seeds=1), "flops_left")
