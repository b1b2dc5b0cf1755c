"""Any text as tokens of a tokenizer that was not made for it, and exactly back."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # what SentencePiece writes for a space before a word


class PieceText:
    """Encodes text so that nothing is lost of it.

    T5's tokenizer joins white space, has no pieces for braces, backslashes and others, and rewrites
    some characters. Here words that it keeps are encoded by it, one space between two of them
    included. All else, such as line breaks, several spaces and words that it would change, is
    encoded byte by byte with tokens ``<0x00>`` to ``<0xFF>``, which are added to it.

    Args:
        tokenizer: Of the ``tokenizers`` library; tokens are added to it.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        names = [f"<0x{byte:02X}>" for byte in range(256)]
        self.tokenizer = tokenizer
        self._bytes = token_ids(tokenizer, names)
        self._byte_of = {token: byte for byte, token in enumerate(self._bytes)}
        self._words: dict[str, list[int] | None] = {}

    @property
    def newline(self) -> int:
        """Token of a line break."""
        return self._bytes[ord("\n")]

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        # A space between two words that are kept belongs to the second.
        items = re.findall(r"\S+|\s", text)
        kept = [None if item.isspace() else self._kept(item) for item in items]
        tokens: list[int] = []
        for place, (item, word) in enumerate(zip(items, kept, strict=True)):
            if word is not None:
                tokens += word
            elif not (
                item == " "
                and 0 < place < len(items) - 1
                and None not in (kept[place - 1], kept[place + 1])
            ):
                tokens += [self._bytes[byte] for byte in item.encode()]
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of what ``encode`` gave."""
        found = bytearray()
        pieces: list[str] = []
        for token in tokens:
            if token in self._byte_of:
                found += _text(pieces).encode()
                found.append(self._byte_of[token])
                pieces = []
            else:
                pieces.append(self._piece(token))
        return (found + _text(pieces).encode()).decode(errors="replace")

    def _piece(self, token: int) -> str:
        return self.tokenizer.id_to_token(token) or ""

    def _kept(self, word: str) -> list[int] | None:
        """Tokens of a word that they spell exactly; None for another."""
        if word not in self._words:
            found = list(self.tokenizer.encode(word, add_special_tokens=False).ids)
            # By name: where a character is unknown, the encoding's own words still show it.
            spelled = "".join(map(self._piece, found)) == _SPACE + word
            is_plain = spelled and _SPACE not in word and self._byte_of.keys().isdisjoint(found)
            self._words[word] = found if is_plain else None
        return self._words[word]


def token_ids(tokenizer: "Tokenizer", names: Sequence[str]) -> list[int]:
    """Ids of tokens; those that the tokenizer does not have are added."""
    from tokenizers import AddedToken

    missing = [name for name in names if tokenizer.token_to_id(name) is None]
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in missing])
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[name] for name in names]


def _text(pieces: Sequence[str]) -> str:
    return "".join(pieces).replace(_SPACE, " ").removeprefix(" ")
