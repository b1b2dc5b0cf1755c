"""What the graph networks of this package share: a table in front, edges, artifacts."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from torch import Tensor
from typing_extensions import override

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.training import PretrainedModel
from crystal_embed.layers.atom_embedding import AtomEmbedding
from crystal_embed.layers.edges import edges_of
from crystal_embed.tables.table import ElementTable


class GraphModel(PretrainedModel):
    """A network on the edges of a ``graph_spec``, with any element table in front.

    A subclass takes ``element_table`` (a name, a path or an ``ElementTable``) and ``graph_spec``
    in its constructor and sets ``atom_embedding`` and ``graph_spec``. An artifact then holds the
    rows of the table among the weights, and only its shape among the arguments, so that loading
    needs no table file.
    """

    atom_embedding: AtomEmbedding
    graph_spec: GraphSpec

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        embedding = self.atom_embedding
        return {
            **self._arguments,
            "element_table": {
                "name": embedding.name,
                "atomic_numbers": embedding.atomic_numbers.tolist(),
                "width": embedding.width,
                "random_elements": list(embedding.random_elements),
            },
            "graph_spec": self.graph_spec.to_dict(),
        }

    @classmethod
    @override
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Self:
        shape = arguments["element_table"]
        blank = ElementTable(
            shape["name"],
            np.array(shape["atomic_numbers"]),
            np.zeros((len(shape["atomic_numbers"]), shape["width"]), dtype=np.float32),
            {"random_elements": shape["random_elements"]},
        )
        graph_spec = GraphSpec(**arguments["graph_spec"])
        return cls(**{**arguments, "element_table": blank, "graph_spec": graph_spec})

    def edges_of(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        """``edge_index`` and ``edge_length`` of a batch.

        Raises:
            ValueError: If the batch has no edges.
        """
        return edges_of(batch, type(self).__name__)
