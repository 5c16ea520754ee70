"""What paper A's tables cost: recording, exponents, Granger tests, masks and retraining of fresh initialisations.

One row per dataset, `replication.legcnet.runs.fresh_runs` as the notebook of the tables calls it: dense, FT, PT,
random and magnitude (at FT's and at PT's count), each retrained to the benchmark and for the whole budget.
"""

import argparse

import _common
import numba
import pandas as pd

from replication.data import DataUnavailable, load, tabular
from replication.legcnet.runs import fresh_runs
from replication.legcnet.settings import SETTINGS

MINUTES = 20  # claim for 200 networks x 6 datasets on 2 cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="fresh initialisations per dataset (200)")
    parser.add_argument("--only", nargs="*", default=tabular.NAMES, help="datasets (all six)")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        try:
            data = load(name, preprocessing="authors")
        except DataUnavailable as error:
            print(f"{name}: left out, {error}")
            continue

        def run(data=data, name=name) -> pd.DataFrame:
            return pd.concat(fresh_runs(data, SETTINGS[name], seeds=arguments.seeds))

        table, seconds, peak = _common.measure(run, repeats=1, warm_up=False)
        size = f"{arguments.seeds} networks x {table.method.nunique()} methods"
        note = f"{numba.get_num_threads()} threads; compilation included in the first row"
        rows.append(_common.row(name, "ccprune", size, seconds, peak, None, note))
    text = f"minutes for {arguments.seeds} networks x {len(rows)} datasets"
    claims = [_common.claim(text, sum(row["seconds"] for row in rows) / 60, most=MINUTES)]
    _common.save("pipeline", rows, claims)


if __name__ == "__main__":
    main()
