"""The authors' fit without the trajectory: one number per weight, and the condition under which that is the same.

`truncated_gradient` ends at g = soft(A, u) with A = sum of eta_t (y_t - x_t . g) x_t and u = alpha * sum of eta_t.
Where predictions x_t . g are negligible against y_t this is a threshold on a sum that is kept while training goes on:

    g_k is not 0  <=>  |sum_t w_t dL_t (dtheta_k,t)^2| > alpha,    w_t = (record t's step sizes) / (sum of step sizes)
    g_k is not 0  <=>  |S_k| / T > alpha,    S_k = sum_t dL_t (dtheta_k,t)^2,    where all steps are equal (power_t = 0)

With steps that shrink, early records weigh more. The order is random in the authors' program, so the weighted mean is
S_k / T on average and differs from it by std(w) / mean(w) times its standard error (`record_weights`). The threshold
is the same for every exponent, but that difference is three to four times as large with t^-0.25 (2024) as with t^-0.1.

|S| / T is a covariance without centring, with the unit of loss times weight^2: alpha moves with the square of the
learning rate, or with its cube where dL is taken on the same mini-batch. There dL is mostly its own mean, and S close
to a plain sum of squared updates.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune.lasso._blocks import Blocks
from ccprune.lasso.condition import LIMIT, Condition, bound
from ccprune.lasso.problem import check_penalty
from ccprune.mask import Mask


class Screen:
    """Streaming store of the screen's statistic, fed by `update` after each training step.

    It keeps one number per prunable weight (three and the previous change with `momentum`), and per step dL and one
    norm per tensor. Sums stay on the weights' device; no step waits for it, but the first with `momentum`.

    Parameters
    ----------
    momentum : bool
        Three features per weight instead of its squared change: the squared change of the step before, that of this
        step, and their product (Shah et al. 2024); a weight stays if any of them passes. The first update is then no
        record, only the step before.
    dtype : torch.dtype
        Of the sums: torch.float64, or torch.float32, which halves their memory. Either way dL times a feature is taken
        and added in float64. Rounding the sum to float32 after each record moves |S| by at most 2^-24 times the sum
        over the records of what |S| was then, so by T 2^-24 (3e-5 for 500 records) of all that was added in size;
        over 500 records it was 2e-6 at most and 2e-7 typically. A mask of a given count then differs in weights whose
        scores agree to six digits. In float32 dL times a feature may be 1e-57 to 1e19 in size.

    Raises
    ------
    ValueError
        For another dtype.
    """

    def __init__(self, *, momentum: bool = False, dtype: torch.dtype = torch.float64) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype!r}")
        self.momentum, self.dtype = momentum, dtype
        self._blocks: Blocks | None = None
        self._rows: list[Tensor] = []  # per record: dL, then ||x_t||_2 of each tensor

    @torch.no_grad()
    def update(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        """Adds one step: its change of the loss (0-d) and of every weight {name: Tensor}. Tensors are not kept.

        While it runs it takes 2 MB more, with momentum 6, on an accelerator 32 times that.

        Raises TypeError or ValueError naming the argument, with everything as it was before the call. On a device
        other than the CPU a value that is not finite is left out in the same way, but the error comes when something
        is read next, once.
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
        # Features are made twice rather than held for all weights at once: nothing is added before all is known to be
        # finite.
        row = torch.cat([loss[None], self._blocks.norms(delta_weights)])
        finite = torch.isfinite(row).all()
        if not _asynchronous(device):
            if not finite:
                raise ValueError(self._complaint(row))
            finite = None  # known: nothing need be left out
        self._blocks.add(delta_weights, loss, finite)
        self._rows.append(row)

    def restart(self) -> None:
        """The next step does not follow the last: with momentum it is no record, only the step before."""
        if self._blocks is not None:
            self._blocks.follows = False

    @property
    def records(self) -> int:
        """Number of records T taken in."""
        return len(self._table())

    @property
    def scores(self) -> dict[str, Tensor]:
        """|S| / T of every weight, float64, the largest of the three with momentum; a ranking that needs no condition.

        Raises ValueError before the first record, and when sums overflowed `dtype`.
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
        """Bounds the predictions of `truncated_gradient` with these settings, for any order of the records, any alpha.

        How: `ccprune.lasso.condition`.

        Parameters
        ----------
        eta0, power_t, batch_size, max_iter
            As in `truncated_gradient`.
        scope : str
            "layer": each tensor has a fit of its own (2024). "global": one fit over all (2025).
        scale : float
            What the squared changes are multiplied by before the fit: 1 / learning rate^2 in the 2025 protocol. A
            factor on dL changes nothing.

        Raises
        ------
        ValueError
            Naming the argument, or before the first record.
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
        """The weights with |S| / T > alpha, in the units of dL times weight^2; see `masks`."""
        return self.masks([alpha], condition=condition)[0]

    def masks(self, alphas: Sequence[float], *, condition: Condition | None = None) -> tuple[Mask, ...]:
        """One mask per penalty: what `truncated_gradient` would keep if all its steps were equal.

        `condition` is that of the solver's settings, by default the 2024 protocol's. Raises ValueError, naming the
        ratio and the limit, where it does not hold or belongs to other records. Takes no memory but the masks'.
        """
        for alpha in alphas:
            check_penalty(alpha)
        condition = self.condition() if condition is None else condition
        if condition.records != len(self._rows):
            raise ValueError(f"condition is of {condition.records} records, the screen has {len(self._rows)}")
        if not condition.holds:
            raise ValueError(
                f"the screen does not stand for the fit here: predictions in {condition.tensor!r} may reach "
                f"{condition.ratio:.3g} of the root mean square of dL, the limit is {LIMIT:g}; rank by `scores`, or "
                "store the records and fit them"
            )
        return tuple(Mask(self._blocks.above(len(self._rows), alpha)) for alpha in alphas)

    def _check(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        if isinstance(delta_loss, bool) or not isinstance(delta_loss, Tensor | float | int):
            raise TypeError(f"delta_loss must be a number or a 0-d Tensor, got {type(delta_loss).__name__}")
        if isinstance(delta_loss, Tensor) and delta_loss.ndim != 0:
            raise ValueError(f"delta_loss must be a number or a 0-d Tensor, got shape {tuple(delta_loss.shape)}")
        check_changes(delta_weights, None if self._blocks is None else self._blocks.shapes)

    def _table(self) -> Tensor:
        """Changes dL and norms (T, 1 + tensors) on the CPU; raises once for what was left out on another device."""
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
