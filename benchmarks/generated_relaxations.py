"""Generated crystals relaxed: steps of a potential that a prediction saves, distances to the truth.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/generated_relaxations.py --model graph heads=FOLDER

Crystals go from command to command through files: compositions of cells of MP-20's test rows, drawn
by a fixed seed, are a table of requests; `crystal-gen generate` writes its first candidate of each,
`crystal-relax relax` writes what each model makes of it. A potential (FIRE, Frechet cell filter, to
0.05 eV/Å) then relaxes what was generated, scaled (``VolumeScaling``, fitted to the relaxations of
``--training``) and predicted. Steps are compared over those that converge from both starts; root
mean square displacements to the true crystal of the database are those of pymatgen's matcher, over
the crystals that match before and after, in units of (volume / atoms)^(1/3).
"""

import argparse
import csv
import tempfile
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write
from relaxation_steps import compared, relaxed

from crystal_data import Crystal, open_store
from crystal_data.io import read_crystals
from crystal_data.metrics import bootstrap_interval, match_pairs, paired_bootstrap_interval
from crystal_data.sources import MP20
from crystal_data.trajectories import POTENTIALS, RelaxationSource
from crystal_gen.__main__ import main as crystal_gen
from crystal_relax.__main__ import main as crystal_relax
from crystal_relax.pairs import pairs_of
from crystal_relax.references import VolumeScaling

IN_STEP = 10  # crystals at once, of about one size


def generated(truth: list[Crystal], folder: Path) -> Path:
    """The folder of the first candidate of each composition, as files."""
    table = folder / "requests.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "formula", "z"))
        units = [gcd(*one.composition.values()) for one in truth]
        writer.writerows(
            (one.identifier, one.formula, z) for one, z in zip(truth, units, strict=True)
        )
    out = folder / "generated"
    if crystal_gen(["generate", "--requests", str(table), "--n", "1", "--out", str(out)]):
        raise SystemExit("crystal-gen failed")
    return out / "cif"


def by_name(folder: Path) -> dict[str, Crystal]:
    """Crystals of a folder of files, by the name of the request."""
    crystals = read_crystals(folder, on_invalid="error").crystals
    return {one.identifier.rsplit("_", 1)[0]: one for one in crystals}


def displacements(crystals: list[Crystal], truth: list[Crystal]) -> np.ndarray:
    """Of each from the truth; NaN where they do not match."""
    return np.array([one.rms for one in match_pairs(list(zip(crystals, truth, strict=True)))])


def bounds(values: np.ndarray) -> dict[str, float]:
    """A mean with its interval over crystals."""
    found = bootstrap_interval(values, rng=np.random.default_rng(0))
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def to_truth(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Matches, and displacements of those that match before and after."""
    both = np.isfinite(before) & np.isfinite(after)
    less = paired_bootstrap_interval(before[both], after[both], rng=np.random.default_rng(0))
    return {
        "matched": float(np.isfinite(after).mean()),
        "both": int(both.sum()),
        "before": bounds(before[both]),
        "after": bounds(after[both]),
        "less": {"estimate": less.estimate, "low": less.low, "high": less.high},
    }


def in_blocks(crystals: list[Crystal], potential: str) -> np.ndarray:
    """Steps and final energies per atom, relaxed in step by size."""
    order = sorted(range(len(crystals)), key=lambda row: crystals[row].num_atoms)
    found = np.full((len(crystals), 2), np.nan)
    for first in range(0, len(order), IN_STEP):
        rows = order[first : first + IN_STEP]
        found[rows] = relaxed([crystals[row] for row in rows], potential)
        print(f"{potential}: {first + len(rows)} of {len(order)}", flush=True)
    return found


def main() -> None:
    """Generates, relaxes by models, relaxes by the potential, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["graph"], metavar="NAME[=FOLDER]")
    parser.add_argument("--potential", choices=sorted(POTENTIALS), default="chgnet")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--training", type=Path, required=True, help="folder of relaxations")
    parser.add_argument("--out", default="generated-relaxations.json")
    args = parser.parse_args()
    store = open_store(MP20())
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.requests]
    truth = [store.crystal(int(row)).replace(properties={}) for row in rows]
    known = open_store(RelaxationSource(args.training), on_invalid="skip")
    pairs = pairs_of(known, known.rows_of("train"))
    scaling = VolumeScaling.fit(pairs.starts, pairs.ends)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = generated(truth, folder)
        raw = by_name(files)
        truth = [one for one in truth if one.identifier in raw]
        names = [one.identifier for one in truth]
        starts = {"raw": [raw[name] for name in names]}
        starts["volume scaling"] = scaling.relax(starts["raw"])
        for given in args.model:
            name, _, model = given.partition("=")
            out = folder / name
            if crystal_relax(["relax", str(files), "--model", model or name, "--out", str(out)]):
                raise SystemExit(f"crystal-relax failed with {given}")
            predicted = by_name(out / "cif")
            starts[name] = [predicted[one] for one in names]
    before = displacements(starts["raw"], truth)
    ends = {name: in_blocks(own, args.potential) for name, own in starts.items()}
    results = {
        "asked": args.requests,
        "generated": len(truth),
        "potential": args.potential,
        "steps": {name: compared(ends["raw"], own) for name, own in ends.items()},
        "to truth": {
            name: to_truth(before, displacements(own, truth)) for name, own in starts.items()
        },
        "rows": {name: own.tolist() for name, own in ends.items()},
    }
    for part in ("steps", "to truth"):
        for name, content in results[part].items():
            print(part, name, content)
    write(RESULTS / args.out, results)


if __name__ == "__main__":
    main()
