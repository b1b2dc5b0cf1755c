"""Exact symmetry of generated files: operations, composition, and the group that is found.

    python benchmarks/symmetry.py                       # an untrained model
    python benchmarks/symmetry.py --model FOLDER        # a run or an artifact

Requests over 60 space groups of all seven crystal systems, with up to three orbits on positions
drawn at random. Each CIF is read back: every operation of the group asked has to map it onto itself
within 1e-3 Å, and its atoms have to be those asked. Beside it the group that moyopy finds.
"""

import argparse
import csv
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, write

from crystal_data.crystal import Crystal
from crystal_data.generation import generate_all, tasks_of
from crystal_data.io.cif import parse_cif
from crystal_data.symmetry import crystal_system, find_orbits, find_symmetry, space_group_operations
from crystal_data.testing import ToyGenerator, group_requests, symmetry_error, toy_requests
from crystal_gen import CrystalDiT, Sampling, StructureGenerator, StructureModel
from crystal_gen.batches import batch_of

TOLERANCE = 1e-3  # Å
SYMPREC = 0.01  # Å, of the group that is found


def main() -> None:
    """Makes the files and measures them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a run or an artifact; an untrained one without")
    parser.add_argument("--groups", type=int, default=60, help="space groups, evenly over all")
    parser.add_argument("--samples", type=int, default=19, help="of each group")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS / "symmetry.json")
    args = parser.parse_args()
    numbers = sorted({*np.linspace(1, 230, args.groups).round().astype(int).tolist()})
    requests = {each.id: each for each in group_requests(numbers, num_samples=args.samples)}
    model = StructureModel.from_pretrained(args.model) if args.model else untrained()
    generator = StructureGenerator(model, sampling=Sampling(num_steps=args.steps))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        start = time.process_time()
        generate_all(generator, list(requests.values()), folder)
        seconds = time.process_time() - start
        with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        made = [row for row in rows if row["file"]]
        errors, right, found = [], 0, Counter[str]()
        for row in made:
            request = requests[row["request"]]
            crystal = parse_cif((folder / row["file"]).read_text(encoding="utf-8"))
            number = request.space_group or 1
            errors.append(symmetry_error(crystal, number))
            right += crystal.composition == request.conventional_cell
            found[relation(crystal, number)] += 1
    write(
        args.out,
        {
            "model": "trained" if args.model else "untrained",
            "space_groups": len(numbers),
            "crystal_systems": len({crystal_system(number) for number in numbers}),
            "samples": len(rows),
            "crystals": len(made),
            "without_a_crystal": dict(Counter(row["flags"] for row in rows if not row["file"])),
            "symmetric_within_1e-3": int(np.sum(np.array(errors) < TOLERANCE)),
            "largest_error": max(errors),
            "composition_as_asked": right,
            "group_found": dict(found),
            "cpu_seconds": seconds,
        },
    )


def relation(crystal: Crystal, asked: int) -> str:
    """How the group that is found compares with the one asked, in whose cell the crystal is."""
    found = find_symmetry(crystal, SYMPREC)
    if found.space_group_number == asked:
        return "as asked"
    more = len(found.rotations) > len(space_group_operations(asked)[0])
    return "a group with more operations" if more else "another group"


def untrained() -> CrystalDiT:
    """A small model that has seen cells of all systems and learned nothing else."""
    torch.manual_seed(0)
    model = CrystalDiT((), width=32, num_layers=2, pair_width=16, num_heads=4)
    made = [ToyGenerator().sample(task).crystal for task in tasks_of(toy_requests())]
    known = [find_orbits(crystal) for crystal in made if crystal is not None]
    model.fit_scales(batch_of(known, range(len(known)), {}))
    return model


if __name__ == "__main__":
    main()
