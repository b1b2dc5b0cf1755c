"""The crystal transformer, from which universal atomic embeddings are taken."""

from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import SYMBOLS, CrystalBatch, GraphSpec
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import FoldedGraph
from crystal_data.layers import mean_over_atoms
from crystal_data.processes import world_size
from crystal_embed.layers.encoder import EncoderLayer, PaddedLayout
from crystal_embed.layers.periodic import PeriodicGeometry
from crystal_embed.models.base import FoldingModel
from crystal_embed.tables.load import NUM_ELEMENTS
from crystal_embed.tables.table import ElementTable

Readout = Literal["mean", "first"]
Geometry = Literal["cartesian", "periodic"]


class SpeciesEmbedding(nn.Module):
    """A linear layer on one-hot elements: one vector per element, and a bias that all share.

    Args:
        width: Length of each vector.
    """

    seen: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        # A layer of its own, so that first values are those of nn.Linear.
        linear = nn.Linear(NUM_ELEMENTS, width)
        self.weight = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = linear.bias
        self.register_buffer("seen", torch.zeros(NUM_ELEMENTS, dtype=torch.bool))

    @override
    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Vectors of atoms; for 0, a hidden atom, the bias alone, as one-hot zeros give it.

        Args:
            atomic_numbers: int64, any shape.

        Returns:
            That shape and ``[width]``.

        Raises:
            InvalidArgumentError: If an element has no row.
        """
        if (atomic_numbers > len(self.weight)).any():
            symbol = SYMBOLS[int(atomic_numbers.max())]
            raise InvalidArgumentError(
                f"CrystalTransformer has no row for {symbol}; it knows the elements up to "
                f"{SYMBOLS[len(self.weight)]}"
            )
        if self.training:
            self._note(atomic_numbers)
        vectors = F.embedding((atomic_numbers - 1).clamp(min=0), self.weight)
        return vectors.masked_fill((atomic_numbers == 0)[..., None], 0.0) + self.bias

    @torch.no_grad()
    def _note(self, atomic_numbers: Tensor) -> None:
        counts = torch.bincount(atomic_numbers.flatten(), minlength=len(self.weight) + 1)[1:]
        if world_size() > 1:
            dist.all_reduce(counts)
        self.seen |= counts > 0


class CrystalTransformer(FoldingModel):
    """A transformer encoder over the atoms of the stored cell.

    Each atom is a token: the vector of its element beside one of where it is.

    ``geometry="cartesian"``, as published, knows no lattice: the second vector is that of the
    atom's Cartesian position. The prediction does not depend on the order of the atoms
    (``readout="mean"``), nor on the other crystals of a batch. It does depend on origin, images,
    orientation and choice of cell; the augmentations ``RandomTranslation``, ``RandomRotation`` and
    ``RandomReflection`` soften that.

    ``geometry="periodic"`` sees distances to all images within a cutoff instead: the second vector
    is that of the atom's environment, and attention is weighted by distance. No change of
    description changes the prediction, supercells included, and it needs no augmentation.

    Args:
        num_outputs: Numbers predicted for each crystal; None follows the targets that it is trained
            on, and is 1 without any.
        element_width: Length of an element's vector: the width of the table.
        num_layers: Encoder layers.
        num_heads: Attention heads.
        feedforward_width: Inner width of the encoder layers.
        dropout: Share of values dropped in the encoder layers.
        readout: ``mean`` over the atoms, or the ``first`` atom of the file as published.
        geometry: What the model knows of where atoms are.
        cutoff: Largest distance that a periodic geometry sees, Å.

    Source:
        Jin et al., Nat. Commun. 16, 1210 (2025) and its public code, ct-UAE; the periodic geometry
        is our own.
    """

    property_heads = ("heads",)

    def __init__(
        self,
        num_outputs: int | None = None,
        element_width: int = 128,
        num_layers: int = 8,
        num_heads: int = 8,
        feedforward_width: int = 512,
        dropout: float = 0.1,
        readout: Readout = "mean",
        geometry: Geometry = "cartesian",
        cutoff: float = 6.0,
    ) -> None:
        super().__init__()
        self._readout = readout
        self._dropout = dropout
        self.species = SpeciesEmbedding(element_width)
        self.position: nn.Linear | PeriodicGeometry
        if geometry == "cartesian":
            self.graph_spec = None
            self.position = nn.Linear(3, element_width)
        else:
            self.graph_spec = GraphSpec(cutoff=cutoff, max_neighbors=None)
            self.position = PeriodicGeometry(element_width, num_heads, num_layers, cutoff)
        width = 2 * element_width
        self.layers = nn.ModuleList(
            EncoderLayer(width, num_heads, feedforward_width, dropout) for _ in range(num_layers)
        )
        self.heads = nn.ModuleList(self._build_heads(num_outputs or 1))

    @classmethod
    def published(cls, num_outputs: int | None = None) -> "CrystalTransformer":
        """As the paper's public code: the crystal's vector is that of the file's first atom."""
        return cls(num_outputs, readout="first")

    @property
    def width(self) -> int:
        """Length of an atom's vector behind the encoder."""
        return 2 * self.species.weight.shape[1]

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Predicts; shape ``[num_crystals, num_outputs]``.

        Raises:
            InvalidArgumentError: If an element has no row.
        """
        crystals = self.encode(batch)
        return torch.cat([head(crystals) for head in self.heads], dim=1)

    @property
    @override
    def num_message_layers(self) -> int | None:
        is_random = self.training and self._dropout > 0.0  # which is drawn for each atom
        if is_random or not isinstance(self.position, PeriodicGeometry):
            return None
        return 1 + len(self.layers)

    @override
    def crystal_vectors(self, graph: FoldedGraph) -> Tensor:
        atoms = self.atom_vectors(graph)
        if self._readout == "first":
            sizes = torch.bincount(graph.batch, minlength=graph.num_crystals)
            return atoms[sizes.cumsum(0) - sizes]
        return mean_over_atoms(atoms, graph.batch, graph.num_atoms, graph.atom_counts)

    @override
    def atom_vectors(self, graph: FoldedGraph) -> Tensor:
        layout = PaddedLayout.of(torch.bincount(graph.batch, minlength=graph.num_crystals))
        elements = self.species(graph.atomic_numbers)
        position, biases = self.position, [None] * len(self.layers)
        if isinstance(position, PeriodicGeometry):
            where, biases = position(graph, elements, layout)
        else:
            where = position(graph.cart_coords())
        atoms = torch.cat([elements, where], dim=-1)
        for layer, bias in zip(self.layers, biases, strict=True):
            atoms = layer(atoms, layout, bias)
        return atoms

    @property
    @override
    def supported_elements(self) -> frozenset[int]:
        """Those up to the last that the embedding has a row for."""
        return frozenset(range(1, len(self.species.weight) + 1))

    def element_table(self) -> ElementTable:
        """The universal atomic embedding: each element's vector with the shared bias added.

        The metadata lists, as ``random_elements``, those that training never showed, whose rows
        are as random as at the start. With a Cartesian geometry the table has ``coordinates``.
        """
        vectors = (self.species.weight + self.species.bias).detach().cpu().float().numpy()
        unseen = (~self.species.seen).nonzero().flatten().tolist()
        return ElementTable(
            "crystal-transformer",
            torch.arange(1, len(vectors) + 1).numpy(),
            vectors,
            {
                "model": "CrystalTransformer",
                "bias": "added",
                "random_elements": [SYMBOLS[row + 1] for row in unseen],
            },
            self._coordinates(),
        )

    def _coordinates(self) -> NDArray[np.float32] | None:
        if isinstance(self.position, PeriodicGeometry):
            return None
        rows = [self.position.weight.T, self.position.bias[None]]
        return torch.cat(rows).detach().cpu().float().numpy()

    @override
    def set_num_outputs(self, num_outputs: int) -> None:
        if num_outputs != len(self.heads):
            heads = self._build_heads(num_outputs)
            self.heads = nn.ModuleList(heads).to(self.species.weight)

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        return {**self._arguments, "num_outputs": len(self.heads)}

    def _build_heads(self, num_outputs: int) -> list[nn.Module]:
        width = self.width
        if num_outputs == 1:
            # Published without anything non-linear in between.
            middle = nn.Identity() if self._readout == "first" else nn.ReLU()
            return [nn.Sequential(nn.Linear(width, width // 2), middle, nn.Linear(width // 2, 1))]
        return [
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
            for _ in range(num_outputs)
        ]
