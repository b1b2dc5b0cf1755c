"""Properties of crystals by the equivariant network."""

from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch
from crystal_gan.equiformer import EquiformerSizes
from crystal_gan.models.base import BackboneModel


class Equiformer(BackboneModel):
    """Predicts properties of crystals from elements and positions alone.

    The mean over atoms, then two layers. The prediction is the same for every description of the
    crystal, its supercells and its mirror image.

    Args:
        num_outputs: Numbers predicted for each crystal; None follows the targets that it is trained
            on, and is 1 without any.
        sizes: Of the network; by default what trains on a CPU.
    """

    def __init__(
        self, num_outputs: int | None = None, sizes: EquiformerSizes | None = None
    ) -> None:
        super().__init__(sizes)
        width = self.sizes.num_channels
        self.output = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, num_outputs or 1)
        )

    @override
    def set_num_outputs(self, num_outputs: int) -> None:
        last = self._last
        if num_outputs != last.out_features:
            self.output[-1] = nn.Linear(last.in_features, num_outputs).to(last.weight)

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        return {**super().artifact_arguments(), "num_outputs": self._last.out_features}

    @property
    def _last(self) -> nn.Linear:
        last = self.output[-1]
        assert isinstance(last, nn.Linear)
        return last

    @override
    def forward(self, batch: CrystalBatch, species: Tensor | None = None) -> Tensor:
        """Predicts; shape ``[num_crystals, num_outputs]``.

        Args:
            batch: With the edges of ``graph_spec``.
            species: Shares of each species in each atom, in place of ``batch.atomic_numbers``;
                ``[num_atoms, NUM_SPECIES]``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``.
        """
        prediction: Tensor = self.output(self.encode(batch, species))
        return prediction
