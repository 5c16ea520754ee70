"""What the released figures of paper B show by themselves, without training anything."""

from collections.abc import Callable

from replication.causal import released_accuracy, released_checks, released_flatness, released_shape
from replication.causal.released import Released
from replication.causal.released_text import Statement

#: One function for each statement, in the order of the page: the three claims, then how the figures were made.
STATEMENTS: tuple[Callable[[Released], Statement], ...] = (
    released_accuracy.resnet20,
    released_accuracy.lenet,
    released_accuracy.ablation,
    released_shape.drops,
    released_flatness.eigenvalues,
    released_flatness.noise,
    released_checks.shrinkbench,
    released_checks.schedules,
    released_checks.names,
)


def statements(released: Released) -> list[Statement]:
    """All statements, computed from the file."""
    return [make(released) for make in STATEMENTS]
