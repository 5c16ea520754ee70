"""Registry of all criteria by name, for tables with a row for each of them.

    criteria.score("snip", model, x=x, y=y)

A criterion is any function that takes some of `GIVEN` by these names and returns scores {name: Tensor}, larger = keep.
`register` adds a criterion, which then appears in every table over `list_criteria`. docs/add_a_criterion.md is a guide.
"""

from ccprune.criteria import _builtin as _own  # noqa: F401 - registers the library's
from ccprune.criteria._recording import Recording
from ccprune.criteria._registry import GIVEN, Criterion, get, list_criteria, register, score

__all__ = ["GIVEN", "Criterion", "Recording", "get", "register", "list_criteria", "score"]
