"""The smallest displacement between two crystals, as pymatgen's StructureMatcher finds it.

The matcher tries every mapping of one lattice onto the other, and with each every translation that
puts an atom of a rarest element onto one of its kind. It makes objects for each of these; here the
same sums are done, in the same order, on arrays for all mappings at once. So results agree to the
last bits, also where they depend on rounding, as they do when two atoms are equally near.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from crystal_data.metrics.reduced import ReducedCell

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

_PERFECT = 1e-5  # the matcher stops at a displacement below this
# Quick looks that save exact ones leave this much room, so that they never decide by rounding.
_MARGIN = 1e-8
_VALUES_AT_ONCE = 100_000
# A perfect match is most often among the first mappings, so these are looked at alone.
_FIRST_ENDS = (1, 8)
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class _Mappings:
    """Ways to lay the first crystal's lattice onto the second's.

    Args:
        coords: Of the first crystal's atoms, in each; shape ``[num, num_atoms, 3]``.
        lattice: The average of the two; shape ``[num, 3, 3]``, Å.
        box: Greatest difference of fractional coordinates; shape ``[num, 3]``.
        normalization: (atoms / volume)^(1/3); shape ``[num]``, 1/Å.
    """

    coords: Floats
    lattice: Floats
    box: Floats
    normalization: Floats


def smallest_displacement(
    first: ReducedCell, second: ReducedCell, stol: float, angle_tol: float, ltol: float
) -> float | None:
    """Root-mean-square displacement of ``StructureMatcher.get_rms_dist``.

    Args:
        first: One structure.
        second: The other.
        stol: Greatest displacement, in the same units.
        angle_tol: Degrees between cell angles.
        ltol: Relative, between cell lengths.

    Returns:
        In units of (volume / atoms)^(1/3); None if the two do not match.
    """
    best = np.inf
    for distances in _distances(first, second, stol, angle_tol, ltol):
        values = np.sqrt(np.vecdot(distances, distances)) / distances.shape[1] ** 0.5
        perfect = values < _PERFECT
        if perfect.any():
            best = values[perfect.argmax()]
            break
        best = min(best, values.min(initial=np.inf))
    return float(best) if best < stol else None


def is_same_structure(
    first: ReducedCell, second: ReducedCell, stol: float, angle_tol: float, ltol: float
) -> bool:
    """What ``StructureMatcher.fit`` says: whether no atom need be displaced by more than `stol`.

    Arguments are those of `smallest_displacement`.
    """
    blocks = _distances(first, second, stol, angle_tol, ltol)
    return any(bool((distances.max(axis=1) < stol).any()) for distances in blocks)


def _distances(
    first: ReducedCell, second: ReducedCell, stol: float, angle_tol: float, ltol: float
) -> Iterator[Floats]:
    """Displacement of each atom in all that comes near, in the matcher's order, block by block.

    Shape of a block ``[num, num_atoms]``, in units of (volume / atoms)^(1/3).
    """
    if not np.array_equal(np.sort(first.atomic_numbers), np.sort(second.atomic_numbers)):
        return
    ratio = (_volume(second.lattice) / _volume(first.lattice)) ** (1 / 6)
    lattice, other = first.lattice * ratio, second.lattice / ratio
    aligned = _aligned_bases(lattice, other, angle_tol, ltol)
    # One by one, as the matcher does: a product of whole matrices may round in another way.
    cart_coords = np.array([coords @ lattice for coords in first.frac_coords])
    for block in _blocks(aligned):
        yield _displacements(_mappings(cart_coords, block, other, stol), first, second, stol)


def _blocks(aligned: Floats) -> Iterator[Floats]:
    ends = [*_FIRST_ENDS, *range(_BLOCK, len(aligned) + _BLOCK, _BLOCK)]
    for start, end in pairwise((0, *ends)):
        if start < len(aligned):
            yield aligned[start:end]


def _aligned_bases(lattice: Floats, other: Floats, angle_tol: float, ltol: float) -> Floats:
    """Bases of a lattice with lengths and angles like another's; shape ``[num, 3, 3]``, Å."""
    from pymatgen.core.lattice import Lattice

    lengths, angles = _parameters(other[None])
    found: Any = Lattice(lattice).get_points_in_sphere(
        [[0, 0, 0]], [0, 0, 0], lengths.max() * (1 + ltol), zip_results=False
    )
    points, distances = found[:2]
    cart = np.dot(points, lattice)
    ratio = distances / lengths[0][:, None]
    fits = (ratio < 1 + ltol) & (ratio > 1 / (1 + ltol))
    a, b, c = (np.flatnonzero(row) for row in fits)

    def angle_fits(i: Integers, j: Integers, angle: float) -> Bools:
        u, v = cart[i], cart[j]
        norms = [np.sum(x**2, axis=-1) ** 0.5 for x in (u, v)]
        cosines = np.clip(np.inner(u, v) / norms[0][:, None] / norms[1], -1, 1)
        near: Bools = np.abs(np.rad2deg(np.arccos(cosines)) - angle) <= angle_tol
        return near

    alpha, beta, gamma = angles[0]
    alpha_fits = angle_fits(b, c, alpha)
    beta_fits = angle_fits(a, c, beta)
    of_a, of_b = np.nonzero(angle_fits(a, b, gamma))
    of_pair, of_c = np.nonzero(alpha_fits[of_b] & beta_fits[of_a])
    chosen = np.stack([a[of_a[of_pair]], b[of_b[of_pair]], c[of_c]], axis=1)
    # Of the same volume: a whole number, exact in a determinant of small whole numbers.
    return cart[chosen[np.abs(np.linalg.det(points[chosen])).round() == 1]]


def _mappings(cart_coords: Floats, aligned: Floats, other: Floats, stol: float) -> _Mappings:
    coords = cart_coords @ np.linalg.inv(aligned)
    coords -= np.floor(coords)
    lengths, angles = _parameters(aligned)
    other_lengths, other_angles = _parameters(other[None])
    lattice = _from_parameters((lengths + other_lengths) / 2, (angles + other_angles) / 2)
    normalization = (len(cart_coords) / _volume(lattice)) ** (1 / 3)
    box = _reciprocal_lengths(lattice) * stol / (np.pi * normalization[:, None])
    return _Mappings(coords, lattice, box, normalization)


def _reciprocal_lengths(lattice: Floats) -> Floats:
    """Of the vectors of the reciprocal lattice; shape ``[..., 3]``, 1/Å, with the factor 2π."""
    reciprocal = np.swapaxes(np.linalg.inv(lattice), -1, -2) * 2 * np.pi
    lengths: Floats = np.sqrt(np.sum(reciprocal**2, axis=-1))
    return lengths


def _displacements(
    mappings: _Mappings, first: ReducedCell, second: ReducedCell, stol: float
) -> Floats:
    """Displacement of each atom in all that comes near; ``[num, num_atoms]``."""
    from pymatgen.util.coord_cython import is_coord_subset_pbc, pbc_shortest_vectors

    forbidden = second.atomic_numbers[:, None] != first.atomic_numbers
    mask = forbidden.astype(np.int64)
    anchor = int(forbidden.sum(axis=1).argmax())
    images = np.flatnonzero(~forbidden[anchor])
    translations = mappings.coords[:, images] - second.frac_coords[anchor]
    near = _may_come_near(mappings, first, second, translations)
    short = _surely_short(mappings.lattice)
    vectors, normalization = [np.empty((0, len(mask), 3))], []
    for index in np.flatnonzero(near.any(axis=1)):
        coords, box = mappings.coords[index], mappings.box[index]
        moved = [
            each
            for each in second.frac_coords + translations[index, near[index], None]
            if is_coord_subset_pbc(each, coords, box, mask)
        ]
        if not moved:
            continue
        lattice = _ShortLattice(mappings.lattice[index])
        if not short[index]:
            lattice = _lll_reduced(mappings.lattice[index].tobytes())
            box = lattice.reciprocal_lengths * stol / (np.pi * mappings.normalization[index])
        found, squares = pbc_shortest_vectors(
            lattice, np.concatenate(moved), coords, np.tile(mask, (len(moved), 1)), True, box
        )
        shape = (len(moved), len(mask), len(mask))
        for each, costs in zip(found.reshape(*shape, 3), squares.reshape(shape), strict=True):
            _, partner = linear_sum_assignment(costs)
            vectors.append(each[np.arange(len(mask)), partner][None])
            normalization.append(mappings.normalization[index])
    assigned = np.concatenate(vectors)
    assigned -= np.mean(assigned, axis=1, keepdims=True)
    distances: Floats = np.sum(assigned**2, axis=-1) ** 0.5 * np.array(normalization)[:, None]
    return distances


def _may_come_near(
    mappings: _Mappings, first: ReducedCell, second: ReducedCell, translations: Floats
) -> Bools:
    """False where some atom surely has none of its kind within the box; ``[num, num_images]``."""
    mapping, image = np.indices(translations.shape[:2]).reshape(2, -1)
    box = mappings.box + _MARGIN
    numbers, counts = np.unique(second.atomic_numbers, return_counts=True)
    for number in numbers[np.argsort(counts)]:
        own = mappings.coords[:, first.atomic_numbers == number]
        others = second.frac_coords[second.atomic_numbers == number]
        start, step = 0, 1
        while start < len(others) and len(mapping):
            moved = others[start : start + step] + translations[mapping, image, None]
            difference = own[mapping, None] - moved[:, :, None]
            difference = np.abs(difference - np.round(difference))
            near = (difference <= box[mapping, None, None]).all(axis=-1).any(axis=-1).all(axis=-1)
            mapping, image = mapping[near], image[near]
            start += step
            step = max(1, _VALUES_AT_ONCE // max(1, 3 * len(mapping) * len(others)))
    found = np.zeros(translations.shape[:2], dtype=np.bool_)
    found[mapping, image] = True
    return found


class _ShortLattice:
    """A lattice as pymatgen's `pbc_shortest_vectors` asks for it, in short vectors.

    Args:
        lll_matrix: The short vectors; shape ``[3, 3]``, Å.
        lll_inverse: From coordinates of the given vectors to those of the short ones; None where
            these are the same.
    """

    pbc = (True, True, True)

    def __init__(self, lll_matrix: Floats, lll_inverse: Floats | None = None) -> None:
        self.lll_matrix = lll_matrix
        self._lll_inverse = lll_inverse

    @cached_property
    def reciprocal_lengths(self) -> Floats:
        return _reciprocal_lengths(self.lll_matrix)

    def get_lll_frac_coords(self, frac_coords: Floats) -> Floats:
        if self._lll_inverse is None:
            return frac_coords
        return np.dot(frac_coords, self._lll_inverse)


@lru_cache(maxsize=1024)  # mappings that symmetry relates have one lattice
def _lll_reduced(lattice: bytes) -> _ShortLattice:
    from pymatgen.core.lattice import Lattice

    given = Lattice(np.frombuffer(lattice).reshape(3, 3))
    return _ShortLattice(given.lll_matrix, given.lll_inverse)


def _surely_short(lattice: Floats) -> Bools:
    """Where an LLL reduction surely leaves the vectors as they are; shape ``[num]``.

    Source:
        Lenstra, Lenstra and Lovász, Mathematische Annalen 261, 515 (1982), with their delta of 3/4.
    """
    a, b, c = lattice[:, 0], lattice[:, 1], lattice[:, 2]
    squares_a = np.vecdot(a, a)
    b_on_a, c_on_a = np.vecdot(b, a) / squares_a, np.vecdot(c, a) / squares_a
    rest_b, rest_c = b - b_on_a[:, None] * a, c - c_on_a[:, None] * a
    squares_b = np.vecdot(rest_b, rest_b)
    c_on_b = np.vecdot(rest_c, rest_b) / squares_b
    rest_c = rest_c - c_on_b[:, None] * rest_b
    squares_c = np.vecdot(rest_c, rest_c)
    sizes = np.abs([b_on_a, c_on_a, c_on_b]).max(axis=0)
    short: Bools = (
        (sizes < 0.5 - _MARGIN)
        & (squares_b > (0.75 - b_on_a**2 + _MARGIN) * squares_a)
        & (squares_c > (0.75 - c_on_b**2 + _MARGIN) * squares_b)
    )
    return short


def _volume(lattice: Floats) -> Floats:
    (ax, ay, az), (bx, by, bz) = lattice[..., 0, :].T, lattice[..., 1, :].T
    normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
    volume: Floats = np.abs(np.vecdot(normal, lattice[..., 2, :]))
    return volume


def _parameters(lattice: Floats) -> tuple[Floats, Floats]:
    """Lengths, Å, and angles, degrees; each of shape ``[num, 3]``."""
    lengths = np.sqrt(np.sum(lattice**2, axis=-1))
    one, two = [1, 2, 0], [2, 0, 1]
    cosines = np.vecdot(lattice[:, one], lattice[:, two]) / (lengths[:, one] * lengths[:, two])
    return lengths, np.rad2deg(np.arccos(np.clip(cosines, -1, 1)))


def _from_parameters(lengths: Floats, angles: Floats) -> Floats:
    """Lattices with c along z and a in the xz plane, as pymatgen's; shape ``[num, 3, 3]``, Å."""
    a, b, c = lengths.T
    radians = np.radians(angles)
    cos_alpha, cos_beta, cos_gamma = np.cos(radians).T
    sin_alpha, sin_beta, _ = np.sin(radians).T
    cosine = np.clip((cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta), -1, 1)
    gamma_star = np.arccos(cosine)
    lattice = np.zeros((len(lengths), 3, 3))
    lattice[:, 0, 0], lattice[:, 0, 2] = a * sin_beta, a * cos_beta
    lattice[:, 1, 0] = -b * sin_alpha * np.cos(gamma_star)
    lattice[:, 1, 1] = b * sin_alpha * np.sin(gamma_star)
    lattice[:, 1, 2], lattice[:, 2, 2] = b * cos_alpha, c
    return lattice
