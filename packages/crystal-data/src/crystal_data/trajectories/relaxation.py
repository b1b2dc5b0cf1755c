"""What a relaxation changes: a strain and displacements, free of how the frames are described.

Two frames may list their atoms in other periodic images, from another origin, along other axes of
the same lattice, or turned as a whole. None of that is a change of the crystal. What is left are
the symmetric logarithmic strain E of the cell and the displacement of each atom in the cell that
the strain makes.
"""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.lattice import reduced_lattice

Floats = NDArray[np.float64]

# A change up to this is taken as the frames have it: other axes are for larger ones.
_PLAIN_CHANGE = 0.5  # Å
# Other axes must bring the change down to this share, so that no true motion is explained away.
_CLEARLY_LESS = 0.5
_MAX_CANDIDATES = 64  # of axes with nearly the smallest strain: a cube has 24
_SAME_STRAIN = 0.05
_MAX_ANCHORS = 64
_IMAGES = np.array(list(product((-1.0, 0.0, 1.0), repeat=3)))


class Change(NamedTuple):
    """What a relaxation does to a crystal.

    Args:
        strain: Symmetric logarithmic strain E; the lattice L becomes ``L @ expm(E)``; ``[3, 3]``.
        displacement: Of each atom beside the strain, of mean zero, in the strained cell; shape
            ``[num_atoms, 3]``, Å.
    """

    strain: Floats
    displacement: Floats


def change_between(start: Crystal, end: Crystal) -> Change:
    """The change that makes one crystal of another.

    Args:
        start: Before.
        end: After: the same atoms in the same order, in any images, from any origin, along any
            axes with entries -1, 0, 1 in those of the start, turned in any way.

    Raises:
        InvalidArgumentError: If the atoms are others.
    """
    if not np.array_equal(start.atomic_numbers, end.atomic_numbers):
        raise InvalidArgumentError(
            f"{start.identifier or 'start'} and {end.identifier or 'end'} have other atoms, or the "
            "same in another order"
        )
    change, size = _along(start, end.lattice, end.frac_coords)
    if size <= _PLAIN_CHANGE:
        return change
    for axes in _candidates(start.lattice, end.lattice):
        # Whole-numbered, so that its inverse is too.
        frac_coords = end.frac_coords @ np.rint(np.linalg.inv(axes))
        other, other_size = _along(start, axes @ end.lattice, frac_coords)
        if other_size < _CLEARLY_LESS * size:
            change, size = other, other_size / _CLEARLY_LESS
    return change


def change_size(start: Crystal, end: Crystal) -> float:
    """How large a change is as the frames have it, Å: strain times the atoms' spacing, and motion.

    Args:
        start: Before.
        end: After, along the same axes and with as many atoms.
    """
    return _along(start, end.lattice, end.frac_coords)[1]


def changed(start: Crystal, change: Change) -> Crystal:
    """The crystal after a change, with the start's identifier and axes."""
    lattice = start.lattice @ exponential(change.strain)
    moved = change.displacement @ np.linalg.inv(lattice)
    return Crystal(lattice, start.frac_coords + moved, start.atomic_numbers, start.identifier)


def aligned(end: Crystal, start: Crystal) -> Crystal:
    """A crystal as the start describes it: along its axes, in its images, turned and placed as it.

    Raises:
        InvalidArgumentError: If the atoms are others.
    """
    return changed(start, change_between(start, end))


def oriented(lattice: Floats, like: Floats) -> Floats:
    """A cell turned, and mirrored where the handedness differs, to lie as another one.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        like: Along which it is laid: a symmetric stretch of this one; shape ``[3, 3]``, Å.
    """
    gradient = np.linalg.solve(like, lattice)
    values, vectors = np.linalg.eigh(gradient @ gradient.T)
    return np.asarray(like @ ((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T))


def exponential(symmetric: Floats) -> Floats:
    """Matrix exponential of a symmetric matrix; shape ``[3, 3]``."""
    values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
    return np.asarray((vectors * np.exp(values)) @ vectors.T)


def nearest_displacements(difference: Floats, lattice: Floats) -> Floats:
    """Smallest vectors of mean zero that differ from the given ones by lattice vectors and a shift.

    Each of the atoms is tried as the one that stays; the mean is taken out of the nearest images,
    again until no atom has a nearer one, and the trial with the smallest sum of squares counts.

    Args:
        difference: Of fractional coordinates; shape ``[num_atoms, 3]``.
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.

    Returns:
        Cartesian; shape ``[num_atoms, 3]``, Å.
    """
    reduced = reduced_lattice(lattice)
    cart = (difference - np.rint(difference)) @ lattice
    trials = nearest_images(cart[None] - cart[:_MAX_ANCHORS, None], reduced)
    trials -= trials.mean(axis=1, keepdims=True)
    best = trials[np.einsum("tni,tni->t", trials, trials).argmin()]
    for _ in range(3):
        nearer = nearest_images(best, reduced)
        nearer -= nearer.mean(axis=0)
        if (nearer**2).sum() >= (best**2).sum() * (1 - 1e-12):
            break
        best = nearer
    return np.asarray(best)


def nearest_images(vectors: Floats, reduced: Floats) -> Floats:
    """Each vector shortened by lattice vectors.

    Args:
        vectors: Cartesian; shape ``[..., 3]``, Å.
        reduced: A ``reduced_lattice``; shape ``[3, 3]``, Å.
    """
    rounded = vectors - np.rint(vectors @ np.linalg.inv(reduced)) @ reduced
    images = rounded[..., None, :] + _IMAGES @ reduced
    nearest = np.einsum("...ij,...ij->...i", images, images).argmin(axis=-1)
    return np.take_along_axis(images, nearest[..., None, None], axis=-2)[..., 0, :]


def _along(start: Crystal, lattice: Floats, frac_coords: Floats) -> tuple[Change, float]:
    """The change to a cell whose axes are those of the start, and how large it is, Å."""
    gradient = np.linalg.solve(start.lattice, lattice)
    # Left polar decomposition: the rotation that follows the stretch is no change.
    values, vectors = np.linalg.eigh(gradient @ gradient.T)
    strain = (vectors * (np.log(np.maximum(values, 1e-300)) / 2)) @ vectors.T
    stretched = start.lattice @ exponential(strain)
    displacement = nearest_displacements(frac_coords - start.frac_coords, stretched)
    spacing = (start.volume / start.num_atoms) ** (1 / 3)
    mean_square = (displacement**2).sum() / start.num_atoms
    size = float(np.sqrt((strain**2).sum() * spacing**2 + mean_square))
    # A mirrored cell is another crystal, unless its axes are exchanged too.
    return Change(strain, displacement), size if np.linalg.det(gradient) > 0 else np.inf


def _candidates(start: Floats, end: Floats) -> Floats:
    """Changes of the end's axes that make its cell most like the start's; ``[n, 3, 3]``."""
    axes = _axes(bool(np.linalg.det(start) * np.linalg.det(end) > 0))
    gradient = np.linalg.inv(start) @ (axes @ end)
    squares = np.linalg.eigvalsh(gradient @ gradient.swapaxes(1, 2))
    strain = np.linalg.norm(np.log(np.maximum(squares, 1e-300)) / 2, axis=1)
    order = np.argsort(strain, kind="stable")[:_MAX_CANDIDATES]
    return axes[order[strain[order] <= strain[order[0]] + _SAME_STRAIN]]


@lru_cache(maxsize=2)
def _axes(is_proper: bool) -> Floats:
    """All matrices of -1, 0 and 1 whose determinant is 1 (or -1); ``[3480, 3, 3]``."""
    every = np.array(list(product((-1.0, 0.0, 1.0), repeat=9))).reshape(-1, 3, 3)
    return every[np.rint(np.linalg.det(every)) == (1 if is_proper else -1)]
