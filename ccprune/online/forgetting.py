"""Scores of a stream: the screen's sum with exponential forgetting."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune.online import _state

STATISTICS = ("causal", "squared_updates")


class Forgetting:
    """Store for a `Recorder` whose records count half after `half_life` more of them.

    For each weight the weighted mean over the records s <= t since it was last forgotten (or since the beginning),

        sum_s 2^(-(t - s) / half_life) dL_s dtheta_s^2 / sum_s 2^(-(t - s) / half_life),

    which is the statistic of `lasso.Screen` (Shah et al., 2024) where nothing fades. The division is the correction
    that Adam makes for its beginning (Kingma and Ba, 2015, section 3): a weight that was let in late is not taken for
    one that does little. Two numbers per weight; on an accelerator no step waits.

    Parameters
    ----------
    weights : {name: Tensor}
        Those that will be recorded, as `mask.prunable` gives them; only shapes and devices are looked at.
    half_life : float
        In records: one per step, but for those that a `Recorder` drops when it restarts.
    statistic : str
        "causal" as above, or "squared_updates" with 1 for dL, which never looks at the loss.
    dtype : torch.dtype
        Of the sums, torch.float64 or torch.float32, which halves their memory. In float32 each record is rounded, which
        moves a sum by at most about 2^-24 * 1.45 half_life of the largest size it had; products below 1e-38 are lost.

    Attributes
    ----------
    records : int
        Taken in so far.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
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
        # Number of records there were when each weight was last forgotten.
        self._since = {name: torch.zeros_like(w, dtype=torch.int64) for name, w in self._sums.items()}

    @torch.no_grad()
    def update(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        """Takes one record: the change of the loss (0-d) and of every weight {name: Tensor}. Tensors are not kept.

        Raises ValueError naming the argument for other names or shapes and for values that are not finite, with
        everything as it was. On a device other than the CPU these are found when `scores` are next read, and again
        whenever they are, until a state from before is loaded.
        """
        loss = torch.as_tensor(delta_loss, dtype=torch.float64)
        if loss.ndim:
            raise ValueError(f"delta_loss must be a number or a 0-d Tensor, got shape {tuple(loss.shape)}")
        if loss.device.type == "cpu" and not bool(loss.isfinite()):
            raise ValueError(f"delta_loss must be finite, got {loss.item()}")
        check_changes(delta_weights, self._sums)
        for name, change in delta_weights.items():
            # The norm is one pass over memory, and is not finite if one number is not.
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
        """What was recorded of the weights where {name: bool Tensor} is True is as if it had not been."""
        for name, where in places.items():
            self._sums[name].masked_fill_(where, 0.0)
            self._since[name].masked_fill_(where, self.records)

    @property
    def means(self) -> dict[str, Tensor]:
        """The weighted means with their signs, float64; 0 for a weight that has no record since it was forgotten.

        Raises ValueError before the first record, and naming the weight when a sum is not finite.
        """
        if not self.records:
            raise ValueError("no record yet: call update first")
        for name, total in self._sums.items():
            if not bool(total.isfinite().all()):
                raise ValueError(
                    f"the sums of {name!r} are not finite: a change was not, or {self.dtype} was too short"
                )
        rate = math.log(2) / self.half_life
        found = {}
        for name, total in self._sums.items():
            # sum of 2^(-j / half_life) over j = 0 .. age - 1; 1 for age 0, whose sum is 0.
            age = (self.records - self._since[name]).clamp_min_(1)
            found[name] = total.double() / (age.double().mul_(-rate).expm1_() / math.expm1(-rate))
        return found

    @property
    def scores(self) -> dict[str, Tensor]:
        """Size of the means, float64, larger = keep; inf where nothing is known: no record since it was forgotten.

        Raises ValueError as `means`.
        """
        return {
            name: mean.abs().masked_fill_(self._since[name] == self.records, math.inf)
            for name, mean in self.means.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Copies of everything, in plain tensors, numbers and strings."""
        return {
            "settings": self._settings,
            "records": self.records,
            "sums": {name: total.clone() for name, total in self._sums.items()},
            "since": {name: record.clone() for name, record in self._since.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state_dict` of the same settings.

        Raises TypeError or ValueError naming the part that does not fit, with everything as it was.
        """
        _state.parts("state", state, ("settings", "records", "sums", "since"))
        _state.same("state['settings']", state["settings"], self._settings)
        (records,) = _state.counts("state['records']", [state["records"]], 1)
        sums = _state.tensors("state['sums']", state["sums"], self._sums, self.dtype)
        since = _state.tensors("state['since']", state["since"], self._since, torch.int64)
        for name, record in since.items():
            if bool(((record < 0) | (record > records)).any()):
                raise ValueError(f"state['since'][{name!r}] must lie in 0..{records}, the number of records")
        self.records, self._sums, self._since = records, sums, since

    @property
    def _settings(self) -> dict[str, Any]:
        return {"half_life": self.half_life, "statistic": self.statistic}
