"""Which ions fill which structure types, and the crystals that come of it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crystal_data.builtin.energy import IonicModel, formation_energy
from crystal_data.builtin.ewald import image_distances
from crystal_data.builtin.ions import Ion, shannon_radii
from crystal_data.builtin.prototypes import PROTOTYPES, Prototype
from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS

PER_PROTOTYPE = 80  # compounds
STRAIN = 0.03  # standard deviation of each strain component of a deformed copy
DISPLACEMENT = 0.06  # Å, standard deviation of each coordinate of a deformed copy

# A cation rattles in a hole that is too wide and bursts one that is too narrow: its shortest bond
# stays within these shares of the sum of the radii.
_BOND = (0.86, 1.14)
_MIN_BOND = 0.80  # the same for a deformed copy, all bonds
_HIGHEST_ENERGY = 0.5  # eV/atom against the elements; beyond, point charges are no description


@dataclass(frozen=True)
class Compound:
    """A structure type with an ion in each slot."""

    prototype: Prototype
    ions: tuple[Ion, ...]

    @property
    def name(self) -> str:
        """Such as ``"rock-salt-Na1+-Cl1-"``; unique."""
        return "-".join([self.prototype.name.replace(" ", "-"), *map(str, self.ions)])

    @property
    def ion_of_atom(self) -> list[Ion]:
        """The ion on each site."""
        return [self.ions[slot] for slot in self.prototype.slot_of_atom]

    @property
    def charges(self) -> NDArray[np.float64]:
        """Shape ``[num_atoms]``, elementary charges."""
        return np.array([ion.charge for ion in self.ion_of_atom], dtype=np.float64)

    @property
    def radii(self) -> NDArray[np.float64]:
        """Ionic radii for the coordination of each site; shape ``[num_atoms]``, Å."""
        slots = self.prototype.slots
        radius = [ion.radius(slot.coordination) for ion, slot in zip(self.ions, slots, strict=True)]
        return np.array(radius)[self.prototype.slot_of_atom]


@dataclass(frozen=True)
class Entry:
    """A crystal of the built-in data with its energies.

    Args:
        crystal: Identifier included.
        prototype: Name of the structure type that was decorated.
        parent: Name of the compound; a deformed copy has that of the crystal it was made from.
        lattice_energy_per_atom: Against gaseous ions, eV/atom.
        formation_energy_per_atom: Against the elements, eV/atom.
        bulk_modulus: GPa.
    """

    crystal: Crystal
    prototype: str
    parent: str
    lattice_energy_per_atom: float
    formation_energy_per_atom: float
    bulk_modulus: float


def entries() -> Iterator[Entry]:
    """All crystals, structure type by structure type; the same on every call."""
    for prototype in PROTOTYPES:
        yield from prototype_entries(prototype)


def prototype_entries(prototype: Prototype) -> Iterator[Entry]:
    """The crystals of one structure type, a compound's deformed copy after it."""
    found = 0
    for compound in sorted(decorations(prototype), key=lambda c: _digest(c.name)):
        ideal = _ideal_entry(compound)
        if ideal is None:
            continue
        yield ideal
        found += 1
        if found % 2 == 0:
            yield from _deformed_entry(compound, ideal)
        if found == PER_PROTOTYPE:
            return


def decorations(prototype: Prototype) -> Iterator[Compound]:
    """Neutral decorations in which each cation is known with the coordination it would get."""
    choices = [
        [
            ion
            for ion in shannon_radii()
            if ion.charge in prototype.charges[slot.name] and ion.takes(slot.coordination)
        ]
        for slot in prototype.slots
    ]
    amounts = [len(slot.positions) for slot in prototype.slots]
    for ions in product(*choices):
        neutral = sum(n * ion.charge for n, ion in zip(amounts, ions, strict=True)) == 0
        if neutral and len({ion.symbol for ion in ions}) == len(ions):
            yield Compound(prototype, ions)


def _ideal_entry(compound: Compound) -> Entry | None:
    """The compound at its size of least energy; None where the structure type does not suit it."""
    prototype, charges, radii = compound.prototype, compound.charges, compound.radii
    lattice, frac_coords = prototype.lattice, prototype.frac_coords
    ratios = _shortest_bonds(lattice, frac_coords, charges, radii)
    # Start where the bonds are, on average, as long as the radii say.
    lattice = lattice / ratios[charges > 0].mean()
    model = IonicModel(lattice, frac_coords, charges, radii)
    try:
        scale = model.equilibrium()
    except ValueError:
        return None
    lattice = np.round(lattice * scale, 8)
    ratios = _shortest_bonds(lattice, frac_coords, charges, radii)[charges > 0]
    if ratios.min() < _BOND[0] or ratios.max() > _BOND[1]:
        return None
    entry = _entry(compound, lattice, frac_coords, compound.name)
    return entry if entry.formation_energy_per_atom < _HIGHEST_ENERGY else None


def _deformed_entry(compound: Compound, ideal: Entry) -> Iterator[Entry]:
    """A strained and rattled copy; nothing if that pushes ions into each other."""
    rng = np.random.default_rng(int(_digest(compound.name)[:16], 16))
    strain = rng.normal(scale=STRAIN, size=(3, 3))
    lattice = ideal.crystal.lattice @ (np.eye(3) + (strain + strain.T) / 2)
    moves = rng.normal(scale=DISPLACEMENT, size=ideal.crystal.frac_coords.shape)
    frac_coords = ideal.crystal.frac_coords + moves @ np.linalg.inv(lattice)
    lattice, frac_coords = np.round(lattice, 8), np.round(frac_coords, 8)
    ratios = _shortest_bonds(lattice, frac_coords, compound.charges, compound.radii)
    if ratios.min() >= _MIN_BOND:
        yield _entry(compound, lattice, frac_coords, f"{compound.name}-deformed")


def _entry(
    compound: Compound, lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], name: str
) -> Entry:
    model = IonicModel(lattice, frac_coords, compound.charges, compound.radii)
    ions = compound.ion_of_atom
    energy = model.energy()
    crystal = Crystal(
        lattice=lattice,
        frac_coords=frac_coords,
        atomic_numbers=np.array([ATOMIC_NUMBERS[ion.symbol] for ion in ions]),
        identifier=name,
    )
    return Entry(
        crystal=crystal,
        prototype=compound.prototype.name,
        parent=compound.name,
        lattice_energy_per_atom=round(energy / len(ions), 6),
        formation_energy_per_atom=round(formation_energy(energy, ions) / len(ions), 6),
        bulk_modulus=round(model.bulk_modulus(), 4),
    )


def _shortest_bonds(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    charges: NDArray[np.float64],
    radii: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Each atom's shortest distance to an opposite charge over the sum of radii; one per atom."""
    reach = 1.5 * float(np.linalg.norm(lattice, axis=1).max())
    distance = image_distances(lattice, frac_coords, reach)
    opposite = np.outer(charges, charges) < 0
    ratio = distance / (radii[:, None] + radii[None, :])
    return np.where(opposite, ratio, np.inf).min(axis=(0, 2))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
