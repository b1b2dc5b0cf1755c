"""The two tables of T2-Relax for doing nothing, volume scaling and trained models.

    python benchmarks/relaxation.py DATA/relax_chgnet --model graph=runs/graph-0,runs/graph-1

Folders behind one name are seeds of one model. Errors of cells and positions are measured over all
test relaxations, by what made their starts, and over those that barely move (below 0.03 Å). Gains
over the two references are one less the ratio of mean errors. All have 95 % intervals over seeds
and crystals; with one seed, over crystals alone. ROUGE and BLEU compare the text of each predicted
change, as a text model of three decimals would write it, with that of the true one.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from measuring import RESULTS, write
from numpy.typing import NDArray

from crystal_data import open_store
from crystal_data.crystal import Crystal
from crystal_data.metrics import (
    Interval,
    paired_bootstrap_interval,
    seed_gain_interval,
    seed_interval,
)
from crystal_data.trajectories import RelaxationSource
from crystal_relax import RelaxationErrors, Relaxer, relaxation_errors
from crystal_relax.pairs import RelaxationPairs, pairs_of
from crystal_relax.references import Identity, VolumeScaling
from crystal_relax.scoring import BARELY, PUBLISHED, UNITS
from crystal_relax.text.changes import text_change
from crystal_relax.text.overlap import Overlap, overlap
from crystal_relax.text.tokens import ChangeTokenizer

QUANTITIES = ("lengths", "angles", "positions")
DECIMALS = 3  # of the texts that are compared


def measured(pairs: RelaxationPairs, predictions: Sequence[Crystal]) -> RelaxationErrors:
    """Errors of predictions."""
    return relaxation_errors(pairs.starts, predictions, pairs.ends, pairs.origins)


def texts(starts: Sequence[Crystal], ends: Sequence[Crystal]) -> list[list[int]]:
    """Changes as tokens, as a text model of so many decimals would write them."""
    tokenizer = ChangeTokenizer(DECIMALS)
    return [
        tokenizer.encode(tokenizer.cut(text_change(start, end)), start.atomic_numbers).tolist()
        for start, end in zip(starts, ends, strict=True)
    ]


def overlaps(own: list[list[int]], true: list[list[int]]) -> dict[str, float]:
    """ROUGE and BLEU of texts, means over crystals."""
    scores = [overlap(one, other) for one, other in zip(own, true, strict=True)]
    return dict(zip(Overlap._fields, np.mean(scores, axis=0).tolist(), strict=True))


def gains(reference: RelaxationErrors, seeds: Sequence[RelaxationErrors]) -> dict[str, Any]:
    """Share of the reference's mean error that a model takes away."""
    found: dict[str, Any] = {}
    for quantity in QUANTITIES:
        own = np.array([seed.per_crystal[quantity] for seed in seeds])
        other = reference.per_crystal[quantity]
        if len(seeds) > 1:
            found[quantity] = asdict(seed_gain_interval(np.tile(other, (len(own), 1)), own))
            continue
        # Linear in small changes of both means.
        ratio = own[0].mean() / other.mean()
        interval = paired_bootstrap_interval(
            ratio * other / other.mean() + 1 - ratio,
            own[0] / other.mean(),
            rng=np.random.default_rng(0),
        )
        found[quantity] = asdict(interval)
    return found


def added(reference: RelaxationErrors, seeds: Sequence[RelaxationErrors]) -> float | None:
    """Å that a model adds to the error of positions where atoms barely move."""
    barely = reference.parts.get(BARELY)
    if barely is None:
        return None
    own = np.mean([seed.per_crystal["positions"][barely].mean() for seed in seeds])
    return float(own - reference.per_crystal["positions"][barely].mean())


def table(seeds: Sequence[RelaxationErrors]) -> dict[str, Any]:
    """MAE, MSE and RMSE of each quantity over each part."""
    found: dict[str, Any] = {}
    for row in seeds[0].rows():
        part = seeds[0].parts[row.part]
        own = [seed.row(row.quantity, row.part) for seed in seeds]
        squares = over_seeds([pooled(seed, row.quantity, part, 2) for seed in seeds], row.mse)
        roots = {
            name: None if one is None else sqrt(max(one, 0.0)) for name, one in squares.items()
        }
        found.setdefault(row.part, {})[row.quantity] = {
            "mae": over_seeds([pooled(seed, row.quantity, part, 1) for seed in seeds], row.mae),
            "mse": squares,
            "rmse": roots,
            "mae of each seed": [one.mae.estimate for one in own],
            "num_crystals": row.num_crystals,
        }
    return found


def pooled(
    errors: RelaxationErrors, quantity: str, part: NDArray[np.bool_], power: int
) -> NDArray[np.float64]:
    """A number for each crystal; their mean is that over all cells, or over all atoms."""
    if quantity != "positions":
        column = list(UNITS).index(quantity)
        return np.abs(errors.cell[part, column]) ** power
    atoms = [errors.positions[row] for row in np.flatnonzero(part)]
    mean_size = np.mean([len(one) for one in atoms])
    return np.array([(one**power).sum() / mean_size for one in atoms])


def over_seeds(values: Sequence[NDArray[np.float64]], of_one: Interval) -> dict[str, float | None]:
    """A mean with its interval: over seeds and crystals, or over crystals where one seed is."""
    found = seed_interval(np.stack(values)) if len(values) > 1 else of_one
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def show(results: dict[str, Any]) -> None:
    """The table over all rows as Markdown."""
    print("| | " + " | ".join(PUBLISHED) + " |")
    print("| --- |" + " --- |" * len(PUBLISHED))
    for name, found in results["measured"].items():
        cells = [
            f"{found['table']['all'][quantity]['mae']['estimate']:.3f}" for quantity in PUBLISHED
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(
        "| T2-Relax, other data | " + " | ".join(f"{v[0]:.3f}" for v in PUBLISHED.values()) + " |"
    )


def main() -> None:
    """Measures what is named, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of trajectories: train, val, test")
    parser.add_argument(
        "--training", type=Path, help="whose training volume scaling is fitted to (default: data)"
    )
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME=FOLDER[,FOLDER…]")
    parser.add_argument("--out", default="relaxation.json", help="name in benchmarks/results")
    args = parser.parse_args()
    store = open_store(RelaxationSource(args.data), on_invalid="skip")
    pairs = pairs_of(store, store.rows_of(args.split))
    known = open_store(RelaxationSource(args.training or args.data), on_invalid="skip")
    training = pairs_of(known, known.rows_of("train"))
    scaling = VolumeScaling.fit(training.starts, training.ends)
    ways = {"identity": [Identity()], "volume scaling": [scaling]} | {
        name: [Relaxer.from_pretrained(folder) for folder in folders.split(",")]
        for name, _, folders in (given.partition("=") for given in args.model)
    }
    predicted = {name: [way.relax(pairs.starts) for way in seeds] for name, seeds in ways.items()}
    found = {name: [measured(pairs, one) for one in seeds] for name, seeds in predicted.items()}
    [nothing], [scaled] = found["identity"], found["volume scaling"]
    true = texts(pairs.starts, pairs.ends)
    results: dict[str, Any] = {
        "data": args.data.name,
        "split": args.split,
        "data_hash": nothing.data_hash,
        "num_crystals": len(pairs.starts),
        "measured": {
            name: {
                "num_seeds": len(seeds),
                "table": table(seeds),
                "gain over identity": gains(nothing, seeds),
                "gain over volume scaling": gains(scaled, seeds),
                "added to positions that barely move": added(nothing, seeds),
                "overlap of texts": overlaps(texts(pairs.starts, predicted[name][0]), true),
            }
            for name, seeds in found.items()
        },
    }
    show(results)
    for name in found:
        one = results["measured"][name]
        for reference in ("identity", "volume scaling"):
            for quantity, gain in one[f"gain over {reference}"].items():
                print(
                    name, quantity, f"gain over {reference}", {k: gain[k] for k in list(gain)[:3]}
                )
        print(
            name, "added to positions that barely move", one["added to positions that barely move"]
        )
    write(RESULTS / args.out, results)


if __name__ == "__main__":
    main()
