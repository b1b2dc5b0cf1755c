"""Pre-trained vectors of Cartesian positions, beside those of elements."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_embed.tables.table import ElementTable


class CoordinateEmbedding(nn.Module):
    """The vector that a position as it is stored has in the model that a table comes from.

    It depends on origin, images, orientation and supercell, and so does any model that uses it;
    the augmentations ``RandomTranslation``, ``RandomRotation`` and ``RandomReflection`` soften
    that. The vectors are part of the module's state, so a saved model needs no table.

    Args:
        table: Has ``coordinates``.
        trainable: Whether training changes them.

    Raises:
        InvalidArgumentError: If the table has none.

    Source:
        Jin et al., Nat. Commun. 16, 1210 (2025): "E_c".
    """

    def __init__(self, table: ElementTable, *, trainable: bool = False) -> None:
        super().__init__()
        if table.coordinates is None:
            raise InvalidArgumentError(
                f"with_coordinates: element table '{table.name}' has no vectors of positions",
                "give "
                "the artifact of a CrystalTransformer with geometry: cartesian as element_table",
            )
        rows = torch.tensor(table.coordinates)
        self.steps = nn.Parameter(rows[:3], requires_grad=trainable)
        self.origin = nn.Parameter(rows[3], requires_grad=trainable)

    @override
    def forward(self, cart_coords: Tensor) -> Tensor:
        """Vectors of positions ``[num_atoms, 3]``, Å; shape ``[num_atoms, width]``."""
        return cart_coords @ self.steps + self.origin
