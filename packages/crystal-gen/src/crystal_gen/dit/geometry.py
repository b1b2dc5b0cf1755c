"""From each orbit's point to all atoms of the crystal, each by its nearest periodic image."""

from typing import NamedTuple

import torch
from torch import Tensor

from crystal_gen.positions import Images

_FAR = 1e6  # Å², beyond any image
_SOFT = 0.3  # of the mean distance of atoms: nearer than this, directions fade
_BLUR = 1.0  # Å²; images whose squared distances differ by less share the direction


class Neighbors(NamedTuple):
    """What an orbit's point sees of every atom.

    Attributes:
        distance: To the nearest image, Å; ``[num_crystals, max_orbits, max_images]``.
        primitive: Displacement to an image in primitive axes; ``[..., 3]``.
        step: Mean displacement to the nearest images in conventional axes, divided by the distance,
            Å⁻¹; it vanishes where that is short, and where images in opposite directions are
            equally near; ``[..., 3]``.
        unit: The same in Cartesian axes, at most of length 1; ``[..., 3]``.
    """

    distance: Tensor
    primitive: Tensor
    step: Tensor
    unit: Tensor


class Cells(NamedTuple):
    """Cells of a batch.

    Attributes:
        lattice: Conventional rows; ``[num_crystals, 3, 3]``, Å.
        primitive: Primitive rows in terms of conventional ones; ``[num_crystals, 3, 3]``.
    """

    lattice: Tensor
    primitive: Tensor


def neighbors(cells: Cells, images: Images, frac_coords: Tensor) -> Neighbors:
    """Displacements from each orbit's point to the nearest image of each atom.

    Of a point's own images the nearest other one counts.

    Args:
        cells: Of the crystals.
        images: Their atoms.
        frac_coords: A point of each orbit in conventional axes; ``[num_crystals, max_orbits, 3]``.
    """
    atoms = images.points(frac_coords)
    ways = (atoms[:, None] - frac_coords[:, :, None]) @ torch.linalg.inv(cells.primitive)[:, None]
    ways = ways - ways.round()
    lattice = cells.primitive @ cells.lattice
    steps = torch.cartesian_prod(*[torch.arange(-1, 2, device=ways.device)] * 3).to(ways)
    moved = steps @ lattice  # [num_crystals, 27, 3]
    cart = ways @ lattice[:, None]
    squares = (moved**2).sum(-1)[:, None, None] + 2.0 * cart @ moved.mT[:, None]
    squares = squares + (cart**2).sum(-1, keepdim=True)
    orbit = torch.arange(frac_coords.shape[1], device=ways.device)
    is_self = images.is_self[:, None] & (images.owner[:, None] == orbit[:, None])
    is_zero = torch.zeros(len(steps), dtype=torch.bool, device=ways.device)
    is_zero[len(steps) // 2] = True
    squares = torch.where(is_self[..., None] & is_zero, _FAR, squares)
    # No direction jumps where one image becomes nearer than another, and none is made up where
    # symmetry has two of them.
    shares = torch.softmax(-squares / _BLUR, -1)
    mean = ways + shares @ steps
    distance = (squares.amin(-1).clamp(min=0.0) + 1e-12).sqrt()
    num_atoms = images.mask.sum(1)
    size = (torch.linalg.det(lattice).abs() / num_atoms) ** (1.0 / 3.0)
    length = (distance + _SOFT * size[:, None, None])[..., None]
    return Neighbors(
        distance=distance,
        primitive=ways,
        step=mean @ cells.primitive[:, None] / length,
        unit=mean @ lattice[:, None] / length,
    )
