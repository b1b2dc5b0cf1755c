"""What every model of structures has: it learns from crystals, and makes them for a symmetry."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch
from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.wishes import WishModel

_NUM_ELEMENTS = len(SYMBOLS)


@dataclass(frozen=True)
class Sampling:
    """How structures are made.

    Args:
        num_steps: From noise to crystal.
        guidance: How strongly wanted properties count: 0 not at all, 1 as learned, more than 1
            beyond that (classifier-free guidance, Ho and Salimans, arXiv 2207.12598).
        sharpness: By how much late steps of coordinates are longer than learned, which draws
            samples to the middle of what is probable; 0 for none.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    num_steps: int = 50
    guidance: float = 1.0
    sharpness: float = 0.0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InvalidArgumentError(f"num_steps is {self.num_steps}; at least 1 is needed")
        for name in ("guidance", "sharpness"):
            if not getattr(self, name) >= 0:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}; it is 0 or more")


class StructureModel(WishModel):
    """Makes cells and coordinates for elements, space groups and Wyckoff positions.

    Args:
        properties: Columns of the data that may be wished for.

    Attributes:
        default_sampling: What suits it, where nothing else is asked for.
        max_pairs: Of all atoms of conventional cells, in a batch that is sampled; None where memory
            does not grow with pairs.
        uses_symmetry: It learns and makes crystals by their Wyckoff orbits. False: reduced
            primitive cells in space group 1, each atom an orbit.
    """

    default_sampling: ClassVar[Sampling] = Sampling()
    max_pairs: ClassVar[int | None] = None
    uses_symmetry: bool = True

    def fit_scales(self, batch: OrbitBatch) -> None:
        """Learns means and deviations.

        Args:
            batch: All training crystals.
        """
        self.fit_properties(batch.targets)

    def wishes(self, batch: OrbitBatch) -> Tensor:
        """Normalized values of the properties, NaN where there is none; ``[num_crystals, k]``."""
        return self.normalized(batch.targets, batch.num_crystals)

    @abstractmethod
    def losses(self, batch: OrbitBatch, random: SampleRandom) -> Sums:
        """Total and count of ``coordinates`` and ``cell``, each about 1 for an untrained model.

        Args:
            batch: True crystals.
            random: For noise.
        """

    @abstractmethod
    def sample(
        self,
        batch: OrbitBatch,
        random: SampleRandom,
        sampling: Sampling,
        start: float | None = None,
    ) -> OrbitBatch:
        """Structures for what a batch asks.

        Args:
            batch: Cells and coordinates are read with a start alone.
            random: For noise; all of it, so that a sample does not depend on others.
            sampling: How.
            start: Level of noise that the given structure gets first, above 0 up to 1; None begins
                from noise alone.

        Returns:
            The batch with cells and coordinates.
        """

    @abstractmethod
    def scores(self, batch: OrbitBatch, random: SampleRandom) -> Tensor:
        """How well structures fit what the model has learned: more is better; ``[num_crystals]``.

        It is minus the model's error in taking noise away from them. Structures of one request
        compare best with the same noise.

        Args:
            batch: Crystals with cells and coordinates.
            random: For noise.
        """


def composition_of(batch: OrbitBatch) -> Tensor:
    """Atoms of each element in the conventional cells; ``[num_crystals, 119]``."""
    dtype = batch.frac_coords.dtype
    counts = torch.zeros(batch.num_crystals, _NUM_ELEMENTS, dtype=dtype, device=batch.mask.device)
    atoms = (batch.multiplicity * batch.mask).to(dtype)
    return counts.scatter_add(1, batch.atomic_numbers, atoms)
