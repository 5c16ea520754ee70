"""Records of plain SGD for the causal fits, and scores of the weights from them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from ccprune.mask import Mask
from ccprune.recording import InMemory, Recorder, RowLayout
from replication.causal.follow_up.fits import Fit, fit
from replication.causal.methods import Scores
from replication.causal.setting import Setting
from replication.data.images import Images

# Fits whose loss changes are those between consecutive mini-batches.
_CONSECUTIVE = ("2024", "2024-printed")
_ORDER = 104_729  # keeps the mini-batches of recorded epochs apart from those of trained ones


@dataclass(frozen=True, eq=False)
class Records:
    """Records of some steps of plain SGD.

    Attributes
    ----------
    X : Tensor (T, P)
        Squared changes of all prunable weights, in the weights' precision. A change below the rounding of its weight
        is 0, in the authors' records too.
    y : Tensor (T,)
        Change of the loss of the same mini-batch, before and after the step, float64.
    y_consecutive : Tensor (T - 1,)
        Change of the loss from one mini-batch, before its step, to the next, before its own.
    layout : RowLayout
        Columns of each weight tensor.
    lr : float
        Learning rate of the steps.
    """

    X: Tensor
    y: Tensor
    y_consecutive: Tensor
    layout: RowLayout
    lr: float

    @property
    def mean_squared_gradient(self) -> Tensor:
        """Mean over the records of the squared mini-batch gradient (P,), float64: squared change over lr^2."""
        return self.X.sum(0, dtype=torch.float64) / (len(self.X) * self.lr**2)

    def used_by(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the features and loss changes that a fit uses: of consecutive mini-batches for the fits of 2024."""
        return (self.X[:-1], self.y_consecutive) if name in _CONSECUTIVE else (self.X, self.y)

    def fit(self, name: str, *, y: Tensor | None = None, seed: int = 0) -> Fit:
        """Return `fits.fit` of these records, with other loss changes if `y` is given."""
        features, changes = self.used_by(name)
        options = {"lr": self.lr, "columns": self.layout.columns, "seed": seed}
        return fit(name, features, changes if y is None else y, **options)

    def as_scores(self, values: Tensor) -> Scores:
        """Return absolute values (P,) in the shapes of the weights."""
        return self.layout.tensors(values.abs())


def record(
    model: nn.Module, images: Images, setting: Setting, *, epochs: int, lr: float, seed: int, mask: Mask, first: int = 0
) -> Records:
    """Train the model in place by plain SGD and record every step.

    The steps have no momentum and no weight decay. Batch size, label smoothing and augmentation are the setting's. The
    second loss of a step is computed in train mode with the same random numbers. In the authors' code dropout draws
    another mask for it, and batch norm updates its statistics, which are put back afterwards.

    Parameters
    ----------
    model : Module
        On the device of the images.
    images, setting
        Training images and how they are batched.
    epochs : int
        Recorded epochs.
    lr : float
        Learning rate.
    seed, first : int
        Mini-batches are those of (seed, first + epoch), and never those of trained epochs.
    mask : Mask
        Weights that it prunes stay zero, so that their records are zero.

    Returns
    -------
    Records

    Raises
    ------
    ValueError
        If a loss is not finite.
    """
    optimizer = SGD(model.parameters(), lr=lr)
    options = {"epochs": epochs, "optimizer": optimizer, "first": first, "mask": mask}
    with _Pairings(model, optimizer) as pairings:
        setting.train(model, images, seed=seed + _ORDER, recorder=pairings, **options)
    features, changes = pairings.rows.records()
    return Records(features, changes, pairings.consecutive.changes, pairings.rows.layout, lr)


class _Losses:
    """Store of loss changes only."""

    def __init__(self) -> None:
        self._changes: list[Tensor] = []

    def update(self, delta_loss: Tensor, _: object) -> None:
        self._changes.append(delta_loss.to(torch.float64, copy=True))

    @property
    def changes(self) -> Tensor:
        return torch.stack(self._changes) if self._changes else torch.zeros(0, dtype=torch.float64)


class _Pairings:
    """Recorder of the same steps in both pairings, whose squared weight changes are the same."""

    pairing = "same_batch"

    def __init__(self, model: nn.Module, optimizer: SGD) -> None:
        self.rows, self.consecutive = InMemory(), _Losses()
        self._same = Recorder(model, optimizer, [self.rows], pairing="same_batch")
        self._next = Recorder(model, optimizer, [self.consecutive], pairing="consecutive")

    def before_step(self, loss: Tensor) -> None:
        self._same.before_step(loss)
        self._next.before_step(loss)

    def after_step(self, loss: Tensor) -> None:
        self._same.after_step(loss)

    def restart(self) -> None:
        self._same.restart()
        self._next.restart()

    def __enter__(self) -> "_Pairings":
        return self

    def __exit__(self, *error: Any) -> None:
        self._same.__exit__(*error)
        self._next.__exit__(*error)
