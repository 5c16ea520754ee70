"""Figures that paper B's authors released in their follow-up repositories, each with its identity.

The file `replication/paper/causal_released.json` lists them group by group with source, settings and caveats. None of
them is printed in the paper: their origin is "released", or "derived" where the file computes them from released ones.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger.reading import InvalidFile, read_json

#: Name of the file, in the folder `paper/` of an output folder.
FILE = "causal_released.json"
#: Where a source checkout has the file.
PATH = Path(__file__).resolve().parents[2] / "paper" / FILE

_IDENTITY = ("group", "dataset", "model", "method", "sparsity_asked", "sparsity", "quantity", "rep", "value", "n")
_NEEDED = ("group", "dataset", "model", "method", "quantity", "value", "n", "source")
_FIELDS = ("title", "groups", "schedule_evidence", "noise_levels", "noise_draws", "eigenvalues_all", "cells")


@dataclass(frozen=True)
class Figure:
    """One released figure.

    Attributes
    ----------
    number : int
        Place in the file, from 1.
    group : str
        Group of figures that share their settings.
    source : str
        Repository, commit and file, as in "A@59e19d1a:results/scores_list.csv".
    network, dataset, method : str
        As in "resnet20", "cifar10", "causal".
    sparsity : float or None
        The wanted pruned fraction; where only the total of a schedule is known, the released share of zeros.
    zeros : float or None
        Released share of zeros over all tensors called weight, None where it was not released.
    quantity : str
        What was measured, as in "test_accuracy".
    repetition : int or None
        Number of the run, from 1, None where there is one run or several.
    value : float
        The figure.
    n : int
        Number of runs or draws behind the value.
    origin : str
        "released", or "derived" where it was computed from released figures.
    details : mapping
        Further conditions, such as "iterations", "level" (of noise) and "after_iteration".
    """

    number: int
    group: str
    source: str
    network: str
    dataset: str
    method: str
    sparsity: float | None
    zeros: float | None
    quantity: str
    repetition: int | None
    value: float
    n: int
    origin: str
    details: Mapping[str, Any]

    @property
    def identity(self) -> tuple[Any, ...]:
        """All conditions of the figure without its value; no two figures share it."""
        details = tuple(sorted((name, str(value)) for name, value in self.details.items()))
        where = (self.group, self.source, self.network, self.dataset, self.method, self.sparsity, self.quantity)
        return *where, self.repetition, details


@dataclass(frozen=True, eq=False)
class ReleasedFigures:
    """The whole file.

    Attributes
    ----------
    figures : tuple of Figure
        All figures, in the file's order.
    settings, caveats : mapping
        Settings, and tuples of sentences, by group.
    schedule : tuple of mapping
        Counts of zeros by network, method and schedule.
    noise_levels : tuple of float (20,)
        Levels of noise.
    noise_draws : mapping
        Relative losses by network and method, (levels, draws).
    eigenvalues : mapping of str to list of float
        The listed eigenvalues, by "network method sparsity".
    """

    figures: tuple[Figure, ...]
    settings: Mapping[str, Mapping[str, Any]]
    caveats: Mapping[str, tuple[str, ...]]
    schedule: tuple[Mapping[str, Any], ...]
    noise_levels: tuple[float, ...]
    noise_draws: Mapping[str, Mapping[str, list[list[float]]]]
    eigenvalues: Mapping[str, list[float]]

    def select(self, *groups: str, **wanted: Any) -> tuple[Figure, ...]:
        """Return the figures of some groups whose attributes or details have the wanted values.

        Parameters
        ----------
        *groups : str
            Names of the groups.
        **wanted
            Attributes of `Figure`, or names of details, with their values.

        Returns
        -------
        tuple of Figure
            In the file's order.
        """
        return tuple(
            figure
            for figure in self.figures
            if figure.group in groups and all(_get(figure, name) == value for name, value in wanted.items())
        )

    def one(self, *groups: str, **wanted: Any) -> Figure:
        """Return the only figure that `select` finds.

        Parameters
        ----------
        *groups : str
            Names of the groups.
        **wanted
            Attributes of `Figure`, or names of details, with their values.

        Returns
        -------
        Figure

        Raises
        ------
        ValueError
            If there is another number of figures.
        """
        found = self.select(*groups, **wanted)
        if len(found) != 1:
            raise ValueError(f"wanted must select one figure, got {len(found)} in {', '.join(groups)} for {wanted}")
        return found[0]


def load(path: str | os.PathLike = PATH) -> ReleasedFigures:
    """Read the released figures and check them against the file's own counts.

    Parameters
    ----------
    path : path-like, default `PATH`
        The file.

    Returns
    -------
    ReleasedFigures

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a count, a name or a value is not as the file states.
    """
    path = Path(path)
    try:
        content = read_json(path)
        missing = [name for name in _FIELDS if name not in content]
        if missing:
            raise ValueError(f"fields must include {', '.join(_FIELDS)}, got none named {missing[0]!r}")
        _check_counts(content)
        figures = tuple(_figure(number, cell) for number, cell in enumerate(content["cells"], start=1))
        _check_distinct(figures)
        _check_lists(content)
    except InvalidFile:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name}: {error}; restore the file from the repository") from error
    groups = content["groups"]
    return ReleasedFigures(
        figures,
        {name: group["settings"] for name, group in groups.items()},
        {name: tuple(group["caveats"]) for name, group in groups.items()},
        tuple(content["schedule_evidence"]["rows"]),
        tuple(content["noise_levels"]),
        content["noise_draws"],
        content["eigenvalues_all"],
    )


def _get(figure: Figure, name: str) -> Any:
    return getattr(figure, name) if name in figure.__dataclass_fields__ else figure.details.get(name)


def _figure(number: int, cell: Mapping[str, Any]) -> Figure:
    missing = [name for name in _NEEDED if name not in cell]
    if missing:
        raise ValueError(f"figure {number} must have {', '.join(_NEEDED)}, got none named {missing[0]!r}")
    value = cell["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"the value of figure {number} must be a finite number, got {value!r}")
    asked, zeros = cell.get("sparsity_asked"), cell.get("sparsity")
    return Figure(
        number=number,
        group=cell["group"],
        source=cell["source"],
        network=cell["model"],
        dataset=cell["dataset"],
        method=cell["method"],
        sparsity=zeros if asked is None else asked,
        zeros=zeros,
        quantity=cell["quantity"],
        repetition=cell.get("rep"),
        value=value,
        n=cell["n"],
        origin="derived" if cell.get("derived") else "released",
        details={name: item for name, item in cell.items() if name not in (*_IDENTITY, "source", "derived")},
    )


def _check_counts(content: Mapping[str, Any]) -> None:
    count = Counter(cell.get("group") for cell in content["cells"])
    unknown = sorted(str(name) for name in count.keys() - content["groups"].keys())
    if unknown:
        raise ValueError(f"every figure must belong to a listed group, got {unknown[0]!r}")
    for name, group in content["groups"].items():
        if count[name] != group["cells"]:
            raise ValueError(f"group {name!r} must have {group['cells']} figures, got {count[name]}")


def _check_distinct(figures: Iterable[Figure]) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for figure in figures:
        if figure.identity in seen:
            pair = f"{seen[figure.identity]} and {figure.number}"
            raise ValueError(f"figures must differ in their conditions, got the same ones for {pair}")
        seen[figure.identity] = figure.number


def _check_lists(content: Mapping[str, Any]) -> None:
    levels = len(content["noise_levels"])
    draws = {len(one) for network in content["noise_draws"].values() for part in network.values() for one in part}
    for network, methods in content["noise_draws"].items():
        for method, part in methods.items():
            if len(part) != levels or len(draws) != 1:
                raise ValueError(f"noise_draws must hold {levels} levels of equal size, got {network} {method}")
    for cell in content["cells"]:
        if cell["quantity"] == "eigenvalues_listed":
            name = f"{cell['model']} {cell['method']} {cell['sparsity_asked']:g}"
            if len(content["eigenvalues_all"].get(name, ())) != cell["value"]:
                raise ValueError(f"eigenvalues_all must hold {cell['value']} values of {name!r}")
