"""A crystal as one line: elements of the sites, lattice parameters, fractional coordinates."""

from dataclasses import dataclass

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.text.rounding import (
    CrystalTextError,
    RoundedCrystals,
    check_decimals,
    fixed_point,
    parse_numbers,
    round_checked,
)

_CELL_NUMBERS = 6


@dataclass(frozen=True, slots=True)
class CompactText:
    """Writes and reads crystals as words between single spaces.

    The elements of all sites come first, then a, b, c (Å), α, β, γ (degrees), then x, y, z of each
    site: ``Na Cl 4.0000 4.0000 4.0000 60.0000 60.0000 60.0000 0.0000 0.0000 0.0000 0.5000 …``. So
    the number of elements says what every number is. There are no line breaks and no brackets,
    which some tokenizers lose.

    Args:
        decimals: Of every number.
    """

    decimals: int = 4

    def __post_init__(self) -> None:
        check_decimals(self.decimals)

    def encode(self, crystal: Crystal) -> str:
        """The text of a crystal; ``decode`` gives ``round_crystal(crystal, decimals)``.

        Raises:
            CrystalTextError: If no text can hold it.
        """
        rounded = round_checked(crystal, self.decimals)
        parts = (rounded.lengths, rounded.angles, rounded.frac_coords)
        numbers = np.concatenate([part.ravel() for part in parts])
        return " ".join(crystal.species + fixed_point(numbers, self.decimals))

    def decode(self, text: str, identifier: str = "") -> Crystal:
        """The crystal of a text that ``encode`` could have written; any white space separates.

        Args:
            text: What a model or ``encode`` has written.
            identifier: The crystal's, also for messages.

        Raises:
            CrystalTextError: If it is any other text.
        """
        name = identifier or "text"
        words = text.split()
        num_atoms = next((i for i, w in enumerate(words) if w not in ATOMIC_NUMBERS), len(words))
        if num_atoms == 0:
            raise CrystalTextError(f"{name}: it does not begin with an element")
        expected = _CELL_NUMBERS + 3 * num_atoms
        if len(words) - num_atoms != expected:
            raise CrystalTextError(
                f"{name}: {num_atoms} sites need {expected} numbers, not {len(words) - num_atoms} "
                f"words after {words[num_atoms - 1]}"
            )
        sites = num_atoms + _CELL_NUMBERS
        cell = parse_numbers(name, words[num_atoms:sites], self.decimals)
        coordinates = parse_numbers(name, words[sites:], self.decimals, is_fraction=True)
        rounded = RoundedCrystals(
            lengths=cell[None, :3],
            angles=cell[None, 3:],
            frac_coords=coordinates.reshape(-1, 3),
            atomic_numbers=np.array([ATOMIC_NUMBERS[word] for word in words[:num_atoms]]),
            num_atoms=np.array([num_atoms]),
            decimals=self.decimals,
        )
        return rounded.check(name).crystal(identifier)
