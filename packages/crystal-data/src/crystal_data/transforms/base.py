"""What a transform is: a copy of the batch, changed by counted random numbers."""

from abc import ABC, abstractmethod
from typing import ClassVar

from crystal_data.graphs.batch import CrystalBatch
from crystal_data.remembered_arguments import RemembersArguments
from crystal_data.transforms.random import SampleRandom


class Transform(RemembersArguments, ABC):
    """Changes a copy of a batch, before edges and ``float32()``.

    ``moves_atoms`` says that edges found earlier no longer hold; such a transform drops them.
    """

    moves_atoms: ClassVar[bool]

    @abstractmethod
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        """A changed copy; the batch that came stays as it was.

        Args:
            batch: Its real numbers in float64.
            rng: Draws for the samples of this batch, in the same order.
        """
