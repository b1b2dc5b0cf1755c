"""Starts as tokens: the numbers of the cell and of each site, digit by digit, and distances."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.io import nearest_distances
from crystal_data.lattice import reduced_lattice
from crystal_relax.text.tokens import ChangeTextError, ChangeTokenizer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MAX_DECIMALS = 6
_AXES = 3
_MAX_ELEMENTS = 4  # whose distances stand behind a site


@dataclass(frozen=True, slots=True)
class StartTokenizer:
    """Writes a crystal with the tokens of ``ChangeTokenizer``.

    First the volume per atom (Å³), a, b, c (Å) and α, β, γ (degrees), then for each site its
    element and its fractional coordinates in [0, 1), then the end. A number is digits: three
    before the point for the volume and the angles, two for lengths, none for coordinates, and
    ``decimals`` behind it.

    With ``distances`` the coordinates of a site are followed by up to four elements, nearest first,
    and how far the nearest atom of each is (Å, a length). Coordinates say it too, but only to who
    multiplies them by the cell and compares images.

    Args:
        decimals: Of every number.
        distances: Whether distances follow.

    Raises:
        InvalidArgumentError: If there are too few or too many decimals.
    """

    decimals: int = 3
    distances: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.decimals <= _MAX_DECIMALS:
            raise InvalidArgumentError(
                f"decimals is {self.decimals}; it must be from 1 to {_MAX_DECIMALS}"
            )

    @property
    def head(self) -> int:
        """Tokens before the first site."""
        return sum(self._widths)

    def site(self, num_elements: int) -> int:
        """Tokens of a site of a crystal of so many elements."""
        return self._own + self._num_others(num_elements) * self._other

    @property
    def num_slots(self) -> int:
        """Different things that stand at places; 0 is the end."""
        return 1 + self.head + self.site(1)

    def _num_others(self, num_elements: int) -> int:
        return min(num_elements, _MAX_ELEMENTS) if self.distances else 0

    @property
    def _own(self) -> int:
        return 1 + _AXES * self.decimals

    @property
    def _other(self) -> int:
        return 1 + self._length

    @property
    def _length(self) -> int:
        return self.decimals + 2

    @property
    def _widths(self) -> tuple[int, ...]:
        length, angle = self._length, self.decimals + 3
        return (angle, length, length, length, angle, angle, angle)

    def encode(self, crystal: Crystal) -> Ints:
        """Tokens of a crystal, the end included; ``[head + num_atoms * site + 1]``.

        Raises:
            ChangeTextError: If a length or the volume per atom has too many digits.
        """
        scale = 10**self.decimals
        cell = np.array([crystal.volume / crystal.num_atoms, *crystal.lengths, *crystal.angles])
        values = np.rint(cell * scale).astype(np.int64)
        widths = np.array(self._widths)
        if (values >= 10**widths).any():
            raise ChangeTextError(
                f"lengths {crystal.lengths.round(1).tolist()} Å and {cell[0]:.1f} Å³ an atom are "
                "beyond 99 Å and 999 Å³, which is what digits are there for"
            )
        coords = np.rint(crystal.frac_coords * scale).astype(np.int64) % scale
        digits = [_digits(value, width) for value, width in zip(values, widths, strict=True)]
        sites = np.empty((crystal.num_atoms, self._own), dtype=np.int64)
        sites[:, 0] = _of_elements(crystal.atomic_numbers)
        sites[:, 1:] = _digits(coords, self.decimals).reshape(crystal.num_atoms, -1)
        sites = np.concatenate((sites, self._others(crystal)), axis=1)
        return np.concatenate([*digits, sites.ravel(), [ChangeTokenizer.EOS]])

    def _others(self, crystal: Crystal) -> Ints:
        """Tokens behind each site."""
        elements, distances = nearest_of_elements(crystal)
        count = self._num_others(len(elements))
        # No nearest atom is further than digits say, since no length of the cell is.
        values = np.rint(distances * 10**self.decimals).astype(np.int64)
        nearest = values.argsort(axis=1, kind="stable")[:, :count]
        tokens = np.empty((*nearest.shape, self._other), dtype=np.int64)
        tokens[..., 0] = _of_elements(elements[nearest])
        tokens[..., 1:] = _digits(np.take_along_axis(values, nearest, axis=1), self._length)
        return tokens.reshape(crystal.num_atoms, -1)

    def slots(self, crystal: Crystal) -> Ints:
        """What stands at each place: the same number for the same digit of the same quantity."""
        others = self._num_others(len(np.unique(crystal.atomic_numbers)))
        other = np.tile(self._own + np.arange(self._other), others)
        site = np.concatenate((np.arange(self._own), other))
        sites = np.tile(site, crystal.num_atoms) + self.head + 1
        return np.concatenate((np.arange(self.head) + 1, sites, [0]))


def nearest_of_elements(crystal: Crystal) -> tuple[Ints, Floats]:
    """How far the nearest atom of each element is from each site, images included.

    Returns:
        Atomic numbers of the elements, ascending ``[num_elements]``, and distances
        ``[num_atoms, num_elements]``, Å.
    """
    distances = nearest_distances(crystal.lattice, crystal.frac_coords, crystal.frac_coords)
    own_image = np.linalg.norm(reduced_lattice(crystal.lattice), axis=1).min()
    np.fill_diagonal(distances, own_image)
    elements = np.unique(crystal.atomic_numbers)
    columns = [distances[:, crystal.atomic_numbers == one].min(axis=1) for one in elements]
    return elements, np.stack(columns, axis=1)


def _of_elements(atomic_numbers: Ints) -> Ints:
    return ChangeTokenizer.FIRST_ELEMENT - 1 + atomic_numbers


def _digits(values: Ints, width: int) -> Ints:
    """Tokens of digits; one more axis than the values, of length ``width``."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return ChangeTokenizer.FIRST_DIGIT + np.asarray(values)[..., None] // powers % 10
