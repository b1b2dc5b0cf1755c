"""What a model needs from batches, as one value that the data module reads."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from crystal_data.field import Field
from crystal_data.graphs.spec import GraphSpec
from crystal_data.loading.collate import Collator
from crystal_data.transforms.base import Transform


@dataclass(frozen=True)
class BatchNeeds:
    """What batches must contain, and what is done to crystals before.

    Args:
        targets: Columns that the model learns or is scored on.
        graph_spec: Edges; None for none.
        corruptions: What a model learns to repair: applied before the transforms of training, with
            the same random numbers in every evaluation.
        supported_elements: Atomic numbers that the model can take; None for all.
        collator: Makes other batches than a ``CrystalBatch``; None for that.
        needs_labels: A crystal of which no target is known is of no use.
    """

    targets: tuple[str, ...] = ()
    graph_spec: GraphSpec | None = None
    corruptions: tuple[Transform, ...] = ()
    supported_elements: Collection[int] | None = None
    collator: Collator | None = None
    needs_labels: bool = True


class NeedsBatches(ABC):
    """A LightningModule that states what it needs, so that ``CrystalDataModule`` can ask it."""

    @property
    @abstractmethod
    def needs(self) -> BatchNeeds:
        """What its batches must contain."""

    def take_fields(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:  # noqa: B027 - few care
        """Learns what the targets are; the data module calls it at the end of its own ``setup``.

        That is before callbacks are set up, some of which copy the module.

        Args:
            fields: Name to field of those targets that there are in the data.
            is_fit: The module is about to be trained on them.
        """
