"""What edges a model wants, how they are found, and the batch that carries them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_data.graphs.batch import CrystalBatch as CrystalBatch
    from crystal_data.graphs.batch import PaddedCrystals as PaddedCrystals
    from crystal_data.graphs.geometry import edge_vectors as edge_vectors
    from crystal_data.graphs.line_graph import bond_cosines as bond_cosines
    from crystal_data.graphs.line_graph import line_graph_index as line_graph_index
    from crystal_data.graphs.neighbors import NeighborList as NeighborList
    from crystal_data.graphs.neighbors import neighbor_list as neighbor_list
    from crystal_data.graphs.spec import GraphSpec as GraphSpec

# A GraphSpec is read without torch, so each part loads on first use.
_EXPORTS = {
    "CrystalBatch": "batch",
    "GraphSpec": "spec",
    "NeighborList": "neighbors",
    "PaddedCrystals": "batch",
    "bond_cosines": "line_graph",
    "edge_vectors": "geometry",
    "line_graph_index": "line_graph",
    "neighbor_list": "neighbors",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
