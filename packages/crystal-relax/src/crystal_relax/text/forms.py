"""How a start is put before a text model: compact tokens, or the CIF that ASE writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.text import CifText
from crystal_relax.text.pieces import PieceText, token_ids
from crystal_relax.text.starts import StartTokenizer
from crystal_relax.text.tokens import ChangeTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ints = NDArray[np.int64]


class StartTokens(NamedTuple):
    """The tokens of one start.

    Args:
        tokens: ``[length]``.
        slots: What stands at each place; all 0 where tokens alone say it; ``[length]``.
        site_places: The token whose state stands for each site; ``[num_atoms]``.
    """

    tokens: Ints
    slots: Ints
    site_places: Ints


class StartBatch(NamedTuple):
    """The tokens of several starts, padded.

    Args:
        tokens: int64 ``[num_crystals, length]``.
        slots: int64 ``[num_crystals, length]``.
        mask: 1 where there is a token; int64 ``[num_crystals, length]``.
        site_places: Crystal and place of the token of each site; two int64 ``[num_atoms]``.
    """

    tokens: Tensor
    slots: Tensor
    mask: Tensor
    site_places: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, starts: Sequence[StartTokens], pad: int) -> "StartBatch":
        """Padded behind the end, which is the last token of each."""
        shape = (len(starts), max(len(one.tokens) for one in starts))
        tokens = np.full(shape, pad, dtype=np.int64)
        slots, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, one in enumerate(starts):
            length = len(one.tokens)
            tokens[row, :length], slots[row, :length] = one.tokens, one.slots
            mask[row, :length] = 1
        rows = np.repeat(np.arange(len(starts)), [len(one.site_places) for one in starts])
        places = np.concatenate([one.site_places for one in starts])
        return cls(
            torch.from_numpy(tokens),
            torch.from_numpy(slots),
            torch.from_numpy(mask),
            (torch.from_numpy(rows), torch.from_numpy(places)),
        )

    def to(self, device: torch.device) -> "StartBatch":
        """The same on another device."""
        rows, places = self.site_places
        return StartBatch(
            self.tokens.to(device),
            self.slots.to(device),
            self.mask.to(device),
            (rows.to(device), places.to(device)),
        )


class StartForm(Protocol):
    """A way to write starts."""

    @property
    def pad(self) -> int:
        """Token of padding."""

    @property
    def num_slots(self) -> int:
        """Of which ``StartTokens.slots`` speak."""

    @property
    def change_ids(self) -> list[int]:
        """The model's token for each of ``ChangeTokenizer``."""

    def encode(self, start: Crystal) -> StartTokens:
        """Tokens of a start.

        Raises:
            CrystalError: If no text holds it.
        """


@dataclass(frozen=True)
class CompactForm(StartForm):
    """Numbers digit by digit, with a vocabulary of 133 tokens.

    Args:
        decimals: Of every number.
        distances: Whether distances to the nearest atoms follow each site.
    """

    decimals: int
    distances: bool

    @property
    def _tokenizer(self) -> StartTokenizer:
        return StartTokenizer(self.decimals, self.distances)

    @property
    @override
    def pad(self) -> int:
        return ChangeTokenizer.PAD

    @property
    @override
    def num_slots(self) -> int:
        return self._tokenizer.num_slots

    @property
    @override
    def change_ids(self) -> list[int]:
        return list(range(len(ChangeTokenizer.VOCABULARY)))

    @override
    def encode(self, start: Crystal) -> StartTokens:
        tokenizer = self._tokenizer
        size = tokenizer.site(len(np.unique(start.atomic_numbers)))
        places = tokenizer.head + size * np.arange(start.num_atoms)
        return StartTokens(tokenizer.encode(start), tokenizer.slots(start), places)


class CifForm(StartForm):
    """The CIF that ASE writes, in the pieces of a published model's tokenizer.

    Args:
        tokenizer: Of the ``tokenizers`` library; tokens are added to it.
        pad: Its token of padding, with which the model begins to write.
        end: Its token of the end.
        decimals: Of every number.
    """

    def __init__(self, tokenizer: "Tokenizer", *, pad: int, end: int, decimals: int) -> None:
        self.pieces = PieceText(tokenizer)
        self.end = end
        self._pad = pad
        self._text = CifText(decimals)
        known = {ChangeTokenizer.PAD: pad, ChangeTokenizer.BOS: pad, ChangeTokenizer.EOS: end}
        names = ChangeTokenizer.VOCABULARY[len(known) :]
        self._change_ids = [*known.values(), *token_ids(tokenizer, names)]

    @property
    @override
    def pad(self) -> int:
        return self._pad

    @property
    @override
    def num_slots(self) -> int:
        return 0

    @property
    @override
    def change_ids(self) -> list[int]:
        return self._change_ids

    @override
    def encode(self, start: Crystal) -> StartTokens:
        tokens = np.array([*self.pieces.encode(self._text.encode(start)), self.end])
        # Each row of the table of sites ends with a line break, and nothing follows the last.
        places = np.flatnonzero(tokens == self.pieces.newline)[-start.num_atoms :]
        return StartTokens(tokens, np.zeros_like(tokens), places)
