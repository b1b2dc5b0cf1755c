"""Transformer encoder layers over crystals that lie end to end."""

from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override


class PaddedLayout(NamedTuple):
    """Where each atom lies in a rectangle of one row for each crystal."""

    row: Tensor  # int64 [num_atoms], row * max_atoms + column
    node_mask: Tensor  # bool [num_crystals, max_atoms], True where there is an atom

    @classmethod
    def of(cls, num_atoms: Tensor) -> Self:
        """The layout of crystals of these numbers of atoms, end to end."""
        width = int(num_atoms.max()) if len(num_atoms) else 0
        node_mask = torch.arange(width, device=num_atoms.device) < num_atoms[:, None]
        return cls(node_mask.flatten().nonzero().flatten(), node_mask)


class EncoderLayer(nn.Module):
    """``nn.TransformerEncoderLayer``, with rectangles for nothing but attention itself.

    Names and first values of the weights are those of torch's layer, which multiplies padding by
    all its matrices: half of the work where sizes within a batch differ.

    Args:
        width: Length of an atom's vector.
        num_heads: Attention heads.
        feedforward_width: Inner width.
        dropout: Share of values dropped.
    """

    def __init__(self, width: int, num_heads: int, feedforward_width: int, dropout: float) -> None:
        super().__init__()
        self._num_heads = num_heads
        self._dropout = dropout
        self.self_attn = nn.MultiheadAttention(width, num_heads, dropout, batch_first=True)
        self.linear1 = nn.Linear(width, feedforward_width)
        self.linear2 = nn.Linear(feedforward_width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, atoms: Tensor, layout: PaddedLayout, bias: Tensor | None = None) -> Tensor:
        """Updates atoms.

        Args:
            atoms: Shape ``[num_atoms, width]``.
            layout: Where the atoms lie in rectangles.
            bias: Added to the products of queries and keys, and -inf where a column is no atom;
                shape ``[num_crystals, num_heads, max_atoms, max_atoms]``.

        Returns:
            Shape ``[num_atoms, width]``.
        """
        atoms = self.norm1(atoms + self.dropout(self._attend(atoms, layout, bias)))
        hidden = self.dropout(F.relu(self.linear1(atoms)))
        return self.norm2(atoms + self.dropout(self.linear2(hidden)))

    def _attend(self, atoms: Tensor, layout: PaddedLayout, bias: Tensor | None) -> Tensor:
        attention, (num_crystals, max_atoms) = self.self_attn, layout.node_mask.shape
        joined = F.linear(atoms, attention.in_proj_weight, attention.in_proj_bias)
        padded = joined.new_zeros(num_crystals * max_atoms, joined.shape[1])
        padded = padded.index_copy(0, layout.row, joined)
        parts = padded.view(num_crystals, max_atoms, 3, self._num_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=layout.node_mask[:, None, None, :] if bias is None else bias.to(query.dtype),
            dropout_p=self._dropout if self.training else 0.0,
        )
        attended = attended.transpose(1, 2).reshape(num_crystals * max_atoms, -1)
        return attention.out_proj(attended.index_select(0, layout.row))
