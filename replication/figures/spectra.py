"""Figures of the spectra of weight matrices (paper A, figure 2 and table 4)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from replication.figures._style import COLOURS, legend_beside, line_style, with_sample_size

#: Range of alpha that weightwatcher and paper A call well trained.
BAND = (2.0, 6.0)


def spectral_densities(
    spectra: Mapping[str, tuple[ArrayLike, ArrayLike]], table: pd.DataFrame, *, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Draw the density of log10 eigenvalues of each parameter, for the matrix and for its permuted entries.

    Each eigenvalue is also a tick at the bottom. Eigenvalues that are 0 up to rounding errors are counted in the
    legend. The edge of the Marchenko-Pastur density and xmin are drawn if the table has them.

    Parameters
    ----------
    spectra : mapping of parameter name to (array_like, array_like)
        `spectrum` and `randomised_spectrum` of each parameter.
    table : DataFrame
        `diagnostics.weightwatcher.summary` of the same weights.
    axes : sequence of Axes, optional
        One for each parameter; by default new axes.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        If all eigenvalues of a parameter are 0, or the number of axes is not that of parameters.
    """
    if axes is None:
        size = (3.9 * len(spectra), 3.9)
        axes = list(plt.subplots(1, len(spectra), figsize=size, layout="constrained", squeeze=False)[1][0])
    if len(axes) != len(spectra):
        raise ValueError(f"axes must be as many as spectra, {len(spectra)}, got {len(axes)}")
    for ax, (name, pair) in zip(axes, spectra.items(), strict=True):
        _densities(ax, [_logarithms(name, values) for values in pair], table.loc[name])
        ax.set_title(name, loc="left", fontsize=11)
    axes[0].set_ylabel("density (per decade)")
    return list(axes)


def _logarithms(name: str, values: ArrayLike) -> tuple[np.ndarray, int]:
    """Return log10 of the eigenvalues above 0, and the number of the others."""
    values = np.asarray(values, dtype=float)
    above = values[values > 1e-12 * values.max()]
    if len(above) == 0:
        raise ValueError(f"spectra[{name!r}] must have an eigenvalue above 0")
    return np.log10(above), len(values) - len(above)


def _densities(ax: Axes, parts: Sequence[tuple[np.ndarray, int]], row: pd.Series) -> None:
    drawn = np.concatenate([logs for logs, _ in parts])
    bins = np.histogram_bin_edges(drawn, bins=int(np.clip(len(drawn) // 5, 6, 40)))
    looks = ({"histtype": "step", "lw": 1.8}, {"histtype": "stepfilled", "alpha": 0.35})
    for i, ((logs, zeros), label) in enumerate(zip(parts, ("as it is", "permuted"), strict=True)):
        label += f" (and {zeros} of 0)" if zeros else ""
        ax.hist(logs, bins, density=True, color=COLOURS[i], label=label, zorder=2 - i, **looks[i])
        height = np.full(len(logs), 0.02 + 0.035 * i)
        ax.plot(logs, height, "|", ms=6, color=COLOURS[i], transform=ax.get_xaxis_transform())
    lines = (("xmin", ":", COLOURS[6], "xmin of alpha"), ("mp_edge", "-.", COLOURS[2], "Marchenko-Pastur edge"))
    for column, ls, colour, label in lines:
        if pd.notna(row[column]):
            ax.axvline(np.log10(row[column]), color=colour, lw=1.3, ls=ls, label=label)
    error = f"alpha {row.alpha:.2f}, standard error {row.alpha_error:.2f}"
    alpha = error if row.measurable else "alpha not measurable"
    traps = f", {row.traps:.1f} traps" if pd.notna(row.traps) else ""
    count = len(parts[0][0]) + parts[0][1]
    ax.set_xlabel(f"log10 of the eigenvalue (n = {count})\n{alpha}{traps}", fontsize=10)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1.06))


def alphas(table: pd.DataFrame, *, n: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw alpha and its interval over initialisations by layer, one mark per method; the range 2 to 6 is shaded.

    Parameters
    ----------
    table : DataFrame
        Columns parameter, method, estimate, low, high and optionally published, which is drawn as a cross. Missing
        estimates are not drawn; a layer without any is labelled.
    n : str, optional
        Sample size, such as "5 networks".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    layers, methods = (list(dict.fromkeys(table[column])) for column in ("parameter", "method"))
    ax = ax or plt.subplots(figsize=(1.6 + 0.42 * len(layers) * (len(methods) + 1), 3.8))[1]
    ax.axhspan(*BAND, color="0.92", zorder=0)
    for i, method in enumerate(methods):
        rows = table[(table.method == method) & table.estimate.notna()]
        at = np.array([layers.index(name) for name in rows.parameter], dtype=float)
        at += (i - (len(methods) - 1) / 2) * 0.8 / len(methods)
        low, high = (rows[column].astype(float) for column in ("low", "high"))
        ax.vlines(at, low, high, color=line_style(i)["color"], lw=2)
        ax.plot(at, rows.estimate.astype(float), label=method, ms=7, **line_style(i) | {"ls": ""})
        if "published" in rows:
            label = "published" if i == len(methods) - 1 else None
            ax.plot(at, rows.published.astype(float), "x", color="black", ms=6, zorder=3, label=label)
    for x, layer in enumerate(layers):
        if table.estimate[table.parameter == layer].isna().all():
            middle = {"ha": "center", "va": "center", "transform": ax.get_xaxis_transform()}
            ax.text(x, 0.5, "not measurable", rotation=90, fontsize=8, color="0.3", **middle)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_xlim(-0.6, len(layers) - 0.4)
    ax.set(ylabel=with_sample_size("alpha, mean and 95% interval", n), xlabel='(shaded: "well trained", alpha 2 to 6)')
    legend_beside(ax)
    return ax
