"""A tokenizer for prompts and answers alone: almost every piece is one token."""

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.language.optional import optional_library
from crystal_gen.language.prompt import REQUEST

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PAD, _END, _UNKNOWN = "<pad>", "<end>", "<unknown>"
_NUMBERS = 231
# A word with the blank before it and the end of the line after it, if there are any.
_WORD = r" ?[^\s]+\n?|\s"


def crystal_words(properties: Sequence[str] = ()) -> tuple[str, ...]:
    """The words of prompts and answers, and all letters, of which other words are spelled.

    Args:
        properties: Names that prompts have.
    """
    words = dict.fromkeys((_PAD, _END, _UNKNOWN, *_letters(), *_words(), *properties))
    return tuple(words)


def crystal_tokenizer(words: Sequence[str]) -> "PreTrainedTokenizerBase":
    """A tokenizer of transformers.

    Args:
        words: As :func:`crystal_words` gives them; the place of a word is its token.

    Raises:
        InvalidArgumentError: If transformers is not installed.
    """
    tokenizers, transformers = optional_library("tokenizers"), optional_library("transformers")
    vocabulary = {word: number for number, word in enumerate(words)}
    # The longest known beginning of a word, then that of the rest: letters at last.
    model = tokenizers.models.WordPiece(
        vocabulary, unk_token=_UNKNOWN, continuing_subword_prefix="", max_input_chars_per_word=200
    )
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(
        tokenizers.Regex(_WORD), behavior="isolated"
    )
    backend.decoder = tokenizers.decoders.Fuse()
    made: PreTrainedTokenizerBase = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=_PAD,
        eos_token=_END,
        unk_token=_UNKNOWN,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    return made


def _letters() -> list[str]:
    return [*map(chr, range(32, 127)), "\n"]


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    words = ["z", "group", "positions", *SYMBOLS[1:]]
    words += [" period", " group", " f-block", " electronegativity", " Mendeleev"]
    first, *between, last = REQUEST[:-1].split(" ")
    words += [first, *(f" {word}" for word in between), f" {last}\n"]
    words += [f" {number}{end}" for number in range(_NUMBERS) for end in ("", "\n")]
    words += [f" {value:.2f}" for value in ELECTRONEGATIVITY.values() if isfinite(value)]
    for group in range(1, _NUMBERS):
        words += [f" {position.label}" for position in wyckoff_positions(group)]
    return tuple(words)
