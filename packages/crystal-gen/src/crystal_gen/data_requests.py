"""Requests for the crystals of a data set: what a generator is measured with."""

from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.generation import GenerationRequest, Quantity, WyckoffSite
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.symmetry import SymmetricCrystal


def requests_for(
    store: CrystalStore,
    rows: Sequence[int],
    column: OrbitColumn,
    *,
    properties: Sequence[str] = (),
    num_samples: int = 1,
    seed: int = 0,
) -> list[GenerationRequest]:
    """One request for each row, by the row's identifier.

    Crystals with orbits are asked for by space group and elements on Wyckoff positions, crystals
    without symmetry by the atoms of their primitive cell. One that has no orbits is asked for by
    the atoms of its own cell.

    Args:
        store: The data.
        rows: Of the store.
        column: How orbits are found, and whether there are any.
        properties: Columns whose values are asked for, where there are any.
        num_samples: Of each request.
        seed: Of each request.
    """
    numbers = np.array(rows, dtype=np.int64)
    known = [
        name for name in properties if name in store.properties and store.kind(name) == "scalar"
    ]
    values = store.targets(known, numbers)
    units = {name: store.field(name).unit for name in known}
    symmetric = column.crystals(store.add_column(column).cut(numbers))
    requests = []
    for place, (row, orbits) in enumerate(zip(numbers.tolist(), symmetric, strict=True)):
        crystal = store.crystal(row)
        wanted = {name: float(values[name][place]) for name in known}
        requests.append(
            GenerationRequest(
                id=crystal.identifier,
                **_asked(crystal, orbits, uses_symmetry=column.uses_symmetry),
                properties={
                    name: Quantity(value, units[name])
                    for name, value in wanted.items()
                    if np.isfinite(value)
                },
                num_samples=num_samples,
                seed=seed,
            )
        )
    return requests


def _asked(
    crystal: Crystal, orbits: SymmetricCrystal | None, *, uses_symmetry: bool
) -> dict[str, Any]:
    if orbits is None or not uses_symmetry:
        cell = crystal if orbits is None else orbits.to_crystal()
        return {"formula": cell.formula, "z": gcd(*cell.composition.values())}
    sites = zip(orbits.wyckoff_letters, orbits.atomic_numbers.tolist(), strict=True)
    return {
        "space_group": orbits.space_group_number,
        "wyckoff": tuple(WyckoffSite(letter, SYMBOLS[number]) for letter, number in sites),
    }
