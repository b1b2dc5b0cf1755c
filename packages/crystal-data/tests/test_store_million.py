"""Opening a million structures, in a fresh process that has loaded nothing else."""

import json
import subprocess
import sys

import numpy as np
import pytest

from crystal_data.io.files import atomic_folder
from crystal_data.store import CrystalStore
from crystal_data.store.properties import PropertySchema, PropertyType
from crystal_data.store.writer import Chunk, StoreWriter

CRYSTALS, CHUNK, ATOMS = 1_000_000, 50_000, 8

MEASURE = """
import json, sys, time
from crystal_data.store import CrystalStore

def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024

before, start = resident(), time.perf_counter()
store = CrystalStore.open(sys.argv[1])
length, last = len(store), store.column("identifier")[-1]
seconds, added = time.perf_counter() - start, resident() - before
print(json.dumps({"seconds": seconds, "added_mb": added, "length": length, "last": last}))
"""


def write_million(folder):
    schema = PropertySchema()
    schema.types = {"energy": PropertyType("scalar"), "formula": PropertyType("text")}
    rng = np.random.default_rng(0)
    with atomic_folder(folder) as temporary, StoreWriter(temporary, schema) as writer:
        for start in range(0, CRYSTALS, CHUNK):
            writer.append(
                Chunk(
                    lattice=rng.normal(size=(CHUNK, 3, 3)),
                    frac_coords=rng.uniform(size=(CHUNK * ATOMS, 3)),
                    atomic_numbers=np.full(CHUNK * ATOMS, 14, dtype=np.uint8),
                    num_atoms=np.full(CHUNK, ATOMS),
                    strings={
                        "identifier": [f"structure-{n}" for n in range(start, start + CHUNK)],
                        "parent": [""] * CHUNK,
                        "file": ["some/folder/with/a/file.csv.gz"] * CHUNK,
                        "notes": [""] * CHUNK,
                    },
                    split=["train"] * CHUNK,
                    properties={"energy": [1.0] * CHUNK, "formula": ["NaCl"] * CHUNK},
                )
            )
        writer.finish({"source": "million", "rejected": 0})


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
def test_a_million_structures_open_at_once(tmp_path, record_property):
    write_million(tmp_path / "store")
    script = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "store")],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(script.stdout)
    print(found)
    record_property("opening", found)
    assert found["length"] == CRYSTALS
    assert found["last"] == f"structure-{CRYSTALS - 1}"
    assert found["seconds"] < 1.0
    assert found["added_mb"] < 50.0
    batch = CrystalStore.open(tmp_path / "store").batch([0, CRYSTALS - 1], ("energy",))
    assert batch.identifier == ["structure-0", f"structure-{CRYSTALS - 1}"]
    assert batch.num_nodes == 2 * ATOMS
