"""A recorder whose current step can be saved and resumed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ccprune.online import _state
from ccprune.recording import Recorder


class ResumableRecorder(Recorder):
    """`ccprune.recording.Recorder` with a state: with "consecutive" the last step's loss and the weights before it."""

    def _mean(self, loss: Tensor | Sequence[Tensor]) -> tuple[Tensor, int]:
        """Return the mean, under DDP over all processes, whose weights and gradients are the same."""
        mean, parts = super()._mean(loss)
        if isinstance(self._model, DistributedDataParallel):
            mean = mean.clone()
            dist.all_reduce(mean, group=self._model.process_group)
            mean /= dist.get_world_size(self._model.process_group)
        return mean, parts

    @property
    def midway(self) -> bool:
        """Whether the last step still needs the loss of `after_step`."""
        return self.pairing == "same_batch" and self._last is not None

    def state_dict(self) -> dict[str, Any]:
        """Return copies in plain tensors and numbers; waits for the device. ValueError if a value was not finite."""
        self._raise_bad()
        loss = None if self._last is None else self._last.item()
        before = {} if loss is None else {name: value.clone() for name, value in self._changes.items()}
        return {"steps": self.steps, "records": self.records, "loss": loss, "before": before}

    @torch.no_grad()
    def check(self, state: Mapping[str, Any]) -> None:
        """Raise TypeError or ValueError that names the part of the state that does not fit."""
        _state.parts("state['recorder']", state, ("steps", "records", "loss", "before"))
        steps, records = _state.counts(
            "state['recorder']['steps' and 'records']", [state["steps"], state["records"]], 2
        )
        if records > steps:
            raise ValueError(f"state['recorder']['records'] must be at most the {steps} steps, got {records}")
        self._current()  # raises if the model no longer has the same weights as at the beginning
        if state["loss"] is None:
            _state.parts("state['recorder']['before']", state["before"], ())
            return
        if not isinstance(state["loss"], float):
            raise TypeError(f"state['recorder']['loss'] must be a number or None, got {type(state['loss']).__name__}")
        _state.tensors("state['recorder']['before']", state["before"], self._changes, None)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that has passed `check`."""
        self.restart()
        self.steps, self.records, self._bad = state["steps"], state["records"], None
        if state["loss"] is not None:
            self._last = torch.tensor(state["loss"], dtype=torch.float64)
            for name, value in state["before"].items():
                self._changes[name].copy_(value)
