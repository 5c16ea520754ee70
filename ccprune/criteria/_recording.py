"""Records of one training run for several criteria."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.checks import join_first
from ccprune.criteria._registry import get, list_criteria
from ccprune.mask import prunable
from ccprune.mask._prunable import Chosen, chosen
from ccprune.recording import PAIRINGS, Recorder, Store


class Recording:
    """Records that several criteria need from one training run, with the methods of `Recorder`.

        with criteria.Recording(model, optimizer) as recording:
            training.fit(model, batches, ..., recorder=recording)
        criteria.score("causal", model, recording=recording)

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Must hold every recorded weight.
    names : collection of str, optional
        Names of criteria, by default all registered ones. Criteria that record nothing are ignored.
    may_skip : bool, default False
        Whether steps may be omitted, as by a `torch.amp.GradScaler`.
    only, skip : collection of str and Module
        Weights that are recorded, and weights that are not: modules, or names of modules or parameters.
    options : mapping of name to {argument: value}, optional
        Arguments of a criterion's store, such as `{"legcnet": {"risk": held_out_loss}}`, see `scores.WeightExponents`.

    Attributes
    ----------
    stores : mapping of name to store
        Stores of the criteria that record.
    pairing : str
        "same_batch" if any criterion needs it, and then `after_step` must be called; otherwise "consecutive".

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For an unknown name, for options of a criterion that is not recorded, for a loss that is not finite, and for
        calls in a wrong order.

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> recording = Recording(model, torch.optim.SGD(model.parameters(), lr=0.1), ["magnitude", "movement", "causal"])
    >>> list(recording.stores), recording.pairing  # magnitude records nothing
    (['movement', 'causal'], 'same_batch')
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        names: Collection[str] | None = None,
        *,
        may_skip: bool = False,
        only: Chosen | None = None,
        skip: Chosen = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.only, self.skip = only, skip
        weights = prunable(model, only=only, skip=skip)
        taken = list_criteria().values() if names is None else [get(name) for name in names]
        self.stores: dict[str, Any] = {}
        options = options or {}
        shared: dict[tuple[Any, str, str | None], Store] = {}
        for criterion in taken:
            if criterion.store is not None and criterion.pairing is not None:
                own = options.get(criterion.name)
                key = (criterion.store, criterion.pairing, criterion.name if own else None)
                if key not in shared:
                    with chosen(model, weights):
                        shared[key] = criterion.store(model, **(own or {}))
                self.stores[criterion.name] = shared[key]
        if not options.keys() <= self.stores.keys():
            raise ValueError(
                f"options must be for criteria that are recorded, {list(self.stores)}, got {join_first(list(options))}"
            )
        kept = {pairing: [store for (_, held, _), store in shared.items() if held == pairing] for pairing in PAIRINGS}
        self._recorders = [
            Recorder(model, optimizer, stores, pairing=pairing, may_skip=may_skip, only=only, skip=skip)
            for pairing, stores in kept.items()
            if stores
        ]
        self.pairing = "same_batch" if kept["same_batch"] else "consecutive"

    def before_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Call `Recorder.before_step`."""
        for recorder in self._recorders:
            recorder.before_step(loss)

    def after_step(self, loss: Tensor | Sequence[Tensor]) -> None:
        """Call `Recorder.after_step` for the criteria with pairing "same_batch"."""
        for recorder in self._recorders:
            if recorder.pairing == "same_batch":
                recorder.after_step(loss)

    def restart(self) -> None:
        """Call `Recorder.restart` for all criteria."""
        for recorder in self._recorders:
            recorder.restart()

    def close(self) -> None:
        """Call `Recorder.close` for all criteria. The stores keep their records."""
        for recorder in self._recorders:
            recorder.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *error: Any) -> None:
        for recorder in self._recorders:
            recorder.__exit__(*error)
