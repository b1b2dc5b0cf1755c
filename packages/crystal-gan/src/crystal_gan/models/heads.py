"""What is read off the features of atoms: vectors of atoms, tensors of crystals."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_data.layers import mean_over_atoms
from crystal_gan.equiformer import AtomFeatures


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


class TensorHead(nn.Module):
    """One symmetric tensor for each crystal: the mean of its atoms'.

    A number for each atom is the trace; the rest is a sum of the coefficients of degree 2 of all
    channels, weighted by numbers.

    Args:
        num_channels: Channels of atoms.
    """

    basis: Tensor

    def __init__(self, num_channels: int) -> None:
        from e3nn.o3 import wigner_3j

        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(num_channels, num_channels),
            nn.SiLU(),
            nn.Linear(num_channels, num_channels + 1),
        )
        # Of the five symmetric tensors without a trace, in the order of the coefficients.
        self.register_buffer("basis", wigner_3j(2, 1, 1), persistent=False)

    @override
    def forward(self, atoms: AtomFeatures, batch: CrystalBatch) -> Tensor:
        """Shape ``[num_crystals, 3, 3]``."""
        weights = self.weights(atoms.scalars)
        scale = atoms.scalars.shape[1] ** -0.5
        coefficients = (atoms.tensors * weights[:, None, 1:]).sum(2) * scale
        means = mean_over_atoms(
            torch.cat((weights[:, :1], coefficients), 1), batch.batch, batch.num_atoms
        )
        identity = torch.eye(3, dtype=means.dtype, device=means.device)
        return means[:, 0, None, None] * identity + torch.einsum(
            "cm,mij->cij", means[:, 1:], self.basis
        )
