"""Trains the ranker of candidates and puts it into the package.

    CRYSTAL_DATA_HOME=FOLDER python packages/crystal-gen/scripts/fit_ranker.py --work FOLDER \
        [--train-rows N] [--val-rows N] [--pools-only]

Rows of the training set are asked for by their compositions, with copies of all other training
rows: the row itself and its duplicates (same formula, and a match) are left out. So candidates that
match the truth are known for free. The models have seen these rows, so that what they say of them
tells nothing; there the ranker sees copies alone. What they say of a crystal that is not known is
learned on validation rows; a ranker that has seen half of them is measured and calibrated on the
other half, where it also learns what energies by CHGNet say (`crystal-data[chgnet]`). Test rows are
never read; the card has what `benchmarks/whole_way.py` measures on them (`python
scripts/cards.py`). Pools and energies are kept in ``--work`` and added to when it is run again.
"""

import argparse
import pickle
from collections.abc import Iterator
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crystal_data import Crystal, open_store
from crystal_data.generation import GenerationRequest
from crystal_data.metrics import match
from crystal_data.sources import MP20
from crystal_data.store import CrystalStore
from crystal_gen import Exclusion, StructureModel, TemplateLibrary, WyckoffTransformer
from crystal_gen.candidates.energies import energy_penalties, pool_energies
from crystal_gen.candidates.features import CandidateFeatures
from crystal_gen.candidates.generator import pool_maker
from crystal_gen.candidates.pool import Pool, PoolMaker, primitive
from crystal_gen.candidates.ranker import (
    CandidateRanker,
    calibrate,
    calibration_error,
    count_energies,
    fit_ranker,
)
from crystal_gen.candidates.sources import CopySource
from crystal_gen.shipped import RANKER, SHIPPED, STRUCTURE_MODEL, SYMMETRY_MODEL, TEMPLATES

POTENTIAL = "chgnet"
PRETRAINED = Path(__file__).resolve().parents[1] / "src" / "crystal_gen" / "pretrained"
Labelled = tuple[Pool, Exclusion, np.ndarray]


def main() -> None:
    """Makes pools, trains, calibrates and writes the artifact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--train-rows", type=int, default=2000)
    parser.add_argument("--val-rows", type=int, default=1000)
    parser.add_argument("--pools-only", choices=("train", "val"), help="make these and stop")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    store = open_store(MP20(), on_invalid="skip")
    copies = CopySource(TemplateLibrary.from_pretrained(SHIPPED.find(TEMPLATES)))
    labelled = {}
    for split, count in (("train", args.train_rows), ("val", args.val_rows)):
        if args.pools_only in (None, split):
            labelled[split] = list(pools(store, split, count, copies, args.work / f"{split}.pkl"))
    if args.pools_only is None:
        with_models = [pool for pool, _, _ in labelled["val"]]
        energies = energies_of_pools(with_models, args.work / f"val-{POTENTIAL}.pkl")
        fit(labelled, energies, CandidateFeatures(copies))


def pools(
    store: CrystalStore, split: str, count: int, copies: CopySource, file: Path
) -> Iterator[Labelled]:
    """Pools of the first rows of a shuffle, and which candidates match."""
    rows = np.random.default_rng(0).permutation(store.rows_of(split))[:count].tolist()
    kept: dict[int, Labelled] = {}
    if file.is_file():
        with file.open("rb") as stream:
            kept = dict(_read(stream))
    maker = PoolMaker(copies)
    if split == "val":
        maker = pool_maker(
            copies.library,
            StructureModel.from_pretrained(SHIPPED.find(STRUCTURE_MODEL)),
            WyckoffTransformer.from_pretrained(SHIPPED.find(SYMMETRY_MODEL)),
        )
    with file.open("ab") as stream:
        for row in rows:
            if row not in kept:
                true = store.crystal(row)
                exclude = _same(true, copies) if split == "train" else Exclusion()
                pool = maker.pool(request_of(true), exclude=exclude)
                matches = [match(primitive(each), true) for each in pool.candidates]
                pickle.dump((row, exclude.ids, pool, matches), stream)
                stream.flush()
                kept[row] = _labelled(exclude.ids, pool, matches)
            yield kept[row]


def energies_of_pools(pools: list[Pool], file: Path) -> list[np.ndarray]:
    """Energies of the candidates of each pool, eV/atom."""
    kept: dict[str, np.ndarray] = {}
    if file.is_file():
        with file.open("rb") as stream:
            kept = dict(_read(stream))
    with file.open("ab") as stream:
        for pool in pools:
            if pool.request.id not in kept:
                kept[pool.request.id] = pool_energies(pool, POTENTIAL)
                pickle.dump((pool.request.id, kept[pool.request.id]), stream)
                stream.flush()
    return [kept[pool.request.id] for pool in pools]


def request_of(crystal: Crystal) -> GenerationRequest:
    """The composition of a row's cell."""
    z = gcd(*crystal.composition.values())
    formula = "".join(f"{symbol}{count // z}" for symbol, count in crystal.composition.items())
    return GenerationRequest(id=crystal.identifier, formula=formula, z=z)


def fit(
    labelled: dict[str, list[Labelled]], energies: list[np.ndarray], features: CandidateFeatures
) -> None:
    """Trains on training rows and half of the validation rows; calibrates on the other half."""
    training = [(features(pool, out), matches) for pool, out, matches in labelled["train"]]
    with_models = [(features(pool, out), matches) for pool, out, matches in labelled["val"]]
    copies_alone = [
        (features(each), matches[[x.num_templates > 0 for x in pool.candidates]])
        for pool, _, matches in labelled["val"]
        for each in [without_models(pool)]
    ]
    half = len(with_models) // 2
    ranker = CandidateRanker(potential=POTENTIAL)
    penalties = [energy_penalties(each) for each in energies[half:]]
    for known in (with_models[:half], with_models):
        chosen = [each for each in [*training, *known, *copies_alone[: len(known)]] if len(each[1])]
        fit_ranker(ranker, [x for x, _ in chosen], [y for _, y in chosen])
        if known is not with_models:
            metrics = measured(ranker, with_models[half:])
            slope, shift = ranker.slope.clone(), ranker.shift.clone()
            metrics |= measured_with_energies(ranker, with_models[half:], penalties)
            weights = ranker.energy_weights.clone()
    # The last fit has seen the rows of the calibration, which therefore stays as it was.
    ranker.slope.copy_(slope)
    ranker.shift.copy_(shift)
    ranker.energy_weights.copy_(weights)
    print(
        f"{len(training)} pools of training rows, {len(with_models)} of validation rows: {metrics}"
    )
    print(ranker.save_pretrained(PRETRAINED / RANKER, metadata={"data": {"source": "mp_20"}}))


def measured(ranker: CandidateRanker, pools: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Calibrates, and says how good the ranker is on the same rows."""
    features = np.concatenate([x for x, _ in pools])
    matches = np.concatenate([y for _, y in pools])
    even, odd = np.arange(0, len(matches), 2), np.arange(1, len(matches), 2)
    calibrate(ranker, features[even], matches[even])
    error = calibration_error(ranker.probabilities(features[odd]), matches[odd])
    calibrate(ranker, features, matches)
    first = [y[ranker.probabilities(x).argmax()] if len(y) else False for x, y in pools]
    copied = [y[0] if len(y) else False for _, y in pools]
    return {
        "rows held out": len(pools),
        "match_rate@1": round(float(np.mean(first)), 4),
        "match_rate@1 of the nearest copy": round(float(np.mean(copied)), 4),
        "match_rate of any": round(float(np.mean([y.any() for _, y in pools])), 4),
        "calibration_error": round(error, 4),
    }


def measured_with_energies(
    ranker: CandidateRanker, pools: list[tuple[np.ndarray, np.ndarray]], penalties: list[np.ndarray]
) -> dict[str, Any]:
    """Learns what energies say, and how much better the first are with them, on other rows."""
    chosen = [place for place, (_, matches) in enumerate(pools) if len(matches)]
    right, chances, truth = 0, [], []
    for kept in (0, 1):
        learn(ranker, pools, penalties, [place for place in chosen if place % 2 != kept])
        for place in (place for place in chosen if place % 2 == kept):
            features, matches = pools[place]
            chances.append(ranker.probabilities(features, penalties[place]))
            truth.append(matches)
            right += int(matches[chances[-1].argmax()])
    learn(ranker, pools, penalties, chosen)
    error = calibration_error(np.concatenate(chances), np.concatenate(truth))
    return {
        "match_rate@1 with energies": round(right / len(pools), 4),
        "calibration_error with energies": round(error, 4),
        "energy_weights": ranker.energy_weights.tolist(),
    }


def learn(
    ranker: CandidateRanker,
    pools: list[tuple[np.ndarray, np.ndarray]],
    penalties: list[np.ndarray],
    chosen: list[int],
) -> None:
    """Fits what energies say on some of the pools."""
    count_energies(
        ranker,
        [pools[place][0] for place in chosen],
        [penalties[place] for place in chosen],
        [pools[place][1] for place in chosen],
    )


def without_models(pool: Pool) -> Pool:
    """The copies of a pool alone."""
    is_kept = np.array([each.num_templates > 0 for each in pool.candidates])
    made = np.array([x.origin == "template" and is_kept[r] for x, r in _made(pool)])
    places = np.cumsum(is_kept) - 1
    return replace(
        pool,
        candidates=[x for x, keep in zip(pool.candidates, is_kept, strict=True) if keep],
        made=[x for x, keep in zip(pool.made, made, strict=True) if keep],
        fingerprints=[x for x, keep in zip(pool.fingerprints, made, strict=True) if keep],
        representative=places[pool.representative[made]],
        scores=np.full(int(is_kept.sum()), np.nan),
        answers=(),
    )


def _made(pool: Pool) -> Iterator[tuple[Any, int]]:
    return zip(pool.made, pool.representative.tolist(), strict=True)


def _same(true: Crystal, copies: CopySource) -> Exclusion:
    """The templates that are a crystal."""
    names = copies.library.identifiers
    same = [
        names[row]
        for row in copies.search.rows_of_formula(true.formula)
        if match(copies.library.crystal(row).to_crystal(), true) is not None
    ]
    return Exclusion(ids=(true.identifier, *same))


def _read(stream: Any) -> Iterator[tuple[Any, Any]]:
    while True:
        try:
            key, *values = pickle.load(stream)
        except EOFError:
            return
        yield key, values[0] if len(values) == 1 else _labelled(*values)


def _labelled(ids: Any, pool: Pool, matches: list[float | None]) -> Labelled:
    return pool, Exclusion(ids=tuple(ids)), np.array([each is not None for each in matches], bool)


if __name__ == "__main__":
    main()
