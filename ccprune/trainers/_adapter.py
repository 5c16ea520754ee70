"""What the callbacks for trainers share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.inputs import Inputs
from ccprune.measure import SparsityReport
from ccprune.trainers._pruner import GradualPruner


def missing(package: str, error: ModuleNotFoundError) -> Exception:
    """Return the error for a package that is not installed, or the error itself if another module is missing."""
    if (error.name or "").partition(".")[0] != package:
        return error
    remedy = "pip install '.[trainers]' in a clone of the project"
    return ImportError(f"ccprune.trainers.{package} needs {package}: {remedy}")


class Adapter:
    """Base class of callbacks, which makes a pruner when the training begins, and reports when it ends.

    Attributes
    ----------
    pruner : GradualPruner
        From the beginning of the training on.
    report : SparsityReport
        From the end of the training on.
    """

    def __init__(
        self, *, averaged: Iterable[nn.Module] = (), example_input: Inputs | None = None, **settings: Any
    ) -> None:
        """Take settings of `GradualPruner`, except `model`, `optimizers` and `may_skip`.

        The `example_input` is a batch for the operations in the report.
        """
        super().__init__()
        self._averaged, self._example, self._pruner_settings = tuple(averaged), example_input, settings
        self._losses: list[Tensor] = []  # of the micro-batches since the last step
        self._state: Mapping[str, Any] | None = None
        self._running = False
        self.pruner: GradualPruner | None = None
        self.report: SparsityReport | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the pruner's state, or that at the end of the last training; empty before the first."""
        if self._running and self.pruner is not None:
            return self.pruner.state_dict()
        return dict(self._state or {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a state with which the next training begins."""
        self._state = state_dict

    def _begin(
        self, model: nn.Module, optimizers: Sequence[Optimizer], averaged: Sequence[nn.Module], step: int
    ) -> GradualPruner:
        if step and not self._state:
            raise ValueError(f"checkpoint of step {step} must be from a training with this callback, it has no mask")
        if self._running and self.pruner is not None:  # that training ended with an exception
            self.pruner.__exit__(RuntimeError)
        copies = [*averaged, *self._averaged]
        # Trainers omit steps for several reasons, and the losses of micro-batches are collected here.
        self.pruner = GradualPruner(model, *optimizers, averaged=copies, may_skip=True, **self._pruner_settings)
        if step and self._state:
            self.pruner.load_state_dict(self._state)
        self._running, self._losses, self.report = True, [], None
        return self.pruner

    def _end(self) -> None:
        if self.pruner is not None:
            self._state, self._running = self.pruner.state_dict(), False
            self.pruner.close()
            self.report = self.pruner.report(self._example)
