"""What a model learns to repair without any label: hidden elements, moved atoms, strained cells.

The heads are given one vector for each atom and distances alone. So an encoder whose vectors
depend on no origin, orientation, image or order of atoms gives repairs that depend on none either;
it could not tell a displacement, or a strain in Cartesian axes, at all.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import SYMBOLS, CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import edge_vectors
from crystal_data.layers import GaussianBasis, mean_over_atoms

# Logarithms of ratios of lengths and volumes are so small: outputs near 1 are what layers give.
_SCALE = 0.05
_NEAR = 1.5


class ElementHead(nn.Module):
    """Which element a hidden atom is.

    Args:
        width: Length of an atom's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width),
            nn.ReLU(),
            nn.LayerNorm(width),
            nn.Linear(width, len(SYMBOLS) - 1),
        )

    @override
    def forward(self, atoms: Tensor) -> Tensor:
        """Logits of the elements 1 to 118 for vectors ``[num_hidden, width]``."""
        logits: Tensor = self.layers(atoms)
        return logits


class LengthHead(nn.Module):
    """How long an edge was, from the vectors of both of its atoms and how long it is.

    Both directions of an edge give one answer. Lengths along all directions together also tell how
    the cell was strained.

    Args:
        width: Length of an atom's vector.
        pair_width: Inner width.
    """

    def __init__(self, width: int, pair_width: int = 64) -> None:
        super().__init__()
        self.basis = GaussianBasis()
        self.added = nn.Linear(width, pair_width)
        self.multiplied = nn.Linear(width, pair_width)
        self.length = nn.Linear(self.basis.num_features, pair_width)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Linear(pair_width, pair_width), nn.ReLU(), _last_layer(pair_width)
        )

    @override
    def forward(self, atoms: Tensor, batch: CrystalBatch) -> Tensor:
        """Logarithm of original over present length; shape ``[num_edges]``."""
        (neighbor, centre), _, edge_length = batch.edges("LengthHead")
        added, multiplied = self.added(atoms), self.multiplied(atoms)
        pair = added[neighbor] + added[centre] + multiplied[neighbor] * multiplied[centre]
        pair = pair + self.length(self.basis(edge_length))
        return _SCALE * self.layers(pair)[:, 0]


class VolumeHead(nn.Module):
    """How large a cell was, from the mean over its atoms.

    Args:
        width: Length of an atom's vector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), _last_layer(width))

    @override
    def forward(self, atoms: Tensor, batch: CrystalBatch) -> Tensor:
        """Logarithm of original over present volume; shape ``[num_crystals]``."""
        crystals = mean_over_atoms(atoms, batch.batch, batch.num_atoms)
        return _SCALE * self.layers(crystals)[:, 0]


def _last_layer(width: int) -> nn.Linear:
    """One that begins with no repair at all, which nothing random is better than."""
    layer = nn.Linear(width, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def near_edges(batch: CrystalBatch) -> CrystalBatch:
    """A copy with those edges alone that are at most 1.5 times as long as the centre's shortest.

    A model may see neighbors far away, whose distances are many and say little.
    """
    edge_index, edge_shift, edge_length = batch.edges("LengthHead")
    centre = edge_index[1]
    shortest = torch.full_like(batch.frac_coords[:, 0], torch.inf)
    shortest = shortest.scatter_reduce(0, centre, edge_length, "amin")
    is_near = edge_length <= _NEAR * shortest[centre]
    return replace(
        batch,
        edge_index=edge_index[:, is_near],
        edge_shift=edge_shift[is_near],
        edge_length=edge_length[is_near],
        line_graph_index=None,
    )


def true_log_lengths(batch: CrystalBatch) -> Tensor:
    """Logarithm of original over present length of each edge; shape ``[num_edges]``.

    Undoes ``displacement`` and ``strain``, as far as the batch has them, for the very images that
    the edges join.
    """
    lattice, frac_coords = batch.lattice, batch.frac_coords
    if batch.displacement is not None:
        into_cell = torch.linalg.inv(lattice)[batch.batch]
        frac_coords = frac_coords - torch.einsum("ni,nij->nj", batch.displacement, into_cell)
    if batch.strain is not None:
        lattice = lattice @ torch.matrix_exp(-batch.strain)
    edge_index, edge_shift, edge_length = batch.edges("LengthHead")
    vectors = edge_vectors(lattice, frac_coords, edge_index, edge_shift.to(lattice), batch.batch)
    return (vectors.norm(dim=1) / edge_length).log()


def true_log_volumes(batch: CrystalBatch) -> Tensor:
    """Logarithm of original over present volume of each cell; shape ``[num_crystals]``.

    Raises:
        InvalidArgumentError: If the batch was not strained.
    """
    if batch.strain is None:
        raise InvalidArgumentError(
            "the batch has no strain; PerturbLattice must be among its transforms"
        )
    return -batch.strain.diagonal(dim1=1, dim2=2).sum(1)
