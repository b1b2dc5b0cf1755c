"""All atoms of conventional cells, each as an affine image of its orbit's free coordinates."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from crystal_data.loading import OrbitBatch
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.positions import turned

_MOST_POSITIONS = 27  # of a space group, the 47th


@dataclass(frozen=True, eq=False)
class CellAtoms:
    """Atoms of a batch of conventional cells, crystal after crystal and orbit after orbit.

    The free coordinates of an orbit are the entries of ``parameters`` that its Wyckoff position
    leaves free; the others are 0 and no image depends on them. An atom is at
    ``rotation @ parameters[orbit] + translation``.
    """

    atomic_numbers: Tensor  # int64 [num_atoms]
    batch: Tensor  # int64 [num_atoms], crystal of each atom
    num_atoms: Tensor  # int64 [num_crystals]
    num_orbits: Tensor  # int64 [num_crystals]
    orbit: Tensor  # int64 [num_atoms], among the orbits of all crystals
    multiplicity: Tensor  # int64 [num_orbits], atoms of each orbit
    free_axes: Tensor  # bool [num_orbits, 3], which entries of the parameters are free
    first: Tensor  # int64 [num_orbits], the atom that is the orbit's representative
    rotation: Tensor  # [num_atoms, 3, 3], linear part, of rank 0 to 3
    translation: Tensor  # [num_atoms, 3]
    inverse: Tensor  # [num_atoms, 3, 3], pseudo-inverse of the linear part

    def expand(self, parameters: Tensor) -> Tensor:
        """Fractional coordinates of all atoms, 0 up to 1.

        Args:
            parameters: Free coordinates; ``[num_orbits, 3]``.

        Returns:
            Shape ``[num_atoms, 3]``.
        """
        images = turned(self.rotation, parameters[self.orbit])
        return torch.remainder(images + self.translation, 1.0)

    def points(self, parameters: Tensor) -> Tensor:
        """The representative point of each orbit, in any cell; ``[num_orbits, 3]``."""
        images = turned(self.rotation[self.first], parameters)
        return images + self.translation[self.first]

    def to_free(self, displacements: Tensor) -> Tensor:
        """Displacements of representatives, by the pseudo-inverse; both ``[num_orbits, 3]``."""
        return turned(self.inverse[self.first], displacements)

    def each_to_free(self, displacements: Tensor) -> Tensor:
        """Displacements of atoms, each as one of its orbit's free coordinates.

        By the pseudo-inverses; both ``[num_atoms, 3]``.
        """
        return turned(self.inverse, displacements)

    def orbit_mean(self, displacements: Tensor) -> Tensor:
        """The mean over each orbit of what displacements of its atoms say of free coordinates.

        Args:
            displacements: Shape ``[num_atoms, 3]``.

        Returns:
            Shape ``[num_orbits, 3]``.
        """
        total = displacements.new_zeros(len(self.first), 3)
        total.index_add_(0, self.orbit, self.each_to_free(displacements))
        return total / self.multiplicity[:, None]


class WyckoffImages(nn.Module):
    """The images of all Wyckoff positions of all space groups, from which batches are gathered."""

    begin: Tensor  # int64 [231, 27], where the images of a position begin
    rotation: Tensor  # [num_images, 3, 3]
    translation: Tensor  # [num_images, 3]
    inverse: Tensor  # [num_images, 3, 3]

    def __init__(self) -> None:
        super().__init__()
        # They follow from the International Tables, so that artifacts do not hold them.
        for name, values in wyckoff_images()._asdict().items():
            kept = values.to(torch.get_default_dtype()) if values.is_floating_point() else values
            self.register_buffer(name, kept, persistent=False)

    def atoms_of(self, batch: OrbitBatch) -> CellAtoms:
        """All atoms of the conventional cells of a batch."""
        mask = batch.mask
        multiplicity = batch.multiplicity[mask]
        group = batch.space_group_number[:, None].expand_as(mask)[mask]
        begin = self.begin[group, batch.wyckoff[mask]]
        first = multiplicity.cumsum(0) - multiplicity
        orbit = torch.arange(len(first), device=mask.device).repeat_interleave(multiplicity)
        image = begin[orbit] + torch.arange(len(orbit), device=mask.device) - first[orbit]
        crystal = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)[mask]
        return CellAtoms(
            atomic_numbers=batch.atomic_numbers[mask][orbit],
            batch=crystal[orbit],
            num_atoms=batch.multiplicity.sum(dim=1),
            num_orbits=mask.sum(dim=1),
            orbit=orbit,
            multiplicity=multiplicity,
            free_axes=batch.free_axes[mask],
            first=first,
            rotation=self.rotation[image],
            translation=self.translation[image],
            inverse=self.inverse[image],
        )


class ImageTable(NamedTuple):
    """Images of all Wyckoff positions, those of one position after the other."""

    begin: Tensor  # int64 [231, 27], by space group number and place of the letter
    rotation: Tensor  # float64 [num_images, 3, 3]
    translation: Tensor  # float64 [num_images, 3]
    inverse: Tensor  # float64 [num_images, 3, 3]


@lru_cache(maxsize=1)
def wyckoff_images() -> ImageTable:
    """The images of all 1,731 positions of the 230 groups."""
    begin = np.zeros((231, _MOST_POSITIONS), dtype=np.int64)
    rotations, translations, count = [], [], 0
    for number in range(1, 231):
        for place, position in enumerate(wyckoff_positions(number)):
            begin[number, place] = count
            rotations.append(position.affine_rotations)
            translations.append(position.affine_translations)
            count += position.multiplicity
    rotation = np.concatenate(rotations).astype(np.float64)
    # Entries are whole numbers, so that singular values are 0 or far above it.
    inverse = np.linalg.pinv(rotation, rcond=1e-9)
    return ImageTable(
        torch.from_numpy(begin),
        torch.from_numpy(rotation),
        torch.from_numpy(np.concatenate(translations)),
        torch.from_numpy(inverse),
    )
