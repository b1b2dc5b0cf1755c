"""Write ``crystal_embed/analysis/element_properties.csv``: what element vectors are asked for.

Needs nothing beside the package's own environment::

    uv run python packages/crystal-embed/scripts/make_element_properties.py

The values are those of pymatgen's periodic table (MIT licence): Slater's empirical atomic radii
(J. Chem. Phys. 41, 3199, 1964), boiling and melting points at normal pressure, and electrical
resistivities near room temperature, of which the conductivity, in MS/m, is the inverse.
"""

import csv
import gzip
import json
from importlib.resources import files
from pathlib import Path

SOURCE = files("pymatgen.core") / "periodic_table.json.gz"
TARGET = Path(__file__).parents[1] / "src" / "crystal_embed" / "analysis" / "element_properties.csv"
# Column, pymatgen's name of the value, and its unit there.
COLUMNS = {
    "atomic_radius_angstrom": ("Atomic radius", "ang"),
    "boiling_point_kelvin": ("Boiling point", "K"),
    "melting_point_kelvin": ("Melting point", "K"),
    "electrical_conductivity_ms_per_m": ("Electrical resistivity", "ohm m"),
}


def main() -> None:
    """Write the table, the same bytes at every run."""
    elements = json.loads(gzip.decompress(SOURCE.read_bytes()))
    units = elements.pop("_unit")
    for key, unit in COLUMNS.values():
        if units[key] != unit:
            raise SystemExit(f"{SOURCE}: {key} is in {units[key]}, not in {unit}")
    by_number = sorted(elements.items(), key=lambda item: int(item[1]["Atomic no"]))
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["symbol", *COLUMNS])
        for symbol, element in by_number:
            values = [_text(element.get(key), key) for key, _ in COLUMNS.values()]
            # Deuterium and tritium stand in it as elements of their own.
            if any(values) and symbol not in {"D", "T"}:
                writer.writerow([symbol, *values])
    print(TARGET)


def _text(value: float | None, key: str) -> str:
    if value is None:
        return ""
    return f"{1e-6 / value:.4g}" if key == "Electrical resistivity" else f"{value:g}"


if __name__ == "__main__":
    main()
