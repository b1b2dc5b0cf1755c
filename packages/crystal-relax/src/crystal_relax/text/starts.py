"""Starts as tokens: the numbers of the cell and of each site, digit by digit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_relax.text.tokens import ChangeTextError, ChangeTokenizer

Ints = NDArray[np.int64]

_MAX_DECIMALS = 6
_AXES = 3


@dataclass(frozen=True, slots=True)
class StartTokenizer:
    """Writes a crystal with the tokens of ``ChangeTokenizer``.

    First the volume per atom (Å³), a, b, c (Å) and α, β, γ (degrees), then for each site its
    element and its fractional coordinates in [0, 1), then the end. A number is digits: three
    before the point for the volume and the angles, two for lengths, none for coordinates, and
    ``decimals`` behind it.

    Args:
        decimals: Of every number.

    Raises:
        InvalidArgumentError: If there are too few or too many.
    """

    decimals: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.decimals <= _MAX_DECIMALS:
            raise InvalidArgumentError(
                f"decimals is {self.decimals}; it must be from 1 to {_MAX_DECIMALS}"
            )

    @property
    def head(self) -> int:
        """Tokens before the first site."""
        return sum(self._widths)

    @property
    def site(self) -> int:
        """Tokens of a site."""
        return 1 + _AXES * self.decimals

    @property
    def _widths(self) -> tuple[int, ...]:
        length, angle = self.decimals + 2, self.decimals + 3
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
        sites = np.empty((crystal.num_atoms, self.site), dtype=np.int64)
        sites[:, 0] = ChangeTokenizer.FIRST_ELEMENT - 1 + crystal.atomic_numbers
        sites[:, 1:] = _digits(coords, self.decimals).reshape(crystal.num_atoms, -1)
        return np.concatenate([*digits, sites.ravel(), [ChangeTokenizer.EOS]])

    def slots(self, num_atoms: int) -> Ints:
        """What stands at each place: the same number for the same digit of the same quantity."""
        sites = np.tile(np.arange(self.site), num_atoms) + self.head + 1
        return np.concatenate((np.arange(self.head) + 1, sites, [0]))


def _digits(values: Ints, width: int) -> Ints:
    """Tokens of digits; one more axis than the values, of length ``width``."""
    powers = 10 ** np.arange(width - 1, -1, -1)
    return ChangeTokenizer.FIRST_DIGIT + np.asarray(values)[..., None] // powers % 10
