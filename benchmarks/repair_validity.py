"""Repaired test crystals of MP-20: elements, positions, validity, beside no repair.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/repair_validity.py --runs RUNS

Atoms are displaced by 0.1 or 0.2 of the shortest distance, and elements hidden as in
`masked_elements.py`. ``clean`` are the crystals as they are; ``true elements`` the displaced ones
with their own elements; ``frequency`` the displaced ones, filled with the element that is hidden
most often in training. Models fill in the likeliest element, the same for all hidden atoms of a
crystal where one element is hidden, and move atoms. RUNS are those of `gan_training.py`:
``gan 0.1`` is the shipped model trained on against a discriminator at a noise of 0.1, ``on 0.1``
the same without one for as long, ``steps 0.1`` for as many steps.

``moved`` is the mean distance of atoms from where they belong, Å, ``matches`` the share of crystals
that pymatgen's StructureMatcher takes for the original (tolerances of `crystal_data.metrics`),
``compositions valid`` the share that can be neutral (smact14), ``structures valid`` that without
atoms closer than 0.5 Å, ``less clean`` the compositions that are valid, less those of the clean
crystals. Intervals are 95 % intervals over crystals, by bootstrap, or over seeds and crystals where
there are three seeds. ``pairs`` are differences of the same crystals and seeds, ``by size`` parts
of them by number of atoms.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

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
    seed_interval,
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
MIN_SEEDS = 3  # of an interval over seeds
SIZES = ((1, 4), (5, 9), (10, 20))  # atoms, thirds of the crystals about
Values = NDArray[np.float64]


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


class Made(NamedTuple):
    """Crystals that came of corrupted ones, and how far their atoms are from their places, Å."""

    batches: Sequence[CrystalBatch]
    moved: NDArray[np.float64]


def values_of(
    made: Made, corrupt: Sequence[CrystalBatch], originals: Sequence[Crystal], clean: Values
) -> dict[str, Values]:
    """All that is measured, a number for each crystal; ``moved`` of those of several atoms."""
    crystals = [crystal for batch in made.batches for crystal in batch.to_crystals()]
    pairs = list(zip(crystals, originals, strict=True))
    matches = match_pairs(pairs, MatchSettings(num_workers=0))
    valid = composition_validity(crystals, STATES).per_structure[f"comp_valid/{STATES}"]
    values = {
        "elements right": np.concatenate(
            [element_shares(*pair) for pair in zip(made.batches, corrupt, strict=True)]
        ),
        "moved": made.moved,
        "matches": [match.outcome is Outcome.MATCH for match in matches],
        "compositions valid": valid,
        "structures valid": structure_validity(crystals).per_structure["struct_valid"],
        "less clean": np.asarray(valid, dtype=float) - clean,
    }
    return {name: np.asarray(own, dtype=float) for name, own in values.items()}


def element_shares(after: CrystalBatch, before: CrystalBatch) -> NDArray[np.float64]:
    """Share of the hidden atoms of each crystal that have their element again."""
    hidden = before.atomic_numbers.numpy() == 0
    assert before.true_atomic_numbers is not None
    right = (after.atomic_numbers == before.true_atomic_numbers).numpy()[hidden]
    crystal = before.batch.numpy()[hidden]
    shares: NDArray[np.float64] = np.bincount(crystal, right) / np.bincount(crystal)
    return shares


def summary(seeds: Sequence[dict[str, Values]]) -> dict[str, list[float | None]]:
    """Means with their intervals, of the crystals of each seed."""
    found: dict[str, list[float | None]] = {}
    for name in seeds[0]:
        table = np.stack([values[name] for values in seeds])
        if len(table) >= MIN_SEEDS:
            over = seed_interval(table)
            found[name] = [over.estimate, over.low, over.high]
        else:
            one = bootstrap_interval(table.mean(0), rng=np.random.default_rng(0))
            found[name] = [one.estimate, one.low, one.high]
    return found


def by_size(values: dict[str, Values], originals: Sequence[Crystal]) -> dict[str, Any]:
    """The same for small and for large crystals."""
    sizes = np.array([crystal.num_atoms for crystal in originals])
    found: dict[str, Any] = {}
    for low, high in SIZES:
        part = (low <= sizes) & (sizes <= high)
        own = {n: v[part[sizes > 1] if n == "moved" else part] for n, v in values.items()}
        found[f"{low} to {high} atoms"] = {"crystals": int(part.sum()), **summary([own])}
    return found


def less(
    values: Mapping[int, dict[str, Values]], others: Mapping[int, dict[str, Values]]
) -> list[dict[str, Values]]:
    """Differences of the same crystals and seeds; the shipped model is taken from each seed."""
    pairs = [(values[n], others[n]) for n in sorted(values) if n in others]
    if len(others) == 1:
        pairs = [(own, others[0]) for own in values.values()]
    return [{name: one[name] - other[name] for name in one} for one, other in pairs]


def runs_of(folder: Path | None) -> dict[str, dict[int, Path]]:
    """Finished runs by arm and noise, then by seed."""
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(folder.glob("*-*-*/cpu_seconds.json")) if folder else []:
        arm, noise, seed = file.parent.name.split("-")
        found.setdefault(f"{arm} {noise}", {})[int(seed)] = file.parent
    return found


def compared(names: Sequence[str]) -> list[tuple[str, str]]:
    """What is taken in pairs: against the shipped model, and the arms at one noise."""
    found = [(name, REPAIR) for name in names]
    arms = [(f"gan {noise}", f"{arm} {noise}") for noise in NOISE for arm in ("on", "steps")]
    return found + [pair for pair in arms if set(pair) <= set(names)]


class Setting(NamedTuple):
    """Corrupted test crystals, and what is known of the originals."""

    name: str
    whole: bool  # whether all atoms of an element are hidden
    corrupt: Sequence[CrystalBatch]
    originals: Sequence[Crystal]
    clean: Values

    def values(self, made: Made) -> dict[str, Values]:
        """All that is measured of repaired crystals."""
        return values_of(made, self.corrupt, self.originals, self.clean)

    def of_model(self, folder: Path, keep: Path | None) -> dict[str, Values]:
        """What is measured of a model, kept beside its run for the next time.

        Args:
            folder: Of the model.
            keep: Where; None for a model that is no run.
        """
        file = None if keep is None else keep / f"{self.name}, {len(self.originals)}.npz"
        if file is not None and file.exists():
            return dict(np.load(file))
        model = RepairModel.from_pretrained(folder).eval()
        done = [repaired(model, batch, self.whole) for batch in self.corrupt]
        made = Made([after for after, _ in done], np.concatenate([errors for _, errors in done]))
        values = self.values(made)
        if file is not None:
            np.savez(file, **values)
        return values


def settings(rows: int) -> Iterator[tuple[Setting, int]]:
    """Both levels of noise with both masks, and the element that each mask hides most often."""
    store = open_store(MP20())
    test = np.random.default_rng(0).permutation(store.rows_of("test"))[:rows]
    originals = [store.crystal(int(row)) for row in test]
    parts = np.split(test, range(BATCH, len(test), BATCH))
    valid = composition_validity(originals, STATES).per_structure[f"comp_valid/{STATES}"]
    commonest = {kind: most_hidden(store, mask) for kind, mask in MASKS.items()}
    for noise, (kind, mask) in product(NOISE, MASKS.items()):
        corrupt = [corrupted(store, part, mask, noise) for part in parts]
        name = f"noise {noise}, {kind}"
        clean = np.asarray(valid, dtype=float)
        yield Setting(name, kind == "element", corrupt, originals, clean), commonest[kind]


def main() -> None:
    """Measures all rows at both levels of noise and with both masks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="the folder of gan_training.py")
    parser.add_argument("--rows", type=int, default=500, help="of the test split, drawn by a seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "repair-validity.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs = runs_of(args.runs)
    results: dict[str, Any] = {}
    for setting, commonest in settings(args.rows):
        corrupt = setting.corrupt
        still = np.concatenate(
            [position_errors(torch.zeros_like(true_displacement(b)), b) for b in corrupt]
        )
        true = [replace(b, atomic_numbers=b.true_atomic_numbers) for b in corrupt]
        guess = [filled_with(commonest, b) for b in corrupt]
        values = {
            "true elements": {0: setting.values(Made(true, still))},
            "frequency": {0: setting.values(Made(guess, still))},
            REPAIR: {0: setting.of_model(SHIPPED.find(REPAIR), None)},
        }
        for name, seeds in runs.items():
            values[name] = {n: setting.of_model(f / "artifact", f) for n, f in seeds.items()}
        results[setting.name] = {
            **{name: summary(list(own.values())) for name, own in values.items()},
            f"{REPAIR} by size": by_size(values[REPAIR][0], setting.originals),
            "pairs": {
                f"{first} less {second}": summary(less(values[first], values[second]))
                for first, second in compared(list(runs))
            },
        }
        print(setting.name, results[setting.name], flush=True)
    clean = {"compositions valid": float(setting.clean.mean())}
    trained = {name: sorted(own) for name, own in runs.items()}
    content = {"crystals": args.rows, "clean": clean, "seeds": trained, "runs": seconds(args.runs)}
    write(args.out, {**content, **results})


def seconds(runs: Path | None) -> dict[str, dict[str, float]]:
    """CPU seconds and epochs of each run."""
    files = sorted(runs.glob("*-*-*/cpu_seconds.json")) if runs else []
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def filled_with(number: int, batch: CrystalBatch) -> CrystalBatch:
    """The same element for all hidden atoms."""
    return replace(
        batch, atomic_numbers=batch.atomic_numbers.masked_fill(batch.masked_sites, number)
    )


def most_hidden(store: CrystalStore, mask: MaskAtoms) -> int:
    """The element that is hidden most often in training."""
    known = corrupted(store, store.rows_of("train"), mask)
    return int(torch.bincount(known.true_atomic_numbers[known.masked_sites]).argmax())


if __name__ == "__main__":
    main()
