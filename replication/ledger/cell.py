"""One compared or measured number: a cell of a paper's table, the test of a claim, or a measurement."""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from ccprune.stats import Interval

#: Profiles of a run, smallest first.
PROFILES = ("smoke", "default", "paper")
#: The profile of a cell that re-ran the authors' own files, whatever the run's profile.
AUTHORS = "authors"
PAPERS = ("legcnet", "causal")
#: What a cell is: a printed figure, a claim of the paper, a comparison of ours beside a claim, a measurement on
#: series or networks in which there is nothing to find, any other measurement.
KINDS = ("figure", "claim", "control", "null", "measurement")
#: Kinds that are held against something published; the others are in the table of measurements.
COMPARED = ("figure", "claim", "control")
#: What a figure's verdict may be.
VERDICTS = ("identical", "within_noise", "outside", "underspecified", "not_run")
#: What the outcome of a claim or control may be.
OUTCOMES = ("holds", "does_not_hold", "undecided", "cannot_be_known")
#: Where a published number stands: in the paper, in a file that its authors released, or nowhere, but computed from
#: what their scripts fix.
ORIGINS = ("printed", "released", "derived")

_NUMBERS = ("sparsity", "published", "ours", "ci_low", "ci_high", "margin", "p_value", "detectable")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number, with what it is held against.

    Attributes
    ----------
    paper, table
        "legcnet" or "causal"; "1" to "4", or the name of a claim or measurement.
    dataset, method, reference, quantity
        As in "cancer", "ft", "dense", "epochs"; `reference` is empty where nothing is compared.
    sparsity
        Pruned fraction at which it was measured, None where it does not belong to one.
    kind
        One of `KINDS`.
    published, origin
        The published number, None where there is none, and where it stands (one of `ORIGINS`).
    ours
        Our number, None where there is none (a benchmark never reached).
    ci_low, ci_high
        Interval of `ours`, both or neither.
    n
        Runs or pairs of runs behind `ours`.
    margin
        How much worse than the reference still counts as "kept", in units of the quantity.
    p_value
        Two-sided p of the claim's test, not corrected for the number of claims.
    verdict
        Of a figure, one of `VERDICTS`, and of nothing else.
    outcome
        Of a claim or control, one of `OUTCOMES`, and of nothing else.
    detectable
        Smallest effect that this many runs would have found with 80% power, in the units that the table's text names.
    trial
        Which of the authors' trials was re-run, None for all other numbers.
    note
        One line for readers; no program reads it.
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
    reference: str = ""
    sparsity: float | None = None
    quantity: str
    kind: str = "measurement"
    origin: str = ""
    published: float | None = None
    ours: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    margin: float | None = None
    p_value: float | None = None
    verdict: str = ""
    outcome: str = ""
    detectable: float | None = None
    trial: int | None = None
    note: str = ""
    profile: str

    def __post_init__(self):
        for name in ("paper", "table", "dataset", "method", "quantity", "kind", "profile"):
            _text(name, getattr(self, name), empty=False)
        for name in ("reference", "origin", "verdict", "outcome", "note"):
            _text(name, getattr(self, name), empty=True)
        _among("paper", self.paper, PAPERS)
        _among("kind", self.kind, KINDS)
        _among("profile", self.profile, (*PROFILES, AUTHORS))
        _among("origin", self.origin, ("",) if self.published is None else ORIGINS)
        _among("verdict", self.verdict, VERDICTS if self.kind == "figure" else ("",))
        _among("outcome", self.outcome, OUTCOMES if self.kind in ("claim", "control") else ("",))
        for name in _NUMBERS:
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("n", "trial"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        if (self.trial is not None) != (self.profile == AUTHORS):
            raise ValueError(f"trial must be given exactly for profile {AUTHORS!r}, got {self.trial!r}")
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError(
                f"ci_low and ci_high must both be given or both be None, got {self.ci_low}, {self.ci_high}"
            )
        if self.ci_low is not None and self.ci_low > self.ci_high:
            raise ValueError(f"ci_low must not exceed ci_high, got {self.ci_low} and {self.ci_high}")
        if self.p_value is not None and not 0 <= self.p_value <= 1:
            raise ValueError(f"p_value must lie in [0, 1], got {self.p_value}")
        if self.kind == "figure" and self.published is None:
            raise ValueError("published must be given for kind 'figure', got None")

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
        **more: Any,
    ) -> "Cell":
        """A number of ours with its interval; `more` are further fields."""
        where = {"paper": paper, "table": table, "dataset": dataset, "method": method, "quantity": quantity}
        numbers = {"ours": interval.estimate, "ci_low": interval.low, "ci_high": interval.high, "n": interval.n}
        return cls(**where, **numbers, profile=profile, **more)

    @property
    def key(self) -> tuple[str, ...]:
        """What may occur only once, among the trials of the authors' files or among all other numbers."""
        key = (self.paper, self.table, self.dataset, self.method, self.reference, self.quantity)
        return key + tuple("" if value is None else f"{value:g}" for value in (self.sparsity, self.margin, self.trial))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Cell":
        """Make a cell from a result file's JSON; ValueError names missing and unknown fields."""
        names = [one.name for one in fields(cls)]
        missing, unknown = [n for n in names if n not in values], [n for n in values if n not in names]
        if missing or unknown:
            raise ValueError(f"a cell's fields are {', '.join(names)}; missing {missing}, unknown {unknown}")
        return cls(**values)


def _text(name: str, value: Any, *, empty: bool) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if "\n" in value or not (value or empty):
        raise ValueError(f"{name} must be one line of text, got {value!r}")


def _among(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}; got {value!r}")


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer or None, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def _number(name: str, value: Any) -> float | int | None:
    """Plain int or float of any finite real number, NumPy's included."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number or None, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite or None, got {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)
