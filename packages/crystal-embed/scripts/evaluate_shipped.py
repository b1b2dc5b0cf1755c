"""Measures the models that ship on public sets, and writes the errors into their cards.

    CRYSTAL_DATA_HOME=FOLDER python packages/crystal-embed/scripts/evaluate_shipped.py

Crystals with more atoms than a model was trained for are left out. The figures of the independent
evaluation are copied, since its crystals are not among the public files used here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data import Crystal
from crystal_data.artifacts.artifact import Artifact
from crystal_data.errors import Rejection
from crystal_data.homes import data_home
from crystal_data.io import Record, parse_record
from crystal_data.sources import TableSource
from crystal_embed import load
from crystal_embed.shipped import SHIPPED

ENERGY, GAP, HULL = "formation_energy_per_atom", "band_gap", "energy_above_hull"
Labelled = list[tuple[Crystal, Mapping[str, Any]]]


@dataclass(frozen=True)
class LabelledSet:
    """A folder of ``train``, ``val`` and ``test`` CSV files in the data home."""

    data: str
    folder: str
    splits: tuple[str, ...]
    targets: tuple[str, ...]


SETS = (
    LabelledSet("MP-20 (a part), test split", "mp_20", ("test",), (ENERGY, GAP)),
    LabelledSet(
        "MPTS-52 (a part), up to 20 atoms, no id of MP-20",
        "mpts_52",
        ("train", "val", "test"),
        (ENERGY,),
    ),
    LabelledSet(
        "oxides of Banjade et al. 2021, up to 20 atoms, no id of MP-20, labels of another release",
        "mp_oxides",
        ("train", "val", "test"),
        (ENERGY, GAP),
    ),
)
_INDEPENDENT = "independent evaluation, unseen crystals"
INDEPENDENT = (
    {"target": ENERGY, "data": _INDEPENDENT, "num_crystals": 3559, "mae": 0.0557},
    {"target": GAP, "data": _INDEPENDENT, "num_crystals": 3559, "mae": 0.2465},
    {"target": GAP, "data": f"{_INDEPENDENT}, gap above 0", "num_crystals": None, "mae": 0.60},
)


def main() -> None:
    """Measures and saves each model."""
    for name, folder in SHIPPED.artifacts().items():
        artifact = Artifact.load(folder)
        rows = evaluations(name, artifact.metadata["training"])
        replace(artifact, metadata={**artifact.metadata, "evaluations": rows}).save(folder)
        for row in rows:
            print(f"{name}: {row['mae']}, {row['num_crystals']} crystals, {row['data']}")


def evaluations(name: str, training: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows for the metadata: target, data, number of crystals, mean absolute error."""
    rows = [dict(row) for row in INDEPENDENT if row["target"] in training["targets"]]
    model = load(name)
    for one in SETS:
        records = read_set(one, training["max_atoms"])
        predicted = model.predict([crystal for crystal, _ in records])
        for target in set(one.targets) & set(training["targets"]):
            error = np.abs(predicted[target] - column(records, target))
            for part, mask in parts(records, target).items():
                mae = round(float(error[mask].mean()), 4)
                row = {"data": one.data + part, "num_crystals": int(mask.sum()), "mae": mae}
                rows.append({"target": target, **row})
    return rows


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


if __name__ == "__main__":
    main()
