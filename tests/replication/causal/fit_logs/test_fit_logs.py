"""Released logs made again: both fits, the synthetic problem, the runs, and the figures that they answer.

Oracles: the library's truncated gradient, torch's SGD, scikit-learn's Lasso, and rows planted beside released figures.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.linear_model import Lasso, SGDRegressor

from ccprune import lasso
from replication.causal import fit_logs, released, runs
from replication.causal.fit_logs.runs import pass_losses, sgd_losses
from replication.causal.setting import Setting
from replication.data import load_images
from replication.ledger import Units


@pytest.fixture(scope="module")
def records():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(39, 30, generator=generator, dtype=torch.float64).square() / 10
    return x, 1 + 0.3 * torch.randn(39, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_the_logged_fit_is_the_truncated_gradient(records, alpha):
    options = {"eta0": 0.2, "power_t": 0.1, "batch_size": 16, "max_iter": 30, "stop": "lowest", "patience": 30}
    losses, gamma = pass_losses(*records, alpha)
    found = lasso.truncated_gradient(*records, alpha / 2, **options)
    torch.testing.assert_close(gamma, found.coef)
    assert len(losses) == 30 and losses[-1] < losses[0]


def test_a_fit_without_coefficients_logs_the_mean_squared_target_of_the_batches(records):
    x, y = records
    losses, gamma = pass_losses(x, y, 1e9)
    assert not gamma.any()
    np.testing.assert_allclose(losses, np.mean([float(part.square().mean()) for part in y.split(16)]))


def test_the_log_of_plain_sgd_is_torchs(records):
    x, y = records
    layer = torch.nn.Linear(30, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    optimizer, expected = torch.optim.SGD(layer.parameters(), lr=0.5), []
    for rows in torch.randperm(39, generator=torch.Generator().manual_seed(3)).split(16):
        loss = torch.nn.functional.mse_loss(layer(x[rows])[:, 0], y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    np.testing.assert_allclose(sgd_losses(x, y, batches=3, seed=3, lr=0.5), expected)


def test_the_synthetic_lasso_has_coefficients_only_below_the_smallest_penalty():
    found = pd.DataFrame(fit_logs.friedman_runs(range(3)))
    assert (found[found.quantity == "gammas_not_zero"].value == 0).all()
    for seed, penalty in enumerate(found[found.quantity == "smallest_penalty_without_gammas"].value):
        x, y = fit_logs.friedman_records(seed)
        fits = [Lasso(alpha=penalty * f, fit_intercept=False, tol=1e-14).fit(x, y) for f in (0.99, 1.01)]
        counts = [np.count_nonzero(fit.coef_) for fit in fits]
        assert x.shape == (99, 10) and counts == [1, 0]


def test_standardised_features_below_the_penalty_move_no_coefficient_of_scikit_learn():
    """What the count of the logged fit by scikit-learn rests on, and 200 times the bound as the null case."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 400))
    x = (x - x.mean(0)) / (x.std(0) * np.sqrt(400))
    y = generator.standard_normal(50)
    bound = np.sqrt(50 * np.mean(y**2)) * np.sqrt(49 / 400)
    fits = [SGDRegressor(penalty="l1", alpha=1e-3, fit_intercept=False, random_state=0) for _ in range(2)]
    counts = [
        np.count_nonzero(fit.fit(x, y * f * 1e-3 / bound).coef_) for fit, f in zip(fits, (0.99, 200), strict=True)
    ]
    assert counts[0] == 0 < counts[1]


@pytest.fixture(scope="module")
def images():
    return load_images("mnist5k").take(train=512, test=100, seed=0)


def test_a_log_has_every_figure_and_resumes(images, tmp_path):
    options = {"epochs": 1, "starts": ["constant_rate"], "seeds": [0], "units": Units(tmp_path), "key": {}}
    found = fit_logs.log_runs(images, **options)
    table = pd.DataFrame(found)
    counts = Counter(zip(table.group, table.quantity, strict=True))
    assert counts["fit_log_mlpnet", "fit_mean_squared_error"] == 30
    assert table[table.quantity.str.startswith("weights_left")].value.sum() == 3236
    assert len(table) == 30 + 3 + 5 + 1  # ten records of five epochs make one batch
    assert table[table.quantity == "delta_loss_mean"].value.item() < 0
    assert fit_logs.log_runs(images, **options) == found and len(list(tmp_path.glob("*.json"))) == 1
    with pytest.raises(ValueError, match="starts must be among"):
        fit_logs.log_runs(images, **options | {"starts": ["cosine"]})


def test_a_network_without_gradients_is_counted_and_not_fitted(images, monkeypatch):
    monkeypatch.setattr(Setting, "train", lambda self, model, *_, **__: [w.data.zero_() for w in model.parameters()])
    monkeypatch.setattr("replication.causal.fit_logs.runs.record", _nothing)
    options = {"epochs": 1, "starts": ["one_cycle"], "seeds": [0], "units": Units(None), "key": {}}
    (row,) = fit_logs.log_runs(images, **options)
    assert (row["quantity"], row["value"]) == ("without_gradient", 1.0)


def _nothing(model, *_, **__):
    assert not any(bool(weight.any()) for weight in model.parameters())
    return type("Records", (), {"X": torch.zeros(10, 3), "y": torch.zeros(10)})


def test_a_cut_network_has_an_accuracy_for_each_fit_and_total(images):
    options = {"epochs": 1, "names": ["screen", "ridge"], "totals": [0.3, 0.999], "seeds": [0], "key": {}}
    network, setting = runs.network("mlp", images), Setting(batch_size=64, lr=0.05)
    table = pd.DataFrame(fit_logs.cut_runs(network, images, setting, units=Units(None), **options))
    values = table.pivot(index="total", columns="method", values="value")
    assert values.shape == (2, 2) and (values.loc[0.3] > values.loc[0.999]).all()


@pytest.fixture(scope="module")
def figures():
    return released.load()


def _planted(figures, factor):
    """Runs that scatter by 1% around the released figures, times a factor for each start and fit."""
    generator, found = np.random.default_rng(0), []
    for figure in figures.figures:
        at = figure.details.get("fit_pass", figure.details.get("fit_batch"))
        where = {"group": figure.group, "quantity": figure.quantity, "at": at}
        if figure.group in ("fit_log_mlpnet", "fit_log_mlpnet_plain_sgd"):
            options = [{"start": start} for start in fit_logs.STARTS]
        elif figure.group == "lenet_cifar10_not_retrained":
            options = [{"method": name, "total": figure.sparsity} for name in ("2025-06", "ridge")]
        elif figure.group == "synthetic_friedman":
            options = [{}]
        else:
            continue
        for one in options:
            scale = factor.get(one.get("start", one.get("method")), 1.0)
            for seed in range(20):
                value = scale * figure.value * float(np.exp(0.01 * generator.standard_normal()))
                found.append(
                    {"start": None, "method": None, "total": None, "seed": seed, **where, **one, "value": value}
                )
    return pd.DataFrame(found)


def _verdicts(figures, raw, profile="paper", digits="mnist", dataset="cifar10"):
    cells = fit_logs.released_cells(raw, figures, profile=profile, digits=digits, dataset=dataset)
    return [cell for cell in cells if cell.kind == "figure" and cell.quantity not in ("gammas", "records")]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        ({}, "within_noise"),
        ({"one_cycle": 2, "ridge": 2}, "underspecified"),
        ({"one_cycle": 2, "constant_rate": 3, "ridge": 2, "2025-06": 3}, "underspecified"),  # a third start or fit
    ],
)
def test_verdicts_follow_from_the_ranges_of_every_start_and_fit(figures, factor, verdict):
    cells = {(cell.table, cell.quantity): cell for cell in _verdicts(figures, _planted(figures, factor))}
    tables = Counter(table for table, _ in cells)
    assert tables["released_fit_log_mlpnet_plain_sgd-mlpnet"] == 6
    assert cells["released_synthetic_friedman-linear_10", "gammas_not_zero"].verdict == "identical"
    for name in ("fit_mean_squared_error, pass 30", "weights_left_fc3", "squared_step_std"):
        assert cells["released_fit_log_mlpnet-mlpnet", name].verdict == verdict
    cut = cells["released_lenet_cifar10_not_retrained-lenet", "accuracy, 1 iteration"]
    assert cut.verdict == verdict and cut.n == 20 and cut.ours is None


def test_the_range_of_an_accuracy_is_that_of_the_trained_networks(figures):
    """Every share and fit prunes the same three networks: their values are no further networks."""
    raw = _planted(figures, {})
    raw = raw[(raw.group == "lenet_cifar10_not_retrained") & (raw.seed < 3)]
    cell = next(one for one in _verdicts(figures, raw) if one.sparsity == 0.3)
    values = np.log(raw[(raw.total == 0.3) & (raw.method == "ridge")].value)
    half = stats.t.ppf(0.975, 2) * values.std() * (1 + 1 / 3) ** 0.5
    assert f"ridge: {np.exp(values).mean():.6g}, range {np.exp(values.mean() - half):.6g} to" in cell.note


def test_shorter_runs_and_other_images_answer_nothing(figures):
    raw = _planted(figures, {})
    assert _verdicts(figures, raw, profile="default") == []
    other = {cell.table for cell in _verdicts(figures, raw, digits="mnist5k", dataset="mnist5k")}
    assert other == {"released_synthetic_friedman-linear_10"}
