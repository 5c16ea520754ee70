"""Tables of a pilot: how they are encoded, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from ccprune._pilot._tables import read_tables


def _frame(rows=60, seed=0):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": generator.normal(50, 10, rows),
            "town": np.tile(["Kobe", "Lima", "Oslo"], rows // 3),
            "flat": 1.0,
            "price": generator.normal(7, 2, rows),
            "sold": np.arange(rows) % 4 == 0,
        }
    )


def test_numbers_are_standardised_and_categories_become_columns():
    frame = _frame()
    table = read_tables(frame, frame, None, target="sold", seed=0)
    x, y = table.train
    assert table.features == ("size", "town=Kobe", "town=Lima", "town=Oslo", "flat", "price")
    assert x.dtype == torch.float32 and x.shape == (60, 6)
    torch.testing.assert_close(x[:, 0].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(x[:, 0].std(correction=0), torch.tensor(1.0))
    assert x[:, 1:4].sum(1).eq(1).all() and x[:, 4].abs().max() == 0
    assert table.classes == ("False", "True") and y.tolist() == [int(value) for value in frame["sold"]]


def test_means_and_spreads_are_those_of_the_training_rows():
    train, other = _frame(), _frame(seed=1)
    other["size"] += 1000
    x = read_tables(train, other, None, target="sold", seed=0).validation[0]
    expected = (other["size"] - train["size"].mean()) / train["size"].std(ddof=0)
    np.testing.assert_allclose(x[:, 0], expected, rtol=1e-5)


def test_a_number_with_many_values_is_a_regression_and_standardised():
    table = read_tables(_frame(), _frame(seed=1), None, target="price", seed=0)
    assert table.classes is None and table.train[1].shape == (60, 1)
    torch.testing.assert_close(table.train[1].std(correction=0), torch.tensor(1.0))


def test_one_table_is_split_once_with_every_class_in_every_part():
    frame = _frame(120)
    table = read_tables(frame, None, None, target="sold", seed=3)
    parts = (table.train, table.validation, table.test)
    assert [len(part[0]) for part in parts] == [72, 24, 24]
    assert [int(part[1].sum()) for part in parts] == [18, 6, 6]
    assert len(torch.cat([part[0][:, 0] for part in parts]).unique()) == 120
    again = read_tables(frame, None, None, target="sold", seed=3)
    assert torch.equal(again.train[0], table.train[0])
    other = read_tables(frame, None, None, target="sold", seed=4)
    assert not torch.equal(other.train[0], table.train[0])


def test_a_path_is_read(tmp_path):
    _frame().to_csv(tmp_path / "houses.csv", index=False)
    table = read_tables(tmp_path / "houses.csv", None, None, target="sold", seed=0)
    assert len(table.train[0]) == 36


def test_columns_of_numbers_and_text_have_both_as_categories():
    table = read_tables(_with("town", lambda c: c.replace("Kobe", 7)), None, None, target="sold", seed=0)
    assert table.features[1:4] == ("town=7", "town=Lima", "town=Oslo")


def _with(column, values):
    frame = _frame()
    frame[column] = values(frame[column])
    return frame


@pytest.mark.parametrize(
    ("train", "validation", "target", "message"),
    [
        (_frame(), None, "colour", "target must be one of the columns"),
        (_frame(), None, None, "target must be one of the columns"),
        (_with("size", lambda c: c.where(c.index > 2)), None, "sold", r"train must have no missing values.*size \(3\)"),
        (_frame(), _with("town", lambda c: c.replace("Oslo", "Rome")), "sold", "validation must have categories.*Rome"),
        (_frame(), _frame().drop(columns="flat"), "sold", "validation must have the columns of train.*flat"),
        (
            _frame(),
            _with("town", lambda c: c.replace("Oslo", "Rome")),
            "town",
            "validation must have the classes.*Rome",
        ),
        (
            _with("size", lambda c: c.where(c.index > 2, np.inf)),
            None,
            "sold",
            "train must have no infinities.*size",
        ),
        (_with("size", lambda c: c + 1j), None, "sold", "train must have real numbers.*complex128 in 'size'"),
        (_with("price", lambda c: c + 1j), None, "price", "train must have real numbers.*complex128 in 'price'"),
        (_frame().iloc[:0], None, "sold", "train must have at least one row"),
        (_frame().assign(still=1.5), None, "still", "target must be a column with 2 or more values, got only 1.5"),
        (_frame().set_axis(["size", "town", "flat", "flat", "sold"], axis=1), None, "sold", "different column names"),
        (
            _with("size", lambda c: pd.Timestamp("2020") + pd.to_timedelta(c, "D")),
            None,
            "sold",
            "dates as numbers.*size",
        ),
        (
            _with("town", lambda c: [f"row {row}" for row in c.index]),
            None,
            "sold",
            "categories of 5 or more rows.*town",
        ),
        (_frame()[["sold"]], None, "sold", "train must have a column beside the target"),
    ],
)
def test_broken_tables_are_refused_by_name(train, validation, target, message):
    with pytest.raises(ValueError, match=message):
        read_tables(train, validation, None, target=target, seed=0)
