"""Repair of crystals: which elements hidden atoms are, and where all atoms belong."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_data.layers import mean_over_atoms
from crystal_gan.equiformer import NUM_SPECIES, AtomFeatures, EquiformerSizes
from crystal_gan.models.base import BackboneModel

# Displacements are about as long, Å, so that outputs near 1 are what layers give.
_SCALE = 0.2


class Repair(NamedTuple):
    """Prediction of what a corrupted crystal was."""

    logits: Tensor  # [num_atoms, 118], of the elements 1 to 118
    displacement: Tensor  # [num_atoms, 3], Å, how each atom had been moved


class VectorHead(nn.Module):
    """One vector for each atom: a sum of those of all channels, weighted by numbers.

    Args:
        num_channels: Channels of atoms.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(num_channels, num_channels), nn.SiLU(), nn.Linear(num_channels, num_channels)
        )

    @override
    def forward(self, atoms: AtomFeatures) -> Tensor:
        """Shape ``[num_atoms, 3]``; zero for an atom without neighbors."""
        weights = self.weights(atoms.scalars) / atoms.scalars.shape[1] ** 0.5
        return (atoms.vectors * weights[:, None]).sum(2)


class RepairModel(BackboneModel):
    """Predicts which elements are hidden in a corrupted crystal, and how atoms were displaced.

    Logits are invariant; displacements rotate and reflect with the crystal. The mean displacement
    of a crystal is zero, since a common shift of all atoms cannot be seen.

    Args:
        sizes: Of the network; by default what trains on a CPU.
    """

    def __init__(self, sizes: EquiformerSizes | None = None) -> None:
        super().__init__(sizes)
        width = self.sizes.num_channels
        self.element_head = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, NUM_SPECIES - 1)
        )
        self.displacement_head = VectorHead(width)

    @override
    def forward(self, batch: CrystalBatch, species: Tensor | None = None) -> Repair:
        """Repairs a batch.

        Args:
            batch: With the edges of ``graph_spec``; 0 is the number of a hidden atom.
            species: Shares of each species in each atom, in place of ``batch.atomic_numbers``;
                ``[num_atoms, NUM_SPECIES]``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``.
        """
        atoms = self.backbone(batch, species)
        displacement = _SCALE * self.displacement_head(atoms)
        return Repair(self.element_head(atoms.scalars), centered(displacement, batch))


def centered(vectors: Tensor, batch: CrystalBatch) -> Tensor:
    """Vectors of atoms less their mean in each crystal; shape ``[num_atoms, 3]``."""
    means = mean_over_atoms(vectors, batch.batch, batch.num_atoms)
    return vectors - torch.index_select(means, 0, batch.batch)
