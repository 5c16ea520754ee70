"""Exponents and misclassification risk of the MNIST network's 41,000 weights, window by window, and the masks."""

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ccprune.lyapunov import exponents_of
from replication.legcnet import procedure as legcnet
from replication.legcnet.mnist.rows import BATCH_SIZE, Digits, order
from replication.legcnet.mnist.training import RATE, predictions, squared_error
from replication.legcnet.procedure import ExponentsAndRisk
from replication.legcnet.settings import WindowSettings
from replication.networks.stacked import ModelBatch, concatenate

# The paper prunes the last two layers of this network, 1,800 of its weights; its masks are indices into these.
LAST_TWO = ("fc2.weight", "fc4.weight")
ALL = ("fc1.weight", *LAST_TWO)
# Window and stride are the paper's; 5 epochs of 42,000 x 70% rows give its 25 windows. Lags and the number of steps
# that neighbours are followed are not stated for MNIST: these are the usual ones of the scripts for other data.
FT = WindowSettings(epochs=50, window=50, steps=3, max_lag=20)
PT = WindowSettings(epochs=5, window=50, steps=3, max_lag=5)


def exponents_and_risk(
    network: ModelBatch,
    digits: Digits,
    recording: WindowSettings,
    *,
    seed: int,
    names: Sequence[str] = LAST_TWO,
    batch_size: int = BATCH_SIZE,
) -> ExponentsAndRisk:
    """Train a dense network and return its weights' exponents and its risk: `dense_run` with one recording.

    Parameters
    ----------
    network : ModelBatch
        A stack of one network, which is not changed.
    digits : Digits
        Training and test rows.
    recording : WindowSettings
        Epochs and windows of the recording.
    seed : int
        Seed of the order of the mini-batches.
    names : sequence of str, default `LAST_TWO`
        Tensors whose M weights are recorded.
    batch_size : int, default 128
        Number of rows of a mini-batch.

    Returns
    -------
    ExponentsAndRisk
        Exponents (1, K, M) and test risk (1, K).

    Raises
    ------
    ValueError
        As `dense_run`.
    """
    found, _ = dense_run(network, digits, {"": (recording, names)}, seed=seed, batch_size=batch_size)
    return found[""]


def dense_run(
    network: ModelBatch,
    digits: Digits,
    recordings: Mapping[str, tuple[WindowSettings, Sequence[str]]],
    *,
    seed: int,
    batch_size: int = BATCH_SIZE,
    epochs: int = 1,
) -> tuple[dict[str, ExponentsAndRisk], ModelBatch]:
    """Train a dense network for several recordings of named weights, and for its state after each epoch.

    Weights are recorded before each update. Of each recording only one window is held, 4 M window bytes, however long
    training is. Training lasts for the epochs of the longest recording, and at least for `epochs`.

    Parameters
    ----------
    network : ModelBatch
        A stack of one network, which is not changed.
    digits : Digits
        Training and test rows.
    recordings : mapping of str to (WindowSettings, sequence of str)
        By key, the epochs and windows of a recording and the names of its tensors.
    seed : int
        Seed of the order of the mini-batches.
    batch_size : int, default 128
        Number of rows of a mini-batch.
    epochs : int, default 1
        Smallest number of epochs.

    Returns
    -------
    found : dict of ExponentsAndRisk
        By key, exponents (1, K, M) and test risk (1, K) at the ends of K windows, for the M weights of the names, in
        order.
    after_epochs : ModelBatch
        The network after each epoch.

    Raises
    ------
    ValueError
        If there is more than one network, a name is unknown, or not one window fits.
    """
    if len(network) != 1:
        raise ValueError(f"network must be a stack of one, got {len(network)}")
    unknown = {name for _, names in recordings.values() for name in names if name not in network.prunable}
    if unknown:
        raise ValueError(f"names must be among {network.prunable}, got {sorted(unknown)}")
    moving, device = network.select([0]), digits.x_train.device
    held: dict[str, deque[Tensor]] = {key: deque(maxlen=each.window) for key, (each, _) in recordings.items()}
    found: dict[str, list[tuple[Tensor, Tensor]]] = {key: [] for key in recordings}
    drawn = order(len(digits.y_train), batch_size=batch_size, seed=seed)
    step, ends = 0, []
    for epoch in range(max([epochs, *(each.epochs for each, _ in recordings.values())])):
        for rows in next(drawn):
            for key, (recording, names) in recordings.items():
                if epoch >= recording.epochs:
                    continue
                held[key].append(torch.cat([moving.parameters[name].flatten() for name in names]))
                ended = step + 1 - recording.window
                if ended >= 0 and ended % recording.stride == 0:
                    series = torch.stack(tuple(held[key]), 1).to(torch.float64)
                    risk = 1 - (predictions(moving, digits.x_test) == digits.y_test).double().mean()
                    found[key].append((exponents_of(series, **recording.exponent_options), risk))
            rows = rows.to(device)
            moving.sgd_(digits.x_train[rows], digits.y_train[rows], loss=squared_error, lr=RATE)
            step += 1
        ends.append(moving.select([0]))
    for key, (recording, _) in recordings.items():
        if not found[key]:
            raise ValueError(f"recording must hold a window of {recording.window}, {step} updates were made")
    kept = {
        key: ExponentsAndRisk(*(torch.stack(part)[None] for part in zip(*pairs, strict=True)))
        for key, pairs in found.items()
    }
    return kept, concatenate(ends)


def keep_mask(
    found: ExponentsAndRisk, network: ModelBatch, recording: WindowSettings, *, names: Sequence[str] = LAST_TWO
) -> Tensor:
    """Return LEGCNet's mask over all prunable weights.

    Where the risk never changes, or there are too few windows for the lags, nothing is removed.

    Parameters
    ----------
    found : ExponentsAndRisk
        Exponents and risk of one network, for the weights of `names`.
    network : ModelBatch
        The network, for the order and the sizes of its tensors.
    recording : WindowSettings
        Gives the largest lag.
    names : sequence of str, default `LAST_TWO`
        Tensors that were recorded.

    Returns
    -------
    Tensor (1, M), bool
        True = keep. The weights of `names` without a causal effect are False.
    """
    results = legcnet.granger_tests(found, max_lag=recording.max_lag)
    return whole_masks(legcnet.keep_masks(results, found.exponents.shape[2]), network, names=names)


def whole_masks(keep: Tensor, network: ModelBatch, *, names: Sequence[str] = LAST_TWO) -> Tensor:
    """Extend masks over the weights of some tensors to all prunable weights; the other weights are kept.

    Parameters
    ----------
    keep : Tensor (B, S), bool
        Masks over the S weights of `names`, True = keep.
    network : ModelBatch
        The network, for the order and the sizes of its tensors.
    names : sequence of str, default `LAST_TWO`
        Tensors of the masks, in their order.

    Returns
    -------
    Tensor (B, M), bool
    """
    sizes = {name: network.parameters[name][0].numel() for name in network.prunable}
    parts = dict(zip(names, keep.split([sizes[name] for name in names], dim=1), strict=True))
    whole = [parts.get(name, torch.ones(len(keep), size, dtype=torch.bool)) for name, size in sizes.items()]
    return torch.cat(whole, 1)
