"""Other descriptions of the same crystal, for models that see positions as they are stored.

An invariant model needs none of these. CrystalTransformer, which reads Cartesian coordinates,
learns from them what it cannot know. All keep every distance between periodic images.
"""

from dataclasses import replace
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.transforms.base import Transform
from crystal_data.transforms.random import SampleRandom


class RandomTranslation(Transform):
    """Moves the origin to a uniformly random point of the cell; atoms are wrapped into it.

    Without the wrapping the images that a model sees would stay together as they were stored.
    """

    moves_atoms: ClassVar[bool] = True

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        shift = rng.uniform("translation", size=3).to(batch.frac_coords)
        moved = _wrap(batch.frac_coords + shift[batch.batch])
        return replace(batch.without_edges(), frac_coords=moved)


class RandomRotation(Transform):
    """Turns the crystal, cell and atoms, uniformly over all rotations, and its targets with it.

    Source:
        Shoemake, Graphics Gems III (1992): a normalized normal 4-vector as a quaternion.
    """

    moves_atoms: ClassVar[bool] = False

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        return _turned(batch, rotation_matrices(rng.normal("rotation", size=4)))


class RandomReflection(Transform):
    """Mirrors the crystal in a plane of uniformly random direction, and its targets with it.

    Args:
        probability: Share of the crystals that are mirrored.
    """

    moves_atoms: ClassVar[bool] = False

    def __init__(self, probability: float = 0.5) -> None:
        if not 0.0 <= probability <= 1.0:
            raise InvalidArgumentError(f"probability must lie between 0 and 1, not {probability}")
        self.probability = probability

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        normal = torch.nn.functional.normalize(rng.normal("reflection/plane", size=3), dim=1)
        mirror = torch.eye(3, dtype=normal.dtype) - 2 * normal[:, :, None] * normal[:, None, :]
        is_mirrored = rng.uniform("reflection/whether") < self.probability
        identity = torch.eye(3, dtype=normal.dtype)
        return _turned(batch, torch.where(is_mirrored[:, None, None], mirror, identity))


class RandomCell(Transform):
    """Describes the crystal by other lattice vectors of the same volume; atoms are wrapped.

    Adds each lattice vector −1, 0 or 1 times to another, over the six ordered pairs in turn, but
    leaves a step out where the vector would grow beyond ``max_stretch`` times its length.

    Args:
        max_stretch: Longest that a vector may become, as a multiple of the longest of the given.
    """

    moves_atoms: ClassVar[bool] = True

    def __init__(self, max_stretch: float = 1.5) -> None:
        if max_stretch < 1.0:
            raise InvalidArgumentError(f"max_stretch must be at least 1, not {max_stretch}")
        self.max_stretch = max_stretch

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        lattice = batch.lattice.clone()
        change = torch.eye(3).to(lattice).repeat(len(lattice), 1, 1)
        limit = self.max_stretch * lattice.norm(dim=2).amax(dim=1)
        steps = rng.integers("cell", -1, 2, size=6).to(lattice)
        for wanted, (i, j) in zip(steps.T, permutations(range(3), 2), strict=True):
            grown = (lattice[:, i] + wanted[:, None] * lattice[:, j]).norm(dim=1)
            step = torch.where(grown <= limit, wanted, 0.0)[:, None]
            lattice[:, i] += step * lattice[:, j]
            change[:, i] += step * change[:, j]
        back = torch.linalg.inv(change).round()[batch.batch]
        moved = _wrap((batch.frac_coords[:, None, :] @ back)[:, 0])
        return replace(batch.without_edges(), lattice=lattice, frac_coords=moved)


def rotation_matrices(quaternions: Tensor) -> Tensor:
    """Proper rotations that quaternions of any length stand for.

    Args:
        quaternions: w, x, y, z; shape ``[n, 4]``, not zero.

    Returns:
        Shape ``[n, 3, 3]``.
    """
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=1).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _turned(batch: CrystalBatch, matrix: Tensor) -> CrystalBatch:
    # Fractional coordinates and edge lengths are the same in the turned cell.
    matrix = matrix.to(batch.lattice)
    out = replace(batch, lattice=batch.lattice @ matrix.transpose(1, 2))
    if batch.displacement is not None:
        out.displacement = torch.einsum("nij,nj->ni", matrix[batch.batch], batch.displacement)
    if batch.strain is not None:
        out.strain = matrix @ batch.strain @ matrix.transpose(1, 2)
    turning = {name: one for name, one in batch.fields.items() if one.turns}
    if turning:
        of_rows = {"crystal": matrix, "atom": matrix[batch.batch]}
        turned = {
            name: one.turn(batch.targets[name], of_rows[one.per].to(batch.targets[name]))
            for name, one in turning.items()
        }
        out.targets = batch.targets | turned
    return out


def _wrap(frac_coords: Tensor) -> Tensor:
    wrapped = frac_coords - frac_coords.floor()
    return torch.where(wrapped < 1.0, wrapped, 0.0)  # -1e-17 + 1 rounds to 1
