"""How far predicted geometries are from the relaxed crystal, whatever image is predicted."""

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from crystal_data.graphs import CrystalBatch
from crystal_relax.graph.geometry import (
    Geometry,
    mean_of_crystals,
    strained,
    to_cartesian,
    to_fractional,
)


class TrueGeometry(NamedTuple):
    """The relaxed crystals of a batch of starts.

    Args:
        strain: ``[num_crystals, 3, 3]``.
        lattice: ``[num_crystals, 3, 3]``, Å.
        frac_coords: In the images of the starts; ``[num_atoms, 3]``.
    """

    strain: Tensor
    lattice: Tensor
    frac_coords: Tensor


def true_geometry(batch: CrystalBatch, strain: Tensor, displacement: Tensor) -> TrueGeometry:
    """The relaxed crystals.

    Args:
        batch: Starts.
        strain: Rows of nine numbers; ``[num_crystals, 9]``.
        displacement: ``[num_atoms, 3]``, Å.
    """
    tensors = strain.view(-1, 3, 3)
    lattice = strained(batch.lattice, tensors)
    moved = to_fractional(displacement, lattice, batch.batch)
    return TrueGeometry(tensors, lattice, batch.frac_coords + moved)


def position_errors(batch: CrystalBatch, found: Geometry, true: TrueGeometry) -> Tensor:
    """Distance of each atom from the nearest image of its true place; ``[num_atoms]``, Å.

    The nearest of 27 images in the true cell is chosen without gradient; the mean drift of each
    crystal is removed.
    """
    difference = found.frac_coords - true.frac_coords
    difference = difference - difference.detach().round()
    cart = to_cartesian(difference, true.lattice, batch.batch)
    shifts = cart.new_tensor(list(product((-1.0, 0.0, 1.0), repeat=3)))
    # Sums, since a matrix product would be in half precision under autocast.
    images = (shifts[:, :, None] * true.lattice[:, None]).sum(dim=2)[batch.batch]  # [atoms, 27, 3]
    with torch.no_grad():
        nearest = (cart[:, None] + images).square().sum(dim=2).argmin(dim=1)
    cart = cart + images[torch.arange(len(cart), device=cart.device), nearest]
    cart = cart - mean_of_crystals(cart, batch)[batch.batch]
    return (cart.square().sum(dim=1) + 1e-12).sqrt()


def strain_errors(found: Geometry, true: TrueGeometry) -> Tensor:
    """Norm of the difference of the logarithmic strains; ``[num_crystals]``.

    It does not depend on which vectors describe the lattice, as errors of lengths and angles do.
    """
    return ((found.strain - true.strain).square().sum(dim=(1, 2)) + 1e-12).sqrt()


def cell_parameters(lattice: Tensor) -> Tensor:
    """a, b, c (Å) and α, β, γ (degrees); ``[num_crystals, 6]``."""
    lengths = lattice.norm(dim=2)
    one, two = [1, 0, 0], [2, 2, 1]
    cosines = (lattice[:, one] * lattice[:, two]).sum(dim=2) / (lengths[:, one] * lengths[:, two])
    return torch.cat((lengths, torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))), dim=1)
