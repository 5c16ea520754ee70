"""A mask that is changed in small steps while the model is trained."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import LBFGS, Optimizer

from ccprune._util.checks import require_at_least, require_one_of
from ccprune.mask import Mask, prunable
from ccprune.mask._allocation import protected_names
from ccprune.mask._prunable import Chosen
from ccprune.online import _checkpoint, _state
from ccprune.online._plan import Plan
from ccprune.online._recording import ResumableRecorder
from ccprune.online.changes import Schedule
from ccprune.online.forgetting import Forgetting

GROWTHS = ("gradient", "random")


class OnlinePruner:
    """Mask, scores and enforcement for a model in training; can be used in place of a `Recorder`.


    The mask starts from the dense model, or from `mask`, and reaches `sparsity` in `ramp` changes along the cubic
    schedule of Zhu and Gupta (2017), in which no weight is regrown. After the ramp each change prunes k kept weights
    and regrows k others, so that the count is exact after every step. Pruned weights are exactly 0 after every step. A
    regrown weight starts at 0, with 0 in every tensor of its shape in the optimiser's state, and with a new score that
    is computed from then on. With "consecutive", the step in which a mask changes gives no record.

    Weights that are frozen when a mask changes stay as they are, pruned or not, because nothing is known about them.

    In several processes the model must be under DDP. Create the pruner on every rank with the same arguments, and pass
    each rank's own loss; the mean over the ranks is recorded, and all masks are the same.

    Parameters
    ----------
    model : Module
        Model in training.
    optimizer : Optimizer
        Optimiser with every chosen weight that is not frozen; not LBFGS, whose history is not stored by weight.
    sparsity : float, optional
        Target sparsity; by default that of `mask`.
    mask : Mask, optional
        Initial mask of all chosen weights; by default no weight is pruned.
    ramp, every : int, default 10 and 100
        Number of changes to reach `sparsity`, and steps between changes.
    fraction : float, default 0.1
        Share of the kept weights that is exchanged.
    end : int, optional
        Step from which no weight is exchanged.
    statistic : {"causal", "squared_updates"}
        Score for pruning, see `Forgetting`.
    half_life : float, default 100
        Half-life of a record, in records.
    dtype : torch.dtype, default torch.float64
        Type of the sums, torch.float64 or torch.float32.
    grow : str, default "gradient"
        Weights to regrow: "gradient", those with the largest absolute gradient in the last step (RigL, Evci et al.,
        2020, section 3), or "random" (SET, Mocanu et al., 2018).
    scope : {"layer", "global"}
        Weights that are ranked together.
    min_per_layer : int, default 0
        Smallest number of weights that each parameter keeps.
    protect : collection of str
        Parameters or modules whose weights are recorded and counted but not changed.
    only, skip : collection of str and Module
        Weights that are recorded and pruned, and weights that are not: modules, or names of modules or parameters. If
        several optimisers train the model, choose weights of the one that is given; each may have its own pruner.
    pairing : {"consecutive", "same_batch"}
        Losses whose difference is recorded; with "same_batch", call `after_step` with the new loss of the mini-batch.
    may_skip : bool, default False
        Whether steps may be omitted, as by a `torch.amp.GradScaler`.
    seed : int, default 0
        Seed of the random growth.

    Attributes
    ----------
    exchanges, exchanged : int
        Number of exchanges, and total number of regrown weights.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it. During training as `Recorder`, and if a gradient is not finite;
        the mask and the statistic are then unchanged.
    RuntimeError
        If several processes train together without DDP, because each then has only its own gradients or weights.

    Examples
    --------
    >>> model = nn.Linear(8, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with OnlinePruner(model, optimizer, sparsity=0.75, ramp=1, every=2) as pruner:
    ...     for x in torch.randn(6, 4, 8):
    ...         loss = model(x).square().mean()
    ...         optimizer.zero_grad(); loss.backward()
    ...         pruner.before_step(loss)
    ...         optimizer.step()
    >>> int((model.weight != 0).sum()) <= pruner.mask.kept == 4
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        sparsity: float | None = None,
        mask: Mask | None = None,
        ramp: int = 10,
        every: int = 100,
        fraction: float = 0.1,
        end: int | None = None,
        statistic: str = "causal",
        half_life: float = 100.0,
        dtype: torch.dtype = torch.float64,
        grow: str = "gradient",
        scope: str = "layer",
        min_per_layer: int = 0,
        protect: Iterable[str] = (),
        only: Chosen | None = None,
        skip: Chosen = (),
        pairing: str = "consecutive",
        may_skip: bool = False,
        seed: int = 0,
    ) -> None:
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if several and not isinstance(model, DistributedDataParallel):
            raise RuntimeError(
                f"model must be under DistributedDataParallel in several processes, got {type(model).__name__}: ranks "
                "would change their masks differently"
            )
        if isinstance(optimizer, LBFGS):
            raise TypeError("optimizer must keep its state by weight, got LBFGS")
        require_one_of(GROWTHS, grow=grow)
        if sparsity is None and mask is None:
            raise ValueError("sparsity must be given where mask is not")
        require_at_least(0, min_per_layer=min_per_layer)
        schedule = Schedule(every=every, ramp=ramp, fraction=fraction, end=end)
        self._model, self._optimizer, self._weights = model, optimizer, prunable(model, only=only, skip=skip)
        self._grow, self._protect, self._mask = grow, protected_names(self._weights, protect), self._whole(mask)
        fixed = self._protect | self._frozen
        self._plan = Plan.to(
            sparsity, self._mask, schedule=schedule, scope=scope, min_per_layer=min_per_layer, fixed=fixed
        )
        self._settings: dict[str, Any] = asdict(schedule) | {"grow": grow, "scope": scope, "pairing": pairing}
        self._settings |= {"min_per_layer": min_per_layer, "protect": sorted(self._protect)}
        self._statistic = Forgetting(self._weights, half_life=half_life, statistic=statistic, dtype=dtype)
        self._generator = torch.Generator().manual_seed(seed)
        self.exchanges = self.exchanged = 0
        self._growth: dict[str, Tensor] | None = None  # of the last step, if the mask is to change in `after_step`
        self._recorder = ResumableRecorder(
            model, optimizer, [self._statistic], pairing=pairing, may_skip=may_skip, only=only, skip=skip
        )
        self._mask.apply_(model)
        self._hook = optimizer.register_step_post_hook(lambda *_: self._on_step())
        self._closed = False

    @property
    def mask(self) -> Mask:
        """Current mask; a change creates a new object."""
        return self._mask

    @property
    def scores(self) -> dict[str, Tensor]:
        """Current scores, also of pruned weights, which do not change; see `Forgetting.scores`."""
        return self._statistic.scores

    @property
    def pairing(self) -> str:
        """Pairing of the recorder; with "same_batch", `after_step` must be called."""
        return self._recorder.pairing

    @property
    def steps(self) -> int:
        """Number of steps, including those before a checkpoint."""
        return self._recorder.steps

    def before_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss before a step, as `Recorder.before_step`."""
        self._recorder.before_step(loss)

    def after_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Record the loss after a step, as `Recorder.after_step`, and change the mask if a change is due."""
        self._recorder.after_step(loss)
        if self._growth is not None:
            self._change(self._growth)

    def restart(self) -> None:
        """Restart the recorder, as `Recorder.restart`; call it if anything but a step has changed the weights."""
        self._recorder.restart()
        self._growth = None

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state needed to resume, in plain tensors, numbers and strings.

        Store it with the states of the model and the optimiser at the same step, whose digests it has;
        `torch.load(..., weights_only=True)` can read it. With "consecutive" it contains the weights before the last
        step, so call this method before the pruner is closed; afterwards that step is lost. RuntimeError is raised
        between a step and its `after_step`.
        """
        return _checkpoint.state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state_dict` as if training had not been interrupted.

        First create the pruner with the same settings, then load the states of the model, the optimiser and the pruner
        in this order, because a pruner that starts from a mask applies it on creation.

        Raises
        ------
        TypeError, ValueError
            If a part does not fit the settings or the other parts, or if the model's weights or the optimiser's state
            are not those at the time of the state; the message names the part. Nothing is changed.
        RuntimeError
            If the pruner is closed.
        """
        if self._closed:
            raise RuntimeError("the pruner is closed")
        _checkpoint.load(self, state)

    def close(self) -> None:
        """Stop recording and enforcing permanently; mask and weights are unchanged."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._closed = True
        self._hook.remove()
        self._recorder.__exit__(kind, *error)

    @torch.no_grad()
    def _on_step(self) -> None:
        self._mask.apply_(self._model)
        if self.steps % self._plan.schedule.every == 0:
            # The growth is computed now, because gradients may have been cleared when `after_step` is called.
            self._growth = {name: self._growth_of(weight) for name, weight in self._weights.items()}
            if self.pairing == "consecutive":
                self._change(self._growth)

    @torch.no_grad()
    def _change(self, growths: Mapping[str, Tensor]) -> None:
        self._growth = None
        old, fixed = self._mask, self._protect | self._frozen
        new = self._plan.change(old, self._statistic.scores, growths, step=self.steps, fixed=fixed)
        grown = {name: keep & ~old.keep[name] for name, keep in new.keep.items()}
        came = sum(int(places.sum()) for places in grown.values())
        if came == 0 and new.kept == old.kept:
            return  # the current step is still a record
        self._mask = new
        new.apply_(self._model)
        for name, places in grown.items():
            weight = self._weights[name]
            for value in self._optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    value.masked_fill_(places, 0.0)
        self._statistic.forget(grown)
        self.exchanges, self.exchanged = self.exchanges + (came > 0), self.exchanged + came
        self._recorder.restart()

    def _growth_of(self, weight: Tensor) -> Tensor:
        """Return the absolute gradient, 0 without one, or random numbers that are equal on every device."""
        if self._grow == "random":
            return torch.rand(weight.shape, generator=self._generator).to(weight.device)
        return torch.zeros_like(weight) if weight.grad is None else weight.grad.abs()

    @property
    def _frozen(self) -> set[str]:
        return {name for name, weight in self._weights.items() if not weight.requires_grad}

    def _whole(self, mask: Mask | None) -> Mask:
        """Return the mask on the devices of the weights; raises ValueError if it does not cover all weights."""
        if mask is None:
            return Mask({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()})
        return Mask(_state.tensors("mask", mask.keep, self._weights, torch.bool))
