"""Errors of the models of properties that ship, on public sets.

    CRYSTAL_DATA_HOME=FOLDER python benchmarks/shipped_models.py

Crystals with more atoms than a model was trained for are left out. Mean absolute errors with 95 %
intervals over crystals, and on MP-20's test crystals those of the mean of the training labels.
``scripts/cards.py`` writes them into the cards of the models.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, write
from numpy.typing import NDArray

from crystal_data import Crystal
from crystal_data.artifacts import Artifact
from crystal_data.errors import Rejection
from crystal_data.homes import data_home
from crystal_data.inference import Predictor, ShippedModels
from crystal_data.io import Record, parse_record
from crystal_data.metrics import bootstrap_interval
from crystal_data.sources import MP20, TableSource
from crystal_embed.shipped import SHIPPED as OF_EMBED
from crystal_gan.shipped import SHIPPED as OF_GAN

ENERGY, GAP, HULL = "formation_energy_per_atom", "band_gap", "energy_above_hull"
Labelled = list[tuple[Crystal, Mapping[str, Any]]]


@dataclass(frozen=True)
class LabelledSet:
    """A folder of ``train``, ``val`` and ``test`` CSV files in the data home.

    ``used_for`` names the choice that was made on its crystals, if one was.
    """

    data: str
    folder: str
    splits: tuple[str, ...]
    targets: tuple[str, ...]
    used_for: str = ""


ALL = ("train", "val", "test")
SETS = (
    LabelledSet("MP-20 (a part), test split", "mp_20", ("test",), (ENERGY, GAP)),
    LabelledSet(
        "MP-20 (a part), validation split",
        "mp_20",
        ("val",),
        (ENERGY, GAP),
        used_for="the choice of the epoch",
    ),
    LabelledSet(
        "MPTS-52 (a part), up to 20 atoms, no id of MP-20",
        "mpts_52",
        ALL,
        (ENERGY,),
    ),
    LabelledSet(
        "oxides of Banjade et al. 2021, up to 20 atoms, no id of MP-20, labels of another release",
        "mp_oxides",
        ALL,
        (ENERGY, GAP),
    ),
)


def predictors(shipped: ShippedModels) -> dict[str, Path]:
    """Name and folder of each model of a property in a package."""
    folders = shipped.artifacts().items()
    return {name: folder for name, folder in folders if Artifact.load(folder).targets}


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """Target, data, number of crystals and mean absolute error with its interval."""
    training = Artifact.load(folder).metadata["training"]
    model = Predictor.from_pretrained(folder)
    rows = []
    for one in SETS:
        targets = set(one.targets) & set(training["targets"])
        records = read_set(one, training["max_atoms"]) if targets else []
        predicted = model.predict([crystal for crystal, _ in records]) if targets else {}
        for target in sorted(targets):
            error = np.abs(predicted[target] - column(records, target))
            for part, mask in parts(records, target).items():
                found: dict[str, Any] = {"target": target, "data": one.data + part}
                if one.used_for:
                    found["used_for"] = one.used_for
                found["num_crystals"] = int(mask.sum())
                rows.append({**found, "mae": interval(error[mask])})
    return rows


def of_training_mean() -> dict[str, dict[str, float]]:
    """Errors of the mean of MP-20's training labels on its test crystals, by target."""
    train, test = (
        [record.properties for record in MP20().records() if record.split == split]
        for split in ("train", "test")
    )
    return {
        target: interval(
            np.abs(np.mean([row[target] for row in train]) - [row[target] for row in test])
        )
        for target in (ENERGY, GAP)
    }


def interval(errors: NDArray[np.float64]) -> dict[str, float]:
    """Their mean and its 95 % interval over crystals."""
    found = bootstrap_interval(errors, rng=np.random.default_rng(0))
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def read_set(one: LabelledSet, max_atoms: int) -> Labelled:
    """Crystals of up to ``max_atoms`` atoms, each with its labels."""
    folder = data_home() / one.folder
    if not folder.is_dir():
        raise SystemExit(f"{folder} is missing; set CRYSTAL_DATA_HOME to the folder that has it")
    files = {split: next(folder.glob(f"{split}.csv*")) for split in one.splits}
    records = TableSource(**files, identifier="material_id", structure="cif").records()
    pairs = [(parse_record(row), row.properties) for row in map(_record, records)]
    return [(crystal, labels) for crystal, labels in pairs if crystal.num_atoms <= max_atoms]


def column(records: Labelled, name: str) -> NDArray[np.float64]:
    """One label of each crystal; shape ``[num_crystals]``."""
    return np.array([labels[name] for _, labels in records], dtype=float)


def parts(records: Labelled, target: str) -> dict[str, NDArray[np.bool_]]:
    """All crystals, and those parts of them in which errors differ most."""
    found = {"": np.ones(len(records), dtype=bool)}
    if target == GAP:
        found[", gap above 0"] = column(records, GAP) > 0.0
    if target == ENERGY and HULL in records[0][1]:
        # MP-20 has no crystal that is further above the hull.
        is_near = column(records, HULL) < 0.08
        found[", less than 0.08 eV/atom above the hull"] = is_near
        found[", 0.08 eV/atom or more above the hull"] = ~is_near
    return found


def _record(row: Record | Rejection) -> Record:
    if isinstance(row, Rejection):
        raise SystemExit(f"a row cannot be read: {row}")
    return row


def main() -> None:
    torch.set_num_threads(1)
    found = {}
    for name, folder in {**predictors(OF_EMBED), **predictors(OF_GAN)}.items():
        found[name] = evaluations(folder)
        for row in found[name]:
            mae = row["mae"]["estimate"]
            print(f"{name}: {mae:.4f}, {row['num_crystals']} crystals, {row['data']}")
    write(RESULTS / "shipped-models.json", {"models": found, "training mean": of_training_mean()})


if __name__ == "__main__":
    main()
