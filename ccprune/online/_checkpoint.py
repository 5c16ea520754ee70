"""The state of a pruner, which contains everything that the next steps depend on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ccprune.mask import Mask
from ccprune.online import _state
from ccprune.online._plan import Plan
from ccprune.online._recording import ResumableRecorder
from ccprune.online.forgetting import Forgetting

_PARTS = (
    "settings",
    "mask",
    "begin",
    "goal",
    "statistic",
    "recorder",
    "generator",
    "exchanges",
    "exchanged",
    "nonzero",
)


class Checkpointed:
    """Base class of `OnlinePruner` that saves and loads its state."""

    exchanges: int
    exchanged: int
    _model: nn.Module
    _weights: dict[str, nn.Parameter]
    _settings: dict[str, Any]
    _mask: Mask
    _plan: Plan
    _statistic: Forgetting
    _recorder: ResumableRecorder
    _generator: torch.Generator
    _growth: dict[str, Tensor] | None
    _closed: bool

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state needed to resume, in plain tensors, numbers and strings.

        Store it with the states of the model and the optimiser; `torch.load(..., weights_only=True)` can read it. With
        "consecutive" it contains the weights before the last step, so call this method before the pruner is closed;
        afterwards that step is lost.

        Raises
        ------
        RuntimeError
            Between a step and its `after`.
        """
        if self._recorder.midway:
            raise RuntimeError(f"after() has not been called for step {self._recorder.steps}: call state_dict after it")
        return {
            "settings": dict(self._settings),
            "mask": {name: keep.clone() for name, keep in self._mask.keep.items()},
            "begin": [*self._plan.begin],
            "goal": [*self._plan.goal],
            "statistic": self._statistic.state_dict(),
            "recorder": self._recorder.state_dict(),
            "generator": self._generator.get_state(),
            "exchanges": self.exchanges,
            "exchanged": self.exchanged,
            "nonzero": self._nonzero,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict` as if training had not been interrupted.

        First create the pruner with the same settings, then load the states of the model, the optimiser and the pruner
        in this order, because a pruner that starts from a mask applies it on creation.

        Raises
        ------
        TypeError, ValueError
            If a part does not fit the settings or the model (the message names it), or if the numbers of non-zero
            weights of the model are not those at the time of the state. The pruner is unchanged.
        RuntimeError
            If the pruner is closed.
        """
        if self._closed:
            raise RuntimeError("the pruner is closed")
        _state.parts("state", state, _PARTS)
        _state.same("state['settings']", state["settings"], self._settings)
        mask = Mask(_state.tensors("state['mask']", state["mask"], self._weights, torch.bool))
        begin = _state.counts("state['begin']", state["begin"], len(self._plan.begin))
        goal = _state.counts("state['goal']", state["goal"], len(self._plan.goal))
        if sum(goal) != sum(self._plan.goal):
            raise ValueError(f"state['goal'] is to keep {sum(goal)} weights, here it is {sum(self._plan.goal)}")
        numbers = _state.counts("state['exchanges' and 'exchanged']", [state["exchanges"], state["exchanged"]], 2)
        _state.same("state['nonzero'] (load the model's state first)", state["nonzero"], self._nonzero)
        generator = torch.Generator()
        try:
            generator.set_state(state["generator"])
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"state['generator'] must be the state of a torch.Generator: {error}") from error
        self._recorder.check(state["recorder"])
        self._statistic.load_state_dict(state["statistic"])  # changes nothing if it raises; no line below raises
        self._recorder.load_state_dict(state["recorder"])
        self._mask, self._generator = mask, generator
        self._plan = replace(self._plan, begin=[*begin], goal=[*goal])
        self.exchanges, self.exchanged = numbers
        self._growth = None
        self._mask.apply_(self._model)

    @property
    def _nonzero(self) -> dict[str, int]:
        return {name: int(weight.count_nonzero()) for name, weight in self._weights.items()}
