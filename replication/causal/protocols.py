"""Paper B's two pruning protocols, on any torch model.

`prune_gradually` is a variant of the follow-up's (2025): train, prune along a schedule, never rewind the training. It
differs from the authors' code in two points. They record separate steps of plain SGD and put back the state before
these steps, while `prune_gradually` records the training itself, whose steps are kept. They train between cuts, while
`prune_gradually` also trains before the first one. `prune_with_rewinding` is the paper's (2024): record plain SGD from
the saved weights, zero what the Lasso leaves out, load the saved weights again under the mask.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from ccprune import lasso
from ccprune.mask import Mask
from ccprune.recording import Recorder
from replication.causal.methods import Method, Scores
from replication.causal.setting import Setting
from replication.data.images import Images


@dataclass(frozen=True)
class Start:
    """A network before it is pruned, from which every method starts.

    Attributes
    ----------
    model : Module
        The trained network.
    optimizer_state : dict
        State of its optimiser.
    epochs : int
        Number of epochs of its training.
    """

    model: nn.Module
    optimizer_state: dict[str, Any]
    epochs: int


@dataclass(frozen=True)
class Point:
    """One sparsity on a path.

    Attributes
    ----------
    level : float
        The wanted sparsity.
    mask : Mask
        The mask at this sparsity.
    scores : dict of Tensor
        Scores of which the mask was made; empty for dense.
    model : Module
        The network that was trained under the mask.
    loss : float
        Training loss of its last epoch.
    epochs : int
        Number of epochs of its training in all.
    """

    level: float
    mask: Mask
    scores: Scores
    model: nn.Module
    loss: float
    epochs: int


def start(model: nn.Module, images: Images, setting: Setting, *, epochs: int, seed: int) -> Start:
    """Train a copy of a network with a constant learning rate.

    Parameters
    ----------
    model : Module
        The network, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Settings of the training.
    epochs : int
        Number of epochs.
    seed : int
        Seed of the order of the mini-batches.

    Returns
    -------
    Start
    """
    model = setting.place(copy.deepcopy(model), images)
    optimizer = setting.sgd(model)
    setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed)
    return Start(model, copy.deepcopy(optimizer.state_dict()), epochs)


def prune_gradually(
    begin: Start,
    images: Images,
    setting: Setting,
    method: Method | None,
    *,
    levels: Sequence[float],
    between: int,
    after: int,
    seed: int,
    only: Collection[float] | None = None,
) -> Iterator[Point]:
    """Prune along rising levels by a variant of the follow-up's protocol.

    For each level the network is trained for `between` epochs with a constant learning rate under the mask so far, and
    recorded on the same mini-batches. Then the next mask is made. Then a copy is trained for `after` epochs with a
    learning rate that falls to 0 (cosine). The copy is the point's network, and the path continues from before these
    epochs.

    The follow-up itself has one total per run and a cubic schedule up to it, which is `levels=mask.cubic(total,
    iterations=10), only=(total,)`.

    Parameters
    ----------
    begin : Start
        The network to start from, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Settings of the training.
    method : Method or None
        None prunes nothing: dense with the same steps.
    levels : sequence of float
        Rising sparsities in [0, 1].
    between, after : int
        Epochs before each cut, and after it.
    seed : int
        Seed of the order of the mini-batches.
    only : collection of float, optional
        Levels whose points are wanted; all by default.

    Yields
    ------
    Point
        One for each wanted level.

    Raises
    ------
    ValueError
        If the levels do not rise within [0, 1].
    """
    if not levels or sorted(levels) != list(levels) or not 0 <= levels[0] <= levels[-1] <= 1:
        raise ValueError(f"levels must rise within [0, 1], got {list(levels)}")
    model = copy.deepcopy(begin.model)
    optimizer = setting.sgd(model)
    optimizer.load_state_dict(copy.deepcopy(begin.optimizer_state))
    mask, epochs, found = Mask.ones_like(model), begin.epochs, {}
    for level in levels:
        store = method.store(model) if method else None
        training = {"epochs": between, "optimizer": optimizer, "seed": seed, "first": epochs}
        with _recording(model, optimizer, store, "same_batch") as recorder:
            setting.train(model, images, mask=mask, recorder=recorder, **training)
        epochs += between
        if method:
            found = method.score(model, store)
            mask = method.mask(found, model, previous=mask, sparsity=level)
            mask.apply_(model)
        if only is not None and level not in only:
            continue
        branch, loss = _finish(model, optimizer, images, setting, mask, epochs=after, first=epochs, seed=seed)
        yield Point(level, mask, found, branch, loss, epochs + after)


def prune_with_rewinding(
    saved: nn.Module,
    images: Images,
    setting: Setting,
    choose: Callable[[nn.Module, Any, Mask, int], Mask],
    *,
    store: Callable[[], Any] | None = lasso.Screen,
    iterations: int,
    epochs: int,
    lr: float = 1e-3,
    seed: int,
) -> Iterator[Mask]:
    """Yield the mask after each iteration of the paper's protocol.

    In every iteration a copy of the saved network is trained under the mask so far by plain SGD, and consecutive steps
    are recorded. Then `choose` makes the next mask, and the next iteration begins at the saved weights again.

    The authors' program copied weights from the GPU without waiting for the copy until they corrected it in June 2025.
    Whether this affected the figures of the paper is not known; it does not occur here.

    Parameters
    ----------
    saved : Module
        The network to which every iteration returns, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Settings of the training, except for the optimiser.
    choose : callable
        Maps the trained copy, its store, the mask so far and the number of the iteration to the next mask; in the paper
        it is `store.mask(alpha)`.
    store : callable or None, default `lasso.Screen`
        Makes an empty store for an iteration; with None nothing is recorded.
    iterations : int
        Number of iterations.
    epochs : int
        Number of epochs of an iteration.
    lr : float, default 1e-3
        Learning rate of plain SGD.
    seed : int
        Seed of the order of the mini-batches.

    Yields
    ------
    Mask

    References
    ----------
    Shah et al., arXiv:2412.03035.
    """
    mask = Mask.ones_like(saved)
    for iteration in range(iterations):
        model = mask.apply_(copy.deepcopy(saved))
        optimizer = SGD(model.parameters(), lr=lr)
        filled = store() if store else None
        training = {"epochs": epochs, "optimizer": optimizer, "seed": seed, "first": iteration * epochs}
        with _recording(model, optimizer, filled, "consecutive") as recorder:
            setting.train(model, images, mask=mask, recorder=recorder, **training)
        mask = choose(model, filled, mask, iteration)
        yield mask


def _finish(
    model: nn.Module,
    optimizer: SGD,
    images: Images,
    setting: Setting,
    mask: Mask,
    *,
    epochs: int,
    first: int,
    seed: int,
) -> tuple[nn.Module, float]:
    """A copy trained on with the rate going down to 0, step by step, and its last training loss."""
    branch = copy.deepcopy(model)
    own = setting.sgd(branch)
    own.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    schedule = CosineAnnealingLR(own, epochs * -(-len(images.x_train) // setting.batch_size))
    training = {"epochs": epochs, "optimizer": own, "scheduler": schedule, "seed": seed, "first": first}
    return branch, setting.train(branch, images, mask=mask, **training).loss[-1]


def _recording(
    model: nn.Module, optimizer: Optimizer, store: Any, pairing: str
) -> AbstractContextManager[Recorder | None]:
    """A recorder, or where there is nothing to record a context that gives None."""
    return nullcontext() if store is None else Recorder(model, optimizer, [store], pairing=pairing)
