"""Public data sets: published forms in small, and the real files where they are at hand."""

import csv
import gzip
import io
import json
import logging
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystal_data.errors import Reason, Rejection
from crystal_data.io import Record
from crystal_data.io.parse import parse_record
from crystal_data.sources import (
    MP20,
    MP2018,
    MPTS52,
    Carbon24,
    CrystalSource,
    DownloadError,
    JarvisDFT3D,
    JarvisSupercon,
    Perov5,
    available,
    cache_home,
    data_home,
    describe,
)

CIF = """data_CsCl
_cell_length_a   4.1
_cell_length_b   4.1
_cell_length_c   4.1
_cell_angle_alpha   90
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
 _atom_site_type_symbol
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
  Cs  0.0  0.0  0.0
  Cl  0.5  0.5  0.5
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTAL_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_zip(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name.removesuffix(".zip"), json.dumps(value))


def by_id(source: CrystalSource) -> dict[str, Record]:
    return {item.identifier: item for item in source.records() if isinstance(item, Record)}


def test_published_csv_plain_and_packed_and_columns_that_train_lacks(home: Path) -> None:
    row = {"": 0, "material_id": 7, "cif": CIF, "formula": "CsCl"}
    write_csv(home / "perov_5/train.csv", [row])
    labels = {"heat_all": 1.5, "heat_ref": 2.5, "dir_gap": 0.0, "ind_gap": ""}
    write_csv(home / "perov_5/val.csv.gz", [row | {"material_id": 8} | labels])
    write_csv(home / "perov_5/test.csv.gz", [row | {"material_id": 9} | labels])
    source = Perov5()
    source.prepare()  # all is there, so nothing is asked of the network
    found = by_id(source)
    assert {name: record.split for name, record in found.items()} == {
        "7": "train",
        "8": "val",
        "9": "test",
    }
    assert np.isnan(found["7"].properties["heat_ref"])  # type: ignore[arg-type]
    assert found["8"].properties["heat_ref"] == 2.5
    assert np.isnan(found["8"].properties["ind_gap"])  # type: ignore[arg-type]
    assert parse_record(found["9"]).formula == "CsCl"
    assert source.units["heat_ref"] == "eV/atom"
    assert source.name == "perov_5"


def test_missing_file_names_its_place_before_anything_is_read(home: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mp_20/train\.csv is missing; call prepare\(\)"):
        MP20().fingerprint()
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        list(MP20(root=home.parent / "elsewhere").records())


def test_mp_2018(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = [
        {
            "material_id": f"mp-{n}",
            "structure": CIF,
            "formation_energy_per_atom": -0.5 * n,
            "band_gap": 0.0,
            "graph": {"atom": [1, 2]},
        }
        for n in range(1, 4)
    ]
    entries[2]["structure"] = ""
    write_zip(home / "mp_2018/mp.2018.6.1.json.zip", entries)
    ids = {"train": {"mp-1": "-0.5"}, "val": {"mp-3": "1"}, "test": {"mp-2": "2", "mp-9": "1"}}
    write_zip(home / "splits/megnet_e_form.json.zip", ids)
    source = MP2018()
    items = list(source.records())
    records = {item.identifier: item for item in items if isinstance(item, Record)}
    assert {name: r.split for name, r in records.items()} == {"mp-1": "train", "mp-2": "test"}
    assert records["mp-2"].properties == {"formation_energy_per_atom": -1.0, "band_gap": 0.0}
    assert parse_record(records["mp-1"]).formula == "CsCl"
    assert [(i.identifier, i.reason) for i in items if isinstance(i, Rejection)] == [
        ("mp-3", Reason.EMPTY)
    ]
    assert "1 of the split's 4 ids have no structure" in caplog.text
    assert len(source.fingerprint()) == 64


def jarvis_entry(jid: str, **changes: Any) -> dict[str, Any]:
    atoms = {
        "lattice_mat": [[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 6.0]],
        "coords": [[0.0, 0.0, 0.0], [2.5, 2.5, 3.0]],
        "elements": ["Na", "Cl"],
        "cartesian": True,
        "props": ["", ""],
    }
    return {
        "jid": jid,
        "atoms": atoms,
        "formation_energy_peratom": -1.2,
        "mbj_bandgap": "na",
        "formula": "NaCl",
        "elastic_tensor": "na",
        **changes,
    }


def test_jarvis_dft_3d(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    fractional = jarvis_entry("JVASP-2")["atoms"] | {
        "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "cartesian": "False",
    }
    entries = [
        jarvis_entry("JVASP-1"),
        jarvis_entry("JVASP-2", atoms=fractional),
        jarvis_entry("JVASP-113961"),
        jarvis_entry("JVASP-113961"),
        jarvis_entry("JVASP-4", formation_energy_peratom="many"),
        jarvis_entry("JVASP-1"),
    ]
    write_zip(home / "jarvis_dft_3d/jdft_3d-8-18-2021.json.zip", entries)
    ids = {
        "train": {"JVASP-1": 0.0, "JVASP-113961": 0.1, "JVASP-4": 0.0},
        "val": {"JVASP-2": 0.0},
        "test": {"JVASP-113961": 0.1},
    }
    write_zip(home / "splits/dft_3d_formation_energy_peratom.json.zip", ids)
    with caplog.at_level(logging.WARNING):
        items = list(JarvisDFT3D().records())
    records = {item.identifier: item for item in items if isinstance(item, Record)}
    # The id that stands in train and in test is tested on, and not trained on.
    assert {name: r.split for name, r in records.items()} == {
        "JVASP-1": "train",
        "JVASP-2": "val",
        "JVASP-113961": "test",
    }
    assert "JVASP-113961 in test and in an earlier part" in caplog.text
    assert "JVASP-113961 stands twice" in caplog.text
    assert np.isnan(records["JVASP-1"].properties["mbj_bandgap"])  # type: ignore[arg-type]
    assert records["JVASP-1"].properties["formula"] == "NaCl"
    first, second = (parse_record(records[name]) for name in ("JVASP-1", "JVASP-2"))
    np.testing.assert_allclose(first.frac_coords, second.frac_coords, atol=1e-12)
    assert [(i.identifier, i.reason) for i in items if isinstance(i, Rejection)] == [
        ("JVASP-4", Reason.BAD_VALUE),
        ("JVASP-1", Reason.DUPLICATE_IDENTIFIER),
    ]


def test_split_file_that_was_changed_is_refused(home: Path) -> None:
    write_zip(home / "mp_2018/mp.2018.6.1.json.zip", [])
    write_zip(home / "splits/megnet_e_form.json.zip", {"train": {}, "val": {}, "test": {}})
    with pytest.raises(DownloadError, match="the registry says"):
        MP2018().prepare()


def test_registry_describes_all_and_says_what_it_does_not_know() -> None:
    assert set(available()) == {
        *("mp_20", "perov_5", "carbon_24", "mpts_52"),
        *("mp_2018", "jarvis_dft_3d", "jarvis_supercon"),
    }
    for name in available():
        info = describe(name)
        assert info.citations
        assert info.rows
        assert all(column.unit or column.kind == "text" for column in info.columns.values())
        assert all(url.startswith("https://") for file in info.files for url in file.urls)
        assert all(file.sha256 is None or len(file.sha256) == 64 for file in info.files)
    with pytest.raises(ValueError, match="did you mean 'mp_20'"):
        describe("mp20")


def test_homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRYSTAL_DATA_HOME", str(tmp_path))
    assert data_home() == tmp_path
    assert data_home(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("CRYSTAL_DATA_HOME")
    monkeypatch.delenv("CRYSTAL_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_home() == tmp_path / ".cache" / "crystal" / "data"
    assert cache_home().parent == data_home().parent


real = pytest.mark.skipif(
    "CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public files in CRYSTAL_DATA_HOME"
)


@pytest.mark.data
@real
@pytest.mark.parametrize(
    ("source", "rows"),
    [
        (MP20, (8713, 1000, 3559)),
        (MPTS52, (3851, 500, 3560)),
        (Perov5, (11356, 3787, 3785)),
        (Carbon24, (6091, 2032, 2030)),
        (JarvisSupercon, (846, 105, 105)),
    ],
)
def test_real_files(
    source: type[CrystalSource],
    rows: tuple[int, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path))
    built = source()
    built.prepare()
    items = list(built.records())
    assert not [item for item in items if isinstance(item, Rejection)]
    found = Counter(item.split for item in items)
    assert (found["train"], found["val"], found["test"]) == rows
    assert len(items) == sum(rows)
    for item in items[:: len(items) // 20]:
        assert isinstance(item, Record)
        assert parse_record(item).num_atoms > 0


@pytest.mark.data
@real
def test_real_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path))
    assert by_id(MP20())["mp-10009"].properties["band_gap"] == pytest.approx(0.898)
    supercon = by_id(JarvisSupercon())
    density = supercon["JVASP-41679"].properties["phonon_dos"]
    assert isinstance(density, np.ndarray)
    assert density.shape == (66,)
    assert density.max() == 1.0
    missing = supercon["JVASP-68993"].properties["phonon_dos"]
    assert isinstance(missing, np.ndarray)
    assert missing.shape == (66,)
    assert np.isnan(missing).all()
    carbon = by_id(Carbon24())
    assert np.isnan(carbon["C-130499-1826-36"].properties["energy_per_atom"])  # type: ignore[arg-type]


@pytest.mark.data
@real
def test_real_split_lists() -> None:
    splits = Counter(MP2018()._splits().values())
    assert (splits["train"], splits["val"], splits["test"]) == (60_000, 5_000, 4_239)
    splits = Counter(JarvisDFT3D()._splits().values())
    assert (splits["train"], splits["val"], splits["test"]) == (44_567, 5_572, 5_572)
