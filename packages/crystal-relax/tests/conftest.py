"""Relaxations that cost nothing: metals whose ends are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystal_data import Crystal
from crystal_data.trajectories.schema import schema
from crystal_data.trajectories.starts import make_start

METALS = {29: 3.6, 79: 4.08, 47: 4.09, 46: 3.89}  # atomic number to cubic lattice constant, Å


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strained metals that become the ideal ones, in files train, val and test."""
    root = tmp_path_factory.mktemp("relaxations")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 1), ("test", 1)):
        rows = []
        for number, length in METALS.items():
            for place in range(count):
                rows += _rows(_metal(number, length, f"{split}-{number}-{place}"), rng)
        pq.write_table(pa.Table.from_pylist(rows, schema()), root / f"{split}.parquet")
    return root


def _metal(number: int, length: float, name: str) -> Crystal:
    sites = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystal(length * np.eye(3), sites, np.array([number] * 4), name)


def _rows(end: Crystal, rng: np.random.Generator) -> list[dict[str, object]]:
    start = make_start(end, "strain", rng)
    assert start is not None
    return [
        {
            "id": f"{end.identifier}-{step}",
            "immutable_id": end.identifier,
            "relaxation_step": step,
            "species_at_sites": frame.species,
            "lattice_vectors": frame.lattice.tolist(),
            "cartesian_site_positions": frame.cart_coords.tolist(),
            "energy": -float(step),
            "forces": np.zeros((4, 3)).tolist(),
            "functional": "none",
            "origin": "strain",
        }
        for step, frame in enumerate((start, end))
    ]
