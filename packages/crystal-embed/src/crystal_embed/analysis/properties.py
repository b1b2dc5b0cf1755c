"""Properties of the elements that are read off their vectors."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files

from crystal_data import SYMBOLS


@dataclass(frozen=True)
class ElementProperty:
    """Known values of one property.

    Args:
        name: Short, for files.
        label: For readers.
        unit: Of the values.
        column: In which file they stand, and under which name.
        published_r2: From the 128 numbers of the published universal embedding, with CatBoost; the
            mean over seeds. None where the paper has no such row.
        log10: Whether the decadic logarithm is predicted.
        values: By element symbol; those without a value are not in it.
    """

    name: str
    label: str
    unit: str
    column: tuple[str, str]
    published_r2: float | None
    log10: bool = False
    values: Mapping[str, float] = field(default_factory=dict)


_HERE = "analysis/element_properties.csv"
_ATOM_INIT = "tables/element_properties.csv"
# The paper does not say on which scale it predicts the conductivity. Its number stands beside the
# plain one, the main one here: it tells metals apart, where the logarithm, over 24 orders of
# magnitude, is decided by the few insulators, and every table tried predicts it worse.
_KNOWN = (
    ElementProperty(
        "atomic_radius", "atomic radius", "Å", (_HERE, "atomic_radius_angstrom"), 0.784
    ),
    ElementProperty(
        "boiling_point", "boiling temperature", "K", (_HERE, "boiling_point_kelvin"), 0.864
    ),
    ElementProperty(
        "melting_point", "melting temperature", "K", (_HERE, "melting_point_kelvin"), 0.856
    ),
    ElementProperty(
        "electrical_conductivity", "electrical conductivity", "MS/m",
        (_HERE, "electrical_conductivity_ms_per_m"), 0.831,
    ),
    ElementProperty(
        "log10_electrical_conductivity", "log₁₀ of electrical conductivity", "log₁₀ MS/m",
        (_HERE, "electrical_conductivity_ms_per_m"), None, log10=True,
    ),
    ElementProperty(
        "first_ionisation_energy", "first ionisation energy", "eV",
        (_ATOM_INIT, "ionization_energy_ev"), 0.907,
    ),
)  # fmt: skip


def element_properties() -> tuple[ElementProperty, ...]:
    """All properties with their values.

    Source:
        The properties are those of the universal atomic embeddings' paper, which names no source
        of values. Here they are pymatgen's (``scripts/make_element_properties.py``) and, for the
        ionisation energies, those behind ``atom_init``.
    """
    tables = {name: _read(name) for name in (_HERE, _ATOM_INIT)}
    found = []
    for one in _KNOWN:
        file, column = one.column
        values = {
            symbol: math.log10(float(row[column])) if one.log10 else float(row[column])
            for symbol, row in tables[file].items()
            if row[column]
        }
        found.append(replace(one, values=values))
    return tuple(found)


def _read(name: str) -> dict[str, dict[str, str]]:
    with files("crystal_embed").joinpath(*name.split("/")).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row.get("symbol") or SYMBOLS[int(row["atomic_number"])]: row for row in rows}
