"""What the graph networks of this package share: a table in front, edges, artifacts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import CrystalBatch, GraphSpec
from crystal_data.artifacts import PretrainedModel
from crystal_data.graphs import FoldedGraph, fold
from crystal_embed.layers.atom_embedding import AtomEmbedding
from crystal_embed.tables.table import ElementTable


@runtime_checkable
class Encoder(Protocol):
    """A model that has a vector for each atom and one for each crystal."""

    def encode_atoms(self, batch: CrystalBatch) -> Tensor:
        """Vectors of the atoms after the last layer on them; shape ``[num_atoms, width]``."""

    def encode(self, batch: CrystalBatch) -> Tensor:
        """Vectors of the crystals, before the output head; shape ``[num_crystals, width]``."""


class FoldingModel(PretrainedModel, ABC):
    """A network written as if every atom stood for itself, of which equal ones are computed once.

    A subclass says how far it sees by ``num_message_layers`` and computes ``atom_vectors`` and
    ``crystal_vectors`` of a graph whose atoms and edges have counts. Here batches are folded
    before and unfolded after.
    """

    graph_spec: GraphSpec | None
    sees_angles: ClassVar[bool] = False

    @property
    @abstractmethod
    def num_message_layers(self) -> int | None:
        """How often messages pass along edges before the last vectors of atoms.

        None where equal atoms get different vectors, by their positions or at random, so that
        none may be folded.
        """

    @abstractmethod
    def atom_vectors(self, graph: FoldedGraph) -> Tensor:
        """Vectors of the graph's atoms after the last layer on them; ``[num_rows, width]``."""

    @abstractmethod
    def crystal_vectors(self, graph: FoldedGraph) -> Tensor:
        """Vectors of the crystals, before the output head; shape ``[num_crystals, width]``."""

    def encode_atoms(self, batch: CrystalBatch) -> Tensor:
        """Vectors of the atoms after the last layer on them; shape ``[num_atoms, width]``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``, or has an element
                that the model has no row for.
        """
        graph = self.fold(batch)
        return graph.unfold(self.atom_vectors(graph))

    def encode(self, batch: CrystalBatch) -> Tensor:
        """Vectors of the crystals, before the output head; shape ``[num_crystals, width]``.

        Raises:
            InvalidArgumentError: As ``encode_atoms``.
        """
        return self.crystal_vectors(self.fold(batch))

    def fold(self, batch: CrystalBatch) -> FoldedGraph:
        """The batch as this model sees it.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``.
        """
        model = type(self).__name__
        if self.graph_spec is not None:
            batch.edges(model)
        if self.sees_angles:
            batch.line_graph(model)
        return fold(batch, self.num_message_layers, with_angles=self.sees_angles)


class GraphModel(FoldingModel):
    """A network on the edges of a ``graph_spec``, with any element table in front.

    A subclass takes ``element_table`` (a name, a path or an ``ElementTable``) and ``graph_spec``
    in its constructor and sets ``atom_embedding``, ``input``, ``output`` and ``graph_spec``. An
    artifact then holds the rows of the table among the weights, and only its shape among the
    arguments, so that loading needs no table file. A subclass that takes ``with_coordinates`` gets
    a table with coordinates back as well.
    """

    atom_embedding: AtomEmbedding
    input: nn.Module
    output: nn.Linear
    graph_spec: GraphSpec

    @override
    def forward(self, batch: CrystalBatch) -> Tensor:
        """Predicts; shape ``[num_crystals, num_outputs]``.

        Raises:
            InvalidArgumentError: If the batch lacks the edges of ``graph_spec``, or has an element
                that the table has no row for.
        """
        prediction: Tensor = self.output(self.encode(batch))
        return prediction

    @override
    def set_num_outputs(self, num_outputs: int) -> None:
        if num_outputs != self.output.out_features:
            fresh = nn.Linear(self.output.in_features, num_outputs)
            self.output = fresh.to(self.output.weight)

    @property
    @override
    def supported_elements(self) -> frozenset[int]:
        """Those that the element table has a row for."""
        return frozenset(self.atom_embedding.atomic_numbers.tolist())

    @override
    def artifact_arguments(self) -> dict[str, Any]:
        embedding = self.atom_embedding
        return {
            **self._arguments,
            "num_outputs": self.output.out_features,
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
        width, with_coordinates = shape["width"], arguments.get("with_coordinates", False)
        blank = ElementTable(
            shape["name"],
            np.array(shape["atomic_numbers"]),
            np.zeros((len(shape["atomic_numbers"]), width), dtype=np.float32),
            {"random_elements": shape["random_elements"]},
            np.zeros((4, width), dtype=np.float32) if with_coordinates else None,
        )
        graph_spec = GraphSpec(**arguments["graph_spec"])
        return cls(**{**arguments, "element_table": blank, "graph_spec": graph_spec})

    @torch.no_grad()
    def element_table(self) -> ElementTable:
        """The vectors that enter the first layer: table and input layers together.

        A norm in these counts with the statistics of the training so far.
        """
        table, model = self.atom_embedding.table(), type(self).__name__
        training = self.input.training
        vectors = self.input.eval()(self.atom_embedding.vectors).cpu().float().numpy()
        self.input.train(training)
        metadata = {"model": model, "input_table": table.name, **table.metadata}
        name = f"{model.lower()}-{table.name}"
        return ElementTable(name, table.atomic_numbers, vectors, metadata)
