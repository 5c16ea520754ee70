"""Paper B's two pruning protocols, on any torch model.

`gradual` is a variant of the follow-up's (2025): train, prune along a schedule, never rewind the training. It differs
from the authors' code in two points. They record separate steps of plain SGD and put back the state before these steps,
while `gradual` records the training itself, whose steps are kept. They train between cuts, while `gradual` also trains
before the first one. `rewound` is the paper's (2024): record plain SGD from the saved weights, zero what the Lasso
leaves out, load the saved weights again under the mask.
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
    """A network before it is pruned, with its optimiser's state, so that every method starts from the same."""

    model: nn.Module
    optimizer_state: dict[str, Any]
    epochs: int


@dataclass(frozen=True)
class Point:
    """One sparsity on a path.

    Attributes: level (the sparsity asked for), mask, scores (what it was made from, none for dense), model (trained
    under the mask), loss (its last epoch's training loss), epochs (behind it, in all).
    """

    level: float
    mask: Mask
    scores: Scores
    model: nn.Module
    loss: float
    epochs: int


def start(model: nn.Module, images: Images, setting: Setting, *, epochs: int, seed: int) -> Start:
    """Trains a copy of the network for `epochs` at the constant rate."""
    model = setting.place(copy.deepcopy(model), images)
    optimizer = setting.sgd(model)
    setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed)
    return Start(model, copy.deepcopy(optimizer.state_dict()), epochs)


def gradual(
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
    """A variant of the follow-up's protocol along rising `levels`; yields a `Point` for each, or for those in `only`.

    For each level: `between` epochs at the constant rate under the mask so far, recorded on the same mini-batches; then
    the mask; then a copy is trained for `after` epochs with the rate going down to 0 (cosine), and that is the point's
    network, while the path goes on from before those epochs. `method` None prunes nothing: dense with the same steps.
    The follow-up itself takes one total per run and a cubic schedule up to it: `levels=mask.cubic(total,
    iterations=10), only=(total,)`.

    Raises ValueError when the levels do not rise within [0, 1].
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
        branch, loss = _finished(model, optimizer, images, setting, mask, epochs=after, first=epochs, seed=seed)
        yield Point(level, mask, found, branch, loss, epochs + after)


def rewound(
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
    """The paper's protocol: yields the mask after each iteration.

    Every iteration trains a copy of the saved network under the mask so far for `epochs` of plain SGD at `rate` and
    records consecutive steps; `choose(model, store, mask so far, iteration)` makes the next mask, in the paper
    `store.mask(alpha)`; and the next iteration begins at the saved weights again. Without `store` nothing is recorded.

    The authors' program copied weights from the GPU without waiting for the copy until they corrected it in June 2025.
    Whether this affected the figures of the paper is not known; it does not occur here.
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


def _finished(
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
