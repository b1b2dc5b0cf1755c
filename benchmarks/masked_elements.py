"""Hidden elements of MP-20's test crystals: what models fill in, beside guesses without a model.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/masked_elements.py --others RUNS --joined RUN

Atoms are displaced by 0.1 of the shortest distance. Either all atoms of one random element are
hidden (``element``), or 15 % of the atoms, at least one (``atoms``); models are not told which. The
first three rows are guesses from the training rows. ``frequency``: the elements that are hidden
most often there under the same masks. ``same composition``: the elements that complete the visible
composition in training crystals; of the visible elements alone, in any amounts, where none does;
the most frequent ones after these. With ``atoms``, the visible elements come first by their
amounts; with ``element`` they are ruled out, as the mask tells. ``substitution``: the elements of
``same composition``, exchanged by pymatgen's substitution probabilities, which are those of ions
and are summed over oxidation states. ``periodic`` and ``cartesian`` are the networks that are not
equivariant, which `transformer_repair.py` has left in RUNS; ``joined`` is the model of
``repair-mp20`` trained by ``pretrain-joined``. Accuracies are means over crystals of the share of
their hidden atoms, with 95 % bootstrap intervals over crystals; ``gain`` is the paired difference
of a model from ``same composition``, ``less`` that of ``repair-mp20`` from another one.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from numpy.typing import NDArray
from transformer_repair import TransformerRepair

from crystal_data import SYMBOLS, CrystalBatch, open_store
from crystal_data.metrics import Interval, bootstrap_interval, paired_bootstrap_interval
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_data.transforms import MaskAtoms, PerturbAtoms, SampleRandom
from crystal_gan import RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED
from crystal_gan.training.losses import true_displacement

MASKS = {"element": MaskAtoms(1.0), "atoms": MaskAtoms(0.0)}
NUM_ELEMENTS = len(SYMBOLS) - 1
TOP = 5
BATCH = 100
Composition = tuple[tuple[int, int], ...]
# Scores of the elements 1 to 118 for the hidden atoms of a crystal, given all its elements.
Guess = Callable[[NDArray[np.int64]], NDArray[np.float64]]


def corrupted(
    store: CrystalStore, rows: NDArray[np.int64], mask: MaskAtoms, noise: float = 0.1
) -> CrystalBatch:
    """Crystals with displaced and hidden atoms, the same in every run."""
    batch = CrystalBatch.from_crystals([store.crystal(int(row)) for row in rows])
    rng = SampleRandom(0, 0, torch.from_numpy(rows))
    return mask(PerturbAtoms(noise)(batch, rng), rng)


def visible_and_hidden(numbers: NDArray[np.int64]) -> Composition:
    """Reduced amounts of each element, hidden atoms counted as element 0."""
    amounts = Counter(numbers.tolist())
    divisor = gcd(*amounts.values())
    return tuple(sorted((number, n // divisor) for number, n in amounts.items()))


class Completions:
    """Which elements complete visible compositions in training crystals.

    Args:
        crystals: Elements of the atoms of each training crystal.
        prior: How often each element is hidden in training, ``[118]``.
        whole: Whether all atoms of an element are hidden.
    """

    def __init__(
        self, crystals: Sequence[NDArray[np.int64]], prior: NDArray[np.float64], whole: bool
    ) -> None:
        self._exact: dict[Composition, Counter[int]] = defaultdict(Counter)
        self._loose: dict[frozenset[int], Counter[int]] = defaultdict(Counter)
        self._prior = prior / prior.sum()
        self._whole = whole
        for numbers in crystals:
            for element in np.unique(numbers).tolist():
                hidden = np.where(numbers == element, 0, numbers)
                self._exact[visible_and_hidden(hidden)][element] += 1
                self._loose[frozenset(hidden.tolist())][element] += 1

    def __call__(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of the elements for the hidden atoms; ``[118]``, their sum is 1."""
        scores = 1e-3 * self._prior
        visible = numbers[numbers > 0]
        key = frozenset(numbers.tolist())
        for found, weight in (
            (self._exact.get(visible_and_hidden(numbers), Counter()), 1.0),
            (self._loose.get(key, Counter()), 1e-1),
        ):
            for element, count in found.items():
                scores[element - 1] += weight * count / found.total()
        if self._whole:
            scores[np.unique(visible) - 1] = 0.0
        else:
            scores += np.bincount(visible - 1, minlength=NUM_ELEMENTS) / max(len(visible), 1)
        return scores / scores.sum()


@cache
def substitution_matrix() -> NDArray[np.float64]:
    """Probability that the element of a column is found in place of that of a row."""
    from pymatgen.analysis.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )

    table = SubstitutionProbability()
    ions = [ion for ion in table.species if ion.symbol in SYMBOLS]
    matrix = np.zeros((NUM_ELEMENTS, NUM_ELEMENTS))
    for before, after in product(ions, ions):
        matrix[before.Z - 1, after.Z - 1] += table.prob(before, after)
    # Elements that it does not know stay.
    matrix[np.diag_indices(NUM_ELEMENTS)] += matrix.sum(1) == 0
    return matrix / matrix.sum(1, keepdims=True)


def hits(
    scores: NDArray[np.float64], truth: NDArray[np.int64], crystal: NDArray[np.int64], top: int
) -> NDArray[np.float64]:
    """Share of each crystal's hidden atoms whose element is among the best; ``[num_crystals]``."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    right = (best == (truth - 1)[:, None]).any(1)
    return np.bincount(crystal, right) / np.bincount(crystal)


def guessed(guess: Guess, batches: Sequence[CrystalBatch]) -> NDArray[np.float64]:
    """Scores of a guess for all hidden atoms; ``[num_hidden, 118]``."""
    rows = []
    for batch in batches:
        for numbers in np.split(
            batch.atomic_numbers.numpy(), batch.num_atoms.cumsum(0)[:-1].numpy()
        ):
            rows.append(np.repeat(guess(numbers)[None], (numbers == 0).sum(), axis=0))
    return np.concatenate(rows)


@torch.inference_mode()
def filled(
    model: RepairModel | TransformerRepair, batches: Sequence[CrystalBatch]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of a model for all hidden atoms, and the position error of each crystal, Å."""
    scores, errors = [], []
    for batch in batches:
        edges = batch.with_edges(model.graph_spec) if model.graph_spec else batch
        edges = edges.float32()
        repair = model(edges)
        scores.append(repair.logits[edges.masked_sites].double().numpy())
        errors.append(position_errors(repair.displacement, edges))
    return np.concatenate(scores), np.concatenate(errors)


def position_errors(displacement: torch.Tensor, batch: CrystalBatch) -> NDArray[np.float64]:
    """Mean distance of the atoms of each crystal from where they belong, Å; of several atoms."""
    distance = (displacement - true_displacement(batch)).norm(dim=1).double().numpy()
    crystal, several = batch.batch.numpy(), batch.num_atoms.numpy() > 1
    return (np.bincount(crystal, distance) / batch.num_atoms.numpy())[several]


def entry(interval: Interval) -> dict[str, float]:
    return {"value": interval.estimate, "low": interval.low, "high": interval.high}


def measured(
    store: CrystalStore,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    kind: str,
    models: Mapping[str, RepairModel | TransformerRepair],
) -> dict[str, Any]:
    """All rows of one kind of mask."""
    mask = MASKS[kind]
    batches = [
        corrupted(store, rows, mask) for rows in np.split(test, range(BATCH, len(test), BATCH))
    ]
    hidden = np.concatenate([b.masked_sites.numpy() for b in batches])
    truth = np.concatenate([b.true_atomic_numbers.numpy() for b in batches])[hidden]
    sizes = np.concatenate([b.num_atoms.numpy() for b in batches])
    crystal = np.repeat(np.arange(len(test)), sizes)[hidden]

    known = corrupted(store, train, mask)
    prior = np.bincount(known.true_atomic_numbers[known.masked_sites] - 1, minlength=NUM_ELEMENTS)
    numbers = np.split(known.true_atomic_numbers.numpy(), known.num_atoms.cumsum(0)[:-1].numpy())
    completions = Completions(numbers, prior.astype(float), whole=kind == "element")
    guesses: dict[str, Guess] = {
        "frequency": lambda _: prior.astype(float),
        "same composition": completions,
        "substitution": lambda numbers: completions(numbers) @ substitution_matrix(),
    }
    scores = {name: guessed(guess, batches) for name, guess in guesses.items()}
    position: dict[str, NDArray[np.float64]] = {}
    for name, model in models.items():
        scores[name], position[name] = filled(model, batches)
    still = [position_errors(torch.zeros_like(true_displacement(b)), b) for b in batches]
    position["no repair"] = np.concatenate(still)

    rng = np.random.default_rng(0)
    rows: dict[str, Any] = {name: {} for name in [*scores, "no repair"]}
    for top in (1, TOP):
        shares = {name: hits(values, truth, crystal, top) for name, values in scores.items()}
        for name, values in shares.items():
            rows[name][f"top{top}"] = entry(bootstrap_interval(values, rng=rng))
        for name in models:
            gain = paired_bootstrap_interval(shares[name], shares["same composition"], rng=rng)
            rows[name][f"top{top} gain"] = entry(gain)
        for name in set(models) - {REPAIR}:
            less = paired_bootstrap_interval(shares[REPAIR], shares[name], rng=rng)
            rows[REPAIR][f"top{top} less {name}"] = entry(less)
    for name in set(models) - {REPAIR}:
        model = models[name]
        if isinstance(model, RepairModel) or model.repairs_positions:
            less = paired_bootstrap_interval(position[REPAIR], position[name], rng=rng)
            rows[REPAIR][f"position error less {name}"] = entry(less)
        else:
            del position[name]
    for name, errors in position.items():
        rows[name]["position error, Å"] = entry(bootstrap_interval(errors, rng=rng))
    return {"crystals": len(test), "hidden atoms": len(truth), **rows}


def main() -> None:
    """Measures both kinds of masks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others", type=Path, help="the folder of transformer_repair.py")
    parser.add_argument(
        "--joined", type=Path, help="a run of pretrain-joined, the same model on more crystals"
    )
    parser.add_argument("--rows", type=int, default=1000, help="of the test split, drawn by a seed")
    parser.add_argument("--out", type=Path, default=RESULTS / "masked-elements.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(MP20())
    test = np.random.default_rng(0).permutation(store.rows_of("test"))[: args.rows]
    models: dict[str, RepairModel | TransformerRepair] = {
        REPAIR: RepairModel.from_pretrained(SHIPPED.find(REPAIR)).eval()
    }
    if args.joined:
        models["joined"] = RepairModel.from_pretrained(args.joined).eval()
    trained = {}
    for file in sorted(args.others.glob("*.json")) if args.others else []:
        models[file.stem] = TransformerRepair.load(args.others, file.stem)
        trained[file.stem] = json.loads(file.read_text(encoding="utf-8"))
    results = {kind: measured(store, store.rows_of("train"), test, kind, models) for kind in MASKS}
    write(args.out, {"data": store.metadata["source"], "trained": trained, **results})
    for kind, rows in results.items():
        print(kind, {name: row for name, row in rows.items() if isinstance(row, dict)})


if __name__ == "__main__":
    main()
