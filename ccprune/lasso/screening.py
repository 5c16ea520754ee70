"""Causal pruning's fit (Shah et al., 2024) without a stored trajectory, and the condition under which the two agree.

`truncated_gradient` ends at g = soft(A, u) with A = sum of eta_t (y_t - x_t . g) x_t and u = alpha * sum of eta_t.
Where predictions x_t . g are negligible against y_t, this is a threshold on a sum that can be updated during training,
with one number per weight:

    g_k is not 0  <=>  |sum_t w_t dL_t (dtheta_k,t)^2| > alpha,    w_t = (record t's step sizes) / (sum of step sizes)
    g_k is not 0  <=>  |S_k| / T > alpha,    S_k = sum_t dL_t (dtheta_k,t)^2,    where all steps are equal (power_t = 0)

With decreasing steps, early records have larger weights; `record_weights` returns these weights.

|S| / T is a covariance without centring, in the unit of loss times weight^2. Alpha therefore scales with the square of
the learning rate, or with its cube where dL is computed on the same mini-batch. In that case dL is close to its mean,
and S is close to a plain sum of squared updates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune.lasso._blocks import Blocks
from ccprune.lasso.condition import LIMIT, Condition, bound
from ccprune.lasso.problem import check_penalty
from ccprune.mask import Mask


class Screen:
    """Streaming store of the screening statistic, updated by `update` after each training step.

    It holds one number per prunable weight (three and the previous change with `momentum`), on its device, and for each
    step dL and one norm per tensor. No step waits for the device, except the first with `momentum`.

    Parameters
    ----------
    momentum : bool, default False
        Use three features per weight: the squared change of the previous step, that of the current step, and the
        product of the two changes (Shah et al. 2024). A weight is kept if any of the three exceeds the threshold. The
        first update then adds no record.
    dtype : torch.dtype, default torch.float64
        Type of the sums: torch.float64, or torch.float32, which halves their memory and changes |S| by at most T 2^-24
        of the sum of the absolute values of the terms, which may range from 1e-57 to 1e19.

    Examples
    --------
    >>> screen = Screen()
    >>> for loss, change in [(-1.0, 1.0), (-3.0, 2.0)]:
    ...     screen.update(loss, {"weight": torch.tensor([change, 0.0])})
    >>> screen.scores["weight"]  # |-1 * 1 - 3 * 4| / 2
    tensor([6.5000, 0.0000], dtype=torch.float64)
    """

    def __init__(self, *, momentum: bool = False, dtype: torch.dtype = torch.float64) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype!r}")
        self.momentum, self.dtype = momentum, dtype
        self._blocks: Blocks | None = None
        self._rows: list[Tensor] = []  # per record: dL, then ||x_t||_2 of each tensor

    @torch.no_grad()
    def update(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step: its change of the loss (0-d) and of every weight {name: Tensor}. Tensors are not stored.

        A TypeError or ValueError names an invalid argument, and the screen is unchanged. On a device other than the CPU
        a step with a value that is not finite is left out, too, but the next access to the records raises the error.
        """
        self._check(delta_loss, delta_weights)
        if self._blocks is None:
            self._blocks = Blocks(delta_weights, features=3 if self.momentum else 1, dtype=self.dtype)
        if self.momentum and not self._blocks.follows:
            for name, change in delta_weights.items():
                if not bool(torch.isfinite(change).all()):
                    raise ValueError(f"delta_weights[{name!r}] must be finite, got NaN or infinite values")
            self._blocks.remember(delta_weights)
            return
        device = next(iter(delta_weights.values())).device
        loss = torch.as_tensor(delta_loss, dtype=torch.float64, device=device)
        # Features are computed twice instead of being stored for all weights, because nothing may be added before all
        # values are known to be finite.
        row = torch.cat([loss[None], self._blocks.norms(delta_weights)])
        finite = torch.isfinite(row).all()
        if not _asynchronous(device):
            if not finite:
                raise ValueError(self._complaint(row))
            finite = None  # known to be finite, so that no value must be masked
        self._blocks.add(delta_weights, loss, finite)
        self._rows.append(row)

    def restart(self) -> None:
        """Mark the next step as not following the last; with momentum it only provides the previous step."""
        if self._blocks is not None:
            self._blocks.follows = False

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the records in plain tensors; without momentum they are all that the next steps need."""
        sums = [] if self._blocks is None else self._blocks.sums
        return {"rows": [row.clone() for row in self._rows], "sums": [part.clone() for part in sums]}

    def load_state_dict(self, state: Mapping[str, Any], like: Mapping[str, Tensor]) -> None:
        """Replace the records by saved ones of changes with the names, shapes, types and devices of `like`."""
        self._blocks = None
        if state["sums"]:
            self._blocks = Blocks(like, features=3 if self.momentum else 1, dtype=self.dtype)
            torch._foreach_copy_(self._blocks.sums, state["sums"])
        device = next(iter(like.values())).device
        self._rows = [row.to(device, copy=True) for row in state["rows"]]

    @property
    def records(self) -> int:
        """Number of records T so far."""
        return len(self._table())

    @property
    def scores(self) -> dict[str, Tensor]:
        """|S| / T of every weight, float64; with momentum the largest of the three. The ranking needs no condition.

        A ValueError is raised before the first record, and if sums overflowed `dtype`.
        """
        records = len(self._table())
        if records == 0:
            raise ValueError("no record yet: call update first")
        return self._blocks.largest(records)

    def condition(
        self,
        *,
        eta0: float = 0.01,
        power_t: float = 0.25,
        batch_size: int = 1,
        max_iter: int = 1000,
        scope: str = "layer",
        scale: float = 1.0,
    ) -> Condition:
        """Bound the predictions of `truncated_gradient` for any order of the records and any alpha.

        Parameters
        ----------
        eta0, power_t : float, default 0.01 and 0.25
            The solver's step size is `eta0 / t**power_t` at step t.
        batch_size, max_iter : int, default 1 and 1000
            The solver's records in a step, and largest number of passes.
        scope : str, default "layer"
            "layer": one fit for each tensor (2024). "global": one fit over all tensors (2025).
        scale : float, default 1.0
            Factor of the squared changes before the fit: 1 / learning rate^2 in the 2025 protocol.

        Raises
        ------
        ValueError
            If an argument is invalid (the message names it), or before the first record.
        """
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {scale!r}")
        table = self._table().numpy()
        if len(table) == 0:
            raise ValueError("no record yet: call update first")
        return bound(
            table[:, 0],
            dict(zip(self._blocks.shapes, table[:, 1:].T * scale, strict=True)),
            eta0=eta0,
            power_t=power_t,
            batch_size=batch_size,
            max_iter=max_iter,
            scope=scope,
        )

    def mask(self, alpha: float, *, condition: Condition | None = None) -> Mask:
        """Keep the weights with |S| / T > alpha, in units of dL times weight^2; see `masks`."""
        return self.masks([alpha], condition=condition)[0]

    def masks(self, alphas: Sequence[float], *, condition: Condition | None = None) -> tuple[Mask, ...]:
        """Return one mask per penalty, with the weights that `truncated_gradient` would keep with equal steps.

        The penalties `alphas` are in units of dL times weight^2. The `condition` for the settings of the solver is by
        default `condition()`, with those of Shah et al. (2024). A ValueError is raised if it does not hold (the message
        states the ratio and the limit) or belongs to other records.
        """
        for alpha in alphas:
            check_penalty(alpha)
        condition = self.condition() if condition is None else condition
        if condition.records != len(self._rows):
            raise ValueError(f"condition is of {condition.records} records, the screen has {len(self._rows)}")
        if not condition.holds:
            raise ValueError(
                f"the screen does not approximate the fit here: predictions in {condition.tensor!r} may reach "
                f"{condition.ratio:.3g} of the root mean square of dL, the limit is {LIMIT:g}; rank by `scores`, or "
                "store the records and fit them"
            )
        return tuple(Mask(self._blocks.exceeds(len(self._rows), alpha)) for alpha in alphas)

    def _check(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        if isinstance(delta_loss, bool) or not isinstance(delta_loss, Tensor | float | int):
            raise TypeError(f"delta_loss must be a number or a 0-d Tensor, got {type(delta_loss).__name__}")
        if isinstance(delta_loss, Tensor) and delta_loss.ndim != 0:
            raise ValueError(f"delta_loss must be a number or a 0-d Tensor, got shape {tuple(delta_loss.shape)}")
        check_changes(delta_weights, None if self._blocks is None else self._blocks.shapes)

    def _table(self) -> Tensor:
        """Return dL and norms (T, 1 + tensors) on the CPU; raises once if another device left out steps."""
        if not self._rows:
            return torch.zeros(0, 1, dtype=torch.float64)
        table = torch.stack(self._rows).cpu()
        bad = ~torch.isfinite(table).all(1)
        if bool(bad.any()):
            self._rows = [row for row, left_out in zip(self._rows, bad.tolist(), strict=True) if not left_out]
            raise ValueError(self._complaint(table[bad][0]))
        return table

    def _complaint(self, row: Tensor) -> str:
        names = ("delta_loss", *(f"delta_weights[{name!r}]" for name in self._blocks.shapes))
        first = int((~torch.isfinite(row)).to(torch.int8).argmax())
        return f"{names[first]} must be finite, got NaN or infinite values; the step was left out"


def _asynchronous(device: torch.device) -> bool:
    return device.type != "cpu"
