"""What every model of symmetry has: it learns from crystals, and answers compositions."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GenerationRequest
from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.exchange import ElementExchange
from crystal_gen.wishes import WishModel
from crystal_gen.wyckoff.assignment import WyckoffAssignment, element_order
from crystal_gen.wyckoff.batch import WyckoffBatch, assignments_in, wyckoff_batch
from crystal_gen.wyckoff.proposals import Proposal
from crystal_gen.wyckoff.questions import SymmetryQuestion

#: Parts of the loss: the number of formula units, the space group, the positions.
PARTS = ("z", "group", "positions")
_FORGOTTEN = 0.5  # share of the wishes that are hidden in training


class SymmetryModel(WishModel):
    """Answers compositions with z, a space group and Wyckoff positions.

    Args:
        properties: Columns of the data that may be wished for.
        exchange: Share of training crystals in which elements may be exchanged for others that are
            alike.
    """

    def __init__(self, properties: Sequence[str] = (), *, exchange: float = 0.0) -> None:
        super().__init__(properties)
        self.exchange = ElementExchange(exchange)

    @abstractmethod
    def losses(self, batch: WyckoffBatch, random: SampleRandom) -> Sums:
        """Negative logarithms of the probabilities of true answers, summed, and crystals.

        Args:
            batch: True crystals.
            random: For what is forgotten and exchanged in training.

        Returns:
            Of each of :data:`PARTS`.
        """

    @abstractmethod
    def group_logs(self, batch: WyckoffBatch) -> Tensor:
        """Logarithms of the probabilities of groups for compositions and z; ``[n, 231]``.

        Args:
            batch: Groups and positions are not read.
        """

    @abstractmethod
    def best_answers(
        self, questions: Sequence[SymmetryQuestion], limit: int
    ) -> list[list[Proposal]]:
        """The most probable answers of each question, in order.

        Args:
            questions: Whose wishes are those of the model's properties.
            limit: Answers for each.
        """

    @abstractmethod
    def free_walks(self, questions: Sequence[SymmetryQuestion], seeds: Sequence[int]) -> list[bool]:
        """Whether one random answer of each question is legal, where the model is not held to it.

        Args:
            questions: Whose wishes are those of the model's properties.
            seeds: Of each question's random numbers.
        """

    @abstractmethod
    def marginal_group_logs(self, questions: Sequence[SymmetryQuestion]) -> NDArray[np.float64]:
        """Logarithms of the probabilities of groups, summed over what z may be.

        Args:
            questions: As of :meth:`best_answers`.

        Returns:
            By number of the group, minus infinity of one that cannot be; ``[num_questions, 231]``.
        """

    def load_base(self) -> None:
        """Reads the published model that it is built upon, if there is one and it is not read."""

    def fit_scales(self, batch: WyckoffBatch) -> None:
        """Learns means and deviations of properties, and which elements there are.

        Args:
            batch: All training crystals.
        """
        self.fit_properties(batch.targets)
        known = torch.zeros(batch.num_crystals, len(self.exchange.is_known))
        self.exchange.fit(known.scatter(1, batch.elements.cpu(), 1.0))

    def unknown_elements(self, request: GenerationRequest) -> list[str]:
        """A sentence about the elements that no training crystal has, if there are any."""
        symbols = (*request.composition, *request.elements)
        known = self.exchange.is_known
        unknown = [symbol for symbol in symbols if not known[ATOMIC_NUMBERS[symbol]]]
        named = ", ".join(unknown)
        return [f"no training crystal has {named}: what follows is a guess"] if unknown else []

    def varied(self, batch: WyckoffBatch, random: SampleRandom) -> WyckoffBatch:
        """What is learned from: some crystals with other elements, and some wishes hidden."""
        if self.exchange.share > 0:
            batch = self._exchanged(batch, random)
        is_forgotten = random.uniform("forgotten", len(self.properties) or 1) < _FORGOTTEN
        targets = dict(batch.targets)
        for name, forgotten in zip(self.properties, is_forgotten.unbind(1), strict=False):
            if name in targets:
                own = targets[name]
                targets[name] = own.masked_fill(forgotten.to(own.device), torch.nan)
        return replace(batch, targets=targets)

    def _exchanged(self, batch: WyckoffBatch, random: SampleRandom) -> WyckoffBatch:
        """The batch with other elements in some crystals, in the order and letters for these."""
        numbers = self.exchange.exchanged(batch.elements, batch.elements > 0, random)
        is_changed = (numbers != batch.elements).any(1)
        assignments = [
            with_elements(each, new) if changed else each
            for each, new, changed in zip(
                assignments_in(batch), numbers.tolist(), is_changed.tolist(), strict=True
            )
        ]
        targets = {
            name: values.masked_fill(is_changed, torch.nan)
            for name, values in batch.targets.items()
        }
        made = wyckoff_batch(
            assignments,
            sample_id=batch.sample_id.cpu(),
            identifier=batch.identifier,
            targets={},
            is_filler=batch.is_filler,
        )
        return replace(made.to(batch.elements.device), targets=targets)


def with_elements(assignment: WyckoffAssignment, numbers: Sequence[int]) -> WyckoffAssignment:
    """A canonical assignment with other elements, canonical for these.

    Args:
        assignment: Canonical.
        numbers: In place of its elements; what follows is not read.
    """
    elements = dict(zip(assignment.elements, numbers, strict=False))
    exchanged = assignment.exchanged(elements)
    # In another order of elements other letters may come first.
    in_order = sorted(assignment.elements, key=lambda number: element_order(elements[number]))
    return exchanged if in_order == list(assignment.elements) else exchanged.canonical()
