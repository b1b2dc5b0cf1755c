"""Files of the user's own, of whatever kind: read as the source of that kind reads them."""

import csv
import io

import pytest

from crystal_data.errors import MissingFileError, SourceError
from crystal_data.io import Record
from crystal_data.io.ase import to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.io.poscar import to_poscar
from crystal_data.sources import FileSource, FolderSource, TableSource
from crystal_data.testing import perovskite, rock_salt


@pytest.fixture
def files(tmp_path):
    """The same two crystals in every form."""
    crystals = [rock_salt().replace(identifier="salt"), perovskite().replace(identifier="oxide")]
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["id", "cif", "gap"])
    for crystal, gap in zip(crystals, (5.0, 3.2), strict=True):
        rows.writerow([crystal.identifier, to_cif(crystal), gap])
        for form, write in (("cif", to_cif), ("vasp", to_poscar)):
            (tmp_path / form).mkdir(exist_ok=True)
            (tmp_path / form / f"{crystal.identifier}.{form}").write_text(write(crystal))
    (tmp_path / "my.csv").write_text(text.getvalue())
    named = [x.replace(properties={"id": x.identifier, "gap": 5.0}) for x in crystals]
    (tmp_path / "my.extxyz").write_text(to_extxyz(named))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "targets"),
    [
        ("cif", FolderSource, False),
        ("vasp", FolderSource, False),
        ("my.extxyz", FolderSource, True),
        ("my.csv", TableSource, True),
    ],
)
def test_every_kind_is_read_as_by_its_own_source(files, name, kind, targets):
    mine, other = FileSource(files / name), kind(files / name)
    records = list(mine.records())
    assert len(records) == 2
    assert all(isinstance(record, Record) for record in records)
    assert [repr(record) for record in records] == [repr(record) for record in other.records()]
    assert all(("gap" in record.properties) == targets for record in records)
    # Both share one store.
    assert (mine.name, mine.fingerprint()) == (other.name, other.fingerprint())


def test_splits_units_and_kinds_reach_the_source(files):
    source = FileSource(
        train=files / "my.csv", test=files / "my.csv", units={"gap": "eV"}, columns={"gap": "skip"}
    )
    assert source.units == {"gap": "eV"}
    records = list(source.records())
    assert [record.split for record in records if isinstance(record, Record)] == ["train"] * 2
    assert not any(record.properties for record in records if isinstance(record, Record))


def test_mixed_kinds_are_refused(files):
    source = FileSource(train=files / "my.csv", test=files / "cif")
    with pytest.raises(SourceError, match="tables, all or none") as caught:
        list(source.records())
    assert "JoinedSource" in caught.value.remedy


def test_a_constructor_reads_nothing(tmp_path):
    source = FileSource(tmp_path / "gone")
    with pytest.raises(MissingFileError, match="does not exist"):
        source.fingerprint()
