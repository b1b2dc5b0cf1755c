"""The edges of a batch, or what to do where there are none."""

from torch import Tensor

from crystal_data import CrystalBatch


def edges_of(batch: CrystalBatch, model: str) -> tuple[Tensor, Tensor]:
    """``edge_index`` and ``edge_length`` of a batch.

    Args:
        batch: What a model received.
        model: Its name, for the message.

    Raises:
        ValueError: If the batch has no edges.
    """
    edges = batch.edges(model)
    return edges.edge_index, edges.edge_length
