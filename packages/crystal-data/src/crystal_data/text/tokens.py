"""A crystal as whole numbers: a closed vocabulary of elements and digits."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.crystal import Crystal, CrystalArrays, end_to_end
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.text.rounding import (
    FAILURES,
    WHOLE_DIGITS,
    CrystalTextError,
    IntArray,
    RoundedCrystals,
    TextFailure,
    check_decimals,
    failure_message,
    round_arrays,
)

Count = TypeVar("Count", int, IntArray)

_FIRST_DIGIT = 4
_FIRST_ELEMENT = _FIRST_DIGIT + 10


class CrystalTokens(NamedTuple):
    """Tokens of many crystals end to end.

    Attributes:
        tokens: uint8 ``[num_tokens]``.
        counts: Tokens of each crystal, 0 for one that cannot be encoded; ``[num_crystals]``.
        failures: Why, as places in ``FAILURES``; ``[num_crystals]``.
    """

    tokens: NDArray[np.uint8]
    counts: IntArray
    failures: IntArray


@dataclass(frozen=True, slots=True)
class CrystalTokenizer:
    """Writes crystals as tokens: begin, elements of all sites, digits of all numbers, end.

    The numbers are those of :class:`CompactText` in the same order, without their points: each of
    a, b, c (Å), α, β, γ (degrees) has three digits more than ``decimals``, each fractional
    coordinate has ``decimals`` digits. So the number of element tokens says what every token is.

    Args:
        decimals: Of every number.
        max_length: Most tokens of a crystal, begin and end included; None for any number.
    """

    PAD: ClassVar[int] = 0
    BOS: ClassVar[int] = 1
    EOS: ClassVar[int] = 2
    MASK: ClassVar[int] = 3
    #: Name of each token; its length is the size of the vocabulary.
    VOCABULARY: ClassVar[tuple[str, ...]] = (
        "<pad>", "<bos>", "<eos>", "<mask>", *map(str, range(10)), *SYMBOLS[1:]
    )  # fmt: skip

    decimals: int = 4
    max_length: int | None = None

    def __post_init__(self) -> None:
        check_decimals(self.decimals)
        if self.max_length is not None and self.max_length < self.length(1):
            raise InvalidArgumentError(
                f"max_length is {self.max_length}; one atom alone has {self.length(1)} tokens"
            )

    def length(self, num_atoms: Count) -> Count:
        """Tokens of a crystal, begin and end included."""
        return 2 + self._cell_digits + num_atoms * self._digits_per_atom + num_atoms

    @property
    def _cell_digits(self) -> int:
        return 6 * (WHOLE_DIGITS + self.decimals)

    @property
    def _digits_per_atom(self) -> int:
        return 3 * self.decimals

    def encode(self, crystal: Crystal) -> NDArray[np.uint8]:
        """The tokens of a crystal; ``decode`` gives ``round_crystal(crystal, decimals)``.

        Raises:
            CrystalTextError: If no text can hold it, or it has more than ``max_length`` tokens.
        """
        tokens, _, failures = self.encode_arrays(end_to_end([crystal]))
        if failures[0]:
            name = crystal.identifier or crystal.formula
            raise CrystalTextError(failure_message(name, int(failures[0])))
        return tokens

    def encode_arrays(self, crystals: CrystalArrays) -> CrystalTokens:
        """The tokens of many crystals, without a loop over them.

        Raises:
            CrystalTextError: If an atom has no element, as one that is masked.
        """
        if (crystals.atomic_numbers < 1).any():
            raise CrystalTextError("an atom is masked: it has no element and so no token")
        rounded = round_arrays(crystals, self.decimals)
        failures = rounded.failures()
        counts = self.length(rounded.num_atoms)
        if self.max_length is not None:
            failures[counts > self.max_length] = FAILURES.index(TextFailure.TOO_LONG)
        counts[failures > 0] = 0
        rounded = rounded.take(failures == 0)
        num_atoms = rounded.num_atoms
        start = np.cumsum(counts[failures == 0]) - counts[failures == 0]
        atom = np.arange(num_atoms.sum()) - np.repeat(np.cumsum(num_atoms) - num_atoms, num_atoms)
        first_cell_digit = start + 1 + num_atoms
        first_digit = first_cell_digit + self._cell_digits
        tokens = np.empty(counts.sum(), dtype=np.uint8)
        tokens[start] = self.BOS
        tokens[np.repeat(start, num_atoms) + 1 + atom] = _FIRST_ELEMENT - 1 + rounded.atomic_numbers
        cell = np.concatenate([rounded.lengths, rounded.angles], axis=1)
        tokens[first_cell_digit[:, None] + np.arange(self._cell_digits)] = _digits(
            cell, WHOLE_DIGITS + self.decimals
        )
        first_of_atom = np.repeat(first_digit, num_atoms) + atom * self._digits_per_atom
        tokens[first_of_atom[:, None] + np.arange(self._digits_per_atom)] = _digits(
            rounded.frac_coords, self.decimals
        )
        tokens[first_digit + num_atoms * self._digits_per_atom] = self.EOS
        return CrystalTokens(tokens, counts, failures)

    def decode(self, tokens: ArrayLike, identifier: str = "") -> Crystal:
        """The crystal of tokens that ``encode`` could have written.

        Args:
            tokens: From begin to end; padding may follow; ``[length]``.
            identifier: The crystal's, also for messages.

        Raises:
            CrystalTextError: If they are any other tokens.
        """
        name = identifier or "tokens"
        values = np.asarray(tokens, dtype=np.int64)
        ends = np.flatnonzero(values == self.EOS)
        if values.ndim != 1 or len(ends) == 0 or values[0] != self.BOS:
            raise CrystalTextError(f"{name}: they do not run from <bos> to <eos>")
        inside, after = values[1 : ends[0]], values[ends[0] + 1 :]
        if (after != self.PAD).any():
            raise CrystalTextError(f"{name}: something other than <pad> follows <eos>")
        is_element = (inside >= _FIRST_ELEMENT) & (inside < len(self.VOCABULARY))
        num_atoms = int(is_element.cumprod().sum())
        digits = inside[num_atoms:] - _FIRST_DIGIT
        if num_atoms == 0 or (digits < 0).any() or (digits > 9).any():
            raise CrystalTextError(f"{name}: they are not elements followed by digits")
        if len(digits) != self.length(num_atoms) - 2 - num_atoms:
            raise CrystalTextError(
                f"{name}: {num_atoms} sites need {self.length(num_atoms) - 2 - num_atoms} digits, "
                f"not {len(digits)}"
            )
        cell = _from_digits(digits[: self._cell_digits], WHOLE_DIGITS + self.decimals)
        coordinates = _from_digits(digits[self._cell_digits :], self.decimals)
        rounded = RoundedCrystals(
            lengths=cell[None, :3],
            angles=cell[None, 3:],
            frac_coords=coordinates.reshape(-1, 3),
            atomic_numbers=inside[:num_atoms] - _FIRST_ELEMENT + 1,
            num_atoms=np.array([num_atoms]),
            decimals=self.decimals,
        )
        return rounded.check(name).crystal(identifier)


def _digits(values: IntArray, width: int) -> NDArray[np.uint8]:
    """Tokens of the digits of each number, the first digit first; ``[rows, numbers * width]``."""
    digits = values[..., None] // 10 ** np.arange(width - 1, -1, -1) % 10
    return (_FIRST_DIGIT + digits).astype(np.uint8).reshape(len(values), values.shape[1] * width)


def _from_digits(digits: IntArray, width: int) -> IntArray:
    numbers: IntArray = digits.reshape(-1, width) @ 10 ** np.arange(width - 1, -1, -1)
    return numbers
