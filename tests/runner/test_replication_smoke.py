"""The whole line on small sizes: every notebook that needs no download, from the command line to the index."""

import csv
from pathlib import Path

import pytest

from ccprune.cli import main
from replication import ledger as results
from replication.runner import plan

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("profile", results.PROFILES)
def test_every_profile_can_be_planned(profile):
    runs = plan(ROOT, profile=profile)
    assert {"start_here", "legcnet_tables-cancer", "granger_null"} <= {run.name for run in runs}


def test_smoke_replication(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    # No network and no data folder, so that this means the same everywhere.
    monkeypatch.delenv("CCPRUNE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses at once; the notebooks' processes inherit it
    out = tmp_path / "out"
    assert main(["replicate", "--profile", "smoke", "--jobs", "2", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    skipped = {"legcnet_tables-banknote", "legcnet_tables-vowel"}
    done = {run.name for run in plan(ROOT, profile="smoke")} - skipped
    for name in skipped:
        assert f"skipped {name}" in told
    assert {path.name.split(".")[0] for path in (out / "results").glob("*.json")} == done
    assert {path.name.split(".")[0] for path in (out / "reports").glob("*.html")} == done
    rows = list(csv.DictReader((out / "verdicts.csv").read_text().splitlines()))
    assert {row["profile"] for row in rows} == {"smoke"}
    assert {(row["table"], row["dataset"]) for row in rows} >= {
        ("1", "cancer"),
        ("3", "iris3f"),
        ("fewer_epochs", "iris"),
    }
    index = (out / "README.md").read_text()
    assert "set CCPRUNE_DATA" in index and "no evidence on the papers" in index

    # A second call finds nothing to do.
    assert main(["replicate", "--profile", "smoke", "--out", str(out)]) == 0
    assert f"0 done, {len(done)} unchanged, {len(skipped)} skipped, 0 failed" in capsys.readouterr().out


def test_committed_results_are_verified(monkeypatch, capsys):
    """Every file from the results alone; then a sample of the cheapest runs, another one each time, is made again."""
    monkeypatch.chdir(ROOT)
    status = main(["verify", "--seconds", "30", "--jobs", "2"])
    assert status == 0, capsys.readouterr().out


def test_results_say_what_made_them():
    for path in (ROOT / "replication" / "results").glob("*.json"):
        assert results.read(path)["environment"]["commit"], path
