"""What edges a model wants, how they are found, and the batch that carries them."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.graphs.batch import CrystalBatch as CrystalBatch
    from crystal_data.graphs.batch import PaddedCrystals as PaddedCrystals
    from crystal_data.graphs.folding import EquivalenceClasses as EquivalenceClasses
    from crystal_data.graphs.folding import FoldedGraph as FoldedGraph
    from crystal_data.graphs.folding import fold as fold
    from crystal_data.graphs.geometry import edge_vectors as edge_vectors
    from crystal_data.graphs.geometry import nearest_images as nearest_images
    from crystal_data.graphs.line_graph import bond_cosines as bond_cosines
    from crystal_data.graphs.line_graph import line_graph_index as line_graph_index
    from crystal_data.graphs.neighbors import NeighborList as NeighborList
    from crystal_data.graphs.neighbors import neighbor_list as neighbor_list
    from crystal_data.graphs.spec import GraphSpec as GraphSpec

# A GraphSpec is read without torch, so each part loads on first use.
_EXPORTS = {
    "CrystalBatch": "crystal_data.graphs.batch",
    "EquivalenceClasses": "crystal_data.graphs.folding",
    "FoldedGraph": "crystal_data.graphs.folding",
    "GraphSpec": "crystal_data.graphs.spec",
    "NeighborList": "crystal_data.graphs.neighbors",
    "PaddedCrystals": "crystal_data.graphs.batch",
    "bond_cosines": "crystal_data.graphs.line_graph",
    "edge_vectors": "crystal_data.graphs.geometry",
    "fold": "crystal_data.graphs.folding",
    "line_graph_index": "crystal_data.graphs.line_graph",
    "nearest_images": "crystal_data.graphs.geometry",
    "neighbor_list": "crystal_data.graphs.neighbors",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
