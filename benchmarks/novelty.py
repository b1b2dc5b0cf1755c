"""What is made for elements alone: unique, new, valid, and how far above the training hull.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/novelty.py --work FOLDER [--samples N]
    CRYSTAL_DATA_HOME=FOLDER python benchmarks/novelty.py --work FOLDER --energies chgnet

Chemical systems of MP-20's validation and test rows are asked for, three samples each, with pools
smaller than those of the command and of one formula (`SIZES` of `wishes.py`). ``unique``: samples
that match no earlier one. ``new``: samples that match no training row, by pymatgen's
StructureMatcher at the usual tolerances, against all training rows of the same formula. ``valid``:
distances and volume, and compositions by each table of oxidation states. Training and test rows
are looked at in the same way.

With ``--energies`` (an extra of crystal-data) energies are those of the potential. Formation
energies come from its energies by one number for each element, fitted on training rows whose
formation energies are known; the hull is that of all training rows' own formation energies and of
the elements at 0, each training row left out of its own. Structures are as they were made; those
that were generated are also relaxed, and count if that converges. What was worked out is kept in
``--work``.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import numpy as np
import torch
from measuring import RESULTS, write
from wishes import ENERGY, NUM_SAMPLES, chemical_systems, made

from crystal_data import Crystal, open_store
from crystal_data.elements import SYMBOLS
from crystal_data.generation import GenerationRequest
from crystal_data.metrics import (
    OxidationStates,
    bootstrap_interval,
    is_composition_valid,
    is_structure_valid,
    match,
)
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_data.trajectories import RelaxationError, RelaxationSettings, energies_of, relax_many

mpl.use("Agg")
import matplotlib.pyplot as plt

NUM_SYSTEMS = 200
NUM_COMPARED = 250  # training and test rows that are looked at in the same way
NUM_FITTED = 600  # training rows that the energies of elements are fitted on
RELAXATION = RelaxationSettings(max_force=0.05, max_steps=300)
AT_ONCE = 64  # crystals, after which what is known is written
BINS = np.linspace(-0.3, 1.2, 31)  # eV/atom
Entry = tuple[Crystal, float]


class Known:
    """Crystals by their formula."""

    def __init__(self, crystals: Iterable[Crystal]) -> None:
        self._by_formula: dict[str, list[Crystal]] = defaultdict(list)
        for crystal in crystals:
            self.add(crystal)

    def add(self, crystal: Crystal) -> None:
        """One more."""
        self._by_formula[reduced_formula(crystal)].append(crystal)

    def has(self, crystal: Crystal) -> bool:
        """Whether one of them matches a crystal."""
        own = self._by_formula[reduced_formula(crystal)]
        return any(match(crystal, each) is not None for each in own)


def reduced_formula(crystal: Crystal) -> str:
    """The same for crystals of one composition."""
    factor = np.gcd.reduce(list(crystal.composition.values()))
    return " ".join(f"{k}{n // factor}" for k, n in sorted(crystal.composition.items()))


def shares(crystals: Sequence[Crystal], known: Known) -> dict[str, Any]:
    """Unique, new and valid, each with its interval."""
    earlier = Known([])
    unique = []
    for crystal in crystals:
        unique.append(not earlier.has(crystal))
        earlier.add(crystal)
    new = [not known.has(crystal) for crystal in crystals]
    found = {
        "unique": unique,
        "new": new,
        "unique and new": np.logical_and(unique, new),
        "structure valid": [is_structure_valid(crystal) for crystal in crystals],
        **{
            f"composition valid, {table}": [
                is_composition_valid(crystal.composition, table) for crystal in crystals
            ]
            for table in get_args(OxidationStates)
        },
    }
    return {name: interval(np.array(values, dtype=float)) for name, values in found.items()}


def interval(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % bootstrap interval."""
    found = bootstrap_interval(values, rng=np.random.default_rng(0))
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


class Energies:
    """Energies of crystals by a potential, eV/atom, kept in a file; NaN where there is none."""

    def __init__(self, potential: str, file: Path) -> None:
        self._potential = potential
        self._file = file
        self._kept: dict[str, float] = json.loads(file.read_text()) if file.is_file() else {}

    def as_they_are(self, crystals: Mapping[str, Crystal]) -> list[float]:
        """Of each crystal, by name."""
        return self._known(crystals, lambda new: energies_of(new, self._potential).tolist())

    def relaxed(self, crystals: Mapping[str, Crystal]) -> list[float]:
        """After a relaxation, if that converges."""
        return self._known(crystals, self._of_relaxed)

    def _of_relaxed(self, crystals: Sequence[Crystal]) -> list[float]:
        runs = relax_many(crystals, self._potential, RELAXATION)
        return [
            np.nan if isinstance(run, RelaxationError) else run[-1].energy / crystal.num_atoms
            for crystal, run in zip(crystals, runs, strict=True)
        ]

    def _known(
        self, crystals: Mapping[str, Crystal], work: Callable[[list[Crystal]], list[float]]
    ) -> list[float]:
        for block in batched([name for name in crystals if name not in self._kept], AT_ONCE):
            found = work([crystals[name] for name in block])
            self._kept |= dict(zip(block, found, strict=True))
            self._file.write_text(json.dumps(self._kept))
        return [self._kept[name] for name in crystals]


def batched(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Blocks of names."""
    for first in range(0, len(names), size):
        yield names[first : first + size]


def composition_rows(crystals: Sequence[Crystal]) -> np.ndarray:
    """Share of each element; ``[num_crystals, 119]``."""
    rows = np.zeros((len(crystals), len(SYMBOLS)))
    for row, crystal in enumerate(crystals):
        np.add.at(rows[row], crystal.atomic_numbers, 1.0 / crystal.num_atoms)
    return rows


class Hull:
    """The convex hull of training rows' formation energies, elements at 0."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = list(entries)
        self._of_element: dict[str, set[int]] = defaultdict(set)
        for place, (crystal, _) in enumerate(self._entries):
            for symbol in crystal.composition:
                self._of_element[symbol].add(place)

    def above(self, crystal: Crystal, energy: float, without: str = "") -> float:
        """Energy above the hull, negative below, eV/atom.

        Args:
            crystal: Any.
            energy: Its formation energy, eV/atom; NaN gives NaN.
            without: Identifier of an entry that does not count.
        """
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
        from pymatgen.core import Composition

        if not np.isfinite(energy):
            return np.nan
        inside = set(crystal.composition)
        places = set().union(*(self._of_element[symbol] for symbol in inside))
        entries = [PDEntry(Composition(symbol), 0.0) for symbol in inside]
        for place in places:
            other, own = self._entries[place]
            if set(other.composition) <= inside and other.identifier != without:
                entries.append(PDEntry(Composition(other.composition), own * other.num_atoms))
        asked = PDEntry(Composition(crystal.composition), energy * crystal.num_atoms)
        _, above = PhaseDiagram(entries).get_decomp_and_e_above_hull(asked, allow_negative=True)
        return float(above)


def with_energies(
    crystals: dict[str, list[Crystal]],
    training: list[Entry],
    args: argparse.Namespace,
    out: Path,
) -> dict[str, Any]:
    """Energies above the hull of all groups, a figure, and how good the potential is."""
    energies = Energies(args.energies, args.work / f"{args.energies}.json")
    fitted = [
        training[place]
        for place in np.random.default_rng(1).permutation(len(training))[:NUM_FITTED].tolist()
    ]
    own = np.array(energies.as_they_are({each.identifier: each for each, _ in fitted}))
    true = np.array([energy for _, energy in fitted])
    rows = composition_rows([each for each, _ in fitted])
    # A little ridge, for elements that few of the rows have.
    of_elements = np.linalg.solve(
        rows.T @ rows + 1e-3 * np.eye(rows.shape[1]), rows.T @ (own - true)
    )
    known = rows.sum(0) > 0

    def formation(crystal: Crystal, energy: float) -> float:
        share = composition_rows([crystal])[0]
        return float(energy - share @ of_elements) if known[share > 0].all() else np.nan

    hull = Hull(training)
    results: dict[str, Any] = {}
    above: dict[str, np.ndarray] = {}
    for group, members in crystals.items():
        named = {each.identifier or f"{group}-{place}": each for place, each in enumerate(members)}
        found = [
            (crystal, formation(crystal, energy))
            for crystal, energy in zip(members, energies.as_they_are(named), strict=True)
        ]
        above[group] = np.array([hull.above(x, own, without=x.identifier) for x, own in found])
        print(group, np.nanmedian(above[group]), flush=True)
    generated = crystals["generated"]
    ends = energies.relaxed({f"end-{place}": each for place, each in enumerate(generated)})
    after = [
        hull.above(crystal, formation(crystal, energy))
        for crystal, energy in zip(generated, ends, strict=True)
    ]
    both = np.isfinite(after) & np.isfinite(above["generated"])
    above["generated, those whose relaxation converged"] = above["generated"][both]
    above["generated, relaxed"] = np.array(after)[both]
    for group, values in above.items():
        finite = values[np.isfinite(values)]
        results[group] = {
            "crystals": len(finite),
            "without an energy": int(len(values) - len(finite)),
            "median, eV/atom": float(np.median(finite)),
            "quartiles": np.percentile(finite, [25, 75]).tolist(),
            **{
                f"at most {limit:g} eV/atom": interval((finite <= limit).astype(float))
                for limit in (0.0, 0.1, 0.25)
            },
        }
    test, truth = crystals["test rows"], args.test_energies
    by_potential = energies.as_they_are({each.identifier: each for each in test})
    errors = np.array(
        [
            formation(crystal, own) - energy
            for crystal, own, energy in zip(test, by_potential, truth, strict=True)
        ]
    )
    results["mean absolute error of formation energies, test rows, eV/atom"] = float(
        np.nanmean(np.abs(errors))
    )
    drawn({name: values[np.isfinite(values)] for name, values in above.items()}, out)
    return results


def drawn(above: dict[str, np.ndarray], path: Path) -> None:
    """A histogram of each group, as shares."""
    mpl.rcParams["svg.hashsalt"] = "novelty"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, values in above.items():
        if "converged" in name:  # nearly all of those that were generated
            continue
        weights = np.full(len(values), 1 / len(values))
        clipped = np.clip(values, BINS[0], BINS[-1])
        axes.hist(clipped, BINS, weights=weights, histtype="step", linewidth=1.5, label=name)
    axes.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_xlabel("energy above the hull of the training rows, eV/atom (ends: and beyond)")
    axes.set_ylabel("share of crystals")
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def entries_of(store: CrystalStore, rows: np.ndarray) -> list[Entry]:
    """Crystals with their own formation energies."""
    energies = store.targets([ENERGY], rows)[ENERGY].tolist()
    return [(store.crystal(row), own) for row, own in zip(rows.tolist(), energies, strict=True)]


def main() -> None:
    """Makes what is not there, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--work", type=Path, required=True, help="folder of the structures")
    parser.add_argument("--energies", metavar="POTENTIAL", help="chgnet or sevenn")
    parser.add_argument("--out", type=Path, default=RESULTS / "novelty.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20(), on_invalid="skip")
    requests = [
        GenerationRequest(id="-".join(system), elements=system, num_samples=NUM_SAMPLES["elements"])
        for system in chemical_systems(store, NUM_SYSTEMS)
    ]
    structures = made(requests, args.work / f"plain-{NUM_SYSTEMS}")
    crystals = [each.replace(identifier="") for each in chain.from_iterable(structures.values())]
    crystals = crystals[: args.samples]
    training = entries_of(store, store.rows_of("train"))
    chosen = np.random.default_rng(0).permutation(store.rows_of("test"))[:NUM_COMPARED]
    test = entries_of(store, chosen)
    order = np.random.default_rng(0).permutation(len(training))[:NUM_COMPARED]
    groups = {
        "generated": crystals,
        "training rows": [training[place][0] for place in order.tolist()],
        "test rows": [crystal for crystal, _ in test],
    }
    results = json.loads(args.out.read_text()) if args.out.is_file() else {}
    if args.energies:
        args.test_energies = [energy for _, energy in test]
        figure = args.out.with_suffix(".svg")
        results["energies"] = {
            "potential": args.energies,
            **with_energies(groups, training, args, figure),
        }
    else:
        known = Known(crystal for crystal, _ in training)
        results |= {
            "samples": len(crystals),
            "systems": NUM_SYSTEMS,
            "elements of a sample": dict(Counter(len(each.composition) for each in crystals)),
            "generated": shares(crystals, known),
            "test rows": shares(groups["test rows"], known),
        }
    print(json.dumps(results, indent=1))
    write(args.out, results)


if __name__ == "__main__":
    main()
