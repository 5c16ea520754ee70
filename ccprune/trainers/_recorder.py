"""A recorder for training loops of others."""

from collections.abc import Sequence

from torch import Tensor

from ccprune.online._recording import ResumableRecorder


class LoopRecorder(ResumableRecorder):
    """Recorder that also takes `before(loss)` within a step, from the step's closure, before the weights change."""

    _inside = False

    def before(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss of the next step, or of the step in whose closure the method is called."""
        super().before(loss)
        if self._inside:
            self._before_step()

    def restart(self) -> None:
        """Discard the step in progress, which then needs no loss."""
        super().restart()
        self._inside = False

    def ended(self) -> None:
        """Raise RuntimeError if the step that has ended had no loss."""
        if self._inside:
            raise RuntimeError(f"before(loss) was not called for step {self.steps + 1}")

    def _before_step(self) -> None:
        self._inside = self._pending is None
        if not self._inside:
            super()._before_step()
