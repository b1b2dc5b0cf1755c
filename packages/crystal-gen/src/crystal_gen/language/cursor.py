"""Answers token by token, with any tokenizer: which tokens may come next."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_gen.language.grammar import AnswerGrammar, Part
from crystal_gen.wyckoff.assignment import WyckoffAssignment
from crystal_gen.wyckoff.questions import SymmetryQuestion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Trie:
    """Sequences of tokens of which none is the beginning of another one.

    Args:
        choices: What each sequence chooses.
    """

    def __init__(self, choices: Mapping[tuple[int, ...], int]) -> None:
        branches: dict[int, dict[tuple[int, ...], int]] = {}
        self.after: dict[int, Trie | int] = {}
        for (token, *rest), choice in choices.items():
            if rest:
                branches.setdefault(token, {})[tuple(rest)] = choice
            else:
                self.after[token] = choice
        self.after |= {token: Trie(each) for token, each in branches.items()}
        #: Tokens that may come next, ascending; ``[num_legal]``.
        self.tokens: NDArray[np.int64] = np.array(sorted(self.after))


class PieceTokens:
    """The tokens of pieces: each piece is encoded on its own.

    Args:
        tokenizer: Any that gives back the text that it has encoded, and has a token for the end.

    Raises:
        InvalidArgumentError: If it has no token for the end.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if tokenizer.eos_token_id is None:
            raise InvalidArgumentError(
                "the tokenizer has no token for the end of a text", "set its eos_token"
            )
        self.tokenizer = tokenizer
        self.end = int(tokenizer.eos_token_id)
        self._known: dict[str, tuple[int, ...]] = {}
        self.trie = lru_cache(maxsize=16_384)(self._trie)

    def encode(self, piece: str) -> tuple[int, ...]:
        """The tokens of a piece.

        Raises:
            InvalidArgumentError: If they are not those of the piece alone.
        """
        known = self._known.get(piece)
        if known is None:
            known = tuple(self.tokenizer.encode(piece, add_special_tokens=False))
            if self.decode(known) != piece:
                raise InvalidArgumentError(
                    f"the tokenizer gives {piece!r} back as {self.decode(known)!r}",
                    "answers need a tokenizer that loses nothing",
                )
            self._known[piece] = known
        return known

    def decode(self, tokens: tuple[int, ...]) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))

    def _trie(self, pieces: tuple[str, ...]) -> Trie:
        """The trie of pieces, each of which chooses its place among them."""
        return Trie({self.encode(piece): place for place, piece in enumerate(pieces)})


class Cursor:
    """A place in an answer, between two tokens.

    Cursors of what follows are kept, so that each beginning of an answer is worked out once.

    Args:
        spoken: The tokens of pieces.
        grammar: Of the answers.
        question: What is asked.
        part: The choices made; None for the beginning.
    """

    __slots__ = ("_choices", "_forced", "_known", "_trie", "legal", "part", "shared")

    def __init__(
        self,
        spoken: PieceTokens,
        grammar: AnswerGrammar,
        question: SymmetryQuestion,
        part: Part | None = None,
    ) -> None:
        self.shared = (spoken, grammar, question)
        self.part = grammar.start(question) if part is None else part
        lead = tuple(
            token for piece in grammar.lead(question, self.part) for token in spoken.encode(piece)
        )
        self._trie: Trie | None = None
        self._choices: tuple[int, ...] = ()
        if self.part.is_complete:
            self._forced: tuple[int, ...] = (*lead, spoken.end)
        else:
            options = grammar.options(question, self.part)
            self._trie, self._choices = spoken.trie(tuple(options)), tuple(options.values())
            self._forced = lead
        self._known: dict[int, Cursor] = {}
        self.legal = self._legal()

    @property
    def is_done(self) -> bool:
        """Whether the answer has ended."""
        return self._trie is None and not self._forced

    @property
    def assignment(self) -> WyckoffAssignment | None:
        """What has been answered; None before the last choice."""
        _, grammar, question = self.shared
        return grammar.assignment(question, self.part)

    def choice(self, token: int) -> int | None:
        """What a legal token chooses; None if it is forced, or the piece goes on after it."""
        if self._forced or self._trie is None:
            return None
        chosen = self._trie.after[token]
        return None if isinstance(chosen, Trie) else self._choices[chosen]

    def after(self, token: int) -> "Cursor":
        """The cursor behind one more token; of an answer that has ended the same.

        Raises:
            InvalidArgumentError: If the token is not legal.
        """
        known = self._known.get(token)
        if known is None:
            known = self._known[token] = self._after(token)
        return known

    def _after(self, token: int) -> "Cursor":
        if self.is_done:
            return self
        if token not in self.legal:
            raise InvalidArgumentError(f"token {token} is no legal one here", "choose from legal")
        spoken, grammar, question = self.shared
        if self._forced:
            return self._moved(self._forced[1:], self._trie)
        chosen = self._trie.after[token] if self._trie else 0
        if isinstance(chosen, Trie):
            return self._moved((), chosen)
        part = grammar.after(question, self.part, self._choices[chosen])
        return Cursor(spoken, grammar, question, part)

    def _moved(self, forced: tuple[int, ...], trie: Trie | None) -> "Cursor":
        """A cursor in the same part."""
        moved = object.__new__(Cursor)
        moved.shared, moved.part, moved._choices = self.shared, self.part, self._choices
        moved._forced, moved._trie, moved._known = forced, trie, {}
        moved.legal = moved._legal()
        return moved

    def _legal(self) -> NDArray[np.int64]:
        """Tokens that may come next, ascending; ``[num_legal]``."""
        if self._forced:
            return np.array(self._forced[:1])
        return np.array([self.shared[0].end]) if self._trie is None else self._trie.tokens
