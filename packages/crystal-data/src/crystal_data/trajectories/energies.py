"""Energies of crystals as they stand, by a potential."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.io.ase import to_ase
from crystal_data.trajectories.emt import ManyCrystalPotential
from crystal_data.trajectories.potentials import calculator, potential


def energies_of(crystals: Sequence[Crystal], name: str) -> NDArray[np.float64]:
    """Energies by a potential; ``[num_crystals]``, eV/atom, NaN where it fails.

    Args:
        crystals: Nothing of them is moved.
        name: Of the potential: ``emt``, ``chgnet``, ``sevenn``.

    Raises:
        InvalidArgumentError: If there is no potential of this name.
        SourceError: If it is not installed.
    """
    kind = potential(name)
    if kind.of_many is None:
        found = [_energy(crystal, name) for crystal in crystals]
    else:
        found = [
            energy
            for first in range(0, len(crystals), kind.num_in_step)
            for energy in _together(crystals[first : first + kind.num_in_step], kind.of_many)
        ]
    energies = np.array(found, dtype=np.float64)
    energies[~np.isfinite(energies)] = np.nan
    return energies / [crystal.num_atoms for crystal in crystals]


def _energy(crystal: Crystal, name: str) -> float:
    calculate = calculator(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that potentials are made with
        try:
            atoms = to_ase(crystal.replace(properties={}))
            return float(calculate.get_potential_energy(atoms))
        except Exception:  # what a potential makes of strange geometries
            return np.nan


def _together(crystals: Sequence[Crystal], of_many: ManyCrystalPotential) -> list[float]:
    results = of_many(
        np.array([crystal.lattice for crystal in crystals]),
        np.concatenate([crystal.frac_coords for crystal in crystals]),
        np.concatenate([crystal.atomic_numbers for crystal in crystals]),
        np.array([crystal.num_atoms for crystal in crystals]),
    )
    energies: list[float] = results.energy.tolist()
    return energies
