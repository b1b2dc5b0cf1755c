"""Tables that a spreadsheet opens without running anything, and that we read back unchanged."""

import csv
import io
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crystal_data.errors import Reason, Rejection
from crystal_data.io.csv_cells import read_csv
from crystal_data.io.files import csv_text
from crystal_data.io.rejected import read_rejected, write_rejected
from crystal_data.sources import TableSource
from crystal_data.splits.exclusion import exclude
from crystal_data.splits.split import read_ids
from crystal_data.store.store import CrystalStore
from crystal_data.testing import rock_salt
from crystal_data.training.predictions import merge_shards, write_rows

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://example.org","a")',
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''=1",
    "-x",
    "\uff1d1+1",
]
# Text that a CSV file in UTF-8 can hold, with many beginnings that a spreadsheet looks at.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.builds(
        str.__add__,
        st.text("'=+-@\t\r\n\uff1d 1", max_size=4),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    ),
)


def cells(text):
    return next(csv.reader(io.StringIO(text.split("\n", 1)[1], newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_as_a_formula(text):
    (written,) = cells(csv_text(["id"], [[text]]))
    assert not re.match(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", written)
    assert written == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+2e-3", "-inf", -1.5, -3, np.float64(-2.0), "mp-149"])
def test_numbers_and_other_texts_stay(value):
    assert cells(csv_text(["x"], [[value]])) == [str(value)]


def test_names_of_columns_too():
    text = csv_text(["=x", "y"], [["1", "2"]])
    assert text.splitlines()[0] == "'=x,y"
    assert list(read_csv(io.StringIO(text))) == [{"=x": "1", "y": "2"}]


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_every_text_comes_back(texts):
    text = csv_text(["id", *map(str, range(len(texts)))], [["x", *texts]])
    (row,) = read_csv(io.StringIO(text, newline=""))
    assert list(row.values()) == ["x", *texts]


@given(TEXTS, TEXTS)
def test_identifiers_of_rejections_come_back(tmp_path_factory, identifier, file):
    path = tmp_path_factory.mktemp("rejected") / "rejected.csv"
    rejections = [Rejection(identifier, file, "read", Reason.EMPTY, "-- is no number")]
    write_rejected(path, rejections)
    assert read_rejected(path) == rejections


@given(TEXTS.map(str.strip).filter(bool))
def test_identifiers_of_tables_and_splits_come_back(tmp_path_factory, identifier):
    path = tmp_path_factory.mktemp("table") / "ids.csv"
    cif = "data_x\n"
    text = csv_text(["id", "cif"], [[identifier, cif]])
    path.write_text(text, encoding="utf-8", newline="")
    assert read_ids(path) == [identifier]
    (record,) = TableSource(path).records()
    missing = identifier in {"na", "n/a", "nan", "null", "none", "?"}
    assert record.identifier == ("ids-1" if missing else identifier)


def test_what_was_excluded_stays_excluded(tmp_path):
    names = ["=1+1", "-x", "a\rb", "plain"]
    crystals = [rock_salt().replace(identifier=name) for name in names]
    store = CrystalStore.from_crystals(crystals, tmp_path / "store")
    listed = tmp_path / "ids.csv"
    listed.write_text(csv_text(["id"], [[name] for name in names[:3]]), newline="")
    rows = {"train": np.arange(4), "val": np.arange(0), "test": np.arange(0)}
    for _ in range(2):  # compared, then recalled
        kept = exclude(store, rows, [str(listed)], lambda source: store)
        assert kept.rows.tolist() == [3]
        assert kept.num_excluded == 3


@pytest.mark.parametrize(
    ("detail", "written"),
    [
        ("short", "short"),
        ("in\ntwo  lines", "in two lines"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 10**7, "x" * 199 + "…"),
    ],
)
def test_details_are_one_line_of_200_characters(detail, written):
    assert Rejection("a", "a.cif", "read", Reason.UNREADABLE, detail).detail == written


def test_predictions_keep_identifiers(tmp_path):
    names = ["=1+1", "a\rb", "'-x", "c,d"]
    for rank in range(2):
        outputs = {
            "sample_id": [rank, rank + 2],
            "identifier": names[rank::2],
            "prediction": {"=gap": torch.tensor([-1.0, 2.0]), "b": torch.zeros(2)},
        }
        write_rows(tmp_path / f"{rank}.csv", outputs, {"b": "eV"})
    table = merge_shards(sorted(tmp_path.glob("*.csv")), range(4))
    rows = list(read_csv(io.StringIO(table, newline="")))
    assert [row["id"] for row in rows] == names
    assert [row["=gap"] for row in rows] == ["-1", "-1", "2", "2"]
    assert list(rows[0]) == ["id", "=gap", "b [eV]"]
    assert not re.search(r"(^|,)\"?=", table)
