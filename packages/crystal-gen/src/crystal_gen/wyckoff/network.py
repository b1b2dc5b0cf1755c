"""A transformer that reads a composition and answers with one choice after another.

Known tokens (an element each, and a property each) see each other; tokens of choices see these and
earlier choices. A token of a choice says what was chosen last and what is asked now.
"""

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor, nn

from crystal_data.elements import SYMBOLS
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.wyckoff.assignment import multiplicities
from crystal_gen.wyckoff.elements import element_features
from crystal_gen.wyckoff.legal import MAX_POSITIONS, NUM_GROUPS

MAX_Z = 63
_MAX_COUNT = 64  # larger numbers of atoms are told apart by their logarithm
_MAX_STEPS = 64  # later ones are not told apart
_OWN_WIDTH = 32  # of what a position has for itself, beside what it has in common with others

Z, GROUP, PLACE = range(3)  # what a token may ask


@dataclass(frozen=True)
class Known:
    """What is known of crystals. Zero where there is no element, NaN where no wish."""

    elements: Tensor  # int64 [num_crystals, max_elements]
    counts: Tensor  # int64 [num_crystals, max_elements], of the reduced formula
    wishes: Tensor  # [num_crystals, num_properties], normalized


@dataclass(frozen=True)
class Questions:
    """What is asked, and what was chosen before; each int64 ``[num_crystals, num_steps]``."""

    kind: Tensor  # Z, GROUP or PLACE
    z: Tensor  # 0 where it is not chosen yet
    group: Tensor  # 0 where it is not chosen yet
    last: Tensor  # 1 + position that was chosen last; 0 for none
    last_element: Tensor  # atomic number of its element; 0 for none
    element: Tensor  # whose position is asked; 0 for none
    left: Tensor  # its atoms that are not placed; 0 for none
    step: Tensor  # from 0

    @classmethod
    def from_rows(cls, rows: Tensor) -> Self:
        """From the numbers of all fields side by side; int64 ``[..., 8]``."""
        return cls(*rows.unbind(-1))

    def rows(self) -> Tensor:
        """All fields side by side; int64 ``[..., 8]``."""
        return torch.stack([getattr(self, each.name) for each in fields(self)], -1)


#: Keys and values of all layers: ``[num_layers, 2, num_crystals, num_tokens, width]``.
Memory = Tensor


class WyckoffNetwork(nn.Module):
    """Scores of all choices.

    Args:
        width: Of a token.
        num_layers: Blocks of attention.
        num_heads: Of attention; divides the width.
        num_properties: That may be wished for.
        dropout: Share of numbers that are hidden in training.
        uses_element_properties: Elements are known by their place in the periodic table and their
            electronegativity, beside their names.
    """

    def __init__(
        self,
        width: int,
        num_layers: int,
        num_heads: int,
        *,
        num_properties: int,
        dropout: float,
        uses_element_properties: bool,
    ) -> None:
        super().__init__()
        self.elements = ElementEmbedding(width, uses_properties=uses_element_properties)
        self.positions = PositionEmbedding(width)
        self.counts = CountEmbedding(width)
        self.share = nn.Linear(1, width)
        self.wish = nn.Parameter(torch.randn(num_properties, width) * 0.02)
        self.no_wish = nn.Parameter(torch.randn(num_properties, width) * 0.02)
        self.wish_value = nn.Parameter(torch.randn(num_properties, width) * 0.02)
        self.kind = nn.Embedding(3, width)
        self.z = nn.Embedding(MAX_Z + 1, width)
        self.group = nn.Embedding(NUM_GROUPS + 1, width)
        self.step = nn.Embedding(_MAX_STEPS, width)
        self.asked = nn.Linear(width, width)
        self.chosen = nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.z_head = nn.Linear(width, MAX_Z + 1)
        self.group_head = nn.Linear(width, NUM_GROUPS + 1)
        self.place_query = nn.Linear(width, width)
        for embedding in (self.kind, self.z, self.group, self.step):
            nn.init.normal_(embedding.weight, std=0.02)

    def known_tokens(self, known: Known) -> tuple[Tensor, Tensor]:
        """Tokens of elements and properties, and where there is one.

        Returns:
            ``[num_crystals, num_tokens, width]`` and bool ``[num_crystals, num_tokens]``.
        """
        counts = known.counts.to(self.share.weight)
        share = counts / counts.sum(1, keepdim=True)
        atoms = (
            self.elements(known.elements) + self.counts(known.counts) + self.share(share[..., None])
        )
        value = known.wishes.nan_to_num()[..., None] * self.wish_value + self.wish
        wishes = torch.where(known.wishes.isnan()[..., None], self.no_wish, value)
        tokens = torch.cat([atoms, wishes.to(atoms)], 1)
        has_wish = torch.ones_like(known.wishes, dtype=torch.bool)
        return tokens, torch.cat([known.elements > 0, has_wish], 1)

    def question_tokens(self, questions: Questions) -> Tensor:
        """Tokens of choices; ``[num_crystals, num_steps, width]``."""
        last = self.positions(questions.group, questions.last - 1)
        last = last + self.elements(questions.last_element)
        asked = self.elements(questions.element) + self.counts(questions.left)
        tokens: Tensor = (
            self.kind(questions.kind)
            + self.z(questions.z.clamp(max=MAX_Z))
            + self.counts(questions.z)
            + self.group(questions.group)
            + self.step(questions.step.clamp(max=_MAX_STEPS - 1))
            + self.chosen(last) * (questions.last > 0)[..., None]
            + self.asked(asked) * (questions.element > 0)[..., None]
        )
        return tokens

    def read(self, known: Known) -> tuple[Memory, Tensor]:
        """What choices attend to of what is known, and where there is a token."""
        tokens, mask = self.known_tokens(known)
        _, memory = self._through(tokens, mask[:, None, :], None)
        return memory, mask

    def answer(self, questions: Questions, memory: Memory, mask: Tensor) -> tuple[Tensor, Memory]:
        """Hidden states of questions.

        Args:
            questions: ``num_steps`` of each crystal, one after another.
            memory: Of what came before.
            mask: True where the memory has a token; ``[num_crystals, num_before]``.

        Returns:
            ``[num_crystals, num_steps, width]``, and the memory of these steps alone.
        """
        num_crystals, num_steps = questions.kind.shape
        causal = torch.ones(num_steps, num_steps, dtype=torch.bool, device=mask.device).tril()
        seen = torch.cat(
            [
                mask[:, None, :].expand(-1, num_steps, -1),
                causal.expand(num_crystals, -1, -1),
            ],
            2,
        )
        hidden, own = self._through(self.question_tokens(questions), seen, memory)
        return self.norm(hidden), own

    def z_scores(self, hidden: Tensor) -> Tensor:
        """Of formula units, 0 (never chosen) to ``MAX_Z``; ``[..., MAX_Z + 1]``."""
        scores: Tensor = self.z_head(hidden)
        return scores

    def group_scores(self, hidden: Tensor) -> Tensor:
        """Of groups by number; ``[..., 231]``."""
        scores: Tensor = self.group_head(hidden)
        return scores

    def place_scores(self, hidden: Tensor, group: Tensor) -> Tensor:
        """Of positions by place.

        Args:
            hidden: ``[num_crystals, num_steps, width]``.
            group: Of each crystal; ``[num_crystals]``.

        Returns:
            ``[num_crystals, num_steps, MAX_POSITIONS]``; those that the group lacks have a score
            too.
        """
        keys = self.positions.of_group(group)
        scores: Tensor = self.place_query(hidden) @ keys.transpose(1, 2)
        return scores / math.sqrt(hidden.shape[-1])

    def _through(
        self, tokens: Tensor, mask: Tensor, memory: Memory | None
    ) -> tuple[Tensor, Memory]:
        own = []
        for place, block in enumerate(self.blocks):
            tokens, new = block(tokens, mask, None if memory is None else memory[place])
            own.append(new)
        return tokens, torch.stack(own)


class Block(nn.Module):
    """Attention and a feed-forward network, each after a normalization and beside a shortcut.

    Args:
        width: Of a token.
        num_heads: Divides the width.
        dropout: Share of numbers that are hidden in training.
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.forward_norm = nn.LayerNorm(width)
        self.forward_network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens after the block.

        Args:
            tokens: ``[num_crystals, num_tokens, width]``.
            mask: Which of the memory's tokens and of these each token attends to; bool
                ``[num_crystals, num_tokens or 1, num_before + num_tokens]``.
            memory: Keys and values of what came before; ``[2, num_crystals, num_before, width]``.

        Returns:
            The tokens, and their own keys and values.
        """
        query, key, value = self.project(self.norm(tokens)).chunk(3, -1)
        own = torch.stack([key, value])
        if memory is not None:
            key, value = torch.cat([memory, own], 2)
        mixed = nn.functional.scaled_dot_product_attention(
            self._heads(query), self._heads(key), self._heads(value), mask[:, None]
        )
        tokens = tokens + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return tokens + self.dropout(self.forward_network(self.forward_norm(tokens))), own

    def _heads(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class ElementEmbedding(nn.Module):
    """Elements by name, and by what the periodic table says of them.

    Args:
        width: Of an element.
        uses_properties: False leaves names alone.
    """

    def __init__(self, width: int, *, uses_properties: bool) -> None:
        super().__init__()
        self.name = nn.Embedding(len(SYMBOLS), width)
        nn.init.normal_(self.name.weight, std=0.02)
        self.features: Tensor
        self.register_buffer("features", element_features(), persistent=False)
        self.properties = (
            nn.Linear(self.features.shape[1], width, bias=False) if uses_properties else None
        )

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """``[..., width]``."""
        table = self.name.weight
        if self.properties is not None:
            table = table + self.properties(self.features)
        return nn.functional.embedding(atomic_numbers, table)


class CountEmbedding(nn.Module):
    """Numbers of atoms, by name up to a limit and by their logarithm.

    Args:
        width: Of a number.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.name = nn.Embedding(_MAX_COUNT + 1, width)
        nn.init.normal_(self.name.weight, std=0.02)
        self.size = nn.Linear(1, width, bias=False)

    def forward(self, counts: Tensor) -> Tensor:
        """``[..., width]``."""
        size = counts.to(self.size.weight).log1p()[..., None]
        found: Tensor = self.name(counts.clamp(max=_MAX_COUNT)) + self.size(size)
        return found


class PositionEmbedding(nn.Module):
    """Wyckoff positions by what they have in common, and a little by name.

    Args:
        width: Of a position.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        table = position_features()
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)
        symmetry, size, free, place, name = (int(each) + 1 for each in table.amax((0, 1)))
        self.symmetry = nn.Embedding(symmetry, width)
        self.size = nn.Embedding(size, width)
        self.free = nn.Embedding(free, width)
        self.place = nn.Embedding(place, width)
        self.name = nn.Embedding(name, _OWN_WIDTH)
        self.own = nn.Linear(_OWN_WIDTH, width, bias=False)
        for embedding in (self.symmetry, self.size, self.free, self.place, self.name):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, group: Tensor, place: Tensor) -> Tensor:
        """``[..., width]``; of a place below 0 any value."""
        return self._embedded(self.table[group, place.clamp(min=0)])

    def of_group(self, group: Tensor) -> Tensor:
        """All positions of groups; ``[..., MAX_POSITIONS, width]``."""
        return self._embedded(self.table[group])

    def _embedded(self, features: Tensor) -> Tensor:
        symmetry, size, free, place, name = features.unbind(-1)
        found: Tensor = (
            self.symmetry(symmetry)
            + self.size(size)
            + self.free(free)
            + self.place(place)
            + self.own(self.name(name))
        )
        return found


def position_features() -> Tensor:
    """What tells positions apart, as numbers from 1; 0 for those that a group lacks.

    Returns:
        Site-symmetry symbol, atoms in the primitive cell (equal sizes have equal numbers), free
        coordinates, place of the letter, and the position itself; int64
        ``[231, MAX_POSITIONS, 5]``.
    """
    groups = range(1, NUM_GROUPS + 1)
    all_positions = [position for group in groups for position in wyckoff_positions(group)]
    symbols = sorted({position.site_symmetry for position in all_positions})
    sizes = sorted({size for group in groups for size in multiplicities(group)})
    table = torch.zeros(NUM_GROUPS + 1, MAX_POSITIONS, 5, dtype=torch.int64)
    number = 0
    for group in groups:
        for place, position in enumerate(wyckoff_positions(group)):
            number += 1
            table[group, place] = torch.tensor(
                [
                    1 + symbols.index(position.site_symmetry),
                    1 + sizes.index(multiplicities(group)[place]),
                    1 + position.num_free,
                    1 + place,
                    number,
                ]
            )
    return table
