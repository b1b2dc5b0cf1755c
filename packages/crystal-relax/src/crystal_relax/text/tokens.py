"""Changes as tokens: signs and digits of numbers of fixed precision, behind each site's element."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS
from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_relax.text.changes import TextChange

Ints = NDArray[np.int64]

_MAX_DECIMALS = 6
_NUM_CELL = 6
_AXES = 3


class ChangeTextError(CrystalError, ValueError):
    """A change that has no tokens, or tokens that are no change."""


class Kind(IntEnum):
    """What may stand at a place; an element's kind is ``ELEMENT`` plus its atomic number."""

    PAD = 0
    END = 1
    SIGN = 2
    DIGIT = 3
    ELEMENT = 4


@dataclass(frozen=True, slots=True)
class ChangeTokenizer:
    """Writes what a relaxation changes as tokens.

    First the differences of a, b, c (Å) and α, β, γ (degrees), then for each site its element and
    the differences of its fractional coordinates, then the end. A number is a sign and digits:
    one before the point for lengths, two for angles, none for coordinates, and ``decimals``
    behind it. So the elements of the start say what stands at every place, and how many there are.

    Args:
        decimals: Of every number.

    Raises:
        InvalidArgumentError: If there are too few or too many.
    """

    PAD: ClassVar[int] = 0
    BOS: ClassVar[int] = 1
    EOS: ClassVar[int] = 2
    PLUS: ClassVar[int] = 3
    MINUS: ClassVar[int] = 4
    FIRST_DIGIT: ClassVar[int] = 5
    FIRST_ELEMENT: ClassVar[int] = 15
    #: Name of each token; its length is the size of the vocabulary.
    VOCABULARY: ClassVar[tuple[str, ...]] = (
        "<pad>", "<bos>", "<eos>", "+", "-", *map(str, range(10)), *SYMBOLS[1:]
    )  # fmt: skip

    decimals: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.decimals <= _MAX_DECIMALS:
            raise InvalidArgumentError(
                f"decimals is {self.decimals}; it must be from 1 to {_MAX_DECIMALS}"
            )

    def length(self, num_atoms: int) -> int:
        """Tokens of a change, the end included."""
        return len(self.kinds([])) + num_atoms * self._site

    @property
    def _site(self) -> int:
        return 1 + _AXES * (1 + self.decimals)

    @property
    def widths(self) -> tuple[int, int, int]:
        """Digits of a length, an angle and a coordinate."""
        return self.decimals + 1, self.decimals + 2, self.decimals

    def kinds(self, atomic_numbers: Sequence[int] | Ints) -> Ints:
        """What stands at each place of the change of a crystal, the end included; ``[length]``."""
        length, angle, coordinate = ([Kind.SIGN, *[Kind.DIGIT] * n] for n in self.widths)
        numbers = np.asarray(atomic_numbers, dtype=np.int64)
        sites = np.tile([int(Kind.ELEMENT), *coordinate * _AXES], (len(numbers), 1))
        sites[:, 0] += numbers
        return np.array([*length * 3, *angle * 3, *sites.ravel(), Kind.END], dtype=np.int64)

    def place_values(self, num_atoms: int) -> Ints:
        """What a one counts at each place of digits, in units of the last decimal; else 0."""
        length, angle, coordinate = (
            [0, *(10**power for power in range(n - 1, -1, -1))] for n in self.widths
        )
        sites = [0, *coordinate * _AXES] * num_atoms
        return np.array([*length * 3, *angle * 3, *sites, 0], dtype=np.int64)

    @property
    def num_slots(self) -> int:
        """Different things that stand at places: digits of the cell, and those of a site."""
        return len(self.kinds([])) - 1 + self._site

    def slots(self, first: int, count: int) -> Ints:
        """What stands before the token of each place, from 0, which is the start of the text.

        The same number for the same digit of the same quantity, whatever the site; ``[count]``.
        """
        head = self.num_slots - self._site
        places = np.arange(first, first + count)
        return np.where(places <= head, places, head + 1 + (places - head - 1) % self._site)

    def encode(self, change: TextChange, atomic_numbers: Sequence[int] | Ints) -> Ints:
        """Tokens of a change; ``decode`` gives ``rounded(change)``.

        Raises:
            ChangeTextError: If a number is too large for its digits, or not finite.
        """
        kinds = self.kinds(atomic_numbers)
        numbers = np.concatenate((change.cell, change.frac_coords.ravel()))
        widths = self._widths(len(atomic_numbers))
        if numbers.shape != widths.shape or not np.isfinite(numbers).all():
            raise ChangeTextError(
                f"a change of {len(atomic_numbers)} sites has {len(widths)} finite numbers"
            )
        values = np.rint(numbers * 10**self.decimals).astype(np.int64)
        too_large = np.abs(values) >= 10**widths
        if too_large.any():
            place = int(np.flatnonzero(too_large)[0])
            raise ChangeTextError(
                f"a change of {numbers[place]:g} has more than {widths[place]} digits, of which "
                f"{self.decimals} are decimals"
            )
        tokens = np.where(kinds == Kind.END, self.EOS, 0)
        is_element = kinds > Kind.ELEMENT
        tokens[is_element] = self.FIRST_ELEMENT - 1 + kinds[is_element] - Kind.ELEMENT
        tokens[kinds == Kind.SIGN] = np.where(values < 0, self.MINUS, self.PLUS)
        places = self.place_values(len(atomic_numbers))
        owner = np.cumsum(kinds == Kind.SIGN) - 1
        is_digit = kinds == Kind.DIGIT
        digits = np.abs(values)[owner[is_digit]] // places[is_digit] % 10
        tokens[is_digit] = self.FIRST_DIGIT + digits
        return tokens

    def decode(
        self, tokens: Sequence[int] | Ints, atomic_numbers: Sequence[int] | Ints
    ) -> TextChange:
        """The change of tokens; padding may follow.

        Raises:
            ChangeTextError: If anything but a change of these elements stands there.
        """
        values = np.asarray(tokens, dtype=np.int64)
        kinds = self.kinds(atomic_numbers)
        head, rest = values[: len(kinds)], values[len(kinds) :]
        if len(head) < len(kinds) or (rest != self.PAD).any():
            raise ChangeTextError(
                f"a change of {len(atomic_numbers)} sites has {len(kinds)} tokens, not "
                f"{int((values != self.PAD).sum())}"
            )
        wrong = np.flatnonzero(~allowed_tokens()[kinds, np.clip(head, 0, None)] | (head < 0))
        if len(wrong):
            place = int(wrong[0])
            raise ChangeTextError(
                f"token {place} is {self.VOCABULARY[head[place]]!r}, which cannot stand there"
            )
        owner = np.cumsum(kinds == Kind.SIGN) - 1
        is_digit = kinds == Kind.DIGIT
        places = self.place_values(len(atomic_numbers))
        numbers = np.zeros(int((kinds == Kind.SIGN).sum()), dtype=np.int64)
        digits = (head[is_digit] - self.FIRST_DIGIT) * places[is_digit]
        np.add.at(numbers, owner[is_digit], digits)
        numbers[head[kinds == Kind.SIGN] == self.MINUS] *= -1
        scaled = numbers / 10**self.decimals
        return TextChange(scaled[:_NUM_CELL], scaled[_NUM_CELL:].reshape(-1, _AXES))

    def cut(self, change: TextChange) -> TextChange:
        """A change whose numbers are at most the largest that their digits hold."""
        largest = (10.0 ** np.array(self.widths) - 1) / 10**self.decimals
        cell = np.repeat(largest[:2], 3)
        return TextChange(
            np.clip(change.cell, -cell, cell),
            np.clip(change.frac_coords, -largest[2], largest[2]),
        )

    def rounded(self, change: TextChange) -> TextChange:
        """The nearest change that tokens can hold exactly."""
        scale = 10**self.decimals
        # Adding zero turns -0.0 into 0.0.
        return TextChange(*(np.rint(one * scale) / scale + 0.0 for one in change))

    def _widths(self, num_atoms: int) -> Ints:
        length, angle, coordinate = self.widths
        return np.array([*[length] * 3, *[angle] * 3, *[coordinate] * _AXES * num_atoms])


def allowed_tokens() -> NDArray[np.bool_]:
    """Which tokens may stand at a place of each kind; ``[num_kinds, num_tokens]``."""
    table = np.zeros((Kind.ELEMENT + len(SYMBOLS), len(ChangeTokenizer.VOCABULARY)), dtype=np.bool_)
    table[Kind.PAD, ChangeTokenizer.PAD] = True
    table[Kind.END, ChangeTokenizer.EOS] = True
    table[Kind.SIGN, [ChangeTokenizer.PLUS, ChangeTokenizer.MINUS]] = True
    first = ChangeTokenizer.FIRST_DIGIT
    table[Kind.DIGIT, first : first + 10] = True
    numbers = np.arange(1, len(SYMBOLS))
    table[Kind.ELEMENT + numbers, ChangeTokenizer.FIRST_ELEMENT - 1 + numbers] = True
    return table
