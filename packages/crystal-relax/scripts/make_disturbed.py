"""Pairs to learn from without a potential: relaxed crystals, disturbed, and the way back.

    CRYSTAL_DATA_HOME=DATA python packages/crystal-relax/scripts/make_disturbed.py \
        relaxations DATA/relax_chgnet --out pairs --limit 6000

Training crystals of MP-20 are relaxed by density functional theory. Each is strained (3 %), its
atoms are moved (0.05 Å a component) and its volume is changed (9 %); what undoes that is taken for
its relaxation. The training relaxations of the given folders are added to them, the validation and
test sets of these joined; crystals of the elements of either are left out of training.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crystal_data import open_store
from crystal_data.crystal import Crystal, Trajectory
from crystal_data.sources import MP20
from crystal_data.trajectories import iter_trajectories
from crystal_data.trajectories.schema import schema
from crystal_data.trajectories.starts import make_start, random_of


def frames(start: Crystal, end: Crystal, origin: str) -> Iterator[dict[str, Any]]:
    """Two frames in the columns of LeMat-Traj."""
    for step, crystal in enumerate((start, end)):
        yield {
            "id": f"{end.identifier}-{step}",
            "immutable_id": end.identifier,
            "relaxation_step": step,
            "relaxation_number": 0,
            "species_at_sites": crystal.species,
            "lattice_vectors": crystal.lattice.tolist(),
            "cartesian_site_positions": crystal.cart_coords.tolist(),
            "functional": "pbe",
            "origin": origin,
            "parent": end.identifier,
        }


def files(folders: list[Path], split: str) -> list[Path]:
    """Those of a split that are there."""
    paths = [folder / f"{split}.parquet" for folder in folders]
    return [path for path in paths if path.exists()]


def main() -> None:
    """Writes train, val and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "relaxations", type=Path, nargs="+", help="folders with any of train, val and test"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--max-atoms", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    apart = {
        run.frames[0].chemical_system
        for split in ("val", "test")
        for file in files(args.relaxations, split)
        for run in iter_trajectories(file)
        if isinstance(run, Trajectory)
    }
    store = open_store(MP20(), on_invalid="skip")
    rows: list[dict[str, Any]] = []
    count = 0
    for place in random_of(args.seed, "rows").permutation(store.rows_of("train")).tolist():
        end = store.crystal(place).replace(properties={})
        if end.num_atoms > args.max_atoms or end.chemical_system in apart:
            continue
        rng = random_of(args.seed, "disturb", end.identifier)
        strained = make_start(end, "strain", rng)
        start = None if strained is None else make_start(strained, "scale", rng)
        if start is not None:
            rows += frames(start, end, "disturbed")
            count += 1
        if count == args.limit:
            break
    for file in files(args.relaxations, "train"):
        for run in iter_trajectories(file):
            if isinstance(run, Trajectory) and len(run.frames) > 1:
                end = run.frames[-1].replace(identifier=run.identifier, properties={})
                rows += frames(run.frames[0], end, str(run.properties.get("origin", "")))
    args.out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema()), args.out / "train.parquet")
    for split in ("val", "test"):
        tables = [pq.read_table(file) for file in files(args.relaxations, split)]
        joined = pa.concat_tables(tables, promote_options="permissive")
        pq.write_table(joined, args.out / f"{split}.parquet")
    print(f"{count} disturbed crystals, {len(rows) // 2} training pairs in {args.out}")


if __name__ == "__main__":
    main()
