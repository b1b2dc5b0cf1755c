"""The one batch that every model receives: atoms of many crystals end to end, edges optional."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from crystal_data.crystal import Crystal


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
    no label). With edges: ``edge_index`` int64 [2, num_edges], row 0 neighbour, row 1 centre;
    ``edge_shift`` [num_edges, 3], whole cells; ``edge_length`` [num_edges], Å; for line graphs
    ``line_graph_index`` int64 [2, num_angles], pairs of edges.
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
        )

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> Self:
        """Builds a batch without edges or targets."""
        return cls.from_arrays(
            lattice=np.stack([crystal.lattice for crystal in crystals]),
            frac_coords=np.concatenate([crystal.frac_coords for crystal in crystals]),
            atomic_numbers=np.concatenate([crystal.atomic_numbers for crystal in crystals]),
            num_atoms=np.array([crystal.num_atoms for crystal in crystals]),
            identifier=[crystal.identifier for crystal in crystals],
        )
