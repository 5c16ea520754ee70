"""The state of a pruner, which contains everything that the next steps depend on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ccprune.mask import Mask
from ccprune.online import _state

if TYPE_CHECKING:
    from ccprune.online.pruner import OnlinePruner

_NUMBERS = ("exchanges", "exchanged")
_PARTS = ("settings", "mask", "begin", "goal", "statistic", "recorder", "generator", "beside", *_NUMBERS)


def state_of(pruner: "OnlinePruner") -> dict[str, Any]:
    """Return a copy of the pruner's state, with the digests of the weights and the optimiser's state beside it."""
    if pruner._recorder.midway:
        raise RuntimeError(f"after_step() has not been called for step {pruner.steps}: call state_dict after it")
    return {
        "settings": dict(pruner._settings),
        "mask": {name: keep.clone() for name, keep in pruner.mask.keep.items()},
        "begin": [*pruner._plan.begin],
        "goal": [*pruner._plan.goal],
        "statistic": pruner._statistic.state_dict(),
        "recorder": pruner._recorder.state_dict(),
        "generator": pruner._generator.get_state(),
        "beside": _digests(pruner),
        "exchanges": pruner.exchanges,
        "exchanged": pruner.exchanged,
    }


def load(pruner: "OnlinePruner", state: Mapping[str, Any]) -> None:
    """Replace the pruner's state, or raise TypeError or ValueError before anything is changed."""
    _state.parts("state", state, _PARTS)
    _state.same("state['settings']", state["settings"], pruner._settings)
    mask = Mask(_state.tensors("state['mask']", state["mask"], pruner._weights, torch.bool))
    own = _digests(pruner)
    for part, found in _state.parts("state['beside']", state["beside"], own).items():
        if found != own[part]:
            raise ValueError(
                f"state['beside'][{part!r}] must be the digest of the {part}: load the {part}'s state of the same step "
                "before the pruner's"
            )
    pruner._recorder.check(state["recorder"])
    plan = pruner._plan
    begin = _state.counts("state['begin']", state["begin"], len(plan.begin))
    goal = _state.counts("state['goal']", state["goal"], len(plan.goal))
    if sum(goal) != sum(plan.goal):
        raise ValueError(f"state['goal'] is to keep {sum(goal)} weights, here it is {sum(plan.goal)}")
    plan, steps = replace(plan, begin=[*begin], goal=[*goal]), state["recorder"]["steps"]
    plan.check(mask, steps)
    live = sum(int(pruner._weights[name][~keep].count_nonzero()) for name, keep in mask.keep.items())
    if live:
        raise ValueError(f"state['mask'] must prune weights that are 0 in the model, {live} of them are not")
    exchanges, exchanged = _state.counts("state['exchanges' and 'exchanged']", [state[name] for name in _NUMBERS], 2)
    if not (exchanges <= steps // plan.schedule.every and exchanges <= exchanged <= exchanges * mask.total):
        raise ValueError(f"state['exchanges' and 'exchanged'] must fit {steps} steps, got {exchanges} and {exchanged}")
    generator = torch.Generator()
    try:
        generator.set_state(state["generator"])
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"state['generator'] must be the state of a torch.Generator: {error}") from error
    pruner._statistic.load_state_dict(state["statistic"], records=state["recorder"]["records"])  # the last that raises
    pruner._recorder.load_state_dict(state["recorder"])
    pruner._mask, pruner._generator, pruner._plan, pruner._growth = mask, generator, plan, None
    pruner.exchanges, pruner.exchanged = exchanges, exchanged


def _digests(pruner: "OnlinePruner") -> dict[str, str]:
    moments = [pruner._optimizer.state.get(weight, {}) for weight in pruner._weights.values()]
    parts = [[one[key] for key in sorted(one)] for one in moments]
    return {"model": _state.digest(pruner._weights), "optimizer": _state.digest(parts)}
