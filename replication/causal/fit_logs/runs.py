"""Runs whose numbers the authors released as logs: fits on an MLP's records, and Friedman's problem.

Every row has the group and the quantity of the released figure that it stands beside.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Lasso
from torch import Tensor, nn
from torch.nn.functional import softshrink
from torch.optim.lr_scheduler import OneCycleLR

from ccprune.mask import Mask
from replication.causal.follow_up.records import record
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units
from replication.networks import models

#: Learning rates of the training before the records, the two that the scripts' flag of the scheduler gives with the
#: other flags as they are: one cycle from 0.001 to 0.1 and down, or 0.001 throughout. Which one was used is not known.
STARTS = ("one_cycle", "constant_rate")
_LAYERS = ("fc1", "fc2", "fc3")
_RECORDED = 5  # epochs; the log of the fit has the records of one epoch
_PRUNED = 0.9
_PASSES, _BATCH = 30, 16  # of the fits; the batch in records
_SGD_BATCHES = 6  # as many as are released

Quantities = Iterator[tuple[str, str, int | None, float]]


def log_runs(
    images: Images, *, epochs: int, starts: Sequence[str], seeds: Sequence[int], units: Units, key: Mapping[str, Scalar]
) -> Rows:
    """Train the logs' MLP, record plain SGD, and repeat both logged fits and the logged statistics.

    The MLP has layers of 784, 40, 20 and 10 units without biases. The records are those of five epochs of SGD with
    learning rate 0.001; the fit of June 2025 has the records of the first epoch. One unit is one (start, seed).

    Parameters
    ----------
    images : Images
        Of 28 x 28 pixels.
    epochs : int
        Epochs of training before the records.
    starts : sequence of str
        Some of `STARTS`.
    seeds : sequence of int
        One network each.
    units : Units
        Store of the units.
    key : mapping
        As in `runs.curves`.

    Returns
    -------
    list of dict
        start, seed, group, quantity, at (pass or batch, from 1; else None) and value. A network that training left
        without gradients has no loss changes to fit: its only row has the quantity "without_gradient", value 1.

    Raises
    ------
    ValueError
        For an unknown start, or a training loss that is not finite.
    """
    if unknown := [start for start in starts if start not in STARTS]:
        raise ValueError(f"starts must be among {STARTS}, got {unknown}")
    found: Rows = []
    for start in starts:
        for seed in seeds:
            one = {**key, "study": "fit_logs", "start": start, "epochs": epochs, "seed": seed}
            found += units.get(one, partial(_logs, images, epochs, start, seed))
    return found


def friedman_runs(seeds: Sequence[int]) -> Rows:
    """Repeat the synthetic experiment: scikit-learn's Lasso with penalty 1 of the records of `friedman_records`.

    Parameters
    ----------
    seeds : sequence of int
        One repetition each.

    Returns
    -------
    list of dict
        seed, group, quantity, at (None) and value: the number of coefficients that are not zero; and the smallest
        penalty at which all are zero, max_k |x_k . y| / T.
    """
    return [row for seed in seeds for row in _rows(_friedman(seed), seed=seed)]


def friedman_records(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return squared weight changes and loss changes of a linear model of Friedman's first problem.

    There are 1,000 samples of 10 features, of which the outcome depends on the first five, with noise 0.1. Training is
    100 epochs of SGD with learning rate 0.1 and batches of 100. Changes are from epoch to epoch, those of the loss on
    all samples.

    Parameters
    ----------
    seed : int
        Seed of the samples, of the initial weights and of the order.

    Returns
    -------
    squares : array (99, 10)
        Squared weight changes.
    losses : array (99,)
        Loss changes.
    """
    features, outcome = make_friedman1(n_samples=1000, n_features=10, noise=0.1, random_state=seed)
    generator = np.random.default_rng(seed)
    weights, bias = np.split(generator.uniform(-1, 1, 11) / np.sqrt(10), [10])
    path, losses = [], []
    for _ in range(100):
        for rows in np.split(generator.permutation(1000), 10):
            residual = features[rows] @ weights + bias - outcome[rows]
            weights = weights - 0.1 * 2 / len(rows) * (residual @ features[rows])
            bias = bias - 0.1 * 2 * residual.mean()
        path.append(weights)
        losses.append(np.mean((features @ weights + bias - outcome) ** 2))
    return np.diff(path, axis=0) ** 2, np.diff(losses)


def pass_losses(x: Tensor, y: Tensor, alpha: float) -> tuple[list[float], Tensor]:
    """Fit by the truncated gradient of June 2025, and return each pass's mean squared error and the coefficients.

    The log has the mean over batches of the error before each step. `lasso.truncated_gradient` with a step of 0.2 and
    half the penalty takes the same steps.

    Parameters
    ----------
    x, y : Tensor (T, P), (T,)
        Squared gradients and targets, float64. Batches are in the recorded order.
    alpha : float
        Penalty.
    """
    sums, taken, step, losses = torch.zeros_like(x[0]), 0.0, 0, []
    for _ in range(_PASSES):
        errors = []
        for part, target in zip(x.split(_BATCH), y.split(_BATCH), strict=True):
            residual = target - part @ softshrink(sums, alpha * taken)
            errors.append(float(residual.square().mean()))
            step += 1
            rate = 0.1 / step**0.1
            sums += rate * 2 / len(part) * (residual @ part)
            taken += rate
        losses.append(float(np.mean(errors)))
    return losses, softshrink(sums, alpha * taken)


def sgd_losses(x: Tensor, y: Tensor, *, batches: int, seed: int, lr: float = 1e-3) -> list[float]:
    """Return the mean squared error of each batch before its step of plain SGD from zero, in a random order."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    gamma, losses = torch.zeros_like(x[0]), []
    for rows in order.split(_BATCH)[:batches]:
        residual = y[rows] - x[rows] @ gamma
        losses.append(float(residual.square().mean()))
        gamma += lr * 2 / len(rows) * (residual @ x[rows])
    return losses


def _logs(images: Images, epochs: int, start: str, seed: int) -> Rows:
    model, setting = _mlp(seed).to(images.x_train.device), Setting(batch_size=256, lr=1e-3)
    optimizer, steps = setting.sgd(model), epochs * -(-len(images.x_train) // setting.batch_size)
    cycle = {"max_lr": 0.1, "div_factor": 100.0, "pct_start": 0.1, "final_div_factor": 1e4}
    scheduler = OneCycleLR(optimizer, total_steps=steps, **cycle) if start == "one_cycle" else None
    setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed, scheduler=scheduler)
    mask = Mask.ones_like(model)
    records = record(model, images, setting, epochs=_RECORDED, lr=setting.lr, seed=seed, mask=mask)
    squares, y = records.X.cpu().double(), records.y.cpu()
    if float(y[: len(y) // _RECORDED].mean()) == 0:
        return _rows([("fit_log_mlpnet", "without_gradient", None, 1.0)], start=start, seed=seed)
    return _rows(_fit_quantities(squares, y, setting.lr, seed), start=start, seed=seed)


def _fit_quantities(squares: Tensor, y: Tensor, lr: float, seed: int) -> Quantities:
    first = len(y) // _RECORDED
    target = y[:first] / y[:first].mean()
    losses, gamma = pass_losses(squares[:first] / lr**2, target, 1e-3 / squares.shape[1])
    for number, loss in enumerate(losses, 1):
        yield "fit_log_mlpnet", "fit_mean_squared_error", number, loss
    kept = torch.zeros(len(gamma), dtype=torch.bool)
    kept[gamma.abs().topk(len(gamma) - round(_PRUNED * len(gamma))).indices] = True
    sizes = [weight.numel() for weight in _mlp(0).parameters()]
    for name, part in zip(_LAYERS, kept.split(sizes), strict=True):
        yield "fit_log_mlpnet", f"weights_left_{name}", None, float(part.sum())
    # The authors' mean and deviation over all entries count those that are not zero.
    count = squares.count_nonzero()
    mean = squares.sum() / count
    deviation = (squares.square().sum() / count - mean**2).sqrt()
    scaled = (squares - mean) / deviation
    statistics = {
        "delta_loss_mean": y.mean(),
        "delta_loss_std": y.std(correction=0),
        "squared_step_mean": mean,
        "squared_step_std": deviation,
        "largest_mean_feature_scaled": scaled.mean(0).max(),
    }
    for name, value in statistics.items():
        yield "fit_log_mlpnet", name, None, float(value)
    for number, loss in enumerate(sgd_losses(scaled, y / y.mean(), batches=_SGD_BATCHES, seed=seed), 1):
        yield "fit_log_mlpnet_plain_sgd", "fit_mean_squared_error", number, loss


def _friedman(seed: int) -> Quantities:
    x, y = friedman_records(seed)
    gamma = Lasso(alpha=1.0, fit_intercept=False).fit(x, y).coef_
    yield "synthetic_friedman", "gammas_not_zero", None, float(np.count_nonzero(gamma))
    yield "synthetic_friedman", "smallest_penalty_without_gammas", None, float(np.abs(x.T @ y).max() / len(y))


def _mlp(seed: int) -> nn.Module:
    model = models.mlp((784, 40, 20, 10), seed=seed)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.register_parameter("bias", None)
    return model


def _rows(found: Quantities | Sequence[tuple[str, str, int | None, float]], **where: Scalar) -> Rows:
    return [where | dict(zip(("group", "quantity", "at", "value"), one, strict=True)) for one in found]
