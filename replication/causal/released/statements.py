"""What the released figures of paper B show by themselves, without training anything."""

from collections.abc import Callable
from functools import lru_cache

from replication.causal.released import accuracy, checks, flatness, shape
from replication.causal.released.figures import ReleasedFigures
from replication.causal.released.text import Statement

#: One function for each statement, in the order of the page: the three claims, then how the figures were made.
STATEMENTS: tuple[Callable[[ReleasedFigures], Statement], ...] = (
    accuracy.resnet20,
    accuracy.lenet,
    accuracy.ablation,
    shape.drops,
    flatness.eigenvalues,
    flatness.noise,
    checks.shrinkbench,
    checks.schedules,
    checks.names,
)


@lru_cache(maxsize=1)  # a page asks several times
def statements(released: ReleasedFigures) -> tuple[Statement, ...]:
    """All statements, computed from the file."""
    return tuple(make(released) for make in STATEMENTS)
