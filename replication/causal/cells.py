"""Paper B's measurements that are not concluded from curves, as cells."""

from collections.abc import Sequence
from typing import Any

from replication.causal.verdicts import mean
from replication.ledger import Cell


def cell(
    table: str, dataset: str, method: str, quantity: str, values: Sequence[float], *, profile: str, **more: Any
) -> Cell:
    """A measured number from one value per run: their mean with Student's interval, of a single run its value.

    `more` are further fields of the cell, such as `sparsity` or `note`.
    """
    where = {"paper": "causal", "table": table, "dataset": dataset, "method": method, "quantity": quantity}
    return Cell(**where, **mean(values), profile=profile, **more)


def paper_cell(
    sparsities: Sequence[Sequence[float]],
    share: float,
    iterations: int,
    *,
    epochs: int,
    architecture: str,
    dataset: str,
    profile: str,
) -> Cell:
    """The sparsity that the paper's lambda leads to, (runs, iterations), beside the one that its scripts imply.

    The paper's scripts let magnitude remove `share` of what is left in each iteration, 1 - (1 - share)^iterations in
    all. That number was never printed, so that it gets no verdict.
    """
    derived = {"published": round(1 - (1 - share) ** iterations, 3), "origin": "derived"}
    note = f"{epochs} epochs before and in each of {iterations} iterations; derived: what magnitude removes to match"
    final = [path[-1] for path in sparsities]
    table = f"protocol_2024-{architecture}"
    return cell(table, dataset, "causal", "sparsity", final, profile=profile, note=note, **derived)
