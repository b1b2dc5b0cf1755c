"""How properties enter the network: tokens of properties, and attention of atoms to them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override


class PropertyTokens(nn.Module):
    """A vector for each property of each crystal; a learned one where the value is not known.

    Args:
        num_properties: At least 1.
        width: Length of a vector.
    """

    def __init__(self, num_properties: int, width: int) -> None:
        super().__init__()
        self.known = nn.ModuleList(
            nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(num_properties)
        )
        self.unknown = nn.Parameter(torch.randn(num_properties, width) / width**0.5)

    @override
    def forward(self, values: Tensor) -> Tensor:
        """Vectors of properties.

        Args:
            values: Normalized, NaN where not known; ``[num_crystals, num_properties]``.

        Returns:
            Shape ``[num_crystals, num_properties, width]``.
        """
        filled = values.nan_to_num()
        columns = [mlp(filled[:, i, None]) for i, mlp in enumerate(self.known)]
        is_unknown = values.isnan()[:, :, None]
        return torch.where(is_unknown, self.unknown, torch.stack(columns, dim=1))


class PropertyAttention(nn.Module):
    """Multi-head cross-attention from each atom to the properties of its crystal.

    The query is a fusion of the atom, the mean of its messages, the lattice vector and the mean
    over the crystal's atoms. Keys and values are the properties and one learned vector, so that
    with a single property, too, an atom weighs how much it takes. The result is added through a
    gate that is zero at first, so that the network starts as the one without properties.

    The equations of the published block are lost; this form of it is our own.

    Args:
        width: Length of an atom's vector.
        num_heads: Attention heads; they divide the width.

    Source:
        Fields: "Crystal Structure Generation Based On Material Properties", arXiv 2411.08464. Gate:
        adaLN-Zero of Peebles and Xie, "Scalable diffusion models with transformers", ICCV 2023.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self._num_heads = num_heads
        self.fuse = nn.Sequential(
            nn.Linear(3 * width + 6, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.neutral = nn.Parameter(torch.randn(width) / width**0.5)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.gate = nn.Parameter(torch.zeros(width))

    @override
    def forward(
        self,
        atoms: Tensor,
        messages: Tensor,
        lattice_vector: Tensor,
        crystals: Tensor,
        batch: Tensor,
        properties: Tensor,
    ) -> Tensor:
        """New vectors of atoms.

        Args:
            atoms: Shape ``[num_atoms, width]``.
            messages: Mean message of each atom; ``[num_atoms, width]``.
            lattice_vector: Shape ``[num_crystals, 6]``.
            crystals: Shape ``[num_crystals, width]``.
            batch: Crystal of each atom; ``[num_atoms]``.
            properties: Shape ``[num_crystals, num_properties, width]``.

        Returns:
            Shape ``[num_atoms, width]``.
        """
        fused = self.fuse(torch.cat([atoms, messages, lattice_vector[batch], crystals[batch]], 1))
        tokens = torch.cat([properties, self.neutral.expand(len(properties), 1, -1)], dim=1)
        # One query for each atom, and keys of its crystal.
        query = self._heads(self.query(fused)[:, None])
        key, value = (self._heads(layer(tokens))[batch] for layer in (self.key, self.value))
        taken = F.scaled_dot_product_attention(query, key, value)
        return atoms + self.gate * self.out(taken.transpose(1, 2).flatten(1))

    def _heads(self, vectors: Tensor) -> Tensor:
        """``[n, tokens, width]`` to ``[n, heads, tokens, width of a head]``."""
        return vectors.unflatten(2, (self._num_heads, -1)).transpose(1, 2)
