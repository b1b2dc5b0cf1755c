"""The CIF reader against pymatgen's on public data."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crystal_data.errors import Rejection
from crystal_data.io.cif import parse_cif, to_cif
from crystal_data.io.parse import parse_records
from crystal_data.io.record import Record

HOME = os.environ.get("CRYSTAL_DATA_HOME")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(HOME is None, reason="CRYSTAL_DATA_HOME is not set"),
]


def cif_texts(name, split, count=None):
    [path] = Path(HOME, name).glob(f"{split}.csv*")
    return pd.read_csv(path, usecols=["cif"], nrows=count)["cif"].tolist()


def pymatgen_structure(text):
    from pymatgen.core import Structure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_str(text, fmt="cif")


def assert_same(crystal, structure):
    metric = structure.lattice.matrix @ structure.lattice.matrix.T
    np.testing.assert_allclose(crystal.lattice @ crystal.lattice.T, metric, rtol=1e-9, atol=1e-7)
    assert crystal.num_atoms == len(structure)
    numbers = np.array([site.specie.Z for site in structure])
    # Pymatgen sorts the atoms and takes 0.3333 as 1/3 (its frac_tolerance of 1e-4).
    delta = crystal.frac_coords[:, None] - structure.frac_coords
    distance = np.abs(delta - np.rint(delta)).max(axis=-1)
    nearest = distance.argmin(axis=1)
    assert sorted(nearest) == list(range(crystal.num_atoms))
    assert distance.min(axis=1).max() < 1.1e-4
    assert (numbers[nearest] == crystal.atomic_numbers).all()


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("mp_20", "val", 500),
        pytest.param("mp_20", "val", None, marks=pytest.mark.slow),
        pytest.param("mp_20", "test", None, marks=pytest.mark.slow),
        ("mpts_52", "test", 500),
        ("perov_5", "val", 500),
        ("carbon_24", "val", 500),
    ],
)
@pytest.mark.timeout(600)
def test_equals_pymatgen(name, split, count, capsys):
    texts = cif_texts(name, split, count)
    records = [Record(f"{name}-{row}", text) for row, text in enumerate(texts)]
    start = time.perf_counter()
    parsed = parse_records(records)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    structures = [pymatgen_structure(text) for text in texts]
    theirs = time.perf_counter() - start
    rejected = [crystal for crystal in parsed if isinstance(crystal, Rejection)]
    for crystal, structure in zip(parsed, structures, strict=True):
        if not isinstance(crystal, Rejection):
            assert_same(crystal, structure)
    with capsys.disabled():
        print(
            f"\n{name} {split}: {len(texts)} CIFs, {len(texts) / ours:.0f} structures/s here, "
            f"{len(texts) / theirs:.0f} with pymatgen; rejected: {rejected[:3]} ({len(rejected)})"
        )
    assert not rejected


def test_symmetric_cifs_of_real_crystals_expand_to_the_same():
    from pymatgen.analysis.structure_matcher import StructureMatcher

    from crystal_data.io.pymatgen import to_pymatgen

    for text in cif_texts("mp_20", "val", 60):
        crystal = parse_cif(text)
        again = parse_cif(to_cif(crystal, symprec=0.01))
        assert again.formula == crystal.formula
        assert StructureMatcher().fit(to_pymatgen(again), to_pymatgen(crystal))
