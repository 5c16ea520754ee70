"""The re-reading of the replication without ccprune, on the committed folder and on folders with a planted change."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[3]
VERDICTS = ROOT / "replication/verdicts.csv"


def reread(folder):
    command = [sys.executable, str(ROOT / "scripts/reread.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_the_committed_replication_is_reproduced():
    result = reread(ROOT / "replication")
    assert result.returncode == 0, result.stdout + result.stderr
    parts = {line[:30].strip() for line in result.stdout.splitlines()}
    for part in ("figures, authors", "figures, paper", "claims, fewer_epochs", "controls, margins", "claims, flatness"):
        assert any(found.startswith(part) for found in parts), result.stdout


# One row each, a wrong value for it, and how the script names the row.
PLANTED = {
    "verdict": (
        "table == '1' and dataset == 'titanic' and method == 'ft' and quantity == 'epochs' and n == 200",
        "within_noise",
        "1 titanic ft nan nan epochs nan paper verdict within_noise recomputed: outside",
    ),
    "outcome": (
        "table == 'fewer_epochs' and dataset == 'iris' and method == 'ft'",
        "holds",
        "fewer_epochs iris ft dense nan epochs nan paper outcome holds recomputed: does_not_hold",
    ),
    "outcome_alone": (
        "table == 'accuracy_totals-mlp' and reference == 'magnitude' and sparsity == 0.98",
        "holds",
        "accuracy_totals-mlp mnist causal magnitude 0.98 accuracy nan paper outcome_alone",
    ),
    "p_holm": (
        "table == 'keeps_accuracy' and dataset == 'iris3f' and method == 'ft'",
        0.2,
        "keeps_accuracy iris3f ft dense nan accuracy 0.01 paper p_holm 0.2 recomputed:",
    ),
}


def test_planted_changes_are_named(tmp_path):
    table = pd.read_csv(VERDICTS, dtype={"table": str})
    for column, (query, value, _) in PLANTED.items():
        (index,) = table.query(query).index
        table.loc[index, column] = value
    for name in ("raw", "results", "paper"):
        (tmp_path / name).symlink_to(ROOT / "replication" / name)
    table.to_csv(tmp_path / "verdicts.csv", index=False)
    result = reread(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    for _, _, named in PLANTED.values():
        assert f"DIFFERS {named}" in result.stdout
    assert sum(line.startswith("DIFFERS ") for line in result.stdout.splitlines()) == len(PLANTED)
