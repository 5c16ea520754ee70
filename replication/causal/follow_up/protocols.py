"""The protocols of paper B's follow-up as values, the ways to choose weights under them, and what a run returns."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from ccprune.mask import Mask
from replication.causal.follow_up.fits import FITS
from replication.causal.released.counts import zeros

#: Ways to choose weights: the causal fits; the mean squared gradient of the same records, without their losses
#: ("fisher"); magnitude; random; and "dense", which prunes nothing in the same epochs.
METHODS = (*FITS, "fisher", "magnitude", "random", "dense")
RECORDED = (*FITS, "fisher")
SCHEDULES = ("cubic", "geometric")


@dataclass(frozen=True)
class Protocol:
    """Lengths and choices of one run; the default lengths are those of the scripts for ResNet-20 on CIFAR-10.

    Attributes
    ----------
    fit : str
        The causal fit, one of `fits.FITS`.
    schedule : str
        Amounts of the cuts, "cubic" or "geometric".
    pre, between, final : int, default 10, 10, 300
        Epochs of training before the first cut, before every other cut, and after the last one.
    iterations : int, default 10
        Number of cuts.
    recorded : int, default 1
        Recorded epochs before each cut.
    record_lr : float, default 1e-3
        Learning rate of the recorded steps.
    lr_min : float or None, default 1e-3
        Learning rate at the end of the cosine of each stage of training. None: the setting's rate throughout.
    """

    fit: str
    schedule: str
    pre: int = 10
    iterations: int = 10
    between: int = 10
    recorded: int = 1
    final: int = 300
    record_lr: float = 1e-3
    lr_min: float | None = 1e-3

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {tuple(FITS)}, got {self.fit!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {SCHEDULES}, got {self.schedule!r}")
        for name, least in {"pre": 0, "iterations": 1, "between": 0, "recorded": 1, "final": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def stages(self) -> tuple[int, ...]:
        """Epochs of training before each cut, and after the last."""
        return (self.pre, *[self.between] * (self.iterations - 1), self.final)

    @property
    def epochs(self) -> int:
        """Epochs of training, which are the same for every method; recorded epochs come on top."""
        return sum(self.stages)

    @property
    def lengths(self) -> dict[str, int | float | str]:
        """Part of a unit's key: the epochs of training, and the rate at the end of each stage."""
        epochs = {name: getattr(self, name) for name in ("pre", "iterations", "between", "final")}
        return epochs | {"lr_min": "constant" if self.lr_min is None else self.lr_min}

    def recording(self, method: str) -> dict[str, int | float]:
        """Return the part of a unit's key that states how a method records its steps.

        Parameters
        ----------
        method : str
            One of `METHODS`.

        Returns
        -------
        dict
            Empty for methods that record none.
        """
        return {"recorded": self.recorded, "record_lr": self.record_lr} if method in RECORDED else {}

    def counts(self, weights: int, total: float) -> list[int]:
        """Return the number of pruned weights after each cut, each rounded as torch's pruning does.

        Parameters
        ----------
        weights : int
            Number of prunable weights.
        total : float
            Pruned fraction after the last cut.

        Returns
        -------
        list of int
            One per cut.
        """
        cuts = range(1, self.iterations + 1)
        return [zeros(weights, total, cuts=j, iterations=self.iterations, schedule=self.schedule) for j in cuts]


#: The protocols by name. "2025-figures-l1" is "2025-06": the schedule of the released figures is that of June, and
#: which fit made them is not recorded, so that the second candidate is "2025-figures-ridge". "2025-10" is the last
#: state of the authors' code, whose geometric schedule no released causal figure has.
PROTOCOLS = {
    "2025-06": Protocol("2025-06", "cubic"),
    "2025-figures-l1": Protocol("2025-06", "cubic"),
    "2025-figures-ridge": Protocol("ridge", "cubic"),
    "2025-10": Protocol("ridge", "geometric"),
}


@dataclass(frozen=True)
class Cut:
    """One cut of a run.

    Attributes
    ----------
    pruned : int
        Weights that are pruned after it.
    records : int, default 0
        Recorded steps, 0 for methods that record nothing.
    outcome : str, optional
        As in `fits.Fit`; None for methods without a fit.
    passes : int, optional
        As in `fits.Fit`; None for methods without a fit.
    explained : float, optional
        As in `fits.Fit`; None for methods without a fit.
    zeros : int, optional
        As in `fits.Fit`; None for methods without a fit.
    """

    pruned: int
    records: int = 0
    outcome: str | None = None
    passes: int | None = None
    explained: float | None = None
    zeros: int | None = None

    @property
    def fitted(self) -> bool:
        """False if a fit had no coefficients, so that nothing was pruned and the run ended."""
        return self.outcome is None or self.zeros is not None


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a protocol.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    model : Module
        The network after the last epoch.
    mask : Mask
        The last mask.
    cuts : tuple of Cut
        One per iteration, fewer if a fit had no coefficients; none for "dense".
    before_final : float
        Test accuracy after the last cut, before the final training.
    test, valid : tuple of float
        Accuracy on test and held-out images after each epoch of the final training. Empty if the run ended early, and
        `valid` also without held-out images.
    epochs, recorded : int
        Epochs of training and recorded epochs.
    best : dict of str to Tensor, or None
        State of the network after the first epoch with the highest test accuracy. None if the run ended early.
    """

    method: str
    model: nn.Module
    mask: Mask
    cuts: tuple[Cut, ...]
    before_final: float
    test: tuple[float, ...]
    valid: tuple[float, ...]
    epochs: int
    recorded: int
    best: dict[str, Any] | None

    @property
    def outcome(self) -> str | None:
        """The worst outcome of its fits; None without fits."""
        found = {cut.outcome for cut in self.cuts}
        return next((name for name in ("diverged", "stopped", "converged") if name in found), None)

    def row(self) -> dict[str, object]:
        """One row of results.

        `best_on_test` is the highest test accuracy of any epoch, as the authors' figures are. It is biased upwards.
        `chosen_on_validation` is the test accuracy of the first epoch with the highest held-out accuracy, and
        `last_epoch` that of the last epoch. They are None if the run ended early, because a fit had no coefficients;
        the second is None also without held-out images.
        """
        ended = not self.test
        return {
            "method": self.method,
            "weights": self.mask.total,
            "pruned": self.mask.total - self.mask.kept,
            "sparsity": self.mask.sparsity,
            "least_density": self.mask.least_density,
            "before_final": self.before_final,
            "best_on_test": None if ended else max(self.test),
            "chosen_on_validation": self.test[self.valid.index(max(self.valid))] if self.valid else None,
            "last_epoch": None if ended else self.test[-1],
            "outcome": self.outcome,
            "epochs": self.epochs,
            "recorded": self.recorded,
        }
