"""Repaired test crystals of MP-20: elements, positions, validity, beside no repair.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/repair_validity.py --models repair-mp20

Atoms are displaced by 0.1 or 0.2 of the shortest distance, and elements hidden as in
`masked_elements.py`. ``clean`` are the crystals as they are; ``true elements`` the displaced ones
with their own elements; ``frequency`` the displaced ones, filled with the element that is hidden
most often in training. Models fill in the likeliest element, the same for all hidden atoms of a
crystal where one element is hidden, and move atoms. ``moved`` is the mean distance of atoms from
where they belong, Å, ``matches`` the share of crystals that pymatgen's StructureMatcher takes for
the original (tolerances of `crystal_data.metrics`), ``compositions valid`` the share that can be
neutral (smact14), ``structures valid`` that without atoms closer than 0.5 Å. Intervals are 95 %
bootstrap intervals over crystals.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from masked_elements import BATCH, MASKS, NUM_ELEMENTS, corrupted, position_errors
from measuring import RESULTS, write
from numpy.typing import NDArray

from crystal_data import Crystal, CrystalBatch, open_store
from crystal_data.metrics import (
    MatchSettings,
    Outcome,
    bootstrap_interval,
    composition_validity,
    match_pairs,
    structure_validity,
)
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_data.transforms import MaskAtoms
from crystal_gan import RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED
from crystal_gan.training.fakes import moved_back
from crystal_gan.training.losses import true_displacement

NOISE = (0.1, 0.2)
STATES = "smact14"


@torch.inference_mode()
def repaired(
    model: RepairModel, batch: CrystalBatch, whole: bool
) -> tuple[CrystalBatch, NDArray[np.float64]]:
    """Repaired crystals, and the position errors of those of several atoms, Å."""
    edges = batch.with_edges(model.graph_spec).float32()
    repair = model(edges)
    hidden = edges.atomic_numbers == 0
    logits = repair.logits.log_softmax(1)[hidden]
    if whole:
        crystal = edges.batch[hidden]
        total = torch.zeros(edges.num_crystals, NUM_ELEMENTS).index_add(0, crystal, logits)
        logits = total[crystal]
    numbers = edges.atomic_numbers.masked_scatter(hidden, logits.argmax(1) + 1)
    after = replace(moved_back(edges, repair.displacement), atomic_numbers=numbers)
    return after, position_errors(repair.displacement, edges)


def measured(
    made: Sequence[CrystalBatch],
    corrupt: Sequence[CrystalBatch],
    originals: Sequence[Crystal],
    moved: NDArray[np.float64],
) -> dict[str, list[float]]:
    """All that is measured of crystals that came of corrupted ones."""
    crystals = [crystal for batch in made for crystal in batch.to_crystals()]
    pairs = list(zip(crystals, originals, strict=True))
    matches = match_pairs(pairs, MatchSettings(num_workers=0))
    values = {
        "elements right": np.concatenate(
            [element_shares(after, before) for after, before in zip(made, corrupt, strict=True)]
        ),
        "moved": moved,
        "matches": [match.outcome is Outcome.MATCH for match in matches],
        "compositions valid": composition_validity(crystals, STATES).per_structure[
            f"comp_valid/{STATES}"
        ],
        "structures valid": structure_validity(crystals).per_structure["struct_valid"],
    }
    rng = np.random.default_rng(0)
    found = {
        name: bootstrap_interval(np.asarray(own, dtype=float), rng=rng)
        for name, own in values.items()
    }
    return {name: [i.estimate, i.low, i.high] for name, i in found.items()}


def element_shares(after: CrystalBatch, before: CrystalBatch) -> NDArray[np.float64]:
    """Share of the hidden atoms of each crystal that have their element again."""
    hidden = before.atomic_numbers.numpy() == 0
    assert before.true_atomic_numbers is not None
    right = (after.atomic_numbers == before.true_atomic_numbers).numpy()[hidden]
    crystal = before.batch.numpy()[hidden]
    shares: NDArray[np.float64] = np.bincount(crystal, right) / np.bincount(crystal)
    return shares


def main() -> None:
    """Measures all rows at both levels of noise and with both masks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[REPAIR], help="names or folders")
    parser.add_argument("--rows", type=int, default=500, help="of the test split, drawn by a seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "repair-validity.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    test = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows]
    originals = [store.crystal(int(row)) for row in test]
    parts = np.split(test, range(BATCH, len(test), BATCH))
    models = {name: RepairModel.from_pretrained(SHIPPED.find(name)).eval() for name in args.models}
    clean = composition_validity(originals, STATES).value(f"comp_valid/{STATES}")
    results: dict[str, Any] = {"clean": {"compositions valid": clean}}
    for noise, (kind, mask) in product(NOISE, MASKS.items()):
        corrupt = [corrupted(store, rows, mask, noise) for rows in parts]
        commonest = most_hidden(store, mask)
        still = [position_errors(torch.zeros_like(true_displacement(b)), b) for b in corrupt]
        rows = {
            "true elements": [replace(b, atomic_numbers=b.true_atomic_numbers) for b in corrupt],
            "frequency": [
                replace(b, atomic_numbers=b.atomic_numbers.masked_fill(b.masked_sites, commonest))
                for b in corrupt
            ],
        }
        moved = dict.fromkeys(rows, np.concatenate(still))
        for name, model in models.items():
            done = [repaired(model, batch, whole=kind == "element") for batch in corrupt]
            rows[name] = [after for after, _ in done]
            moved[name] = np.concatenate([errors for _, errors in done])
        results[f"noise {noise}, {kind}"] = {
            name: measured(made, corrupt, originals, moved[name]) for name, made in rows.items()
        }
        print(noise, kind, results[f"noise {noise}, {kind}"], flush=True)
    write(args.out, {"crystals": len(test), **results})


def most_hidden(store: CrystalStore, mask: MaskAtoms) -> int:
    """The element that is hidden most often in training."""
    known = corrupted(store, store.rows_of("train"), mask)
    return int(torch.bincount(known.true_atomic_numbers[known.masked_sites]).argmax())


if __name__ == "__main__":
    main()
