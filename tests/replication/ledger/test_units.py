"""Units of a long run: computed once, and never taken from a file that cannot be trusted."""

import json

import pytest

from replication.ledger.units import Units

KEY = {"study": "curves", "method": "causal", "total": 0.98, "seed": 0, "rate": 0.01}
ROWS = [{"seed": 0, "accuracy": 0.1 + 0.2, "method": "causal"}, {"seed": 0, "accuracy": 1.0, "method": "causal"}]


class Computed:
    """Counts how often the rows are computed."""

    def __init__(self, rows=ROWS):
        self.rows, self.times = rows, 0

    def __call__(self):
        self.times += 1
        return self.rows


def test_rows_are_computed_once_and_equal_to_the_last_bit(tmp_path):
    compute = Computed()
    assert Units(tmp_path).get(KEY, compute) == ROWS
    assert Units(tmp_path).get(dict(reversed(KEY.items())), compute) == ROWS and compute.times == 1
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("curves-causal-total0.98-seed0-")
    content = json.loads(path.read_text())
    assert content["key"] == KEY and content["rows"] == ROWS and content["seconds"] >= 0 and "commit" in content


@pytest.mark.parametrize("change", [{"rate": 0.02}, {"seed": 1}, {"precision": "None"}])
def test_another_key_never_gets_the_rows(tmp_path, change):
    Units(tmp_path).get(KEY, Computed())
    other = Computed([{"seed": 7}])
    assert Units(tmp_path).get(KEY | change, other) == other.rows and other.times == 1
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace("0.30000000000000004", "0.4"),
        lambda text: text.replace('"rate": 0.01', '"rate": 0.02'),
        lambda text: "[]",
        lambda text: "{}",
    ],
)
def test_an_edited_or_truncated_unit_is_computed_again(tmp_path, damage):
    Units(tmp_path).get(KEY, Computed())
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    path.write_text(damage(text))
    again = Computed()
    assert Units(tmp_path).get(KEY, again) == ROWS and again.times == 1
    assert json.loads(path.read_text())["rows"] == ROWS  # and it is stored again


def test_another_units_file_in_its_place_is_not_taken(tmp_path):
    units = Units(tmp_path)
    units.get(KEY, Computed())
    (mine,) = tmp_path.iterdir()
    units.get(KEY | {"rate": 0.02}, Computed([{"seed": 7}]))
    (other,) = set(tmp_path.iterdir()) - {mine}
    mine.write_bytes(other.read_bytes())
    assert units.get(KEY, Computed()) == ROWS


def test_without_a_folder_nothing_is_stored():
    compute = Computed()
    assert Units(None).get(KEY, compute) == Units(None).get(KEY, compute) == ROWS and compute.times == 2
    with pytest.raises(ValueError, match="folder must be given"):
        Units(None).store(KEY, ROWS, commit=None, seconds=None)
