"""Recorder of the change of the loss and of every prunable weight in a training step.

There are two pairings of the changes. "same_batch" (causal pruning's code of 2025) takes the loss of one mini-batch
before and after the step, which costs a second forward pass. "consecutive" (Shah et al., 2024) takes
dL[t] = L[t+1] - L[t] between consecutive mini-batches, with dtheta[t] = theta[t+1] - theta[t]: T steps yield T - 1
records. The recorder holds one number per weight, a copy of the weights before the step, which becomes their change.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.checks import join_first, require_one_of
from ccprune.mask import prunable
from ccprune.mask._enforcement import require_optimizer
from ccprune.mask._prunable import Chosen
from ccprune.recording._losses import asynchronous, mean_loss
from ccprune.recording._stores import Store

PAIRINGS = ("same_batch", "consecutive")
_LOOK_EVERY = 256  # steps between checks of an accelerator's flag for a loss that is not finite


class Recorder:
    """Recorder that calls `store.update(delta_loss, {name: delta_weight})` of every store once per step.

    Call `before_step(loss)` between the backward pass and the step. With "same_batch", call `after_step(loss)` after
    the step, with the new loss of the same mini-batch. With gradient accumulation, both methods take the losses of all
    micro-batches of the step, as `before_step([loss_1, loss_2])`. For optimisers that take a closure, call
    `before_step(loss)` once, before `step(closure)`.

    Any torch optimiser, masks and schedules are supported: the actual weight changes are recorded, those of
    half-precision weights as float32. Call `restart()` after other changes of the weights between two steps (weights
    were loaded, a mask was applied).

    Parameters
    ----------
    model : Module
        The weights `mask.prunable(model)` are recorded.
    optimizer : Optimizer
        Must hold every recorded weight.
    stores : sequence of Store
    pairing : str, default "same_batch"
        "same_batch" or "consecutive".
    may_skip : bool
        Whether a step may be omitted after `before_step`, as by `torch.amp.GradScaler` when gradients overflow. Its
        loss is dropped and counted in `skipped`. By default a missing step is an error.
    only, skip : collection of str and Module
        Weights that are recorded, and weights that are not: modules, or names of modules or parameters.

    Attributes
    ----------
    steps, records, skipped : int
        Numbers of steps, of records passed to the stores, and of omitted steps.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name, and for a loss that is not finite, with the number of the step: on the
        CPU before that step, or in `after_step`; on an accelerator, for which the recorder does not wait, within 256
        steps or on closing, and the records from that step on are zeros.
    RuntimeError
        If the calls are in a wrong order.

    Examples
    --------
    >>> from ccprune.recording import InMemory
    >>> model, store = nn.Linear(2, 1), InMemory()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
    ...     for _ in range(3):
    ...         loss = model(torch.ones(4, 2)).square().mean()
    ...         optimizer.zero_grad(); loss.backward()
    ...         recorder.before_step(loss)
    ...         optimizer.step()
    >>> recorder.steps, recorder.records, store.records()[0].shape  # a record needs the loss of the next step, too
    (3, 2, torch.Size([2, 2]))
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        stores: Sequence[Store],
        *,
        pairing: str = "same_batch",
        may_skip: bool = False,
        only: Chosen | None = None,
        skip: Chosen = (),
    ) -> None:
        require_one_of(PAIRINGS, pairing=pairing)
        if not isinstance(stores, Sequence) or not all(callable(getattr(store, "update", None)) for store in stores):
            raise TypeError(f"stores must be a sequence of objects with a method update, got {stores!r}")
        if not stores:
            raise ValueError("stores must hold at least one store")
        self._model, self._of = model, partial(prunable, only=only, skip=skip)
        self._weights, self._all = self._of(model), self._of(model, frozen=True)
        require_optimizer(optimizer)
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        lacking = [name for name, w in self._weights.items() if id(w) not in held]
        if lacking:
            raise ValueError(f"optimizer must hold the model's prunable weights, it lacks {join_first(lacking)}")
        self.pairing, self._stores, self._may_skip = pairing, tuple(stores), may_skip
        self.steps = self.records = self.skipped = 0
        self._seen: list[tuple[str, Tensor, bool]] = []  # all parameters at the last look that found nothing changed
        self._changes: dict[str, Tensor] = {}
        self._kinds: list[tuple[torch.Size, torch.dtype, torch.device]] = []
        self._pending: Tensor | None = None  # loss before the next step
        self._last: Tensor | None = None  # loss of the last step, whose initial weights `_changes` holds
        self._parts = 0  # number of losses passed to `before_step`
        self._bad: Tensor | None = None  # on an accelerator, the first step with a loss that is not finite
        self._hook = optimizer.register_step_pre_hook(lambda *_: self._on_step())
        self._closed = False

    def before_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the mean loss before the next step; losses of several micro-batches, of equal size, are averaged."""
        if self._closed:
            raise RuntimeError("the recorder is closed")
        value, parts = self._mean(loss)
        if self.pairing == "same_batch" and self._last is not None:
            raise RuntimeError(f"after_step() has not been called for step {self.steps}")
        if self._pending is not None:
            self._skip(
                "before_step() was called twice without a step between; give it the losses of all micro-batches at once"
            )
        self._pending, self._parts = value, parts

    @torch.no_grad()
    def after_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss of the same mini-batch, or micro-batches, after the step. Only for "same_batch"."""
        if self.pairing != "same_batch":
            raise RuntimeError(f"after_step() belongs to pairing='same_batch', this recorder has {self.pairing!r}")
        value, parts = self._mean(loss)
        if self._last is None:
            if self._pending is None:
                raise RuntimeError("after_step() was called without before_step() and a step")
            self._skip("after_step() was called without a step since before_step()")
            return
        if parts != self._parts:
            raise ValueError(f"loss must have {self._parts} micro-batches, as in before_step(), got {parts}")
        last, self._last = self._last, None
        self._check(value, self.steps)
        self._emit(value - last, self._current())

    def restart(self) -> None:
        """Discard the step in progress, so that newly loaded weights are not recorded as a change."""
        self._pending = self._last = None
        for store in self._stores:
            if hasattr(store, "restart"):
                store.restart()

    def close(self) -> None:
        """Remove the hook from the optimiser. The stores keep their records."""
        self._hook.remove()
        self._closed, self._pending, self._last = True, None, None
        self._changes = {}
        self._raise_bad()

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._bad = None  # the current exception is more informative
        self.close()

    @torch.no_grad()
    def _on_step(self) -> None:
        if self._pending is None:
            raise RuntimeError(f"before_step(loss) was not called for step {self.steps + 1}")
        weights = self._current()
        loss, self._pending = self._pending, None
        self._check(loss, self.steps + 1)
        self.steps += 1
        last, self._last = self._last, None
        if last is not None:
            self._emit(loss - last, weights)
        torch._foreach_copy_(list(self._changes.values()), weights)
        self._last = loss

    def _current(self) -> list[Tensor]:
        """Return the weights, or raise ValueError if they are not those with which recording began."""
        self._require_same_weights()
        weights = [self._recorded_part(name, weight.detach()) for name, weight in self._weights.items()]
        kinds = [(weight.shape, weight.dtype, weight.device) for weight in weights]
        if not self._changes:
            self._kinds = kinds
            for name, weight in zip(self._weights, weights, strict=True):
                dtype = torch.promote_types(weight.dtype, torch.float32)
                self._changes[name] = torch.empty_like(weight, dtype=dtype)
        for name, kind, first in zip(self._weights, kinds, self._kinds, strict=True):
            if kind != first:
                raise ValueError(
                    f"model's {name!r} was {first} when recording began, it is {kind}: make a new Recorder"
                )
        return weights

    def _require_same_weights(self) -> None:
        now = [*self._model.named_parameters(remove_duplicate=False)]
        known = len(now) == len(self._seen) and all(
            name == seen and weight is same and weight.requires_grad == trained
            for (name, weight), (seen, same, trained) in zip(now, self._seen, strict=True)
        )
        if known:  # the weights of all layers, which take several times as long to find, are then the same too
            return
        found = self._of(self._model, frozen=True)
        changed = [name for name in self._all.keys() | found.keys() if found.get(name) is not self._all.get(name)]
        changed += [name for name, weight in found.items() if weight.requires_grad and name not in self._weights]
        if changed:
            raise ValueError(
                f"model's {join_first(sorted(changed))} are not the weights with which recording began, or were frozen "
                "then: make a new Recorder"
            )
        self._seen = [(name, weight, weight.requires_grad) for name, weight in now]

    def _recorded_part(self, name: str, weight: Tensor) -> Tensor:
        """Return the recorded part of a weight, which is all of it here. `ccprune.distributed` records a part."""
        return weight

    def _mean(self, loss: Tensor | Sequence[Tensor]) -> tuple[Tensor, int]:
        """Return the mean in float64 and the number of losses. `ccprune.distributed` also averages over processes."""
        return mean_loss(loss)

    def _emit(self, delta_loss: Tensor, weights: list[Tensor]) -> None:
        changes = list(self._changes.values())
        if asynchronous(delta_loss.device):  # few kernels for any number of tensors
            torch._foreach_sub_(changes, weights)
            torch._foreach_neg_(changes)
        else:  # one pass over memory
            for weight, change in zip(weights, changes, strict=True):
                torch.sub(weight, change, out=change)
        if self._bad is not None:
            gone = self._bad > 0
            delta_loss = delta_loss.masked_fill(gone, 0.0)
            for change in changes:
                change.masked_fill_(gone.to(change.device), 0.0)
        for store in self._stores:
            store.update(delta_loss, self._changes)
        self.records += 1

    def _check(self, loss: Tensor, step: int) -> None:
        if not asynchronous(loss.device):
            if not bool(loss.isfinite()):
                raise ValueError(f"loss of step {step} is {loss.item()}; the {self.records} records before it are kept")
            return
        # Waiting for the device at every step would slow training, so the flag is read only every `_LOOK_EVERY` steps.
        if self._bad is None:
            self._bad = torch.zeros((), dtype=torch.int64, device=loss.device)
        self._bad = torch.where((self._bad == 0) & ~loss.isfinite(), step, self._bad)
        if step % _LOOK_EVERY == 0:
            self._raise_bad()

    def _raise_bad(self) -> None:
        step = 0 if self._bad is None else int(self._bad)
        if step:
            raise ValueError(
                f"loss of step {step} is not finite; the records from it on are zeros, those before are kept"
            )

    def _skip(self, message: str) -> None:
        if not self._may_skip:
            raise RuntimeError(f"{message} (may_skip=True allows for steps that a GradScaler leaves out)")
        self._pending = None
        self.skipped += 1
