"""A recorder for training loops of others."""

from collections.abc import Sequence

from torch import Tensor

from ccprune.online._recording import ResumableRecorder


class LoopRecorder(ResumableRecorder):
    """Recorder that takes `before_step(loss)` also within a step, from its closure, before the weights change."""

    _inside = False

    def before_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss of the next step, or of the step in whose closure the method is called."""
        super().before_step(loss)
        if self._inside:
            self._on_step()

    def restart(self) -> None:
        """Discard the step in progress, which then needs no loss."""
        super().restart()
        self._inside = False

    def check_step(self) -> None:
        """Raise RuntimeError if the step that has ended had no loss."""
        if self._inside:
            raise RuntimeError(f"before_step(loss) was not called for step {self.steps + 1}")

    def _on_step(self) -> None:
        self._inside = self._pending is None
        if not self._inside:
            super()._on_step()
