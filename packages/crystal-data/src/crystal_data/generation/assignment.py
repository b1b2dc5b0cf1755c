"""Whether, and in how many ways, atoms can be put on the Wyckoff positions of a space group."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import product
from math import comb, prod

from crystal_data.symmetry.wyckoff import space_group_operations, wyckoff_positions


def centring(space_group_number: int) -> int:
    """Lattice points of the conventional cell: 1 for P, 2 for A, C and I, 3 for R, 4 for F."""
    rotations, _ = space_group_operations(space_group_number)
    is_identity = (rotations == rotations[0]).all(axis=(1, 2))
    return int(is_identity.sum())


def count_assignments(space_group_number: int, counts: Sequence[int]) -> int:
    """Number of ways to put elements on Wyckoff positions.

    An assignment is the set of positions of each element; a position without a free coordinate
    holds one orbit of one element, any other as many as are wanted. Exact, and quick: of the fixed
    positions only the number that is left of each multiplicity matters for what comes next.

    Args:
        space_group_number: 1 to 230, in its standard setting.
        counts: Atoms of each element in the primitive cell.
    """
    fixed, free = _multiplicities(space_group_number)
    sizes = tuple(sorted(fixed))
    ways = _ways(free, _rounded_up(max(counts, default=0)))

    @cache
    def count(element: int, left: tuple[int, ...]) -> int:
        if element == len(counts):
            return 1
        total = 0
        for taken in product(*(range(number + 1) for number in left)):
            rest = counts[element] - sum(map(prod, zip(taken, sizes, strict=True)))
            if rest >= 0 and ways[rest]:
                chosen = prod(map(comb, left, taken))
                remaining = tuple(a - b for a, b in zip(left, taken, strict=True))
                total += chosen * ways[rest] * count(element + 1, remaining)
        return total

    return count(0, tuple(fixed[size] for size in sizes))


def nearest_z(space_group_number: int, composition: Mapping[str, int], z: int) -> list[int]:
    """The nearest numbers of formula units, below and above, that the group can hold.

    Args:
        space_group_number: 1 to 230.
        composition: Atoms of each element in one formula unit.
        z: Formula units of the primitive cell.

    Returns:
        One or two numbers, in order.
    """

    def fits(number: int) -> bool:
        counts = [amount * number for amount in composition.values()]
        return count_assignments(space_group_number, counts) > 0

    # As many formula units as the point group has operations fit always: on general positions.
    order = len(space_group_operations(space_group_number)[0]) // centring(space_group_number)
    below = next(filter(fits, range(z - 1, 0, -1)), None)
    above = next(filter(fits, range(z + 1, z + order + 1)), None)
    return [number for number in (below, above) if number is not None]


def can_share_out(sizes: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether orbits of these sizes can be given to elements so that each has its atoms.

    Args:
        sizes: Atoms of each orbit.
        counts: Atoms of each element, in the same cell.
    """

    @cache
    def fits(place: int, left: tuple[int, ...]) -> bool:
        if place == len(ordered):
            return not any(left)
        return any(
            fits(place + 1, tuple(sorted((*left[:i], n - ordered[place], *left[i + 1 :]))))
            for i, n in enumerate(left)
            if n >= ordered[place] and n not in left[:i]
        )

    ordered = sorted(sizes, reverse=True)
    return fits(0, tuple(sorted(counts)))


@lru_cache(maxsize=230)
def _multiplicities(space_group_number: int) -> tuple[Counter[int], tuple[int, ...]]:
    """Of the primitive cell: how many fixed positions of each; those of positions to choose in."""
    points = centring(space_group_number)
    positions = wyckoff_positions(space_group_number)
    fixed = Counter(p.multiplicity // points for p in positions if p.num_free == 0)
    free = tuple(p.multiplicity // points for p in positions if p.num_free > 0)
    return fixed, free


@lru_cache(maxsize=256)
def _ways(free: tuple[int, ...], most: int) -> list[int]:
    """Number of multisets of positions that hold 0, 1, … atoms."""
    ways = [1] + [0] * most
    for multiplicity in free:
        for count in range(multiplicity, most + 1):
            ways[count] += ways[count - multiplicity]
    return ways


def _rounded_up(count: int) -> int:
    """So that tables of several sizes are one."""
    return max(64, 1 << (count - 1).bit_length())
