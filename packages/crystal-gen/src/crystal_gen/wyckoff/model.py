"""The compact model of symmetry: a transformer on Wyckoff positions."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.heads import check_heads
from crystal_gen.wyckoff.batch import WyckoffBatch
from crystal_gen.wyckoff.network import GROUP, MAX_Z, PLACE, Known, Questions, WyckoffNetwork, Z
from crystal_gen.wyckoff.proposals import Proposal
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.symmetry_model import SymmetryModel


class WyckoffTransformer(SymmetryModel):
    """Answers a composition with the number of formula units, a space group, and positions.

    The answer is a chain of choices: z, the group, then for each element, the least electronegative
    first, its Wyckoff positions in the order of their letters. An element is done when all its
    atoms are placed, so there is no sign for an end. Of each choice only what can still be
    completed counts (``crystal_gen.wyckoff.legal``): the others have no probability.

    Args:
        properties: Columns of the data that may be wished for.
        width: Of a token.
        num_layers: Blocks of attention.
        num_heads: Of attention; divides the width.
        dropout: Share of numbers that are hidden in training.
        uses_element_properties: Elements are known by period, group, electronegativity and
            Mendeleev number, beside their names; False is an ablation.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
        learns_legal: Training counts legal choices alone, as answers do; False is an ablation, in
            which the model has to learn what is legal.

    Raises:
        InvalidArgumentError: If the heads do not divide the width.

    Source:
        Tokens of Wyckoff positions: WyFormer, arXiv 2503.02407. There a token has an element too,
        compositions are not asked, and what is legal is learned.
    """

    def __init__(
        self,
        properties: Sequence[str] = ("formation_energy_per_atom",),
        *,
        width: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        dropout: float = 0.1,
        uses_element_properties: bool = True,
        exchange: float = 0.5,
        learns_legal: bool = True,
    ) -> None:
        super().__init__(properties, exchange=exchange)
        check_heads(width, num_heads)
        self.learns_legal = learns_legal
        self.network = WyckoffNetwork(
            width,
            num_layers,
            num_heads,
            num_properties=len(self.properties),
            dropout=dropout,
            uses_element_properties=uses_element_properties,
        )

    @override
    def losses(self, batch: WyckoffBatch, random: SampleRandom) -> Sums:
        if self.training:
            batch = self.varied(batch, random)
        wishes = self.normalized(batch.targets, batch.num_crystals)
        logs = self.log_probabilities(batch, wishes)
        count = logs["z"].new_tensor(batch.num_crystals)
        return {name: (-values.sum(), count) for name, values in logs.items()}

    def log_probabilities(self, batch: WyckoffBatch, wishes: Tensor) -> dict[str, Tensor]:
        """Of the parts of true answers, each ``[num_crystals]``.

        Args:
            batch: With the answers.
            wishes: Normalized, NaN for none; ``[num_crystals, num_properties]``.
        """
        network = self.network
        hidden = self._hidden(batch, wishes)
        z = network.z_scores(hidden[:, 0])
        z[:, 0] = -torch.inf
        group = self.group_scores(batch, hidden)
        places = network.place_scores(hidden[:, 2:], batch.space_group_number)
        if self.learns_legal:
            # Where there is no choice anything is legal, so that no number is infinite.
            is_legal = batch.legal_places | ~batch.mask[..., None]
            places = places.masked_fill(~is_legal, -torch.inf)
        chosen = places.log_softmax(-1).gather(-1, batch.places[..., None])[..., 0]
        return {
            "z": _taken(z, batch.z.clamp(max=MAX_Z)),
            "group": _taken(group, batch.space_group_number),
            "positions": (chosen * batch.mask).sum(1),
        }

    def group_scores(self, batch: WyckoffBatch, hidden: Tensor) -> Tensor:
        """Scores of groups, those of illegal ones minus infinity; ``[num_crystals, 231]``."""
        scores = self.network.group_scores(hidden[:, 1])
        if not self.learns_legal:
            return scores
        return scores.masked_fill(~batch.legal_groups, -torch.inf)

    @override
    def group_logs(self, batch: WyckoffBatch) -> Tensor:
        wishes = self.normalized(batch.targets, batch.num_crystals)
        hidden = self._hidden(batch, wishes)[:, :2]
        scores = self.network.group_scores(hidden[:, 1])
        return scores.masked_fill(~batch.legal_groups, -torch.inf).log_softmax(-1)

    @override
    def best_answers(
        self, questions: Sequence[SymmetryQuestion], limit: int
    ) -> list[list[Proposal]]:
        from crystal_gen.wyckoff.search import best_answers

        return best_answers(self, questions, limit)

    @override
    def free_walks(self, questions: Sequence[SymmetryQuestion], seeds: Sequence[int]) -> list[bool]:
        from crystal_gen.wyckoff.search import free_walks

        return free_walks(self, questions, seeds)

    @override
    def marginal_group_logs(self, questions: Sequence[SymmetryQuestion]) -> NDArray[np.float64]:
        from crystal_gen.wyckoff.search import marginal_group_logs

        return marginal_group_logs(self, questions)

    def _hidden(self, batch: WyckoffBatch, wishes: Tensor) -> Tensor:
        """Hidden states of all choices; ``[num_crystals, 2 + max_orbits, width]``."""
        memory, mask = self.network.read(Known(batch.elements, batch.counts, wishes))
        hidden, _ = self.network.answer(questions_of(batch), memory, mask)
        return hidden


def questions_of(batch: WyckoffBatch) -> Questions:
    """The questions that a batch answers: z, the group, then each position."""
    num_crystals, num_orbits = batch.places.shape
    shape = (num_crystals, 2 + num_orbits)
    zero = batch.places.new_zeros(shape)
    element = batch.elements.gather(1, batch.owner) * batch.mask
    kind, z, group, last, last_element, asked, left = (zero.clone() for _ in range(7))
    kind[:, 0], kind[:, 1], kind[:, 2:] = Z, GROUP, PLACE
    z[:, 1:] = batch.z[:, None]
    group[:, 2:] = batch.space_group_number[:, None]
    last[:, 3:] = ((1 + batch.places) * batch.mask)[:, :-1]
    last_element[:, 3:] = element[:, :-1]
    asked[:, 2:] = element
    left[:, 2:] = batch.left
    step = torch.arange(2 + num_orbits, device=zero.device).expand(shape)
    return Questions(kind, z, group, last, last_element, asked, left, step)


def _taken(scores: Tensor, chosen: Tensor) -> Tensor:
    return scores.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
