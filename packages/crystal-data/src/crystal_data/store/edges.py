"""Edges of all structures of a store, computed once and cut out by rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from crystal_data.crystal import CrystalArrays
from crystal_data.graphs.spec import GraphSpec
from crystal_data.store.derived import ArrayLayout, ColumnChunk, ColumnValues, DerivedColumn

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class EdgeColumn(DerivedColumn):
    """Edges of each crystal, atoms counted from its first; a line graph is made from the same ones.

    Arrays: ``edge_index``, neighbor and center within the crystal, ``[num_edges, 2]``;
    ``edge_shift``, whole cells, ``[num_edges, 3]``; ``edge_length``, Å, ``[num_edges]``.

    Args:
        graph_spec: Which neighbors become edges.
    """

    name: ClassVar[str] = "edges"
    activity: ClassVar[str] = "finding neighbors"
    # Shifts beyond 127 cells take a very thin cell.
    layout: ClassVar[Mapping[str, ArrayLayout]] = {
        "edge_index": ArrayLayout(np.uint8, (2,)),
        "edge_shift": ArrayLayout(np.int8, (3,)),
        "edge_length": ArrayLayout(np.float32),
    }
    # About 200,000 atoms are done in a second, and a worker must import torch first.
    patience: ClassVar[float] = 15.0

    graph_spec: GraphSpec

    @override
    def options(self) -> dict[str, Any]:
        return {**self.graph_spec.to_dict(), "line_graph": None, "edge_version": self.version}

    @override
    def compute(self, crystals: CrystalArrays) -> ColumnChunk:
        import torch

        from crystal_data.graphs.neighbors import neighbor_list

        num_atoms = crystals.num_atoms
        # The operations are many and short. On a busy machine threads that wait for each other
        # made this thirty times slower, and on a quiet one they gain little.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            edges = neighbor_list(
                torch.from_numpy(crystals.lattice),
                torch.from_numpy(crystals.frac_coords),
                torch.from_numpy(num_atoms),
                self.graph_spec,
            )
        finally:
            torch.set_num_threads(threads)
        crystal = np.repeat(np.arange(len(num_atoms)), num_atoms)
        first_atom = np.cumsum(num_atoms) - num_atoms
        edge_index = edges.edge_index.numpy()
        owner = crystal[edge_index[1]]  # ascending: neighbor lists are ordered by centre
        local = edge_index - first_atom[owner]
        shift = edges.edge_shift.numpy()
        arrays = {
            "edge_index": local.T.astype(np.min_scalar_type(int(num_atoms.max(initial=1)) - 1)),
            "edge_shift": shift.astype(_shift_type(shift)),
            "edge_length": edges.edge_length.numpy().astype(np.float32),
        }
        return ColumnChunk(arrays, np.bincount(owner, minlength=len(num_atoms)))


def cut_edges(
    edges: ColumnValues, rows: NDArray[np.int64], first_atom: NDArray[np.int64]
) -> "tuple[Tensor, Tensor, Tensor]":
    """Edges of some structures, for a batch in which they stand in this order.

    Args:
        edges: Of the whole store.
        rows: Rows of the store.
        first_atom: Where each one's atoms begin in the batch; shape of ``rows``.

    Returns:
        ``edge_index`` int64 ``[2, num_edges]``, ``edge_shift`` int64 ``[num_edges, 3]`` and
        ``edge_length`` float32 ``[num_edges]``, Å.
    """
    import torch

    chunk = edges.cut(rows)
    edge_index = chunk.arrays["edge_index"].T + np.repeat(first_atom, chunk.counts)
    return (
        torch.from_numpy(np.ascontiguousarray(edge_index)),
        torch.from_numpy(chunk.arrays["edge_shift"].astype(np.int64)),
        torch.from_numpy(chunk.arrays["edge_length"]),
    )


def _shift_type(shift: NDArray[np.int64]) -> type[np.signedinteger[Any]]:
    largest = int(np.abs(shift).max(initial=0))
    return np.int8 if largest < 2**7 else np.int16 if largest < 2**15 else np.int32
