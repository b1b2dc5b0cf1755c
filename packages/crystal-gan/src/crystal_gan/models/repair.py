"""Repair of crystals: which elements hidden atoms are, and where all atoms belong."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.layers import mean_over_atoms
from crystal_gan.equiformer import NUM_SPECIES, EquiformerSizes
from crystal_gan.models.base import BackboneModel
from crystal_gan.models.heads import TensorHead, VectorHead

# About as large are displacements, Å, and strains, so that outputs near 1 are what layers give.
_DISPLACEMENT, _STRAIN = 0.2, 0.03


class Repair(NamedTuple):
    """Prediction of what a corrupted crystal was."""

    logits: Tensor  # [num_atoms, 118], of the elements 1 to 118
    displacement: Tensor  # [num_atoms, 3], Å, how each atom had been moved
    strain: Tensor | None = None  # [num_crystals, 3, 3], logarithmic, how the cell was strained


class RepairModel(BackboneModel):
    """Predicts which elements are hidden in a corrupted crystal, and how atoms were displaced.

    Logits are invariant; displacements and strains rotate and reflect with the crystal. The mean
    displacement of a crystal is zero, since a common shift of all atoms cannot be seen.

    Args:
        sizes: Of the network; by default what trains on a CPU.
        repairs_cell: Whether it also predicts how the cell was strained, which needs degree 2.
        self_conditioned: Whether it can be told the vector of the crystal as it was before. That is
            of use in pre-training alone: the vector then has to say what helps to repair.

    Raises:
        InvalidArgumentError: If the degree is too small for ``repairs_cell``.

    Source:
        Self-conditioned denoising: arXiv 2603.17196. There the vector acts in every layer, here it
        is added to the atoms before the first.
    """

    def __init__(
        self,
        sizes: EquiformerSizes | None = None,
        *,
        repairs_cell: bool = False,
        self_conditioned: bool = False,
    ) -> None:
        super().__init__(sizes)
        width = self.sizes.num_channels
        if repairs_cell and self.sizes.max_degree < 2:
            raise InvalidArgumentError(
                "a strain cannot be told from features of degree 1",
                "set sizes.max_degree to 2 or more, or leave out repairs_cell",
            )
        # An atom's neighborhood does not tell what else the crystal holds: its mean does.
        self.element_head = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, NUM_SPECIES - 1)
        )
        self.displacement_head = VectorHead(width)
        self.strain_head = TensorHead(width) if repairs_cell else None
        self.condition = nn.Linear(width, width, bias=False) if self_conditioned else None

    @override
    def forward(
        self, batch: CrystalBatch, species: Tensor | None = None, crystals: Tensor | None = None
    ) -> Repair:
        """Repairs a batch.

        Args:
            batch: With the edges of ``graph_spec``; 0 is the number of a hidden atom.
            species: Shares of each species in each atom, in place of ``batch.atomic_numbers``;
                ``[num_atoms, NUM_SPECIES]``.
            crystals: What ``encode`` gave for the crystals before they were corrupted, zero where
                that is not to be known; ``[num_crystals, num_channels]``. For a model that is
                ``self_conditioned``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``.
        """
        known = None if self.condition is None or crystals is None else self.condition(crystals)
        atoms = self.backbone(batch, species, known)
        means = mean_over_atoms(atoms.scalars, batch.batch, batch.num_atoms)
        around = torch.index_select(means, 0, batch.batch)
        logits = self.element_head(torch.cat([atoms.scalars, around], 1))
        displacement = _DISPLACEMENT * self.displacement_head(atoms)
        strain = None if self.strain_head is None else _STRAIN * self.strain_head(atoms, batch)
        return Repair(logits, centered(displacement, batch), strain)


def centered(vectors: Tensor, batch: CrystalBatch) -> Tensor:
    """Vectors of atoms less their mean in each crystal; shape ``[num_atoms, 3]``."""
    means = mean_over_atoms(vectors, batch.batch, batch.num_atoms)
    return vectors - torch.index_select(means, 0, batch.batch)
