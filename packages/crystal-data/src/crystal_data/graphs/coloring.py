"""Colors of atoms, edges and angles: equal where a network of some layers sees no difference.

Colors of atoms are refined by the colors of their neighbors, as often as the network passes
messages (Weisfeiler and Leman, 1968). Two atoms of one color have the same vector after every
layer. No space group needs to be known, and nothing has to be symmetric.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_TOLERANCE = 1e-5  # Å of lengths and of cosines: some roundings of float32 coordinates
_ODD = (0x5851F42D4C957F2D, 0x2545F4914F6CDD1D)  # multipliers that spread bits; any odd ones do


def colors_by_edges(
    atomic_numbers: Tensor, batch: Tensor, edge_index: Tensor, edge_length: Tensor, num_layers: int
) -> tuple[Tensor, Tensor]:
    """Colors for a network whose atoms receive messages along edges.

    Args:
        atomic_numbers: int64 ``[num_atoms]``.
        batch: Crystal of each atom; int64 ``[num_atoms]``.
        edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
        edge_length: Shape ``[num_edges]``, Å.
        num_layers: How often the network passes messages along edges.

    Returns:
        Of atoms, int64 ``[num_atoms]``, and of edges, int64 ``[num_edges]``.
    """
    neighbor, center = edge_index
    length = _like_values(edge_length, batch[center])
    factor = _mixed(length) | 1
    atom = _first_colors(atomic_numbers, batch)
    for _ in range(num_layers):
        atom = _refined(atom, (atom[neighbor] + length) * factor, center)
    return atom, _joined(atom[center], atom[neighbor]) + length


def colors_by_angles(
    atomic_numbers: Tensor,
    batch: Tensor,
    edge_index: Tensor,
    edge_length: Tensor,
    line_graph_index: Tensor,
    cosine: Tensor,
    num_layers: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colors for a network whose edges also receive messages from the angles with other edges.

    Args:
        atomic_numbers: int64 ``[num_atoms]``.
        batch: Crystal of each atom; int64 ``[num_atoms]``.
        edge_index: Row 0 neighbor, row 1 centre; int64 ``[2, num_edges]``.
        edge_length: Shape ``[num_edges]``, Å.
        line_graph_index: Pairs of edges u → v, v → w; int64 ``[2, num_angles]``.
        cosine: Of the angle of each pair; shape ``[num_angles]``.
        num_layers: How often the network passes messages along edges.

    Returns:
        Of atoms, edges and angles; int64 ``[num_atoms]``, ``[num_edges]`` and ``[num_angles]``.
    """
    (neighbor, center), (first, second) = edge_index, line_graph_index
    crystal = batch[center]
    atom, edge = _first_colors(atomic_numbers, batch), _like_values(edge_length, crystal)
    angle = _like_values(1.0 + cosine, crystal[second])
    factor = _mixed(angle) | 1
    for _ in range(num_layers):
        edge = _mixed(_joined(_joined(atom[center], atom[neighbor]), edge))
        atom = _refined(atom, edge, center)
        edge = _refined(edge, (edge[first] + angle) * factor, second)
    edge = _joined(_joined(atom[center], atom[neighbor]), edge)
    return atom, edge, _joined(edge[second], edge[first]) + angle


def colors_by_bonds(
    atomic_numbers: Tensor,
    batch: Tensor,
    ends: Tensor,
    bond_length: Tensor,
    angles: tuple[Tensor, Tensor, Tensor],
    cosine: Tensor,
    num_layers: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colors for a network whose bonds have the same features from both ends, and its derivatives.

    Derivatives by lengths and cosines depend on all that a layer's features go into, so colors are
    refined twice as often as the network passes messages, there and back.

    Args:
        atomic_numbers: int64 ``[num_atoms]``.
        batch: Crystal of each atom; int64 ``[num_atoms]``.
        ends: Atoms of each bond; int64 ``[2, num_bonds]``.
        bond_length: Shape ``[num_bonds]``, Å.
        angles: Atom, bond and other bond of each angle, which is there twice, with either bond
            first; int64 ``[num_angles]``.
        cosine: Shape ``[num_angles]``.
        num_layers: How often the network passes messages along bonds.

    Returns:
        Of atoms, of bonds, of edges (bonds from their first ends, then from their second ones) and
        of angles.
    """
    vertex, first, second = angles
    center, neighbor = ends.flatten(), ends.flip(0).flatten()
    atom, bond = _first_colors(atomic_numbers, batch), _like_values(bond_length, batch[ends[0]])
    bend = _like_values(1.0 + cosine, batch[vertex])
    for _ in range(2 * num_layers):
        bond = _joined(bond, _mixed(atom)[ends].sum(0))
        angle = _mixed(_joined(_joined(_joined(bend, atom[vertex]), bond[first]), bond[second]))
        bond = _refined(bond, angle, first)
        atom = _refined(atom, _mixed(_joined(atom[neighbor], bond.repeat(2))), center)
    edge = _joined(_joined(atom[center], atom[neighbor]), bond.repeat(2))
    angle = _joined(_joined(_joined(bend, atom[vertex]), bond[first]), bond[second])
    return atom, bond, edge, angle


def _like_values(values: Tensor, crystal: Tensor) -> Tensor:
    """A color for each run of values of one crystal that differ by no more than roundings.

    Args:
        values: Shape ``[num_values]``, not negative.
        crystal: Crystal of each; int64 ``[num_values]``.
    """
    if len(values) == 0:
        return crystal
    values = values.double()
    ascending, order = (crystal * (values.max() + 1.0) + values).sort()
    is_new = F.pad(ascending.diff() > _TOLERANCE, (1, 0))
    return _mixed(torch.empty_like(order).scatter_(0, order, is_new.cumsum(0)))


def _first_colors(atomic_numbers: Tensor, batch: Tensor) -> Tensor:
    """Colors of atoms before any message: crystal and element; int64 ``[num_atoms]``."""
    return _mixed(batch * 2**8 + atomic_numbers)


def _refined(color: Tensor, message: Tensor, receiver: Tensor) -> Tensor:
    """New colors, by the old ones and by all messages that came in, in no order.

    Args:
        color: Of those that receive; int64 ``[num_receivers]``.
        message: Of a sender and the edge, such that a sum tells which came with which; int64
            ``[num_messages]``.
        receiver: Row of ``color`` that receives each; int64 ``[num_messages]``.
    """
    # Integers wrap around, so that a sum is the same in every order.
    return _mixed(color + torch.zeros_like(color).index_add_(0, receiver, message))


def _joined(first: Tensor, second: Tensor) -> Tensor:
    """One color for pairs of colors, in this order."""
    return first * _ODD[0] + second


def _mixed(color: Tensor) -> Tensor:
    """A hash of 64 bits: the same for the same, and as good as random between others."""
    color = color * _ODD[0] + 1
    color = (color ^ (color >> 32)) * _ODD[1]
    return color ^ (color >> 29)
