"""One compared or measured number: a cell of a paper's table, the test of a claim, or a measurement."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ccprune.stats import Interval

#: Profiles of a run, smallest first.
PROFILES = ("smoke", "default", "paper")
#: Profile of a cell from a re-run of the authors' files, whatever the run's profile.
AUTHORS = "authors"
#: Method of a dense network of another initialisation: the noise floor of explanations, not a mask.
NOISE_FLOOR = "dense_other"
#: Kinds of cells: a printed figure, a claim of the paper, a comparison of ours beside a claim, a measurement on
#: series or networks without any effect, and any other measurement.
KINDS = ("figure", "claim", "control", "null_test", "measurement")
#: Kinds that are compared with something published. The other kinds are in the table of measurements.
COMPARED = ("figure", "claim", "control")
#: Possible verdicts of a figure.
VERDICTS = ("identical", "within_noise", "outside", "underspecified", "not_run")
#: Possible outcomes of a claim or control.
OUTCOMES = ("holds", "does_not_hold", "undecided", "cannot_be_known")
#: Sources of a published number: printed in the paper, stored in a file that its authors released, or derived from
#: their scripts.
ORIGINS = ("printed", "released", "derived")

_NUMBERS = ("sparsity", "published", "ours", "ci_low", "ci_high", "margin", "p_value", "detectable")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a result, and the published number or reference method that it is compared with.

    Attributes
    ----------
    paper : str
        Short name of the paper.
    table : str
        "1" to "4", or the name of a claim or measurement.
    dataset, method, quantity : str
        For example "cancer", "ft" and "epochs".
    reference : str, default ""
        Method that `method` is compared with, such as "dense"; empty without a comparison.
    sparsity : float, optional
        Pruned fraction at which the number was measured; None where the number does not depend on it.
    kind : str, default "measurement"
        One of `KINDS`.
    origin : str, default ""
        Source of `published`, one of `ORIGINS`; empty without a published number.
    published : float, optional
        The published number. Required for a figure.
    ours : float, optional
        Our number; None where there is none, for example because the benchmark was never reached.
    ci_low, ci_high : float, optional
        Ends of the interval of `ours`; both or neither.
    n : int, optional
        Number of runs, or of pairs of runs, behind `ours`.
    margin : float, optional
        Largest loss against the reference that still counts as "kept", in units of the quantity.
    p_value : float, optional
        Two-sided p-value of the claim's test, not corrected for the number of claims.
    verdict : str, default ""
        One of `VERDICTS` for a figure; empty for all other kinds.
    outcome : str, default ""
        One of `OUTCOMES` for a claim or control; empty for all other kinds.
    detectable : float, optional
        Smallest effect that this many runs detect with 80% power, in the units that the table's text names.
    trial : int, optional
        Number of the authors' trial that was re-run. Given exactly for profile "authors".
    note : str, default ""
        One line for readers. No program reads it.
    profile : str
        The run's profile, "authors" for a re-run of the authors' files, or empty for a figure that no run answers.

    Raises
    ------
    TypeError
        If a field has another type.
    ValueError
        If the value of a field is not permitted, a number is not finite, or fields contradict each other.
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
            _text(name, getattr(self, name), empty=name == "profile" and self.kind == "figure")
        for name in ("reference", "origin", "verdict", "outcome", "note"):
            _text(name, getattr(self, name), empty=True)
        _check_among("kind", self.kind, KINDS)
        _check_among("profile", self.profile, (*PROFILES, AUTHORS, *([""] if self.kind == "figure" else [])))
        _check_among("origin", self.origin, ("",) if self.published is None else ORIGINS)
        _check_among("verdict", self.verdict, VERDICTS if self.kind == "figure" else ("",))
        _check_among("outcome", self.outcome, OUTCOMES if self.kind in ("claim", "control") else ("",))
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
    def from_interval(
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
        """Make a cell from an interval.

        Parameters
        ----------
        paper, table, dataset, method, quantity, profile : str
            Fields of the same names.
        interval : Interval
            Gives `ours`, `ci_low`, `ci_high` and `n`.
        **more
            Further fields.

        Returns
        -------
        Cell
        """
        where = {"paper": paper, "table": table, "dataset": dataset, "method": method, "quantity": quantity}
        numbers = {"ours": interval.estimate, "ci_low": interval.low, "ci_high": interval.high, "n": interval.n}
        return cls(**where, **numbers, profile=profile, **more)

    @property
    def key(self) -> tuple[str, ...]:
        """Fields that together identify a cell. No two cells of a table share a key."""
        key = (self.paper, self.table, self.dataset, self.method, self.reference, self.quantity)
        return key + tuple("" if value is None else f"{value:g}" for value in (self.sparsity, self.margin, self.trial))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Cell":
        """Make a cell from the JSON of a result file.

        Parameters
        ----------
        values : dict
            A value for every field.

        Returns
        -------
        Cell

        Raises
        ------
        TypeError, ValueError
            As the class, and ValueError if fields are missing or unknown; the message names them.
        """
        names = [one.name for one in fields(cls)]
        missing, unknown = [n for n in names if n not in values], [n for n in values if n not in names]
        if missing or unknown:
            raise ValueError(f"values must hold the fields of a cell, got missing {missing}, unknown {unknown}")
        if values["kind"] == "null":  # of older files; readers of CSV files take it for a missing value
            values = values | {"kind": "null_test"}
        return cls(**values)


#: Function of a result file's path and content that returns its cells, including those computed from its raw runs.
Judge = Callable[[Path, Mapping[str, Any]], list[Cell]]


def _text(name: str, value: Any, *, empty: bool) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if "\n" in value or not (value or empty):
        raise ValueError(f"{name} must be one line of text, got {value!r}")


def _check_among(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")


def _count(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer or None, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def _number(name: str, value: Any) -> float | int | None:
    """Convert a finite real number, including NumPy's, to a plain int or float."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number or None, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite or None, got {value!r}")
    return int(value) if isinstance(value, Integral) else float(value)
