"""Errors of the ensembles that ship and what their 90 % intervals hold, on public sets.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/ensembles.py

The sets are those of ``shipped_models.py``. Factor and floor of the intervals come from the
validation crystals of MP-20, which chose the epochs too; nothing was chosen on the test crystals.
Beside each ensemble stand its first member, which ships as a model of its own, and two other kinds
of intervals, conformal on the same validation crystals: in proportion to the members' deviation
alone, and of one width for all crystals. ``scripts/cards.py`` writes errors and coverage into the
cards.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, ratios, write
from numpy.typing import NDArray
from scipy.stats import spearmanr
from shipped_models import SETS, LabelledSet, column, interval, parts, read_set

from crystal_data import to_cif
from crystal_data.inference import Ensemble, Predictor, conformal_scale, predict_source
from crystal_data.inference.calibration import COVERAGE, half_width
from crystal_data.metrics import paired_bootstrap_interval
from crystal_data.sources import PathsSource
from crystal_embed.shipped import SHIPPED

Floats = NDArray[np.float64]
TEST, VALIDATION = SETS[:2]
ROUNDS = 5


@dataclass(frozen=True)
class SetPredictions:
    """Predictions and labels of one target on one set.

    Args:
        mean: Of the ensemble; ``[num_crystals]``, like all but ``members``.
        std: Deviation of the members.
        bounds: Kind of interval to its lower and upper ends.
        members: ``[num_members, num_crystals]``.
        labels: True values.
    """

    mean: Floats
    std: Floats
    bounds: Mapping[str, tuple[Floats, Floats]]
    members: Floats
    labels: Floats


def predict(
    ensemble: Ensemble, one: LabelledSet, scale: Mapping[str, float]
) -> tuple[SetPredictions, dict[str, NDArray[np.bool_]]]:
    """Predictions on a set, and the parts of the set.

    Args:
        ensemble: Of one target.
        one: The set.
        scale: Factors of the other kinds of intervals, ``deviation alone`` and ``one width``.
    """
    (target,) = ensemble.targets
    records = read_set(one, ensemble.metadata["training"]["max_atoms"])
    crystals = [crystal for crystal, _ in records]
    members = [member.predict(crystals) for member in ensemble.members]
    columns = ensemble.combine(members)
    mean, std = columns[target], columns[f"{target}:std"]
    minimum = ensemble.members[0].minimum[target]
    bounds = {"shipped": (columns[f"{target}:low90"], columns[f"{target}:high90"])}
    for kind, factor in scale.items():
        half = half_width(std if kind == "deviation alone" else np.ones_like(std), factor, COVERAGE)
        low = mean - half
        bounds[kind] = (low if minimum is None else np.maximum(low, minimum), mean + half)
    of_members = np.stack([found[target] for found in members])
    found = SetPredictions(mean, std, bounds, of_members, column(records, target))
    return found, parts(records, target)


def factors(ensemble: Ensemble, one: LabelledSet) -> dict[str, float]:
    """The factor of each kind of interval that the crystals of a set give."""
    found, _ = predict(ensemble, one, {})
    (floor,) = ensemble.floor.values()
    spreads = {
        "shipped": found.std + floor,
        "deviation alone": found.std,
        "one width": np.ones_like(found.std),
    }
    error = found.mean - found.labels
    return {kind: conformal_scale(error, spread) for kind, spread in spreads.items()}


def evaluations(ensemble: Ensemble, scale: Mapping[str, float]) -> list[dict[str, Any]]:
    """What is measured on each set and on its parts."""
    (target,) = ensemble.targets
    rows = []
    for one in SETS:
        if target not in one.targets:
            continue
        found, masks = predict(ensemble, one, scale)
        for part, mask in masks.items():
            row: dict[str, Any] = {"target": target, "data": one.data + part}
            if one.used_for:
                row["used_for"] = f"{one.used_for} and the width of the intervals"
            rows.append(row | {"num_crystals": int(mask.sum())} | measures(found, mask))
    return rows


def measures(found: SetPredictions, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Errors, coverage and widths of some crystals, ``mask`` ``[num_crystals]``."""
    error = np.abs(found.mean - found.labels)[mask]
    errors = np.abs(found.members - found.labels)[:, mask]
    saved = paired_bootstrap_interval(errors[0], error, rng=np.random.default_rng(0))
    kinds = {
        kind: held(found.labels[mask], low[mask], high[mask], found.std[mask])
        for kind, (low, high) in found.bounds.items()
    }
    return {
        "mae": interval(error),
        "first member": interval(errors[0]),
        "mean of members": float(errors.mean()),
        "less than first member": {
            "estimate": saved.estimate,
            "low": saved.low,
            "high": saved.high,
        },
        "rank correlation of deviation and error": float(
            spearmanr(found.std[mask], error).statistic
        ),
        "coverage": kinds["shipped"]["coverage"],
        "width": kinds["shipped"]["width"],
        **kinds,
    }


def held(labels: Floats, low: Floats, high: Floats, std: Floats) -> dict[str, Any]:
    """Share of the labels within intervals and the width of these; ``[num_crystals]`` each.

    The thirds are the crystals on which the members differ least, in the middle, and most.
    """
    is_held = (low <= labels) & (labels <= high)
    thirds = np.array_split(np.argsort(std, kind="stable"), 3)
    return {
        "coverage": interval(is_held.astype(float)),
        "width": interval(high - low),
        "coverage by thirds": [float(is_held[rows].mean()) for rows in thirds],
    }


def times() -> dict[str, float]:
    """How many times as long both ensembles take as both single models.

    All validation crystals are predicted, as CIF files that were not read before.
    """
    singles = [Predictor.from_pretrained(SHIPPED.find(name)) for name in SHIPPED.default]
    ensembles = [Ensemble.load(folder) for folder in SHIPPED.ensembles().values()]
    members = [member for ensemble in ensembles for member in ensemble.members]
    texts = [to_cif(crystal) for crystal, _ in read_set(VALIDATION, 20)]
    seconds: dict[str, list[float]] = {"singles": [], "ensembles": []}
    for _ in range(ROUNDS):
        for name, models in (("singles", singles), ("ensembles", members)):
            with TemporaryDirectory() as place:
                for number, text in enumerate(texts):
                    Path(place, f"{number}.cif").write_text(text, encoding="utf-8")
                start = time.perf_counter()
                predict_source(models, PathsSource([place]))
                seconds[name].append(time.perf_counter() - start)
    return ratios(seconds["ensembles"], seconds["singles"])


def main() -> None:
    torch.set_num_threads(1)
    models, found_factors = {}, {}
    for name, folder in SHIPPED.ensembles().items():
        ensemble = Ensemble.load(folder)
        scale = factors(ensemble, VALIDATION)
        found_factors[name] = {"validation": scale, "test": factors(ensemble, TEST)}
        others = {kind: factor for kind, factor in scale.items() if kind != "shipped"}
        models[name] = evaluations(ensemble, others)
        for row in models[name]:
            print(
                f"{name}: {row['mae']['estimate']:.4f} ({row['first member']['estimate']:.4f}), "
                f"{100 * row['coverage']['estimate']:.1f} % within "
                f"{row['width']['estimate']:.3f}, {row['num_crystals']} crystals, {row['data']}"
            )
    content = {"models": models, "factors": found_factors, "times as long": times()}
    write(RESULTS / "ensembles.json", content)


if __name__ == "__main__":
    main()
