"""What the models of this package share: the backbone, and artifacts of it."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor
from typing_extensions import override

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.artifacts import PretrainedModel
from crystal_data.layers import mean_over_atoms
from crystal_gan.equiformer import AtomFeatures, Backbone, EquiformerSizes


class BackboneModel(PretrainedModel):
    """A model with heads on the equivariant backbone.

    Weights of the backbone have the same names in all of them, so that one starts from another.

    Args:
        sizes: Of the backbone; by default what trains on a CPU.
    """

    graph_spec: GraphSpec

    def __init__(self, sizes: EquiformerSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or EquiformerSizes()
        self.graph_spec = self.sizes.graph_spec
        self.backbone = Backbone(self.sizes)

    def encode_atoms(self, batch: CrystalBatch, species: Tensor | None = None) -> Tensor:
        """Vectors of the atoms, the same in every orientation; ``[num_atoms, num_channels]``.

        Args:
            batch: With the edges of ``graph_spec``.
            species: As ``Backbone``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``.
        """
        atoms: AtomFeatures = self.backbone(batch, species)
        return atoms.scalars

    def encode(self, batch: CrystalBatch, species: Tensor | None = None) -> Tensor:
        """Vectors of the crystals: the mean over atoms; shape ``[num_crystals, num_channels]``.

        Args:
            batch: With the edges of ``graph_spec``.
            species: As ``Backbone``.

        Raises:
            InvalidArgumentError: As ``encode_atoms``.
        """
        return mean_over_atoms(self.encode_atoms(batch, species), batch.batch, batch.num_atoms)

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        return {**self._arguments, "sizes": self.sizes.to_dict()}

    @classmethod
    @override
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        return cls(**{**arguments, "sizes": EquiformerSizes(**arguments["sizes"])})
