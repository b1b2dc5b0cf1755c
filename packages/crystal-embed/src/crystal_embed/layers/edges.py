"""The edges of a batch, or what to do where there are none."""

from torch import Tensor

from crystal_data import CrystalBatch
from crystal_data.errors import InvalidArgumentError


def edges_of(batch: CrystalBatch, model: str) -> tuple[Tensor, Tensor]:
    """``edge_index`` and ``edge_length`` of a batch.

    Args:
        batch: What a model received.
        model: Its name, for the message.

    Raises:
        InvalidArgumentError: If the batch has no edges.
    """
    if "edge_index" not in batch:
        raise InvalidArgumentError(
            f"{model} needs edges and the batch has none",
            "give it batch.with_edges(model.graph_spec)",
        )
    return batch.edge_index, batch.edge_length
