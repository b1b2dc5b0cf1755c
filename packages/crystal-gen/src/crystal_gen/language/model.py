"""What language models of symmetry have in common, wherever their weights come from."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.language.cursor import Cursor, PieceTokens
from crystal_gen.language.grammar import AnswerGrammar
from crystal_gen.language.lessons import lesson_batch, lesson_of
from crystal_gen.language.prompt import Prompt
from crystal_gen.language.tree import TokenTree, free_walks, group_logs
from crystal_gen.wyckoff.batch import WyckoffBatch, assignments_in
from crystal_gen.wyckoff.legal import NUM_GROUPS
from crystal_gen.wyckoff.proposals import Proposal
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.search import most_probable
from crystal_gen.wyckoff.symmetry_model import PARTS, SymmetryModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_QUESTIONS_AT_ONCE = 64


class LanguageModel(SymmetryModel):
    """Reads a composition and wishes as text, and answers in text.

    Only choices among legal tokens are learned and asked (``AnswerGrammar``): all others have no
    probability, and what is forced costs nothing.

    Args:
        properties: Columns of the data that may be wished for.
        uses_element_properties: Prompts describe the elements; False is an ablation.
        lists_positions: Answers name all positions of the group before they choose.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
        learns_legal: Training counts legal choices alone, as answers do. False learns whole answers
            among all tokens, as language models usually do.
    """

    def __init__(
        self,
        properties: Sequence[str] = (),
        *,
        uses_element_properties: bool = True,
        lists_positions: bool = True,
        exchange: float = 0.0,
        learns_legal: bool = True,
    ) -> None:
        super().__init__(properties, exchange=exchange)
        self.uses_element_properties = uses_element_properties
        self.learns_legal = learns_legal
        self.grammar = AnswerGrammar(lists_positions)

    @property
    @abstractmethod
    def network(self) -> "PreTrainedModel":
        """The causal language model, of transformers' own class."""

    @property
    @abstractmethod
    def spoken(self) -> PieceTokens:
        """The tokens of its tokenizer."""

    @property
    def prompt(self) -> Prompt:
        """How it is asked."""
        units = {name: self.property_units.get(name, "") for name in self.properties}
        return Prompt(units, self.uses_element_properties)

    def questions(self, batch: WyckoffBatch) -> list[SymmetryQuestion]:
        """What each crystal of a batch answers."""
        rows = range(batch.num_crystals)
        return [SymmetryQuestion.from_batch(batch, row, self.properties) for row in rows]

    def tree(self, questions: Sequence[SymmetryQuestion]) -> TokenTree:
        """The answers to some questions."""
        roots = [Cursor(self.spoken, self.grammar, question) for question in questions]
        return TokenTree(self.network, self.prompts(questions), roots)

    def prompts(self, questions: Sequence[SymmetryQuestion]) -> list[list[int]]:
        """Tokens of each question."""
        texts = [self.prompt.text(question) for question in questions]
        found: list[list[int]] = self.spoken.tokenizer(texts)["input_ids"] if texts else []
        return found

    @override
    def losses(self, batch: WyckoffBatch, random: SampleRandom) -> Sums:
        if self.training:
            batch = self.varied(batch, random)
        logs = self.log_probabilities(batch)
        count = logs["z"].new_tensor(batch.num_crystals)
        return {name: (-values.sum(), count) for name, values in logs.items()}

    def log_probabilities(self, batch: WyckoffBatch) -> dict[str, Tensor]:
        """Of the parts of true answers, each ``[num_crystals]``.

        Args:
            batch: With the answers.
        """
        device = self.property_mean.device
        lessons = [
            lesson_of(each, self.spoken, self.grammar, counts_forced=not self.learns_legal)
            for each in assignments_in(batch)
        ]
        made = lesson_batch(self.prompts(self.questions(batch)), lessons)
        hidden = self.network.get_decoder()(
            input_ids=made.input_ids.to(device), use_cache=False
        ).last_hidden_state
        head = self.network.get_output_embeddings()
        scores = head(hidden[made.rows.to(device), made.places.to(device)]).float()
        if self.learns_legal:
            is_legal = torch.zeros_like(scores, dtype=torch.bool)
            is_legal[tuple(made.legal.to(device))] = True
            scores = scores.masked_fill(~is_legal, -torch.inf)
        chosen = scores.log_softmax(1).gather(1, made.chosen.to(device)[:, None])[:, 0]
        rows = (made.rows * len(PARTS) + made.parts).to(device)
        sums = chosen.new_zeros(batch.num_crystals * len(PARTS)).index_add(0, rows, chosen)
        return dict(zip(PARTS, sums.view(-1, len(PARTS)).unbind(1), strict=True))

    @override
    def group_logs(self, batch: WyckoffBatch) -> Tensor:
        logs = group_logs(self.tree(self.questions(batch)))
        return torch.from_numpy(logs).to(self.property_mean)

    @override
    def best_answers(
        self, questions: Sequence[SymmetryQuestion], limit: int
    ) -> list[list[Proposal]]:
        found: list[list[Proposal]] = [[] for _ in questions]
        # What nothing can answer has no answers.
        rows = [row for row, each in enumerate(questions) if self.grammar.can_answer(each)]
        for first in range(0, len(rows), _QUESTIONS_AT_ONCE):
            some = rows[first : first + _QUESTIONS_AT_ONCE]
            best = most_probable(self.tree([questions[row] for row in some]), limit)
            for row, nodes in zip(some, best, strict=True):
                answers = ((node.cursor.assignment, node.log) for node in nodes)
                found[row] = [Proposal(each, log) for each, log in answers if each is not None]
        return found

    @override
    def free_walks(self, questions: Sequence[SymmetryQuestion], seeds: Sequence[int]) -> list[bool]:
        return free_walks(self.tree(questions), seeds)

    @override
    def marginal_group_logs(self, questions: Sequence[SymmetryQuestion]) -> NDArray[np.float64]:
        logs = np.full((len(questions), NUM_GROUPS + 1), -np.inf)
        rows = [row for row, each in enumerate(questions) if self.grammar.can_answer(each)]
        if rows:
            logs[rows] = group_logs(self.tree([questions[row] for row in rows]))
        return logs
