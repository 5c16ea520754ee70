"""Scores for continued training: the sum of `lasso.Screen` with exponential forgetting."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune.online import _state

STATISTICS = ("causal", "squared_updates")


class Forgetting:
    """Store for a `Recorder` in which the weight of a record halves with every `half_life` further records.

    For each weight it computes the weighted mean over the records s <= t since the weight was last reset,

        sum_s 2^(-(t - s) / half_life) dL_s dtheta_s^2 / sum_s 2^(-(t - s) / half_life),

    which without forgetting is the statistic of `lasso.Screen` (Shah et al., 2024). The division is the bias correction
    of Adam (Kingma and Ba, 2015, section 3). The store has two numbers per weight. On an accelerator no step waits for
    the device.

    Parameters
    ----------
    weights : mapping of name to Tensor
        Weights that will be recorded, as returned by `mask.prunable`; only shapes and devices are used.
    half_life : float
        Half-life in records.
    statistic : str, default "causal"
        "causal": as above. "squared_updates": with 1 instead of dL, independent of the loss.
    dtype : torch.dtype, default torch.float64
        Type of the sums: torch.float64, or torch.float32, which halves their memory but changes a sum by at most about
        2^-24 * 1.45 half_life of its largest absolute value, and loses products below 1e-38.

    Attributes
    ----------
    records : int
        Number of records so far.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> store = Forgetting({"weight": torch.zeros(1)}, half_life=1)
    >>> for loss in (3.0, 6.0):
    ...     store.update(loss, {"weight": torch.ones(1)})
    >>> store.scores["weight"].item()  # (6 + 3 / 2) / (1 + 1 / 2)
    5.0
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        *,
        half_life: float,
        statistic: str = "causal",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if not weights:
            raise ValueError("weights must name at least one tensor")
        if isinstance(half_life, bool) or not 0 < half_life < math.inf:
            raise ValueError(f"half_life must be positive and finite, got {half_life!r}")
        if statistic not in STATISTICS:
            raise ValueError(f"statistic must be one of {STATISTICS}, got {statistic!r}")
        if dtype not in (torch.float64, torch.float32):
            raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype!r}")
        self.half_life, self.statistic, self.dtype, self.records = float(half_life), statistic, dtype, 0
        self._sums = {name: torch.zeros_like(w, dtype=dtype, requires_grad=False) for name, w in weights.items()}
        # Number of records when each weight was last reset.
        self._since = {name: torch.zeros_like(w, dtype=torch.int64) for name, w in self._sums.items()}

    @torch.no_grad()
    def update(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one record: the change of the loss (0-d) and of every weight {name: Tensor}. Tensors are not stored.

        Raises
        ------
        TypeError, ValueError
            If names or shapes differ, a change is not a Tensor or a value is not finite; the store is unchanged.
            On a device other than the CPU, non-finite values are detected at every access to `scores` after the update,
            until an earlier state is loaded.
        """
        loss = torch.as_tensor(delta_loss, dtype=torch.float64)
        if loss.ndim:
            raise ValueError(f"delta_loss must be a number or a 0-d Tensor, got shape {tuple(loss.shape)}")
        if loss.device.type == "cpu" and not bool(loss.isfinite()):
            raise ValueError(f"delta_loss must be finite, got {loss.item()}")
        check_changes(delta_weights, self._sums)
        for name, change in delta_weights.items():
            # The norm needs one pass over memory, and is not finite if one value is not.
            if change.device.type == "cpu" and not torch.linalg.vector_norm(change, dtype=torch.float64).isfinite():
                raise ValueError(f"delta_weights[{name!r}] must be finite, got NaN or infinite values")
        keep = math.exp2(-1 / self.half_life)
        for name, change in delta_weights.items():
            wide = change.to(self.dtype)
            first = wide if self.statistic == "squared_updates" else wide * loss.to(wide.device)
            self._sums[name].mul_(keep).addcmul_(first, wide)
        self.records += 1

    @torch.no_grad()
    def forget(self, places: Mapping[str, Tensor]) -> None:
        """Reset the weights where {name: bool Tensor} is True, as if they had no records."""
        for name, where in places.items():
            self._sums[name].masked_fill_(where, 0.0)
            self._since[name].masked_fill_(where, self.records)

    @property
    def means(self) -> dict[str, Tensor]:
        """Weighted means with their signs, float64; 0 for a weight without a record since its reset.

        ValueError is raised before the first record, or if a sum is not finite (the message names the tensor).
        """
        if not self.records:
            raise ValueError("no record yet: call update first")
        rate, found = math.log(2) / self.half_life, {}
        for name, total in self._sums.items():
            if not bool(total.isfinite().all()):
                raise ValueError(
                    f"the sums of {name!r} are not finite: a change was not, or {self.dtype} was too short"
                )
            # The divisor is the sum of 2^(-j / half_life) over j = 0 .. age - 1; for age 0, whose sum is 0, it is 1.
            age = (self.records - self._since[name]).clamp_min_(1)
            found[name] = total.double() / (age.double().mul_(-rate).expm1_() / math.expm1(-rate))
        return found

    @property
    def scores(self) -> dict[str, Tensor]:
        """Absolute values of the means, float64, larger = keep; inf for a weight without a record since its reset.

        ValueError is raised as in `means`.
        """
        return {
            name: mean.abs().masked_fill_(self._since[name] == self.records, math.inf)
            for name, mean in self.means.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state, in plain tensors, numbers and strings."""
        return {
            "settings": self._settings,
            "records": self.records,
            "sums": {name: total.clone() for name, total in self._sums.items()},
            "since": {name: record.clone() for name, record in self._since.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, records: int | None = None) -> None:
        """Resume from a `state_dict` of the same settings, with this number of records if it is given.

        TypeError or ValueError is raised if a part does not fit; the message names it, and the store is unchanged.
        """
        _state.parts("state", state, ("settings", "records", "sums", "since"))
        _state.same("state['settings']", state["settings"], self._settings)
        (found,) = _state.counts("state['records']", [state["records"]], 1)
        if records not in (None, found):
            raise ValueError(f"state['records'] must be the recorder's {records}, got {found}")
        sums = _state.tensors("state['sums']", state["sums"], self._sums, self.dtype)
        since = _state.tensors("state['since']", state["since"], self._since, torch.int64)
        for name, record in since.items():
            if bool(((record < 0) | (record > found)).any()):
                raise ValueError(f"state['since'][{name!r}] must lie in 0..{found}, the number of records")
            if self.statistic == "squared_updates" and bool((sums[name] < 0).any()):
                raise ValueError(f"state['sums'][{name!r}] must be sums of squares, got negative values")
            if bool(sums[name][record == found].any()):
                raise ValueError(f"state['sums'][{name!r}] must be 0 for weights without a record")
        self.records, self._sums, self._since = found, sums, since

    @property
    def _settings(self) -> dict[str, Any]:
        return {"half_life": self.half_life, "statistic": self.statistic}
