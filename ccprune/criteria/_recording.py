"""Several criteria's records from one training run."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune.criteria._registry import known, registered
from ccprune.recording import PAIRINGS, Recorder, Store


class Recording:
    """The records that some criteria need, of one training run; stands where a `Recorder` is asked for.

        with criteria.Recording(model, optimizer) as recording:
            minibatch.fit(model, batches, ..., recorder=recording)
        criteria.score("causal", model, store=recording.stores["causal"])

    One `Recorder` for each pairing that is needed, all on the same steps: `before` and `after` as there.

    Parameters
    ----------
    model, optimizer
        As of `Recorder`.
    names : collection of str, optional
        Criteria; all registered ones if None. Those that record nothing are passed over.

    Attributes
    ----------
    stores : {name: store}
        Of the criteria that record.
    pairing : str
        "same_batch", with which `after` must be called, if any of them needs it.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, names: Collection[str] | None = None) -> None:
        chosen = registered().values() if names is None else [known(name) for name in names]
        self.stores: dict[str, Any] = {}
        shared: dict[tuple[Any, str], Store] = {}
        for criterion in chosen:
            if criterion.store is not None and criterion.pairing is not None:
                key = (criterion.store, criterion.pairing)
                if key not in shared:
                    shared[key] = criterion.store(model)
                self.stores[criterion.name] = shared[key]
        kept = {pairing: [store for (_, own), store in shared.items() if own == pairing] for pairing in PAIRINGS}
        self._recorders = [
            Recorder(model, optimizer, stores, pairing=pairing) for pairing, stores in kept.items() if stores
        ]
        self.pairing = "same_batch" if kept["same_batch"] else "consecutive"

    def before(self, loss: Tensor | Sequence[Tensor]) -> None:
        """As `Recorder.before`."""
        for recorder in self._recorders:
            recorder.before(loss)

    def after(self, loss: Tensor | Sequence[Tensor]) -> None:
        """As `Recorder.after`, for the criteria with pairing "same_batch"."""
        for recorder in self._recorders:
            if recorder.pairing == "same_batch":
                recorder.after(loss)

    def restart(self) -> None:
        """As `Recorder.restart`."""
        for recorder in self._recorders:
            recorder.restart()

    def close(self) -> None:
        """As `Recorder.close`; the stores keep what they have."""
        for recorder in self._recorders:
            recorder.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *error: Any) -> None:
        for recorder in self._recorders:
            recorder.__exit__(*error)
