"""Tokens of all crystals of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override

from crystal_data.crystal import CrystalArrays
from crystal_data.store.derived import ArrayLayout, ColumnChunk, DerivedColumn
from crystal_data.text import CrystalTokenizer, TextFailure


@dataclass(frozen=True)
class TokenColumn(DerivedColumn):
    """Each crystal as the tokens of a :class:`CrystalTokenizer`, begin and end included.

    Array: ``tokens``, ``[num_tokens]``.

    Args:
        decimals: Of every number.
        max_length: Most tokens of a crystal; longer ones have none. None for any number.
    """

    name: ClassVar[str] = "tokens"
    activity: ClassVar[str] = "writing tokens"
    layout: ClassVar[Mapping[str, ArrayLayout]] = {"tokens": ArrayLayout(np.uint8)}
    reasons: ClassVar[Sequence[str]] = tuple(TextFailure)

    decimals: int = 4
    max_length: int | None = None

    def __post_init__(self) -> None:
        self.tokenizer  # noqa: B018  it checks the options

    @property
    def tokenizer(self) -> CrystalTokenizer:
        """What writes the tokens and reads them."""
        return CrystalTokenizer(self.decimals, self.max_length)

    @override
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        tokens, counts, failures = self.tokenizer.encode_arrays(crystals)
        return ColumnChunk({"tokens": tokens}, counts, failures)
