"""The built-in data as a source like any other."""

import hashlib
from collections.abc import Iterator
from importlib import resources
from typing import Literal

from crystal_data.builtin.generate import Entry, entries
from crystal_data.io.record import Record
from crystal_data.sources.base import CrystalSource, combine_fingerprint

UNITS = {
    "lattice_energy_per_atom": "eV/atom",
    "formation_energy_per_atom": "eV/atom",
    "bulk_modulus": "GPa",
}


class BuiltinSource(CrystalSource):
    """Some 2,300 ionic crystals whose energies this package computes; needs no download.

    Structure types are decorated with ions in charge balance, brought to their size of least
    energy in a Born–Mayer model, and labelled with what that model says:
    ``lattice_energy_per_atom``, ``formation_energy_per_atom`` (Born–Haber) and ``bulk_modulus``.
    Half of the compounds have a deformed copy with the same ``parent``. ``structure_type`` names
    the prototype. The split, about 80/10/10, keeps a formula in one part.

    The energies are those of point charges that repel, not of density-functional theory, and most
    of the compounds have never been made. Use it to try things out, not as evidence that they work.
    """

    @property
    def name(self) -> str:
        """Always ``"builtin"``."""
        return "builtin"

    @property
    def units(self) -> dict[str, str]:
        """Unit of each numeric property."""
        return dict(UNITS)

    def fingerprint(self) -> str:
        """Hash of the code and the tables that make the data."""
        content = hashlib.sha256()
        package = resources.files(__package__)
        files = [*package.iterdir(), *package.joinpath("tables").iterdir()]
        for file in sorted(files, key=lambda file: file.name):
            if file.name.endswith((".py", ".csv")):
                # Line ends may differ between checkouts of the same file.
                text = file.read_text(encoding="utf-8")
                content.update(f"{file.name}\n{text}\n".encode())
        return combine_fingerprint(self, content.hexdigest(), {})

    def records(self) -> Iterator[Record]:
        """Every crystal, computed on the spot."""
        for entry in entries():
            yield Record(
                identifier=entry.crystal.identifier,
                structure=entry.crystal,
                format="crystal",
                properties={
                    "lattice_energy_per_atom": entry.lattice_energy_per_atom,
                    "formation_energy_per_atom": entry.formation_energy_per_atom,
                    "bulk_modulus": entry.bulk_modulus,
                    "structure_type": entry.prototype,
                },
                split=_split(entry),
                parent=entry.parent,
            )


def _split(entry: Entry) -> Literal["train", "val", "test"]:
    """The part that the crystal's formula belongs to."""
    tenth = int(hashlib.sha256(entry.crystal.formula.encode()).hexdigest(), 16) % 10
    if tenth == 0:
        return "test"
    return "val" if tenth == 1 else "train"
