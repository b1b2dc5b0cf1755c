"""Changes that keep the symmetry of a start, as relaxations do."""

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.symmetry import SymmetryError, find_symmetry
from crystal_data.trajectories import Change, changed

Floats = NDArray[np.float64]


def symmetrized(start: Crystal, change: Change) -> Change:
    """The part of a change that every operation of the start's space group leaves as it is.

    Forces and stress have the symmetry of the crystal, so a relaxation loses none of it; a model
    that does not know the group does. Operations are found at 0.01 Å. A start of which none are
    found, since its atoms overlap, keeps the whole change.

    Args:
        start: Whose symmetry it is.
        change: Of this start.

    Returns:
        The mean of the change over all operations.
    """
    try:
        symmetry = find_symmetry(start)
    except SymmetryError:
        return change
    rotations = symmetry.rotations.astype(np.float64)
    images = _images(start, rotations, symmetry.translations)
    # Cartesian coordinates are rows, which an operation multiplies from the right.
    into_cell = np.linalg.inv(start.lattice)
    turned = into_cell @ rotations.transpose(0, 2, 1) @ start.lattice
    strain = (turned @ change.strain @ turned.transpose(0, 2, 1)).mean(axis=0)
    before = change.displacement @ np.linalg.inv(changed(start, change).lattice)
    back = np.linalg.inv(rotations).transpose(0, 2, 1)
    moved = (before[images] @ back).mean(axis=0)
    only_strain = Change(strain, np.zeros_like(change.displacement))
    return Change(strain, moved @ changed(start, only_strain).lattice)


def _images(start: Crystal, rotations: Floats, translations: Floats) -> NDArray[np.int64]:
    """Which atom each operation sends each atom to; ``[num_operations, num_atoms]``."""
    sites, numbers = start.frac_coords, start.atomic_numbers
    sent = sites @ rotations.transpose(0, 2, 1) + translations[:, None]
    apart = sent[:, :, None] - sites
    distances = np.square((apart - np.round(apart)) @ start.lattice).sum(axis=-1)
    distances[:, numbers[:, None] != numbers] = np.inf
    return distances.argmin(axis=-1)
