"""Whether a request can be met, by counting atoms; what cannot says what could."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd

from crystal_data.generation.assignment import (
    can_share_out,
    centring,
    count_assignments,
    nearest_z,
)
from crystal_data.generation.words import RequestError, formula_of
from crystal_data.generation.wyckoff_sites import WyckoffSite, positions_of
from crystal_data.symmetry.wyckoff import space_group_symbol

MOST_ATOMS = 1000  # of a primitive cell; what is larger is a mistake

Composition = Mapping[str, int]


def check_size(formula: str, composition: Composition, z: int) -> None:
    """Refuse cells of more than :data:`MOST_ATOMS` atoms."""
    per_unit = sum(composition.values())
    if per_unit * z > MOST_ATOMS:
        most = MOST_ATOMS // per_unit
        raise RequestError(
            f"z = {z} makes {per_unit * z} atoms of {formula} in the primitive cell, more than "
            f"{MOST_ATOMS}; " + (f"z = {most} is possible" if most else "give a smaller formula")
        )


def primitive_z(space_group: int, z_conventional: int) -> int:
    """Formula units of the primitive cell, from those of the conventional one."""
    points = centring(space_group)
    z, rest = divmod(z_conventional, points)
    if rest:
        near = [str(number * points) for number in (z, z + 1) if number]
        raise RequestError(
            f"{_name(space_group)} has {points} lattice points in its conventional cell, so "
            f"z_conventional is a multiple of {points}, not {z_conventional}; "
            f"{' or '.join(near)} would do"
        )
    return z


def check_group(space_group: int, composition: Composition, z: int) -> None:
    """Refuse atoms that no choice of Wyckoff positions can hold."""
    if count_assignments(space_group, [n * z for n in composition.values()]):
        return
    points = centring(space_group)
    numbers = [
        f"{n} (z_conventional = {n * points})" if points > 1 else str(n)
        for n in nearest_z(space_group, composition, z)
    ]
    raise RequestError(
        f"{_times(composition, z)} in the primitive cell cannot be put on the Wyckoff positions of "
        f"{_name(space_group)}; z = {' or '.join(numbers)} would do"
    )


def atoms_on(space_group: int, sites: Sequence[WyckoffSite]) -> dict[str, int]:
    """Atoms of each element on sites, in the primitive cell; of ``""`` where none is named.

    Raises:
        RequestError: If the sites cannot stand together in one crystal.
    """
    atoms: Counter[str] = Counter()
    for site, size in zip(sites, _sizes(space_group, sites), strict=True):
        atoms[site.element] += size
    return dict(atoms)


def z_on_sites(
    space_group: int,
    sites: Sequence[WyckoffSite],
    formula: str,
    composition: Composition,
    z: int | None,
) -> int:
    """Formula units on the sites of a primitive cell, which have to be ``z`` if that is given."""
    sizes = _sizes(space_group, sites)
    per_unit = sum(composition.values())
    found, rest = divmod(sum(sizes), per_unit)
    wanted = {symbol: n * (z or found) for symbol, n in composition.items()}
    atoms = atoms_on(space_group, sites)
    if sites[0].element:
        if atoms != wanted:
            raise RequestError(
                f"the Wyckoff positions hold {formula_of(atoms)} in the primitive cell, not "
                f"{formula_of(wanted) if found or z else formula}; {_fitting(atoms, composition)}"
            )
    elif rest or found != (z or found):
        sums = [per_unit * n for n in ([z] if z else [found, found + 1]) if n]
        raise RequestError(
            f"the Wyckoff positions hold {sum(sizes)} atoms in the primitive cell, {formula} has "
            f"{per_unit} in a formula unit{f', {per_unit * z} with z = {z}' if z else ''}; "
            + (
                f"z = {found} fits them"
                if found and not rest
                else f"give letters that hold {' or '.join(map(str, sums))}"
            )
        )
    elif not can_share_out(sizes, list(wanted.values())):
        raise RequestError(
            f"orbits of {', '.join(map(str, sizes))} atoms cannot be shared out so that they make "
            f"{formula_of(wanted)}; give other letters, or none"
        )
    return found


def _sizes(space_group: int, sites: Sequence[WyckoffSite]) -> list[int]:
    points = centring(space_group)
    return [position.multiplicity // points for position in positions_of(sites, space_group)]


def _fitting(atoms: Composition, composition: Composition) -> str:
    factor = gcd(*atoms.values())
    reduced = {symbol: n // factor for symbol, n in atoms.items()}
    units = gcd(*composition.values())
    if {symbol: n // units for symbol, n in composition.items()} == reduced and factor % units == 0:
        return f"z = {factor // units} fits them"
    return f"they fit {formula_of(reduced)} with z = {factor}"


def _times(composition: Composition, z: int) -> str:
    return formula_of({symbol: n * z for symbol, n in composition.items()})


def _name(space_group: int) -> str:
    return f"space group {space_group} ({space_group_symbol(space_group)})"
