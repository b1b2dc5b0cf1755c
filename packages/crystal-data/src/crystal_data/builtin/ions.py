"""Atoms and ions of the built-in data: radii, ionisation, electron affinity, atomisation.

``tables/README.md`` names the source of each number.
"""

import csv
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources

import numpy as np

KJ_PER_MOL = 1.0 / 96.485332  # eV per particle


@dataclass(frozen=True)
class Atom:
    """Energies of one element in the gas phase, eV.

    Args:
        atomisation: Enthalpy of the gaseous atom against the element as it stands at 298 K.
        ionisation: First, second, ... ionisation energies.
        affinity: First and, for a chalcogen, second electron affinities (positive: heat is freed).
    """

    symbol: str
    atomisation: float
    ionisation: tuple[float, ...]
    affinity: tuple[float, ...]


@dataclass(frozen=True, order=True)
class Ion:
    """An element with its charge, such as ``Ion("Ti", 4)``."""

    symbol: str
    charge: int

    def __str__(self) -> str:
        sign = "+" if self.charge > 0 else "-"
        return f"{self.symbol}{abs(self.charge)}{sign}"

    @cached_property
    def gas_enthalpy(self) -> float:
        """Enthalpy of the gaseous ion against the element as it stands at 298 K, eV."""
        atom = atoms()[self.symbol]
        if self.charge > 0:
            return atom.atomisation + sum(atom.ionisation[: self.charge])
        return atom.atomisation - sum(atom.affinity[: -self.charge])

    def takes(self, coordination: int) -> bool:
        """Whether the ion is known with this number of neighbors; anions take any."""
        return self.charge < 0 or coordination in shannon_radii()[self]

    def radius(self, coordination: int) -> float:
        """Effective ionic radius, Å; interpolated between tabulated numbers of neighbors."""
        table = shannon_radii()[self]
        return float(np.interp(coordination, list(table), list(table.values())))


@lru_cache
def atoms() -> dict[str, Atom]:
    """The atoms, by symbol."""
    table = {}
    for row in _read("atoms.csv"):
        ionisation = [row[f"ionisation_energy_{n}"] for n in range(1, 7)]
        affinity = [float(row["electron_affinity_1"])] if row["electron_affinity_1"] else []
        if row["electron_affinity_2"]:
            affinity.append(float(row["electron_affinity_2"]) * KJ_PER_MOL)
        table[row["symbol"]] = Atom(
            symbol=row["symbol"],
            atomisation=float(row["atomisation_enthalpy"]) * KJ_PER_MOL,
            ionisation=tuple(float(energy) for energy in ionisation if energy),
            affinity=tuple(affinity),
        )
    return table


@lru_cache
def shannon_radii() -> dict[Ion, dict[int, float]]:
    """Effective ionic radii, Å: ion to number of neighbors (rising) to radius."""
    table: dict[Ion, dict[int, float]] = {}
    for row in _read("shannon_radii.csv"):
        ion = Ion(row["symbol"], int(row["charge"]))
        table.setdefault(ion, {})[int(row["coordination"])] = float(row["radius"])
    return table


def _read(name: str) -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
