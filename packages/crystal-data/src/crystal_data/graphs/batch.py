"""The one batch that every model receives: atoms of many crystals end to end, edges optional."""

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.graphs.line_graph import line_graph_index
from crystal_data.graphs.neighbors import neighbor_list
from crystal_data.graphs.spec import GraphSpec

with warnings.catch_warnings():
    # PyG compiles parts of itself on import, in a way that newer versions of torch warn about.
    warnings.filterwarnings("ignore", message=".*torch.jit.script")
    from torch_geometric.data import Data


class PaddedCrystals(NamedTuple):
    """A batch as rectangles, for transformers. Row g, column i is atom i of crystal g."""

    lattice: Tensor  # [num_crystals, 3, 3], Å
    frac_coords: Tensor  # [num_crystals, max_atoms, 3], zero where padded
    atomic_numbers: Tensor  # int64 [num_crystals, max_atoms], zero where padded
    node_mask: Tensor  # bool [num_crystals, max_atoms], True where there is an atom


class CrystalBatch(Data):
    """Crystals end to end, as PyG lays them out.

    Always there: ``lattice`` [num_crystals, 3, 3], ``frac_coords`` [num_atoms, 3],
    ``atomic_numbers`` int64 [num_atoms], ``batch`` int64 [num_atoms], ``num_atoms`` int64
    [num_crystals], ``sample_id`` int64 [num_crystals] (the row of the store), ``identifier`` (a
    list of strings) and ``targets`` (name → [num_crystals] or [num_crystals, k], NaN where there is
    no label); ``is_filler`` (the rows are another process's too and only keep this one in step: a
    loss must not count them). With edges: ``edge_index`` int64 [2, num_edges], row 0 neighbor,
    row 1 centre; ``edge_shift`` int64 [num_edges, 3], whole cells; ``edge_length`` [num_edges], Å;
    for line graphs ``line_graph_index`` int64 [2, num_angles], pairs of edges that meet in an atom.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        # The line graph counts edges, where PyG would shift by the number of atoms.
        if key == "line_graph_index":
            return self.edge_index.shape[1]
        return super().__inc__(key, value, *args, **kwargs)

    @property
    def num_crystals(self) -> int:
        """Number of crystals."""
        return len(self.num_atoms)

    @classmethod
    def from_arrays(
        cls,
        lattice: NDArray[np.float64],
        frac_coords: NDArray[np.float64],
        atomic_numbers: NDArray[np.int64],
        num_atoms: NDArray[np.int64],
        *,
        sample_id: NDArray[np.int64] | None = None,
        identifier: Sequence[str] | None = None,
        targets: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> Self:
        """Builds a batch from columns, coordinates kept in float64 until ``float32()``."""
        counts = torch.as_tensor(num_atoms, dtype=torch.int64)
        rows = len(counts)
        return cls(
            lattice=torch.as_tensor(lattice, dtype=torch.float64),
            frac_coords=torch.as_tensor(frac_coords, dtype=torch.float64),
            atomic_numbers=torch.as_tensor(atomic_numbers, dtype=torch.int64),
            num_atoms=counts,
            batch=torch.repeat_interleave(torch.arange(rows), counts),
            sample_id=torch.as_tensor(
                np.arange(rows) if sample_id is None else sample_id, dtype=torch.int64
            ),
            identifier=[""] * rows if identifier is None else list(identifier),
            targets={
                name: torch.as_tensor(values, dtype=torch.get_default_dtype())
                for name, values in (targets or {}).items()
            },
            num_nodes=len(atomic_numbers),
            is_filler=False,
        )

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> Self:
        """Builds a batch without edges or targets."""
        return cls.from_arrays(
            **end_to_end(crystals)._asdict(),
            identifier=[crystal.identifier for crystal in crystals],
        )

    def with_edges(self, graph_spec: GraphSpec) -> Self:
        """A copy with the edges that a model asks for, in place of any that are there.

        Call it before ``float32()``, so that edges are found among the exact positions.
        """
        edges = neighbor_list(self.lattice, self.frac_coords, self.num_atoms, graph_spec)
        out = self.without_edges()
        out.edge_index, out.edge_shift, out.edge_length = edges
        if graph_spec.line_graph:
            out.line_graph_index = line_graph_index(edges.edge_index, len(self.batch))
        return out

    def without_edges(self) -> Self:
        """A copy without edges, for what moves atoms."""
        out = copy(self)
        for key in _EDGE_KEYS:
            if key in out:
                del out[key]
        return out

    def float32(self) -> Self:
        """A copy with all real numbers in torch's default dtype; the last step before a model."""
        out = copy(self)
        for key, value in self.to_dict().items():
            if isinstance(value, Tensor) and value.is_floating_point():
                out[key] = value.to(torch.get_default_dtype())
        return out

    def padded(self) -> PaddedCrystals:
        """The atoms as rectangles, one row for each crystal."""
        counts = self.num_atoms
        width = int(counts.max()) if len(counts) else 0
        node_mask = torch.arange(width, device=counts.device) < counts[:, None]
        frac_coords = self.frac_coords.new_zeros((*node_mask.shape, 3))
        atomic_numbers = self.atomic_numbers.new_zeros(node_mask.shape)
        frac_coords[node_mask] = self.frac_coords
        atomic_numbers[node_mask] = self.atomic_numbers
        return PaddedCrystals(self.lattice, frac_coords, atomic_numbers, node_mask)

    def to_crystals(self) -> list[Crystal]:
        """The crystals of the batch; labels that are there become their properties.

        Raises:
            InvalidCrystalError: If an atom is masked: its element is unknown.
        """
        splits = np.cumsum(self.num_atoms.cpu().numpy())[:-1]
        columns = zip(
            self.lattice.cpu().double().numpy(),
            np.split(self.frac_coords.cpu().double().numpy(), splits),
            np.split(self.atomic_numbers.cpu().numpy(), splits),
            self.identifier,
            strict=True,
        )
        targets = {name: values.cpu().double().numpy() for name, values in self.targets.items()}
        return [
            Crystal(*fields, properties=_labels(targets, row)) for row, fields in enumerate(columns)
        ]


_EDGE_KEYS = ("edge_index", "edge_shift", "edge_length", "line_graph_index")


def _labels(targets: Mapping[str, NDArray[np.float64]], row: int) -> dict[str, Any]:
    values = {name: column[row] for name, column in targets.items()}
    return {
        name: float(value) if np.ndim(value) == 0 else value
        for name, value in values.items()
        if not np.isnan(value).all()
    }
