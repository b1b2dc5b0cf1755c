"""What CHGNet sees of crystals: bonds, short ones that meet in an atom, and what of it is equal."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from crystal_data.graphs.cells import reduced_cells
from crystal_data.graphs.coloring import colors_by_bonds
from crystal_data.graphs.folding import EquivalenceClasses
from crystal_data.graphs.half_edges import half_edges
from crystal_data.trajectories.emt import Floats, Integers


class Bonds(NamedTuple):
    """Pairs of atoms within the cutoff, each once; those within the smaller one come first."""

    center: Integers  # [num_bonds]
    neighbor: Integers  # [num_bonds]
    vector: Floats  # [num_bonds, 3], from center to neighbor, Å
    num_short: int

    @classmethod
    def between(
        cls,
        lattice: Floats,
        frac_coords: Floats,
        num_atoms: Integers,
        cutoff: float,
        short_cutoff: float,
    ) -> Self:
        """All of the crystals.

        Args:
            lattice: Shape ``[num_crystals, 3, 3]``, Å.
            frac_coords: Shape ``[num_atoms, 3]``.
            num_atoms: Atoms of each crystal; shape ``[num_crystals]``.
            cutoff: Å.
            short_cutoff: Å.
        """
        cells = reduced_cells(
            torch.from_numpy(lattice), torch.from_numpy(frac_coords), torch.from_numpy(num_atoms)
        )
        radius = torch.full((len(num_atoms),), cutoff, dtype=torch.float64)
        found = half_edges(cells, torch.arange(len(num_atoms)), radius)
        is_short = found.length.numpy() < short_cutoff
        order = np.argsort(~is_short, kind="stable")
        center, neighbor = found.center.numpy()[order], found.neighbor.numpy()[order]
        difference = frac_coords[neighbor] + found.shift.numpy().T[order] - frac_coords[center]
        of_bond = np.repeat(lattice, num_atoms, axis=0)[center]
        vector = np.einsum("ei,eik->ek", difference, of_bond)
        return cls(center, neighbor, vector, int(is_short.sum()))


@dataclass(frozen=True, eq=False)
class FoldedBonds:
    """Atoms, bonds, edges (bonds seen from one end) and angles, one of each class.

    Args:
        atom: Classes of atoms.
        elements: Of atoms, their places in the table of elements; shape ``[num_atoms]``.
        length: Of bonds, short ones first; shape ``[num_bonds]``, Å.
        num_short: Bonds that may have angles.
        center: Of edges, an atom; shape ``[num_edges]``.
        neighbor: Of edges, an atom.
        bond: Of edges.
        edge_counts: Such edges of one center; shape ``[num_edges]``.
        vertex: Of angles, an atom; shape ``[num_angles]``.
        first: Of angles, the bond that receives.
        second: Of angles, the other bond.
        angle_counts: Such angles of one first bond; shape ``[num_angles]``.
        cosine: Of angles, in double precision: what is lost near ±1 would show in the derivative of
            its arc; shape ``[num_angles]``.
    """

    atom: EquivalenceClasses
    elements: Tensor
    length: Tensor
    num_short: int
    center: Tensor
    neighbor: Tensor
    bond: Tensor
    edge_counts: Tensor
    vertex: Tensor
    first: Tensor
    second: Tensor
    angle_counts: Tensor
    cosine: Tensor


def fold_bonds(
    bonds: Bonds, vector: Tensor, elements: Integers, crystal: Integers, num_layers: int
) -> FoldedBonds:
    """One of all that a network of so many layers cannot tell apart.

    Args:
        bonds: Of the crystals.
        vector: Theirs; lengths and cosines are differentiable by it.
        elements: Of all atoms; shape ``[total_atoms]``.
        crystal: Of each atom.
        num_layers: How often atoms receive messages.
    """
    length = vector.norm(dim=1)
    first_edge, second_edge = _angles(bonds)
    short = slice(bonds.num_short)
    direction = vector[short] / length[short, None]
    direction = torch.cat((direction, -direction))
    cosine = (direction[first_edge] * direction[second_edge]).sum(dim=1)
    # Either edge of an angle is the first one of a row.
    cosine = torch.cat((cosine, cosine))
    first_edge, second_edge = (
        torch.cat((first_edge, second_edge)),
        torch.cat((second_edge, first_edge)),
    )
    ends = torch.from_numpy(np.stack((bonds.center, bonds.neighbor)))
    num_short = max(bonds.num_short, 1)
    angles = ends[:, short].flatten()[first_edge], first_edge % num_short, second_edge % num_short
    table, batch = torch.from_numpy(elements), torch.from_numpy(crystal)
    colors = colors_by_bonds(
        table, batch, ends, length.detach(), angles, cosine.detach(), num_layers
    )
    atom, bond, edge, angle = map(EquivalenceClasses.of, colors)
    center, neighbor = atom.joined(torch.stack((ends.flatten(), ends.flip(0).flatten())), edge)
    vertex = atom.of_member[angles[0][angle.first]]
    first, second = bond.joined(torch.stack(angles[1:]), angle)
    return FoldedBonds(
        atom=atom,
        elements=table[atom.first],
        length=_mean(length, bond).float(),
        num_short=int(bond.of_member[short].max()) + 1 if bonds.num_short else 0,
        center=center,
        neighbor=neighbor,
        bond=bond.of_member[edge.first % len(length)],
        edge_counts=edge.size / atom.size[center],
        vertex=vertex,
        first=first,
        second=second,
        angle_counts=angle.size / bond.size[first],
        cosine=_mean(cosine, angle),
    )


def _angles(bonds: Bonds) -> tuple[Tensor, Tensor]:
    """Pairs of edges of short bonds that leave the same atom, each pair once."""
    short = slice(bonds.num_short)
    center = np.concatenate((bonds.center[short], bonds.neighbor[short]))
    order = np.argsort(center, kind="stable")
    # Each edge with those of the same center that come after it.
    after = np.cumsum(np.bincount(center))[center[order]] - 1 - np.arange(len(order))
    first = np.repeat(np.arange(len(order)), after)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(after) - after, after)
    return torch.from_numpy(order[first]), torch.from_numpy(order[second])


def _mean(values: Tensor, classes: EquivalenceClasses) -> Tensor:
    """Of each class."""
    sums = values.new_zeros(len(classes.size)).index_add(0, classes.of_member, values)
    return sums / classes.size
