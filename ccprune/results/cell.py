"""One compared number: a cell of a paper's table, or of a claim."""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from ccprune.stats import VERDICTS, Interval

#: Profiles of a run, smallest first.
PROFILES = ("smoke", "default", "paper")
#: The profile of a cell that re-ran the authors' own files, whatever the run's profile.
AUTHORS = "authors"
PAPERS = ("legcnet", "causal")


@dataclass(frozen=True)
class Cell:
    """A number beside the published one.

    Attributes
    ----------
    paper, table
        "legcnet" or "causal"; "1" to "4", or a claim's name.
    dataset, method, quantity
        As in "cancer", "ft", "epochs".
    published
        The paper's figure, None where it prints none.
    ours
        Our figure, None where there is none (a benchmark never reached).
    ci_low, ci_high
        Interval of `ours`, both or neither.
    n
        Runs behind `ours`.
    verdict
        One of `ccprune.stats.VERDICTS`; "not_published" exactly when there is no published figure, unless
        "underspecified".
    note
        One line; names the trial where there are several.
    profile
        The run's profile, or "authors" for a re-run of the authors' files.

    Raises
    ------
    TypeError
        If a field has another type.
    ValueError
        If a field has another word, a number is not finite, or fields contradict each other.
    """

    paper: str
    table: str
    dataset: str
    method: str
    quantity: str
    published: float | None
    ours: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    verdict: str
    note: str
    profile: str

    def __post_init__(self):
        for name in ("paper", "table", "dataset", "method", "quantity", "verdict", "note", "profile"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a string, got {value!r}")
            if "\n" in value or not (value or name == "note"):
                raise ValueError(f"{name} must be one line of text, got {value!r}")
        for name, words in (("paper", PAPERS), ("verdict", VERDICTS), ("profile", (*PROFILES, AUTHORS))):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}; got {getattr(self, name)!r}")
        for name in ("published", "ours", "ci_low", "ci_high"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if self.n is not None:
            if isinstance(self.n, bool) or not isinstance(self.n, Integral):
                raise TypeError(f"n must be an integer or None, got {self.n!r}")
            if self.n < 1:
                raise ValueError(f"n must be at least 1, got {self.n}")
            object.__setattr__(self, "n", int(self.n))
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError(
                f"ci_low and ci_high must both be given or both be None, got {self.ci_low}, {self.ci_high}"
            )
        if self.ci_low is not None and self.ci_low > self.ci_high:
            raise ValueError(f"ci_low must not exceed ci_high, got {self.ci_low} and {self.ci_high}")
        if self.verdict != "underspecified" and (self.published is None) != (self.verdict == "not_published"):
            raise ValueError(
                f"verdict must be 'not_published' exactly when published is None, "
                f"got {self.verdict!r} with published {self.published}"
            )

    @classmethod
    def measured(
        cls,
        paper: str,
        table: str,
        dataset: str,
        method: str,
        quantity: str,
        interval: Interval,
        *,
        profile: str,
        note="",
    ) -> "Cell":
        """A number of ours that the paper does not print, with its interval."""
        numbers = (interval.estimate, interval.low, interval.high, interval.n)
        return cls(paper, table, dataset, method, quantity, None, *numbers, "not_published", note, profile)

    @property
    def key(self) -> tuple[str, ...]:
        """What may occur only once: trials of the authors' files are told apart by their note."""
        key = (self.paper, self.table, self.dataset, self.method, self.quantity)
        return (*key, AUTHORS, self.note) if self.profile == AUTHORS else key

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Cell":
        """Make a cell from a result file's JSON; ValueError names missing and unknown fields."""
        names = [field.name for field in fields(cls)]
        missing, unknown = [n for n in names if n not in values], [n for n in values if n not in names]
        if missing or unknown:
            raise ValueError(f"a cell's fields are {', '.join(names)}; missing {missing}, unknown {unknown}")
        return cls(**values)


def _number(name: str, value: Any) -> float | int | None:
    """Plain int or float of any finite real number, NumPy's included."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number or None, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite or None, got {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)
