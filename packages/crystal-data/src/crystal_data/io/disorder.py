"""What becomes of sites that several species share or leave empty at times."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.distances import nearest_distances
from crystal_data.io.options import OnDisorder

SITE_TOLERANCE = 0.05  # Å; species closer than this share one site
FULL = 0.999  # occupancies from here on count as full
_MAX_TOTAL = 1.02  # rounded values such as 0.334 + 0.333 + 0.334 may exceed 1 by so much
_MAX_CELLS = 32  # of the supercell that an ordered arrangement may need
_MAX_SITES = 1000
_AMOUNT_TOLERANCE = 0.01  # of a site's occupancy, between what was wanted and what was placed


@dataclass(frozen=True)
class _Site:
    frac_coords: NDArray[np.float64]
    occupancies: dict[int, float]  # atomic number (0 is a vacancy) to occupancy


def resolve_disorder(
    crystal: Crystal, occupancies: NDArray[np.float64], on_disorder: OnDisorder
) -> Crystal:
    """Make an ordered crystal of one with partial occupancies.

    One element in several charges that fill a site is ordered as it is.

    ``majority`` keeps the most occupied species of each site; of equal ones the lowest atomic
    number; a site of which less than half is occupied in all becomes vacant. ``order`` takes the
    smallest supercell (diagonal, as compact as can be, up to 32 cells) in which the amounts of
    every species on every kind of site are whole numbers within 0.01 per site. It places each
    species, rarest first, always at the free site farthest from those of its own kind, then
    swaps sites while that lessens the sum of 1/d² over like pairs. Both give the same answer
    each time.

    Args:
        crystal: One atom for each species of each site.
        occupancies: Of each of those atoms, above 0; shape ``[num_atoms]``.
        on_disorder: ``error`` and ``skip`` refuse; who calls decides what follows.

    Raises:
        InvalidCrystalError: ``DISORDERED`` if refused or no arrangement exists, ``BAD_VALUE`` if
            a site is more than full.
    """
    if (occupancies >= FULL).all():
        return crystal
    sites = _sites(crystal, occupancies)
    if all(len(site.occupancies) == 1 for site in sites):
        return _ordered(
            crystal,
            crystal.lattice,
            [site.frac_coords for site in sites],
            [next(iter(site.occupancies)) for site in sites],
            "one element in several charges shares sites that it fills",
        )
    if on_disorder == "majority":
        return _majority(crystal, sites)
    if on_disorder == "order":
        return _order(crystal, sites)
    partial = int((occupancies < FULL).sum())
    detail = (
        f"{partial} of {len(occupancies)} atoms have partial occupancies "
        f"(lowest {occupancies.min():g}); on_disorder 'majority' or 'order' would use it"
    )
    raise InvalidCrystalError(crystal.identifier, Reason.DISORDERED, detail)


def _sites(crystal: Crystal, occupancies: NDArray[np.float64]) -> list[_Site]:
    delta = crystal.frac_coords[:, None] - crystal.frac_coords
    delta -= np.rint(delta)
    vectors = delta @ crystal.lattice
    close = np.einsum("ijk,ijk->ij", vectors, vectors) < SITE_TOLERANCE**2
    sites = []
    owner = close.argmax(axis=1)  # the first atom of each site
    for first in np.unique(owner):
        amounts: dict[int, float] = defaultdict(float)
        for atom in np.flatnonzero(owner == first):
            amounts[int(crystal.atomic_numbers[atom])] += float(occupancies[atom])
        total = sum(amounts.values())
        if total > _MAX_TOTAL:
            detail = f"the occupancies of the site of atom {first} sum to {total:.3f}, more than 1"
            raise InvalidCrystalError(crystal.identifier, Reason.BAD_VALUE, detail)
        if total < FULL:
            amounts[0] = 1.0 - total
        sites.append(_Site(crystal.frac_coords[first], dict(sorted(amounts.items()))))
    return sites


def _majority(crystal: Crystal, sites: list[_Site]) -> Crystal:
    coords, numbers = [], []
    for site in sites:
        if site.occupancies.get(0, 0.0) > 0.5 + 1e-9:
            continue
        species = {z: amount for z, amount in site.occupancies.items() if z}
        numbers.append(max(species, key=lambda z: (round(species[z], 6), -z)))
        coords.append(site.frac_coords)
    note = f"{_num_disordered(sites)} of {len(sites)} sites are disordered; the majority was kept"
    return _ordered(crystal, crystal.lattice, coords, numbers, note)


def _num_disordered(sites: list[_Site]) -> int:
    return sum(len(site.occupancies) > 1 for site in sites)


def _order(crystal: Crystal, sites: list[_Site]) -> Crystal:
    kinds: dict[tuple[tuple[int, float], ...], list[int]] = defaultdict(list)
    for index, site in enumerate(sites):
        kinds[tuple((z, round(x, 4)) for z, x in site.occupancies.items())].append(index)
    num_cells = _smallest_supercell(crystal.identifier, kinds, len(sites))
    repeats = _compact(crystal.lengths, num_cells)
    shifts = np.array(list(product(*(range(n) for n in repeats))))
    lattice = crystal.lattice * np.array(repeats)[:, None]
    home = np.array([site.frac_coords for site in sites])
    coords = (home[:, None] + shifts) / repeats
    numbers = np.zeros(coords.shape[:2], dtype=np.int64)
    for kind, members in kinds.items():
        amounts = _whole_amounts(kind, len(members) * num_cells)
        placed = _spread(lattice, coords[members].reshape(-1, 3), amounts)
        numbers[members] = placed.reshape(len(members), num_cells)
    kept = numbers.ravel() > 0
    note = (
        f"{_num_disordered(sites)} of {len(sites)} sites are disordered; they were ordered in "
        f"{num_cells} cells"
    )
    return _ordered(crystal, lattice, coords.reshape(-1, 3)[kept], numbers.ravel()[kept], note)


def _smallest_supercell(
    identifier: str, kinds: dict[tuple[tuple[int, float], ...], list[int]], num_sites: int
) -> int:
    for num_cells in range(1, _MAX_CELLS + 1):
        if num_cells * num_sites > _MAX_SITES:
            break
        for kind, members in kinds.items():
            count = len(members) * num_cells
            amounts = _whole_amounts(kind, count)
            if any(abs(amounts[z] / count - x) > _AMOUNT_TOLERANCE for z, x in kind):
                break
        else:
            return num_cells
    detail = (
        f"no supercell of up to {_MAX_CELLS} cells and {_MAX_SITES} sites gives whole numbers of "
        f"atoms for the occupancies of its {num_sites} sites; on_disorder 'majority' would use it"
    )
    raise InvalidCrystalError(identifier, Reason.DISORDERED, detail)


def _whole_amounts(kind: tuple[tuple[int, float], ...], count: int) -> dict[int, int]:
    # Largest remainders get what rounding down has left over, so that the amounts fill the sites.
    total = sum(x for _, x in kind)
    wanted = {z: x / total * count for z, x in kind}
    amounts = {z: int(np.floor(x + 1e-6)) for z, x in wanted.items()}
    order = sorted(wanted, key=lambda z: (round(amounts[z] - wanted[z], 6), z))
    for z in order[: count - sum(amounts.values())]:
        amounts[z] += 1
    return amounts


def _compact(lengths: NDArray[np.float64], num_cells: int) -> tuple[int, int, int]:
    shapes = [
        (i, j, num_cells // (i * j))
        for i, j in product(range(1, num_cells + 1), repeat=2)
        if num_cells % (i * j) == 0
    ]
    return min(shapes, key=lambda shape: (round(max(lengths * shape), 6), shape[::-1]))


def _spread(
    lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], amounts: dict[int, int]
) -> NDArray[np.int64]:
    """Atomic number of each site: every species as far from itself as the free sites allow."""
    distances = nearest_distances(lattice, frac_coords, frac_coords)
    free = np.ones(len(frac_coords), dtype=bool)
    numbers = np.zeros(len(frac_coords), dtype=np.int64)
    for z, amount in sorted(amounts.items(), key=lambda item: (item[1], item[0])):
        nearest = np.full(len(frac_coords), np.inf)
        for _ in range(amount):
            # Rounded, so that equal distances tie by index on every machine.
            site = int(np.where(free, np.round(nearest, 6), -1.0).argmax())
            free[site], numbers[site] = False, z
            nearest = np.minimum(nearest, distances[site])
    return _swapped(distances, numbers)


def _swapped(distances: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Swap two sites as long as that lessens the sum of 1/d² over pairs of like species."""
    nearness = 1.0 / np.maximum(distances, SITE_TOLERANCE) ** 2
    np.fill_diagonal(nearness, 0.0)
    while True:
        kinds, kind = np.unique(numbers, return_inverse=True)
        felt = nearness @ (numbers[:, None] == kinds)  # by each site from each species
        own = felt[np.arange(len(numbers)), kind]
        there = felt[:, kind]  # by site i, were it of the species of site j
        change = there + there.T - own[:, None] - own - 2.0 * nearness
        change[kind[:, None] == kind] = 0.0
        first, second = divmod(int(np.round(change, 6).argmin()), len(numbers))
        if change[first, second] > -1e-6:
            return numbers
        numbers[[first, second]] = numbers[[second, first]]


def _ordered(
    crystal: Crystal,
    lattice: NDArray[np.float64],
    frac_coords: list[NDArray[np.float64]] | NDArray[np.float64],
    atomic_numbers: list[int] | NDArray[np.int64],
    note: str,
) -> Crystal:
    if len(atomic_numbers) == 0:
        detail = "every one of its sites is more than half empty, so no atoms would remain"
        raise InvalidCrystalError(crystal.identifier, Reason.DISORDERED, detail)
    return crystal.replace(
        lattice=lattice,
        frac_coords=np.asarray(frac_coords),
        atomic_numbers=np.asarray(atomic_numbers),
        notes=(*crystal.notes, note),
    )
