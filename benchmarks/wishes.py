"""What a wished formation energy changes: wanted against judged energies of what is generated.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/wishes.py --work FOLDER [--sets N]

``elements``: chemical systems of MP-20's validation and test rows, each asked with several wished
energies; `--elements-sets` of them, since the whole way is made for each. ``formulas``: the same
without models of structures: the formula that is chosen, as its nearest copy. ``composition``: test
compositions with their z, asked with the row's own energy and with more and less than that. What
guides are the models that `crystal-gen generate` uses: of symmetry, of structures, and, for
elements, of formulas. What judges is CGCNN of crystal-embed, checked with the equivariant network
of crystal-gan; all of these have learned from the same training rows of MP-20. Of each request the
first sample is judged.

Slopes and rank correlations (Spearman) are those of judged against wanted energies of all requests,
and of the differences from the mean of each set, which elements and composition do not decide.
Intervals are 95 % bootstrap over sets. Control: the wishes of all requests, shuffled. ``nearest``
is what a choice by the judge itself would reach: among the first samples (`NUM_SAMPLES`) of all
requests of a set, and for ``formulas`` among copies of the most usual formulas. Pools are smaller
than those of the command, and for elements of one formula (`SIZES`). Structures are kept in
``--work`` and made once.
"""

import argparse
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from measuring import RESULTS, write
from scipy.stats import rankdata
from templates import requests_of

from crystal_data import Crystal, open_store
from crystal_data.elements import SYMBOLS
from crystal_data.generation import (
    GenerationRequest,
    Quantity,
    generate_all,
    read_generated,
)
from crystal_data.inference import Predictor
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_embed.shipped import SHIPPED as EMBED
from crystal_gan.shipped import SHIPPED as GAN
from crystal_gen import (
    CandidateRanker,
    CrystalGenerator,
    FormulaModel,
    FormulaProposer,
    StructureModel,
    TemplateLibrary,
    WyckoffTransformer,
    shipped,
)
from crystal_gen.candidates.formulas import FormulaProposal
from crystal_gen.candidates.sources import CopySource, PoolSizes

mpl.use("Agg")
import matplotlib.pyplot as plt

ENERGY = "formation_energy_per_atom"
WISHES = (-3.0, -1.5, 0.0)  # eV/atom; 90 % of the training values are from -3.1 to 0.0
OFFSETS = (-0.3, 0.0, 0.3)  # eV/atom, from the row's own
NUM_SAMPLES = {"formulas": 1, "elements": 3, "composition": 5}
TITLES = {
    "formulas": "elements asked, copies alone",
    "elements": "elements asked, whole way",
    "composition": "composition asked",
}
SIZES = PoolSizes(templates=10, warm_starts=0, answers=2, from_noise=2, formulas=1)
NUM_USUAL = 20
NUM_RESAMPLES = 2000
Array = np.ndarray


def generator() -> CrystalGenerator:
    """What `crystal-gen generate` uses, with smaller pools."""
    find = shipped.SHIPPED.find
    return CrystalGenerator(
        TemplateLibrary.from_pretrained(find(shipped.TEMPLATES)),
        StructureModel.from_pretrained(find(shipped.STRUCTURE_MODEL)),
        WyckoffTransformer.from_pretrained(find(shipped.SYMMETRY_MODEL)),
        CandidateRanker.from_pretrained(find(shipped.RANKER)),
        formulas=FormulaModel.from_pretrained(find(shipped.FORMULA_MODEL)),
        sizes=SIZES,
    )


def chemical_systems(store: CrystalStore, count: int) -> list[tuple[str, ...]]:
    """Of two elements and more, of validation and test rows, the first of a shuffle."""
    rows = np.concatenate([store.rows_of("val"), store.rows_of("test")])
    found = {tuple(sorted(store.crystal(row).composition)) for row in rows.tolist()}
    several = sorted(each for each in found if len(each) > 1)
    order = np.random.default_rng(0).permutation(len(several))[:count]
    return [several[place] for place in order.tolist()]


def elements_requests(systems: Sequence[tuple[str, ...]]) -> list[GenerationRequest]:
    """Each system with every wish."""
    return [
        GenerationRequest(
            id=f"{'-'.join(system)}_{place}",
            elements=system,
            properties={ENERGY: Quantity(wish, "eV/atom")},
            num_samples=NUM_SAMPLES["elements"],
        )
        for system in systems
        for place, wish in enumerate(WISHES)
    ]


def composition_requests(
    store: CrystalStore, rows: Array
) -> tuple[list[GenerationRequest], list[float]]:
    """Each row with every wish; and the rows' own energies."""
    energies = store.targets([ENERGY], rows)[ENERGY].tolist()
    requests = [
        GenerationRequest(
            id=f"{plain.id}_{place}",
            formula=plain.formula,
            z=plain.z,
            properties={ENERGY: Quantity(float(energy) + offset, "eV/atom")},
            num_samples=NUM_SAMPLES["composition"],
        )
        for plain, energy in zip(requests_of(store, rows, "composition"), energies, strict=True)
        for place, offset in enumerate(OFFSETS)
    ]
    return requests, energies


def made(requests: Sequence[GenerationRequest], folder: Path) -> dict[str, list[Crystal]]:
    """Crystals of each request, the best first, from the folder if they are there."""
    if not (folder / "summary.csv").is_file():
        generate_all(generator(), requests, folder, block_size=requests[0].num_samples)
    found: dict[str, list[Crystal]] = {request.id: [] for request in requests}
    for each in sorted(read_generated(folder), key=lambda x: x.sample):
        if each.crystal is not None:
            found[each.request].append(each.crystal)
    return found


def copied(requests: Sequence[GenerationRequest]) -> dict[str, list[Crystal]]:
    """The nearest copies of the formula that fits each request best."""
    copies, formulas = copies_and_formulas()
    found = {}
    for request in requests:
        wishes = {name: wish.value for name, wish in request.properties.items()}
        best = formulas.propose(request.elements, 1, wishes)
        found[request.id] = nearest_copies(copies, best, request.num_samples)
    return found


def usual(systems: Sequence[tuple[str, ...]]) -> dict[str, list[Crystal]]:
    """The nearest copy of each of the most usual formulas of each system."""
    copies, formulas = copies_and_formulas()
    return {
        "-".join(system): [
            crystal
            for formula in formulas.propose(system, NUM_USUAL)
            for crystal in nearest_copies(copies, [formula], 1)
        ]
        for system in systems
    }


def copies_and_formulas() -> tuple[CopySource, FormulaProposer]:
    """Known crystals, and formulas that fit wishes."""
    find = shipped.SHIPPED.find
    copies = CopySource(TemplateLibrary.from_pretrained(find(shipped.TEMPLATES)))
    model = FormulaModel.from_pretrained(find(shipped.FORMULA_MODEL))
    return copies, FormulaProposer(copies.search, model)


def nearest_copies(
    copies: CopySource, formulas: Sequence[FormulaProposal], limit: int
) -> list[Crystal]:
    """Of the first formula."""
    return [
        each.crystal.to_crystal()
        for formula in formulas[:1]
        for each in copies.candidates(GenerationRequest(formula=formula.formula), limit)
    ]


def judged(judge: Predictor, structures: dict[str, list[Crystal]]) -> dict[str, list[float]]:
    """Energies of all structures, eV/atom; NaN where the judge does not know an element."""
    known = judge.supported_elements
    known = None if known is None else {SYMBOLS[number] for number in known}
    crystals = list(chain.from_iterable(structures.values()))
    usable = [known is None or set(each.composition) <= known for each in crystals]
    values = np.full(len(crystals), np.nan)
    chosen = [each for each, is_usable in zip(crystals, usable, strict=True) if is_usable]
    values[usable] = judge.predict(chosen)[ENERGY]
    left = iter(values.tolist())
    return {name: [next(left) for _ in own] for name, own in structures.items()}


def compared(wanted: Array, found: Array) -> dict[str, Any]:
    """Slopes and rank correlations with intervals, and those of shuffled wishes.

    Args:
        wanted: ``[num_sets, num_wishes]``, eV/atom.
        found: Judged, NaN where nothing was made; ``[num_sets, num_wishes]``.
    """
    whole = np.isfinite(found).all(1)
    wanted, found = wanted[whole], found[whole]
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(wanted.ravel()).reshape(wanted.shape)
    return {
        "sets": int(whole.sum()),
        "wishes": _statistics(wanted, found, rng),
        "shuffled wishes": _statistics(shuffled, found, rng),
        "mean absolute distance from the wish, eV/atom": float(np.abs(found - wanted).mean()),
    }


def _statistics(wanted: Array, found: Array, rng: np.random.Generator) -> dict[str, Any]:
    chosen = [np.arange(len(wanted))]
    chosen += [rng.integers(len(wanted), size=len(wanted)) for _ in range(NUM_RESAMPLES)]
    rows = [_numbers(wanted[rows], found[rows]) for rows in chosen]
    names = rows[0].keys()
    ends = {name: np.percentile([each[name] for each in rows[1:]], [2.5, 97.5]) for name in names}
    return {
        name: {"estimate": rows[0][name], "low": ends[name][0], "high": ends[name][1]}
        for name in names
    }


def _numbers(wanted: Array, found: Array) -> dict[str, float]:
    within = wanted - wanted.mean(1, keepdims=True), found - found.mean(1, keepdims=True)
    return {
        "slope": _slope(wanted, found),
        "rank correlation": _slope(*map(_ranks, (wanted, found)), scaled=True),
        "slope within sets": _slope(*within),
        "rank correlation within sets": _slope(*map(_ranks, within), scaled=True),
    }


def _ranks(values: Array) -> Array:
    return np.asarray(rankdata(values.ravel()))


def _slope(x: Array, y: Array, *, scaled: bool = False) -> float:
    """Of least squares; scaled it is the correlation."""
    x, y = x.ravel() - x.mean(), y.ravel() - y.mean()
    size = np.sqrt((x @ x) * (y @ y)) if scaled else x @ x
    return float(x @ y / size) if size > 0 else 0.0


def nearest(wanted: Array, pools: Sequence[Sequence[float]]) -> Array:
    """Of each pool of judged energies the one nearest to each wish; ``[num_sets, num_wishes]``."""
    found = np.full(wanted.shape, np.nan)
    for row, pool in enumerate(pools):
        values = np.array(pool)[np.isfinite(pool)]
        if len(values):
            misses = np.abs(values[:, None] - wanted[row])
            found[row] = values[misses.argmin(0)]
    return found


def ids_of(requests: Sequence[GenerationRequest], num_sets: int) -> list[list[str]]:
    """Ids of the requests of each set."""
    names = [request.id for request in requests]
    size = len(names) // num_sets
    return [names[first : first + size] for first in range(0, len(names), size)]


def firsts(energies: dict[str, list[float]], names: Sequence[Sequence[str]]) -> Array:
    """The first sample's energy of each request; ``[num_sets, num_wishes]``."""
    return np.array([[next(iter(energies[x]), np.nan) for x in own] for own in names])


def drawn(arms: dict[str, tuple[Array, Array]], path: Path) -> None:
    """Judged against wanted energies of each arm."""
    mpl.rcParams["svg.hashsalt"] = "wishes"
    figure, all_axes = plt.subplots(
        1, len(arms), figsize=(4.5 * len(arms), 4), layout="constrained", squeeze=False
    )
    for axes, (mode, (wanted, found)) in zip(all_axes[0], arms.items(), strict=True):
        x, y = wanted, found
        if mode == "composition":  # where elements decide, the differences are what is looked at
            x, y = (each - each.mean(1, keepdims=True) for each in (wanted, found))
        jitter = np.random.default_rng(0).uniform(-0.05, 0.05, x.shape) * np.ptp(x)
        axes.scatter(x + jitter, y, s=6, alpha=0.35, linewidth=0)
        axes.plot(x[0], np.nanmedian(y, axis=0), color="black", marker="o", label="median")
        ends = [x.min(), x.max()]
        axes.plot(ends, ends, color="0.6", linewidth=0.8, label="as wanted")
        axes.legend(loc="upper left", frameon=False)
        where = ", from the mean of each composition" if mode == "composition" else ""
        axes.set_xlabel(f"wanted formation energy{where}, eV/atom")
        axes.set_ylabel("judged, eV/atom")
        axes.set_title(f"{TITLES[mode]}, {np.isfinite(y).all(1).sum()} sets")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Makes, judges, compares and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="of each mode")
    parser.add_argument("--elements-sets", type=int, help="of the mode elements (default: --sets)")
    parser.add_argument("--modes", nargs="+", choices=NUM_SAMPLES, default=list(NUM_SAMPLES))
    parser.add_argument("--work", type=Path, required=True, help="folder of the structures")
    parser.add_argument("--out", type=Path, default=RESULTS / "wishes.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20(), on_invalid="skip")
    systems = chemical_systems(store, args.sets)
    few = systems[: args.elements_sets]
    rows = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.sets]
    of_compositions, energies = composition_requests(store, rows)
    requests = {
        "formulas": elements_requests(systems),
        "elements": elements_requests(few),
        "composition": of_compositions,
    }
    wanted = {
        "formulas": np.tile(WISHES, (len(systems), 1)),
        "elements": np.tile(WISHES, (len(few), 1)),
        "composition": np.array(energies)[:, None] + np.array(OFFSETS),
    }
    structures = {
        mode: copied(requests[mode])
        if mode == "formulas"
        else made(requests[mode], args.work / f"{mode}-{len(wanted[mode])}")
        for mode in args.modes
    }
    judges = {
        "cgcnn-formation-energy": EMBED.find("cgcnn-formation-energy"),
        "equiformer-formation-energy": GAN.find("equiformer-formation-energy"),
    }
    results: dict[str, Any] = {"wishes": WISHES, "offsets": OFFSETS, "sizes": vars(SIZES)}
    for name, folder in judges.items():
        judge = Predictor.from_pretrained(folder)
        results[name] = {}
        arms = {}
        is_main = name == "cgcnn-formation-energy"
        for mode, own in structures.items():
            names = ids_of(requests[mode], len(wanted[mode]))
            found = judged(judge, own if is_main else {x: each[:1] for x, each in own.items()})
            first = firsts(found, names)
            results[name][mode] = compared(wanted[mode], first)
            if is_main:
                pools = [list(chain.from_iterable(found[x] for x in each)) for each in names]
                if mode == "formulas":
                    others = judged(judge, usual(systems))
                    pools = [
                        own_pool + others["-".join(system)]
                        for own_pool, system in zip(pools, systems, strict=True)
                    ]
                known = [each for each in pools if np.isfinite(each).any()]
                ranges = [np.nanmax(each) - np.nanmin(each) for each in known]
                results[name][mode] |= {
                    "nearest": compared(wanted[mode], nearest(wanted[mode], pools)),
                    "median range of what there is, eV/atom": float(np.median(ranges)),
                }
            arms[mode] = (wanted[mode], first)
            print(name, mode, json.dumps(results[name][mode], indent=1), flush=True)
        if is_main:
            drawn(arms, args.out.with_suffix(".svg"))
        write(args.out, results)


if __name__ == "__main__":
    main()
