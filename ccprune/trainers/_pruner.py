"""Pruning by a schedule during training, whatever runs the training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria
from ccprune._util.checks import require_at_least, require_one_of
from ccprune._util.inputs import Inputs
from ccprune.mask import Enforcement, Mask
from ccprune.mask._allocation import ALLOCATIONS, protected_names
from ccprune.mask._enforcement import after_steps
from ccprune.mask._prunable import Chosen, chosen
from ccprune.mask.schedules import check_schedule
from ccprune.measure import SparsityReport, report
from ccprune.online import _state
from ccprune.trainers._recorder import LoopRecorder

UNITS = ("step", "epoch")
_PARTS = ("settings", "mask", "steps", "epochs", "pruned_at", "recorder", "store")


class GradualPruner:
    """Prunes a model by a schedule while it is trained; the mask holds after every step of the optimisers.

    Call `before_step(loss)` between the backward pass and each step if the criterion uses the training; it then has
    recorded all steps so far. Steps that a `torch.amp.GradScaler` omits are not counted. The attributes `steps` and
    `epochs`, with those before a checkpoint, and `mask` have the current state.

    Parameters
    ----------
    model : Module
    optimizers : Optimizer
        All optimisers that train prunable weights. Steps of the first are counted.
    schedule : mapping of int to float
        Number of steps or epochs after which weights are pruned, and the sparsity that is then reached. The sparsities
        must not decrease; those of `mask.cubic` and `mask.geometric` do not.
    unit : str, default "step"
        "step", or "epoch", for which `end_epoch` must be called at the end of each epoch.
    criterion : str, default "magnitude"
        One of `criteria.list_criteria()`, but not one with pairing "same_batch", which needs a second forward pass.
    averaged : iterable of Module
        Copies of the model with averaged weights, such as `torch.optim.swa_utils.AveragedModel` or the attribute
        `module` of timm's ModelEmaV3. They are pruned with the model and follow its mask.
    may_skip : bool, default False
        Whether a step may be omitted after `before_step`, as by a `torch.amp.GradScaler`.
    only, skip : collection of str and Module
        Weights that are pruned, and weights that are not: modules, or names of modules or parameters.
    allocation : {"global", "uniform", "erk", "lamp"}
        Numbers of pruned weights in the layers, see `Mask.from_scores`.
    protect : collection of str
        Parameters or modules that are not pruned.
    min_per_layer : int
        Smallest number of weights that each layer keeps.
    given
        Arguments x, y, loss, lr and seed of `criteria.score` for criteria that need them.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name; during training as `criteria.score`, `Mask.from_scores` and `Recorder`;
        at the end of the context if pruned weights are not zero.
    RuntimeError
        If several processes train together, and for a step without its `before_step` if the criterion uses the
        training.

    Examples
    --------
    >>> model = nn.Linear(8, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with GradualPruner(model, optimizer, schedule={1: 0.5, 3: 0.75}) as pruner:
    ...     for x in torch.randn(4, 4, 8):
    ...         optimizer.zero_grad(); model(x).square().mean().backward()
    ...         optimizer.step()
    >>> pruner.mask.kept, int((model.weight != 0).sum())
    (4, 4)
    """

    def __init__(
        self,
        model: nn.Module,
        *optimizers: Optimizer,
        schedule: Mapping[int, float],
        unit: str = "step",
        criterion: str = "magnitude",
        averaged: Iterable[nn.Module] = (),
        allocation: str = "global",
        protect: Iterable[str] = (),
        min_per_layer: int = 0,
        only: Chosen | None = None,
        skip: Chosen = (),
        may_skip: bool = False,
        **given: Any,
    ) -> None:
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            raise RuntimeError("GradualPruner works in one process; ccprune.distributed prunes in several")
        if not optimizers:
            raise TypeError("optimizers must hold at least one optimizer")
        require_one_of(UNITS, unit=unit)
        require_one_of(ALLOCATIONS, allocation=allocation)
        self._model, self._averaged, self._unit = model, tuple(averaged), unit
        self._schedule, self._given = check_schedule(schedule), given
        self._criterion = _find_criterion(criterion, given)
        self._mask = Mask.ones_like(model, only=only, skip=skip)
        require_at_least(0, min_per_layer=min_per_layer)
        safe = sorted(protected_names(self._mask.keep, protect))
        self._rules: dict[str, Any] = {"allocation": allocation, "protect": safe, "min_per_layer": min_per_layer}
        self.steps = self.epochs = self._pruned_at = 0
        self._store: Any = None
        self._recorder: LoopRecorder | None = None
        weights = {name: parameter for name, parameter, _ in self._mask._matches(model)}
        handles = [*after_steps(optimizers, self._enforce, weights)]
        if self.records_loss:
            with chosen(model, weights):
                self._store = self._criterion.store(model)
            names, stores = [*weights], [self._store]
            self._recorder = LoopRecorder(
                model, optimizers[0], stores, pairing="consecutive", may_skip=may_skip, only=names
            )
        handles.append(optimizers[0].register_step_post_hook(lambda *_: self._on_step()))
        self._enforcement = Enforcement(handles, self._violations)

    @property
    def mask(self) -> Mask:
        """Current mask, which keeps all weights at first; pruning creates a new object."""
        return self._mask

    @property
    def records_loss(self) -> bool:
        """Whether the criterion uses the training, so that `before_step` must be called for each step."""
        return self._criterion.store is not None

    def before_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss before a step, as `Recorder.before_step`; without effect if the criterion does not use it.

        Within a step that evaluates a closure, the method may be called from the closure.
        """
        if self._recorder is not None:
            self._recorder.before_step(loss)

    def restart(self) -> None:
        """Restart the recorder, as `Recorder.restart`; call it if anything but a step has changed the weights."""
        if self._recorder is not None:
            self._recorder.restart()

    def end_epoch(self, epochs: int | None = None) -> None:
        """Count an epoch, or set the number of ended epochs, and prune if the schedule has a sparsity for it."""
        self.epochs = self.epochs + 1 if epochs is None else epochs
        if self._unit == "epoch":
            self._prune(self.epochs)

    def report(self, example_input: Inputs | None = None, **options: Any) -> SparsityReport:
        """Return `ccprune.report` of the model and the current mask, with the same options."""
        return report(self._model, self._mask, example_input, **options)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, before the end of the context, for those of the model and the optimisers.

        A TypeError is raised for a store of a registered criterion that has no state.
        """
        if self._store is not None and not hasattr(self._store, "load_state_dict"):
            raise TypeError(f"criterion {self._criterion.name!r} must have a store with state_dict and load_state_dict")
        return {
            "settings": self._settings,
            "mask": self._mask.state_dict(),
            "steps": self.steps,
            "epochs": self.epochs,
            "pruned_at": self._pruned_at,
            "recorder": None if self._recorder is None else self._recorder.state_dict(),
            "store": None if self._store is None else self._store.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict`; load the states of the model, its copies and the optimisers first.

        A TypeError or ValueError names the part that does not fit the settings or the model.
        """
        _state.parts("state", state, _PARTS)
        _state.same("state['settings']", state["settings"], self._settings)
        mask = Mask.from_state_dict(state["mask"])
        mask = replace(mask, keep=_state.tensors("state['mask']", mask.keep, self._mask.keep, torch.bool))
        numbers = _state.counts("state's counts", [state[name] for name in ("steps", "epochs", "pruned_at")], 3)
        if any(mask._violations(self._model).values()):
            raise ValueError("state['mask'] must match the model's zeros: load the model's state first")
        if self._recorder is not None:
            self._recorder.check(state["recorder"])
            self._recorder.load_state_dict(state["recorder"])
            self._store.load_state_dict(state["store"], self._recorder._changes)
        self._mask, (self.steps, self.epochs, self._pruned_at) = mask, numbers
        self._enforce()

    def close(self) -> None:
        """Stop recording and enforcing, and check that pruned weights are zero."""
        self.__exit__(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._enforcement.remove()
        if self._recorder is not None:
            self._recorder.__exit__(kind, *error)
        if kind is None:
            self._enforcement.check()

    @property
    def _settings(self) -> dict[str, Any]:
        own = {"criterion": self._criterion.name, "schedule": dict(self._schedule), "unit": self._unit}
        return own | self._rules

    def _on_step(self) -> None:
        if self._recorder is not None:
            self._recorder.check_step()
        self.steps += 1
        if self._unit == "step":
            self._prune(self.steps)

    def _prune(self, number: int) -> None:
        due = [at for at in self._schedule if self._pruned_at < at <= number]
        if not due:
            return
        names = [*self._mask.keep]
        scores = criteria.score(self._criterion.name, self._model, store=self._store, only=names, **self._given)
        self._mask = Mask.from_scores(scores, sparsity=self._schedule[due[-1]], previous=self._mask, **self._rules)
        self._pruned_at = due[-1]
        self._enforce()
        self.restart()  # pruning is not a change that a step has made

    def _enforce(self) -> None:
        if self._pruned_at:
            for model in (self._model, *self._averaged):
                self._mask.apply_(model)

    def _violations(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for model in (self._model, *self._averaged):
            found = {name: found.get(name, 0) + count for name, count in self._mask._violations(model).items()}
        return found


def _find_criterion(name: str, given: Mapping[str, Any]) -> criteria.Criterion:
    """Return the criterion, or raise ValueError if it cannot be used here or with the given arguments."""
    found = criteria.get(name)
    if found.pairing == "same_batch":
        raise ValueError(
            f"criterion must not need the loss after each step, {name!r} does: 'causal_consecutive' is the causal "
            "score without it"
        )
    optional = ("model", "store", "y", "loss")
    lacking = [key for key, needed in found.arguments.items() if needed and key not in optional and key not in given]
    unknown = sorted(given.keys() - (set(criteria.GIVEN) - {"model", "store"}))
    if lacking:
        raise TypeError(f"{lacking} must be given: the criterion {name!r} needs them")
    if unknown:
        raise TypeError(f"given must be arguments of criteria.score, got {unknown}")
    return found
