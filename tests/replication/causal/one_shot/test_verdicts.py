"""Cells of the one-shot study. Oracles: the rows themselves, and scipy's paired t-test."""

import pandas as pd
import pytest
from scipy.stats import ttest_rel

from replication.causal.follow_up.fits import FITS
from replication.causal.one_shot.study import Design, before_fine_tuning
from replication.causal.one_shot.verdicts import REFERENCES, cells
from replication.causal.setting import Setting
from replication.ledger.units import Units
from replication.networks.models import mlp

CONTENT = {"parameters": {"dataset": "mnist5k", "architecture": "mlp"}, "profile": "smoke"}


@pytest.fixture(scope="module")
def raw(digits):
    options = {"units": Units(None), "key": {}, "seeds": (0, 1, 2)}
    design = Design(epochs=2, compressions=(2, 8))
    tables = before_fine_tuning(
        lambda seed: mlp((64, 20, 10), seed=seed), digits, Setting(batch_size=100, lr=0.05), design, **options
    )
    studies = ("before_fine_tuning", "agreement")
    return pd.concat([pd.DataFrame(rows).assign(study=name) for rows, name in zip(tables, studies, strict=True)])


def test_every_row_is_behind_a_cell(raw):
    found = cells(raw, CONTENT)
    tables = pd.Series([cell.table for cell in found]).value_counts().to_dict()
    fits = len(FITS)
    assert tables == {
        "one_shot-mlp": 2 * (1 + 2 * (fits + 3)),
        "accuracy_one_shot-mlp": 2 * fits * len(REFERENCES),
        "agreement-mlp": fits * 5 * 2,
    }
    assert {cell.n for cell in found} == {3} and {cell.paper for cell in found} == {"causal"}


def test_numbers_are_those_of_the_rows(raw):
    found = cells(raw, CONTENT)
    networks = raw[(raw.study == "before_fine_tuning") & (raw.compression == 8)].set_index("seed")
    ridge, fisher = (networks[networks.method == name].top1 for name in ("ridge", "fisher"))
    (cell,) = [c for c in found if (c.kind, c.method, c.reference, c.sparsity) == ("control", "ridge", "fisher", 0.875)]
    assert cell.ours == pytest.approx((ridge - fisher).mean())
    if (ridge != fisher).any():
        assert cell.p_value == pytest.approx(ttest_rel(ridge, fisher).pvalue)
    (cell,) = [c for c in found if (c.kind, c.method, c.quantity) == ("measurement", "dense", "accuracy")]
    assert cell.ours == pytest.approx(raw[raw.method == "dense"].top1.mean()) and (cell.sparsity, cell.note) == (0, "")
    (cell,) = [c for c in found if (c.method, c.quantity) == ("ridge", "rank correlation, recorded loss changes")]
    rows = raw[(raw.study == "agreement") & (raw.method == "ridge") & (raw.target == "recorded")]
    assert cell.ours == pytest.approx(rows.rank_correlation.mean()) and cell.reference == "fisher"
    assert cell.note.endswith(f"of 3 fits {rows.outcome.iloc[-1]}")


def test_a_network_that_was_not_pruned_is_in_no_cell(raw):
    changed = raw.copy().reset_index(drop=True)
    ended = (changed.method == "ridge") & (changed.seed == 1)
    changed.loc[ended, ["top1", "top5", "rank_correlation", "top_overlap"]] = None
    found = [cell for cell in cells(changed, CONTENT) if cell.method == "ridge"]
    assert {cell.n for cell in found} == {2}
    changed.loc[changed.method == "ridge", ["top1", "top5", "rank_correlation", "top_overlap"]] = None
    assert not [cell for cell in cells(changed, CONTENT) if cell.method == "ridge"]
