"""Exponents of 60 weights x 150 windows of 200 points, beside nolds' `lyap_r(fit="poly")`.

Both get the same definition: embedding dimension 2, delay 1, no Theiler window, the slope of S(0..19) by least squares.
nolds takes one series at a time and is measured on a subset. LEGCNet's own exponent, S(1) - S(0), is timed as well;
nolds does not offer it.
"""

import warnings

import _common
import numba
import numpy as np
import torch

from ccprune import lyapunov, trajectory

SUBSET = 90  # series that nolds gets
LAST = 19


def windows() -> torch.Tensor:
    data, settings, ensemble = _common.cancer()
    weights = trajectory.record(ensemble, data.x_train, data.y_train, steps=149 * 180 + 199, rate=settings.rate)[0]
    return weights.unfold(0, 200, 180).reshape(-1, 200)  # 150 windows of 60 weights


def main() -> None:
    series = windows()
    size = f"{len(series)} series of 200"
    options = {"steps": LAST, "fit": (0, LAST), "min_range": 0.0}
    rows = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import nolds
    except ImportError as error:
        nolds, theirs = None, None
        print(f"nolds cannot be imported here ({error}): no comparison")
    picked = torch.arange(0, len(series), len(series) // SUBSET)[:SUBSET]
    cores = numba.get_num_threads()
    if nolds is not None:
        subset = [one.numpy() for one in series[picked]]

        def by_nolds() -> np.ndarray:
            kept = {"emb_dim": 2, "lag": 1, "min_tsep": 0, "trajectory_len": LAST + 1, "fit": "poly"}
            return np.array([nolds.lyap_r(one, **kept) for one in subset])

        theirs, seconds, peak = _common.measure(by_nolds, repeats=3, warm_up=False)
        note = f"measured on {SUBSET} of the series, seconds scaled to all; one thread"
        rows.append(_common.row("slope of S(0..19)", "nolds", size, seconds * len(series) / SUBSET, peak, None, note))
    for count in sorted({1, cores}):
        numba.set_num_threads(count)
        ours, seconds, peak = _common.measure(lambda: lyapunov.exponents_of(series, **options), repeats=5)
        error = None if theirs is None else float(np.abs(ours[picked].numpy() - theirs).max())
        if error is not None and error > 1e-8:
            raise SystemExit(f"ccprune and nolds differ by {error}")
        note = f"{count} thread(s); error: largest difference from nolds" if nolds else "nolds could not be imported"
        rows.append(_common.row("slope of S(0..19)", f"ccprune, {count} thread(s)", size, seconds, peak, error, note))
    _, seconds, peak = _common.measure(lambda: lyapunov.exponents_of(series, steps=20, decimals=6), repeats=5)
    note = f"what LEGCNet-FT needs; {cores} threads"
    rows.append(_common.row("S(1) - S(0)", f"ccprune, {cores} thread(s)", size, seconds, peak, None, note))
    _common.save("lyapunov", rows)


if __name__ == "__main__":
    main()
