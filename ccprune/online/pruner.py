"""A mask that changes by small steps while the model goes on training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from ccprune._util.checks import at_least
from ccprune.mask import Mask, prunable
from ccprune.mask._select import protected
from ccprune.online import _growth as growth
from ccprune.online import _state
from ccprune.online._checkpoint import Checkpointed
from ccprune.online._plan import Plan
from ccprune.online._recording import ResumableRecorder
from ccprune.online.changes import Schedule
from ccprune.online.forgetting import Forgetting


class OnlinePruner(Checkpointed):
    """Mask, scores and enforcement of a model in training; stands where a `Recorder` is asked for.

        with OnlinePruner(model, optimizer, sparsity=0.9) as pruner:
            for x, y in stream:
                loss = cross_entropy(model(x), y)
                optimizer.zero_grad(); loss.backward()
                pruner.before(loss)
                optimizer.step()

    From the dense model, or from `mask`, it goes to `sparsity` in `ramp` changes along the cubic of Zhu and Gupta
    (2017), in which nothing comes back. From then on each change prunes k of the weights that stay and brings k others
    back, so that the count is exact after every step. Pruned weights are exactly 0 after every step; one that comes
    back starts at 0, with 0 in every tensor of its shape in the optimiser's state, and with a score of its own that
    begins there. The step in which a mask changes gives no record with "consecutive".

    Weights that are frozen when a mask changes are left as they are, pruned or not: nothing is known of them.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Must hold every prunable weight that is not frozen; not LBFGS, whose history is not kept by weight.
    sparsity : float, optional
        To be reached; by default that of `mask`.
    mask : Mask, optional
        To begin from, of all prunable weights; by default nothing is pruned.
    ramp, every, fraction, end
        As of `Schedule`: in how many changes to `sparsity`, steps between changes, share that is exchanged, and the
        step from which nothing is.
    statistic, half_life, dtype
        As of `Forgetting`: what decides which weights go.
    grow : str
        Which weights come back: "gradient", those with the largest gradient in the last step (RigL, Evci et al., 2020,
        section 3), or "random" (SET, Mocanu et al., 2018).
    scope, min_per_layer
        As of `exchange`.
    protect : collection of str
        Parameters, or modules, that are left as they are.
    pairing, may_skip
        As of `Recorder`.
    seed : int
        Of the random growth.

    Attributes
    ----------
    exchanges, exchanged : int
        How often weights were exchanged, and how many came back in all.

    Raises
    ------
    TypeError, ValueError
        Naming the argument. While training, as `Recorder`, and for a gradient that is not finite, with the mask and the
        statistic as they were.
    RuntimeError
        Where several processes train together, of whose losses and gradients each one knows its own.
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
        pairing: str = "consecutive",
        may_skip: bool = False,
        seed: int = 0,
    ) -> None:
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            raise RuntimeError("OnlinePruner works in one process: ranks would change their masks differently")
        if isinstance(optimizer, LBFGS):
            raise TypeError("optimizer must keep its state by weight, got LBFGS")
        if grow not in growth.GROWTHS:
            raise ValueError(f"grow must be one of {growth.GROWTHS}, got {grow!r}")
        if sparsity is None and mask is None:
            raise ValueError("sparsity must be given where mask is not")
        at_least(0, min_per_layer=min_per_layer)
        schedule = Schedule(every=every, ramp=ramp, fraction=fraction, end=end)
        self._model, self._optimizer, self._weights = model, optimizer, prunable(model)
        self._grow, self._protect, self._mask = grow, protected(self._weights, protect), self._whole(mask)
        fixed = self._protect | self._frozen
        self._plan = Plan.to(
            sparsity, self._mask, schedule=schedule, scope=scope, min_per_layer=min_per_layer, fixed=fixed
        )
        self._settings = asdict(schedule) | {
            "grow": grow,
            "scope": scope,
            "min_per_layer": min_per_layer,
            "pairing": pairing,
        }
        self._settings["protect"] = sorted(self._protect)
        self._statistic = Forgetting(self._weights, half_life=half_life, statistic=statistic, dtype=dtype)
        self._generator = torch.Generator().manual_seed(seed)
        self.exchanges = self.exchanged = 0
        self._growth: dict[str, Tensor] | None = None  # of the last step, where the mask waits for `after` to change
        self._recorder = ResumableRecorder(model, optimizer, [self._statistic], pairing=pairing, may_skip=may_skip)
        self._mask.apply_(model)
        self._hook = optimizer.register_step_post_hook(lambda *_: self._after_step())
        self._closed = False

    @property
    def mask(self) -> Mask:
        """As it is now; a change makes a new one."""
        return self._mask

    @property
    def scores(self) -> dict[str, Tensor]:
        """As they are now, of pruned weights too, which do not move: see `Forgetting.scores`."""
        return self._statistic.scores

    @property
    def pairing(self) -> str:
        """That of the recorder: with "same_batch" `after` must be called."""
        return self._recorder.pairing

    @property
    def steps(self) -> int:
        """Steps seen, those before a checkpoint included."""
        return self._recorder.steps

    def before(self, loss: Tensor | Sequence[Tensor]) -> None:
        """As `Recorder.before`."""
        self._recorder.before(loss)

    def after(self, loss: Tensor | Sequence[Tensor]) -> None:
        """As `Recorder.after`; then the mask is changed, if it is time."""
        self._recorder.after(loss)
        if self._growth is not None:
            self._change(self._growth)

    def restart(self) -> None:
        """As `Recorder.restart`: to be called when the weights were changed by anything but steps."""
        self._recorder.restart()
        self._growth = None

    def close(self) -> None:
        """Stops recording and enforcing, for good; mask and weights stay as they are."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        self._closed = True
        self._hook.remove()
        self._recorder.__exit__(kind, *error)

    @torch.no_grad()
    def _after_step(self) -> None:
        self._mask.apply_(self._model)
        if self.steps % self._plan.schedule.every == 0:
            # Now: gradients may be gone when `after` is called.
            self._growth = growth.rank(self._grow, self._weights, self._generator)
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
            return  # the step under way is still a record
        self._mask = new
        new.apply_(self._model)
        growth.reset(self._optimizer, self._weights, grown)
        self._statistic.forget(grown)
        self.exchanges, self.exchanged = self.exchanges + (came > 0), self.exchanged + came
        self._recorder.restart()

    @property
    def _frozen(self) -> set[str]:
        return {name for name, weight in self._weights.items() if not weight.requires_grad}

    def _whole(self, mask: Mask | None) -> Mask:
        """The mask on the weights' devices; raises ValueError when it is not of all weights."""
        if mask is None:
            return Mask({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()})
        return Mask(_state.tensors("mask", mask.keep, self._weights, torch.bool))
