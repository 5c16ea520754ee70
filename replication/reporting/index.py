"""Index of an output folder: README.md, the tables, their pages and a figure, made from its results."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication import ledger
from replication.ledger import units
from replication.ledger.cell import Judge
from replication.reporting import counts, released, statements
from replication.reporting.claims import margins, repaired_table, sections
from replication.reporting.figure import verdict_figure
from replication.reporting.judging import with_cache
from replication.reporting.markdown import table, title
from replication.reporting.missing import Planned, missing
from replication.reporting.pages import FOLDER, pages
from replication.reporting.tables import MEASUREMENTS_TABLE, VERDICTS_TABLE, Row, rows, texts

INDEX, FIGURE = "README.md", "verdicts.svg"

_VERDICTS = """\
- **identical**: a deterministic re-run of the authors' files gives the printed figure at the printed decimals, or a
  count that the design of a run fixes is the released one.
- **within noise**: the printed figure, which is one run, lies in the central 95% range of our single runs. Of fewer
  than 39 runs, this is the range from the smallest to the largest, with its coverage in the note. For released figures
  of LeNet, of which two or three networks were trained, it is Student's range of one further run. An interval of our
  mean, which the tables show too, is much narrower.
- **outside**: the re-run gives another figure, or the printed one lies outside that range.
- **underspecified**: a mask, a setting or the data that decides the figure was not released.
- **not run**: no run of ours has this figure yet."""
_OUTCOMES = """\
- **holds**, **does not hold**: paired runs show the claim, or its opposite, at a significance level of 5% (two-sided)
  after Holm's correction for the number of its cases. "Tested alone" is the outcome before that correction.
- **undecided**: these runs show neither. "Detectable" is the effect that a case tested alone would have detected with
  80% power: a difference of accuracies, of flatness a factor, of epochs the share of pairs in which one method needs
  fewer. After the correction a larger effect is needed.
- **cannot be known**: a setting behind the paper's runs was not released and not found.

Accuracies are compared by their mean difference (sign-flip test; Student's t below six pairs). Epochs are skewed and
capped. They are therefore compared by the exact sign test over pairs, with the median difference: the test counts the
pairs that differ, so that it can find a difference where the median of all pairs is 0. An abrupt drop is tested at the
change point of a curve of accuracies; a curve that is not shown to be abrupt is undecided, because no test here shows
that a drop is smooth. Its note has the share of simulated curves in which this test finds a straight fall of the same
depth, from the change point to the last sparsity, with as many networks. Alpha of a layer is judged by the 95% interval
of its mean over initialisations, without a test or a correction."""

_REPAIRED = """\
Each ranking prunes the same shares of the weights of each data set, at equal counts or at equal operations. An entry
has the numbers of cases in which the ranking is better, and worse, after Holm's correction. Smallest p is the paper's
test; bic f, augmented heldout and surrogate are repaired tests; "reversed" prunes what the ranking would keep."""
_MARGINS = """\
The paper names no margin. The table also has random masks of the same count. A margin below one test sample cannot be
detected in a single network."""


@dataclass(frozen=True)
class Report:
    """Report of an output folder.

    Attributes
    ----------
    rows : list of dict
        Rows of both tables, as `replication.reporting.tables.rows`.
    texts : dict of str
        Content of every file of the report except the figure, by path in the output folder.
    printed : list of dict
        Rows that the figure shows; without any there is no figure.
    """

    rows: list[Row]
    texts: dict[str, str]
    printed: list[Row]


def make_report(
    folder: str | os.PathLike,
    *,
    judge: Judge,
    notebooks: str | None = None,
    expected: Iterable[Planned] = (),
) -> Report:
    """Make the report of an output folder from its results, raw runs, units and skipped.json, and write nothing.

    Arguments are as in `write_report`; `judge` maps path and content of a result to its cells. A ValueError is raised
    if a result file or its raw runs are not valid, or two results have the same number.
    """
    folder = Path(folder)
    found = rows(folder, judge=judge, declared=released.declared_cells(folder))
    printed = [row for row in counts.figure_rows(found) if row["origin"] == "printed"]
    contents, made = ledger.collect(folder), pages(found)
    index = _index(folder, contents, found, notebooks, list(made), list(expected), with_figure=bool(printed))
    tables = {f"{FOLDER}/{name}": text for name, text in made.items()}
    return Report(found, texts(found) | tables | {INDEX: index}, printed)


def write_report(
    folder: str | os.PathLike,
    *,
    notebooks: str | None = None,
    redraw: bool = True,
    expected: Iterable[Planned] = (),
) -> Report:
    """Write the two tables, their pages, verdicts.svg and README.md of an output folder.

    Files whose content is the same are not written again.

    Parameters
    ----------
    folder : path-like
        The output folder.
    notebooks : str, optional
        Path of the notebooks' folder relative to the output folder, for links; None makes no links.
    redraw : bool, default True
        Whether to draw the figure again if it is newer than the table.
    expected : iterable of Planned, default ()
        Runs that the index lists as not made, with their hours, if they have no result, or as unfinished if they have
        units and no result of the same parameters.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        As `make_report`.
    """
    folder = Path(folder)
    report = make_report(folder, judge=with_cache(folder), notebooks=notebooks, expected=expected)
    for name, text in report.texts.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomic(path, text)
    changed = (folder / VERDICTS_TABLE).stat().st_mtime_ns
    figure = folder / FIGURE
    if not report.printed:
        figure.unlink(missing_ok=True)
    elif redraw or not figure.is_file() or figure.stat().st_mtime_ns < changed:
        write_atomic(figure, verdict_figure(report.printed))
    for path in (folder / FOLDER).glob("*.md"):
        if f"{FOLDER}/{path.name}" not in report.texts:
            path.unlink()
    return report


def _index(
    folder: Path,
    contents: list,
    rows: list[dict[str, Any]],
    notebooks: str | None,
    made: list[str],
    expected: Sequence[Planned],
    *,
    with_figure: bool,
) -> str:
    parts = ["# Published figures and claims, re-run and replicated"]
    if contents and all(content["profile"] == "smoke" for _, content in contents):
        parts.append(
            "**Smoke profile: small sizes that test the software. Its numbers are no evidence on the papers.**"
        )
    if rows:
        parts.append(statements.bullets(rows))
        table_of = counts.figures(rows) if counts.figure_rows(rows) else "No printed figure was compared."
        parts += ["## Figures", table_of, _VERDICTS]
        if with_figure:
            parts.append("![Printed figures against ours, one mark per figure](verdicts.svg)")
        claims, controls = (counts.claims(rows, kind) for kind in ("claim", "control"))
        parts += ["## Claims of the papers", claims or "No claim was tested.", _OUTCOMES]
        parts += sections(rows, "claim")
        if kept := margins(rows):
            parts += ["### A: accuracy kept to within other margins", _MARGINS, kept]
        if figures := released.read(folder):
            parts += ["## Paper B: what its authors' files alone show", *released.section(figures, rows)]
        if controls:
            parts += ["## Controls and other tests", controls]
        if ranked := repaired_table(rows):
            parts += ["### A: does the ranking work if its test is done right?", _REPAIRED, ranked]
    parts += ["## All numbers", _files(rows, made, notebooks)]
    parts += ["## Runs", _commits(contents), _runs(folder, contents), _versions(contents)] if contents else []
    if left_out := missing(folder, contents, expected):
        parts += ["## Not run", left_out]
    parts.append("Made by `ccprune report` from `results/` and `raw/`; do not edit.")
    return "\n\n".join(filter(None, parts)) + "\n"


def _files(rows: list[dict[str, Any]], made: list[str], notebooks: str | None) -> str:
    lines = [
        f"[{VERDICTS_TABLE}]({VERDICTS_TABLE}) holds every figure, claim and control; "
        f"[{MEASUREMENTS_TABLE}]({MEASUREMENTS_TABLE}) all other measurements. The tables as pages:",
        "\n".join(f"- [{name.removesuffix('.md').replace('_', ' ')}]({FOLDER}/{name})" for name in sorted(made)),
    ]
    sources: dict[str, dict[str, None]] = {}
    for row in [row for row in rows if row["notebook"]]:
        sources.setdefault(row["notebook"], {})[title(row["table"].partition("-")[0])] = None
    link = {name: f"[{name[:2]}]({notebooks}/{name})" if notebooks else name for name in sources}
    lines.append(table(["notebook", "tables"], [[link[name], ", ".join(sources[name])] for name in sorted(sources)]))
    return "\n\n".join(lines)


def _commits(contents: list) -> str:
    """Return a sentence on the commits of each profile's results."""
    made: dict[str, Counter] = {}
    for _, content in contents:
        made.setdefault(content["profile"], Counter())[(content["environment"]["commit"] or "no commit")[:10]] += 1
    sentences = [
        f"The results of the {profile} profile were made at "
        + ", ".join(f"{commit} ({number})" for commit, number in sorted(commits.items()))
        for profile, commits in sorted(made.items())
    ]
    return ". ".join(sentences) + ". `ccprune verify --sources` lists which source files changed since."


def _runs(folder: Path, contents: list) -> str:
    lines = []
    for path, content in contents:
        report = folder / "reports" / f"{path.stem}.html"
        environment = content["environment"]
        number = units.count_stored(folder, path.stem)
        commit = (environment["commit"] or "none")[:10] + (", with local changes" if environment["dirty"] else "")
        lines.append(
            [
                path.stem.removesuffix(f".{content['profile']}"),
                content["profile"],
                f"[{report.name}](reports/{report.name})" if report.is_file() else "–",
                commit,
                content["device"],
                environment["threads"] or "–",
                f"{content['wall_seconds']:.0f}",
                f"{number}: {units.seconds(folder, path.stem):.0f}" if number else "–",
                "–" if content["peak_memory_mb"] is None else f"{content['peak_memory_mb']:.0f}",
            ]
        )
    return table(
        ["run", "profile", "report", "commit", "device", "threads", "seconds", "units: seconds", "peak MiB"], lines
    )


def _versions(contents: list) -> str:
    kinds = Counter()
    for _, content in contents:
        environment = content["environment"]
        packages = ", ".join(f"{name} {version}" for name, version in sorted(environment["packages"].items()))
        kinds[f"Python {environment['python']} on {environment['platform']}; {packages}"] += 1
    return "\n".join(f"- {count} of {len(contents)} runs: {kind}." for kind, count in sorted(kinds.items()))
