"""z-statistics of the covariance between the loss change and squared weight changes, from blocks of records."""

from collections.abc import Mapping

import torch
from scipy import special
from torch import Tensor

from ccprune._util.changes import check_changes
from ccprune._util.checks import require_at_least


class BlockCovariance:
    """Streaming test of each weight's marginal coefficient, for records that depend on their predecessors.

    The records are divided into consecutive blocks. In each block the covariance of dL_t and (dtheta_k,t)^2 is computed
    about the block's own means, which removes slow drift. The blocks' covariances are then compared with zero by
    Student's t-test (batch means), so the effective sample size is the number of blocks, whatever the dependence
    within them. Blocks that are not long against the correlation time of the records have less power. A weight needs
    four float64 numbers.

    Parameters
    ----------
    block : int, default 20
        Number of records in a block, at least 2.

    Examples
    --------
    >>> tests = BlockCovariance(block=2)
    >>> for loss, change in [(0.0, 1.0), (1.0, 2.0), (0.0, 1.0), (1.5, 2.0), (0.0, 1.0), (1.0, 2.0)]:
    ...     tests.update(loss, {"weight": torch.tensor([change, 1.0])})
    >>> [round(z, 1) for z in tests.z["weight"].tolist()]  # t = 7 with 2 degrees of freedom; a constant change
    [2.3, 0.0]
    """

    def __init__(self, *, block: int = 20) -> None:
        require_at_least(2, block=block)
        self.block, self.blocks = block, 0
        self._records, self._loss = 0, 0.0  # of the current block
        self._sums: dict[str, Tensor] = {}  # x, dL x, c, c^2 in the first dimension

    @torch.no_grad()
    def update(self, delta_loss: Tensor | float, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step: its change of the loss (0-d) and of every weight {name: Tensor}.

        A TypeError or ValueError names an invalid argument. Values that are not finite are found by `z`.
        """
        check_changes(delta_weights, {name: tuple(sums.shape[1:]) for name, sums in self._sums.items()} or None)
        loss = float(delta_loss)
        self._records += 1
        self._loss += loss
        for name, change in delta_weights.items():
            if name not in self._sums:
                self._sums[name] = change.new_zeros(4, *change.shape, dtype=torch.float64)
            feature = change.double().square()
            self._sums[name][0] += feature
            self._sums[name][1].add_(feature, alpha=loss)
        if self._records == self.block:
            for sums in self._sums.values():
                covariance = (sums[1] - self._loss / self.block * sums[0]) / (self.block - 1)
                sums[2] += covariance
                sums[3] += covariance.square()
                sums[:2] = 0
            self._records, self._loss, self.blocks = 0, 0.0, self.blocks + 1

    @property
    def z(self) -> dict[str, Tensor]:
        """Statistics of every weight, N(0, 1) where the covariance is zero; 0 for a weight that never changed.

        Records after the last full block are not used. A ValueError is raised before the second full block, and if
        loss changes or weight changes were not finite.
        """
        if self.blocks < 2:
            raise ValueError(f"z needs at least 2 full blocks of {self.block} records, got {self.blocks}")
        found = {}
        for name, (_, _, total, squares) in self._sums.items():
            mean = total / self.blocks
            error = ((squares / self.blocks - mean.square()).clamp_min(0) / (self.blocks - 1)).sqrt()
            t = torch.where(mean == 0, 0.0, mean / error).cpu()
            if bool(t.isnan().any()):
                raise ValueError(f"changes of {name!r} and of the loss must be finite, got NaN or infinite values")
            tail = torch.as_tensor(special.stdtr(self.blocks - 1, -t.abs().numpy()))
            found[name] = torch.where(t == 0, 0.0, -torch.special.ndtri(tail) * t.sign()).to(total.device)
        return found
