"""Effective medium theory of many crystals at once: the numbers of ASE's calculator, faster.

ASE's ``EMT`` loops over atoms in Python; here all neighbors of all crystals are in the same arrays.
"""

from collections.abc import Callable
from functools import lru_cache
from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_BEYOND = 0.5  # Å that neighbors are looked for beyond the middle of the cutoff function
_AT_FOURTH = 1e-4  # what is left of the cutoff function at the fourth neighbors of fcc


class PotentialResults(NamedTuple):
    """What a potential says of many crystals.

    Args:
        energy: Shape ``[num_crystals]``, eV.
        forces: Shape ``[num_atoms, 3]``, eV/Å.
        stress: Positive under tension; shape ``[num_crystals, 3, 3]``, eV/Å³.
    """

    energy: Floats
    forces: Floats
    stress: Floats


#: Of ``lattice``, ``frac_coords``, ``atomic_numbers`` and ``num_atoms`` of many crystals.
ManyCrystalPotential = Callable[[Floats, Floats, Integers, Integers], PotentialResults]


class _Parameters(NamedTuple):
    """By atomic number, NaN where there are none; those of pairs by center and neighbor."""

    middle: float  # of the cutoff function, Å
    steepness: float  # of the cutoff function, 1/Å
    cohesive: Floats  # E0, eV
    decay: Floats  # lambda, 1/Å
    repulsion: Floats  # V0, eV
    density_decay: Floats  # eta2, 1/Å
    pair_decay: Floats  # kappa / beta, 1/Å
    beta: float
    full_density: Floats  # 12 gamma1: sum over the neighbors of an atom in its fcc crystal
    density_factor: Floats  # of pairs
    pair_factor: Floats  # of pairs, eV


# Atoms in one place, and elements without parameters, have no finite results.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def effective_medium(
    lattice: Floats, frac_coords: Floats, atomic_numbers: Integers, num_atoms: Integers
) -> PotentialResults:
    """Energies, forces and stresses of effective medium theory.

    What a crystal gets does not depend on the others, to the last bit.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: Any image; shape ``[num_atoms, 3]``.
        atomic_numbers: Of elements that ASE has parameters of; others make NaN of all results of
            their crystal; shape ``[num_atoms]``.
        num_atoms: Atoms of each crystal; shape ``[num_crystals]``.

    Source:
        Jacobsen, Stoltze and Nørskov, Surf. Sci. 366, 394 (1996); parameters, cutoff and zero of
        the energy are those of ``ase.calculators.emt.EMT()``.
    """
    of = _parameters()
    crystal = np.repeat(np.arange(len(num_atoms)), num_atoms)
    center, neighbor, vector = _neighbors(lattice, frac_coords, num_atoms, of.middle + _BEYOND)
    length = np.sqrt((vector**2).sum(axis=0))
    element, other = atomic_numbers[center], atomic_numbers[neighbor]
    weight = 1 / (1 + np.exp(of.steepness * (length - of.middle)))
    weight_slope = of.steepness * (weight - 1)  # of its logarithm
    density = of.density_factor[element, other] * weight
    density *= np.exp(-of.density_decay[other] * length)
    pair = of.pair_factor[element, other] * weight * np.exp(-of.pair_decay[other] * length)
    energy, slope = _embedded(_summed(center, density, len(crystal)), atomic_numbers)
    energy += _summed(center, pair, len(crystal))

    tension = slope[center] * density * (weight_slope - of.density_decay[other])
    tension += pair * (weight_slope - of.pair_decay[other])  # derivative by the length
    pull = tension / length * vector
    forces = [_summed(center, f, len(crystal)) - _summed(neighbor, f, len(crystal)) for f in pull]
    owner = crystal[center]
    virial = [[_summed(owner, f * along, len(num_atoms)) for along in vector] for f in pull]
    return PotentialResults(
        _summed(crystal, energy, len(num_atoms)),
        np.stack(forces, axis=1),
        np.array(virial).transpose(2, 0, 1) / np.abs(np.linalg.det(lattice))[:, None, None],
    )


def _summed(index: Integers, values: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(index, values, count), dtype=np.float64)


def _neighbors(
    lattice: Floats, frac_coords: Floats, num_atoms: Integers, cutoff: float
) -> tuple[Integers, Integers, Floats]:
    """Centers, neighbors and the vectors between them, ``[3, num_edges]``, Å."""
    import torch

    from crystal_data.graphs import GraphSpec, neighbor_list

    found = neighbor_list(
        torch.from_numpy(lattice),
        torch.from_numpy(frac_coords),
        torch.from_numpy(num_atoms),
        GraphSpec(cutoff=cutoff, max_neighbors=None),
    )
    neighbor, center = found.edge_index.numpy()
    cells = lattice[np.repeat(np.arange(len(num_atoms)), num_atoms)]
    difference = frac_coords[neighbor] + found.edge_shift.numpy() - frac_coords[center]
    return center, neighbor, np.einsum("ei,eik->ke", difference, cells[center])


def _embedded(density: Floats, atomic_numbers: Integers) -> tuple[Floats, Floats]:
    """Energies of atoms in the density of their neighbors, eV, and their derivatives by it."""
    of = _parameters()
    lonely = density == 0  # no neighbor within the cutoff: no energy but the zero that is taken off
    density = np.where(lonely, 1.0, density)
    eta, kappa, decay, cohesive, repulsion = (
        values[atomic_numbers]
        for values in (
            of.density_decay,
            of.pair_decay * of.beta,
            of.decay,
            of.cohesive,
            of.repulsion,
        )
    )
    # Of the sphere that an atom has for itself, less that in its fcc crystal, Å.
    radius = -np.log(density / of.full_density[atomic_numbers]) / (of.beta * eta)
    bound = cohesive * np.exp(-decay * radius)
    repelled = 6 * repulsion * np.exp(-kappa * radius)
    energy = bound * (1 + decay * radius) + repelled
    slope = (bound * decay**2 * radius + kappa * repelled) / (of.beta * eta * density)
    return np.where(lonely, 0.0, energy) - cohesive, np.where(lonely, 0.0, slope)


@lru_cache(maxsize=1)
def _parameters() -> _Parameters:
    from ase.calculators.emt import beta, parameters
    from ase.units import Bohr

    table = np.full((len(SYMBOLS), 7), np.nan)
    for symbol, values in parameters.items():
        table[SYMBOLS.index(symbol)] = values
    units = np.array([1, Bohr, 1, 1 / Bohr, 1 / Bohr, 1 / Bohr, Bohr**-3])
    cohesive, radius, repulsion, eta, kappa, decay, density = (table * units).T
    nearest = beta * np.nanmax(radius)  # in the fcc crystal of the largest atoms
    middle = nearest * (sqrt(3) + 2) / 2
    steepness = log(1 / _AT_FOURTH - 1) / (2 * nearest - middle)

    shells = np.sqrt([1.0, 2.0, 3.0])
    lengths = beta * radius[:, None] * shells
    shares = np.array([12, 6, 24]) / 12 / (1 + np.exp(steepness * (lengths - middle)))
    beyond = lengths - beta * radius[:, None]
    gamma1 = (shares * np.exp(-eta[:, None] * beyond)).sum(axis=1)
    gamma2 = (shares * np.exp(-kappa[:, None] / beta * beyond)).sum(axis=1)
    ratio = density[None, :] / density[:, None]
    return _Parameters(
        middle=middle,
        steepness=steepness,
        cohesive=cohesive,
        decay=decay,
        repulsion=repulsion,
        density_decay=eta,
        pair_decay=kappa / beta,
        beta=beta,
        full_density=12 * gamma1,
        density_factor=ratio * np.exp(eta * beta * radius),
        pair_factor=-0.5 * (repulsion / gamma2)[:, None] * ratio * np.exp(kappa * radius),
    )
