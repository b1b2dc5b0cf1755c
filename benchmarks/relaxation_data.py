"""What a set of relaxations holds: how far atoms and cells move, by what made the start.

    python benchmarks/relaxation_data.py emt-trajectories

Of each part: the mean displacement of a crystal's atoms beside the strain (Å), and the change of
the volume, as quantiles; the share that barely moves (below 0.03 Å), and the share whose volume
changes by less than 1 % as well. Beside it why starts came to no relaxation.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write

from crystal_data import open_store
from crystal_data.crystal import Crystal
from crystal_data.store import CrystalStore
from crystal_data.trajectories import DISPLACEMENT, STRAIN, RelaxationSource
from crystal_data.trajectories.make import ABOUT

BARELY, SAME_VOLUME = 0.03, 0.01
QUANTILES = (5, 25, 50, 75, 95)


def changes_of(crystal: Crystal) -> tuple[float, float]:
    """Mean displacement (Å) and relative change of the volume."""
    known = crystal.properties
    moved = np.linalg.norm(known[DISPLACEMENT.name], axis=1).mean()
    return float(moved), float(np.expm1(np.trace(known[STRAIN.name].reshape(3, 3))))


def described(crystals: list[Crystal]) -> dict[str, Any]:
    """One part of the crystals."""
    moved, volume = np.array([changes_of(one) for one in crystals]).T
    barely = moved < BARELY
    return {
        "num_crystals": len(crystals),
        "mean atoms": float(np.mean([one.num_atoms for one in crystals])),
        "num_systems": len({one.chemical_system for one in crystals}),
        "displacement": dict(
            zip(map(str, QUANTILES), np.percentile(moved, QUANTILES), strict=True)
        ),
        "volume change": dict(
            zip(map(str, QUANTILES), np.percentile(volume, QUANTILES), strict=True)
        ),
        "barely moves": float(barely.mean()),
        "barely moves, same volume": float((barely & (np.abs(volume) < SAME_VOLUME)).mean()),
    }


def parts_of(store: CrystalStore) -> dict[str, dict[str, Any]]:
    """Each split, and each kind of start in it."""
    found = {}
    for split in ("train", "val", "test"):
        crystals = [store.crystal(int(row)) for row in store.rows_of(split)]
        found[split] = described(crystals)
        for origin in sorted({str(one.properties["origin"]) for one in crystals}):
            of_origin = [one for one in crystals if one.properties["origin"] == origin]
            found[f"{split}, {origin}"] = described(of_origin)
    return found


def main() -> None:
    """Describes a folder, and writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder that `crystal-data trajectories` made")
    parser.add_argument("--out", default="relaxation-data.json", help="name in benchmarks/results")
    args = parser.parse_args()
    about = json.loads((args.data / ABOUT).read_text(encoding="utf-8"))
    parts = parts_of(open_store(RelaxationSource(args.data), on_invalid="skip"))
    for name, part in parts.items():
        print(name, part)
    results = {"data": args.data.name, "made": about["made"], "failed": about["failed"]}
    write(RESULTS / args.out, {**results, "parts": parts})


if __name__ == "__main__":
    main()
