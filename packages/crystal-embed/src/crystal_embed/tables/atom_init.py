"""The 92-number element table of CGCNN, computed from element properties.

Each property falls into one of equal bins, and each bin is one number of the vector, 1 or 0; an
element without a value has zeros. ``element_properties.csv`` holds the properties. It was put
together from the element data that mendeleev 0.14 and 1.3 (MIT licence) collect; these in turn
cite, for the Pauling electronegativities and the atomic volumes, the CRC Handbook of Chemistry and
Physics (95th edition, 2014); for the single-bond covalent radii, Pyykkö and Atsumi, Chem. Eur. J.
15, 186 (2009); for the first ionisation energies, the NIST Atomic Spectra Database; for the
electron affinities, the CRC Handbook and Andersen, Phys. Rep. 394, 157 (2004).

Two entries follow the published table rather than a textbook: lanthanides and actinides belong to
no group and count two valence electrons, and palladium counts twelve, its filled 4s shell with
the 4d.
"""

import csv
import math
from collections.abc import Iterator
from importlib.resources import files

import numpy as np

from crystal_embed.tables.table import ElementTable

# Property: first edge, last edge, number of bins, whether the logarithm is binned.
# Source: supplement of Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
_BINNED = {
    "electronegativity": (0.5, 4.0, 10, False),
    "covalent_radius_pm": (25.0, 250.0, 10, False),
    "ionization_energy_ev": (1.3, 3.3, 10, True),
    "electron_affinity_ev": (-3.0, 3.7, 10, False),
    "atomic_volume_cm3_per_mol": (1.5, 4.3, 10, True),
}
# Group 0 are the lanthanides and actinides; periods and valence electrons count from 1.
_COUNTED = {"group": (0, 19), "period": (1, 7), "valence_electrons": (1, 12)}
_BLOCKS = "spdf"
_ORDER = (
    "group",
    "period",
    "electronegativity",
    "covalent_radius_pm",
    "valence_electrons",
    "ionization_energy_ev",
    "electron_affinity_ev",
    "block",
    "atomic_volume_cm3_per_mol",
)


def atom_init() -> ElementTable:
    """The table for elements 1 to 100; 92 numbers each."""
    with files("crystal_embed.tables").joinpath("element_properties.csv").open() as file:
        rows = list(csv.DictReader(file))
    vectors = [np.concatenate(list(_one_hots(row))) for row in rows]
    return ElementTable(
        name="atom_init",
        atomic_numbers=np.array([int(row["atomic_number"]) for row in rows]),
        vectors=np.array(vectors, dtype=np.float32),
        metadata={"source": "binned element properties, as in Xie and Grossman (2018)"},
    )


def _one_hots(row: dict[str, str]) -> Iterator[np.ndarray]:
    for name in _ORDER:
        position, length = _position(name, row[name])
        one_hot = np.zeros(length)
        if position is not None and 0 <= position < length:
            one_hot[position] = 1.0
        yield one_hot


def _position(name: str, text: str) -> tuple[int | None, int]:
    if name == "block":
        return _BLOCKS.index(text), len(_BLOCKS)
    if name in _COUNTED:
        first, length = _COUNTED[name]
        return int(text or 0) - first, length
    first_edge, last_edge, length, logarithmic = _BINNED[name]
    if not text:
        return None, length
    value = math.log(float(text)) if logarithmic else float(text)
    return math.floor((value - first_edge) / (last_edge - first_edge) * length), length
