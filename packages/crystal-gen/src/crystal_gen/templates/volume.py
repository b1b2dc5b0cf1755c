"""How large a cell is, from its elements alone."""

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS
from crystal_gen.templates.library import TemplateLibrary, lattice_points

Array = NDArray[np.float64]


class VolumeModel:
    """The logarithm of the volume per atom as a sum over atomic fractions.

    Each element has one number, fitted by least squares on the crystals of a library.

    Args:
        library: On which it is fitted.
    """

    def __init__(self, library: TemplateLibrary) -> None:
        rows = np.arange(len(library)).repeat(library.num_orbits)
        atoms = np.zeros((len(library), len(SYMBOLS)))
        np.add.at(atoms, (rows, library.atomic_numbers), library.multiplicity)
        num_atoms = atoms.sum(axis=1)
        known = np.flatnonzero(atoms.any(axis=0))
        fractions = atoms[:, known] / num_atoms[:, None]
        logs = np.log(_primitive_volumes(library) / num_atoms)
        #: ln(Å³) of each element; NaN for those of no crystal; ``[119]``.
        self.log_volumes: Array = np.full(len(SYMBOLS), np.nan)
        self.log_volumes[known] = np.linalg.lstsq(fractions, logs, rcond=None)[0]

    def ratio(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> float:
        """How many times as large a cell becomes with other elements; NaN if one is not known.

        Args:
            before: Atomic numbers of equally weighted atoms.
            after: Those in their places.
        """
        change = self.log_volumes[after].mean() - self.log_volumes[before].mean()
        return float(np.exp(change))


def _primitive_volumes(library: TemplateLibrary) -> Array:
    lengths, angles = library.lattice_parameters[:, :3], library.lattice_parameters[:, 3:]
    cosines = np.cos(np.radians(angles))
    squared = 1 - (cosines**2).sum(axis=1) + 2 * cosines.prod(axis=1)
    points = np.ones(len(library))
    for number in np.unique(library.space_group_number).tolist():
        if number:
            points[library.space_group_number == number] = len(lattice_points(number))
    volumes: Array = lengths.prod(axis=1) * np.sqrt(squared) / points
    return volumes
