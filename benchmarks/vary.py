"""`crystal-gan vary`: does ranking the model's variants move a property, as another model judges?

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/vary.py

From each of 100 test crystals of MP-20, 20 variants are made: one random element is exchanged and
atoms are put where they then belong (``vary``). Beside them are 20 copies in which one random
element is exchanged for another at random, atoms where they were (``random``). Of both the shipped
Equiformer ranks the 20 (``ranked``), or those of them whose composition can be neutral by smact14,
all where none can (``ranked, valid``). ``first`` is sample 0, for ``vary`` the likeliest exchange.
The change of the property from the start is that of a judge trained apart, the CGCNN that
`crystal-embed` ships, of another architecture but on the same training rows. Intervals are 95 %
bootstrap intervals over start crystals. Validity is the share of variants without atoms closer than
0.5 Å, and of compositions that can be neutral; the distance is that of atoms from the start, Å.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write

from crystal_data import Crystal, open_store
from crystal_data.generation import GenerationRequest, tasks_of
from crystal_data.inference import Predictor
from crystal_data.metrics import (
    bootstrap_interval,
    composition_validity,
    is_composition_valid,
    paired_bootstrap_interval,
    structure_validity,
)
from crystal_data.sources import MP20
from crystal_embed.shipped import SHIPPED as JUDGES
from crystal_gan import Change, RepairGenerator, RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

# Property: whether it is raised, the model that ranks, the judge.
WISHES = {
    "formation_energy_per_atom": (False, "equiformer-formation-energy", "cgcnn-formation-energy"),
    "band_gap": (True, "equiformer-band-gap", "cgcnn-band-gap"),
}
KNOWN = 94  # elements up to plutonium, which all models know


def varied(starts: Sequence[Crystal], samples: int, seed: int) -> list[list[Crystal]]:
    """The model's variants of each start, the likeliest first."""
    change = Change(hide_random=True, noise=0.1, allow_same=False)
    model = RepairModel.from_pretrained(SHIPPED.find(REPAIR))
    generator = RepairGenerator(model, change)
    made = []
    for start in starts:
        request = GenerationRequest(
            id=start.identifier, start=start, num_samples=samples, seed=seed
        )
        made.append([s.crystal for s in generator.generate(tasks_of([request])) if s.crystal])
    return made


def exchanged(
    starts: Sequence[Crystal], samples: int, rng: np.random.Generator
) -> list[list[Crystal]]:
    """Copies of each start with one random element exchanged at random."""
    made = []
    for start in starts:
        copies = []
        for _ in range(samples):
            before = rng.choice(np.unique(start.atomic_numbers))
            after = rng.choice(np.setdiff1d(np.arange(1, KNOWN + 1), before))
            numbers = np.where(start.atomic_numbers == before, after, start.atomic_numbers)
            copies.append(start.replace(atomic_numbers=numbers, properties={}))
        made.append(copies)
    return made


def known(crystal: Crystal) -> bool:
    return int(crystal.atomic_numbers.max()) <= KNOWN


def is_valid(crystal: Crystal) -> bool:
    return is_composition_valid(crystal.composition, "smact14")


def row(
    starts: Sequence[Crystal],
    chosen: Sequence[Crystal],
    change: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What is said of one variant of each start."""
    interval = bootstrap_interval(change, rng=rng)
    distances = [
        np.linalg.norm(
            (v.frac_coords - s.frac_coords - (v.frac_coords - s.frac_coords).mean(0)) @ s.lattice,
            axis=1,
        ).mean()
        for s, v in zip(starts, chosen, strict=True)
    ]
    return {
        "change": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "structures valid": structure_validity(chosen).value("struct_valid"),
        "compositions valid": composition_validity(chosen, "smact14").value("comp_valid/smact14"),
        "distance": float(np.mean(distances)),
    }


def main() -> None:
    """Measures both properties."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "vary.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store, rng = open_store(MP20()), np.random.default_rng(0)
    crystals = (store.crystal(int(r)) for r in rng.permutation(store.rows_of("test")))
    starts = [next(c for c in crystals if known(c)) for _ in range(args.starts)]
    ways = {
        "vary": varied(starts, args.samples, 0),
        "random": exchanged(starts, args.samples, rng),
    }
    # The model may propose elements that the judge has never seen.
    ways = {way: [[c for c in own if known(c)] for own in made] for way, made in ways.items()}
    results: dict[str, Any] = {}
    for target, (raised, ranker, judge) in WISHES.items():
        sign = 1.0 if raised else -1.0
        rank = Predictor.from_pretrained(SHIPPED.find(ranker))
        judged = Predictor.from_pretrained(JUDGES.find(judge))
        before = judged.predict(starts)[target]
        changes, rows = {}, {}
        for way, made in ways.items():
            best = [[own[i] for i in (-sign * rank.predict(own)[target]).argsort()] for own in made]
            choices = {
                "first": [own[0] for own in made],
                "ranked": [own[0] for own in best],
                "ranked, valid": [next(filter(is_valid, own), own[0]) for own in best],
            }
            for name, chosen in choices.items():
                changes[f"{way}, {name}"] = judged.predict(chosen)[target] - before
                rows[f"{way}, {name}"] = row(starts, chosen, changes[f"{way}, {name}"], rng)
        for name in ("ranked", "ranked, valid"):
            pair = changes[f"vary, {name}"], changes[f"random, {name}"]
            gain = paired_bootstrap_interval(*pair, rng=rng)
            rows[f"vary less random, {name}"] = [gain.estimate, gain.low, gain.high]
        results[target] = {"wish": "raise" if raised else "lower", **rows}
    write(args.out, {"starts": args.starts, "samples": args.samples, **results})
    print(results)


if __name__ == "__main__":
    main()
