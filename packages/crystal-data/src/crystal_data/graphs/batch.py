"""The one batch that every model receives: atoms of many crystals end to end, edges optional."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.graphs.line_graph import line_graph_index
from crystal_data.graphs.neighbors import NeighborList, neighbor_list
from crystal_data.graphs.spec import GraphSpec

if TYPE_CHECKING:
    from torch_geometric.data import Data


class PaddedCrystals(NamedTuple):
    """A batch as rectangles, for transformers. Row g, column i is atom i of crystal g."""

    lattice: Tensor  # [num_crystals, 3, 3], Å
    frac_coords: Tensor  # [num_crystals, max_atoms, 3], zero where padded
    atomic_numbers: Tensor  # int64 [num_crystals, max_atoms], zero where padded
    node_mask: Tensor  # bool [num_crystals, max_atoms], True where there is an atom


@dataclass(eq=False, slots=True, weakref_slot=True)
class CrystalBatch:
    """Crystals end to end. What a batch does not have is None.

    ``dataclasses.replace(batch, name=value)`` makes a copy with other values; tensors that stay
    are shared. Two batches are equal only if they are the same object. ``to_pyg`` and ``from_pyg``
    convert to and from PyTorch Geometric, which nothing else here imports.
    """

    lattice: Tensor  # [num_crystals, 3, 3], rows a, b, c, Å
    frac_coords: Tensor  # [num_atoms, 3]
    atomic_numbers: Tensor  # int64 [num_atoms], 0 where hidden
    num_atoms: Tensor  # int64 [num_crystals]
    batch: Tensor  # int64 [num_atoms], crystal of each atom
    sample_id: Tensor  # int64 [num_crystals], row of the store
    identifier: list[str]
    # By name, [num_crystals] or [num_rows, width] as Field has it; NaN where there is no label.
    targets: dict[str, Tensor] = field(default_factory=dict)
    fields: dict[str, Field] = field(default_factory=dict)  # of targets; without, numbers
    # The rows are another process's too and only keep this one in step: a loss must not count them.
    is_filler: bool = False

    edge_index: Tensor | None = None  # int64 [2, num_edges], row 0 neighbor, row 1 centre
    edge_shift: Tensor | None = None  # int64 [num_edges, 3], whole cells
    edge_length: Tensor | None = None  # [num_edges], Å
    line_graph_index: Tensor | None = None  # int64 [2, num_angles], pairs of edges that meet

    masked_sites: Tensor | None = None  # bool [num_atoms], True where hidden (MaskAtoms)
    true_atomic_numbers: Tensor | None = None  # int64 [num_atoms], of hidden atoms too (MaskAtoms)
    displacement: Tensor | None = None  # [num_atoms, 3], Å, how each was moved (PerturbAtoms)
    strain: Tensor | None = None  # [num_crystals, 3, 3], logarithmic (PerturbLattice)

    @property
    def num_nodes(self) -> int:
        """Number of atoms of all crystals together."""
        return len(self.batch)

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
        fields: Mapping[str, Field] | None = None,
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
            fields=dict(fields or {}),
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
        edge_index, edge_shift, edge_length = neighbor_list(
            self.lattice, self.frac_coords, self.num_atoms, graph_spec
        )
        has_angles = graph_spec.line_graph
        return replace(
            self,
            edge_index=edge_index,
            edge_shift=edge_shift,
            edge_length=edge_length,
            line_graph_index=line_graph_index(edge_index, self.num_nodes) if has_angles else None,
        )

    def without_edges(self) -> Self:
        """A copy without edges, for what moves atoms."""
        return replace(
            self, edge_index=None, edge_shift=None, edge_length=None, line_graph_index=None
        )

    def edges(self, model: str = "the model") -> NeighborList:
        """``edge_index``, ``edge_shift`` and ``edge_length`` of a batch that must have them.

        Args:
            model: What needs them, for the message.

        Raises:
            InvalidArgumentError: If the batch has no edges.
        """
        if self.edge_index is None or self.edge_shift is None or self.edge_length is None:
            raise InvalidArgumentError(
                f"{model} needs edges and the batch has none",
                "give it batch.with_edges(model.graph_spec)",
            )
        return NeighborList(self.edge_index, self.edge_shift, self.edge_length)

    def line_graph(self, model: str = "the model") -> Tensor:
        """``line_graph_index`` of a batch that must have it.

        Args:
            model: What needs it, for the message.

        Raises:
            InvalidArgumentError: If the batch has no line graph.
        """
        if self.line_graph_index is None:
            raise InvalidArgumentError(
                f"{model} needs the line graph and the batch has edges alone",
                "give it batch.with_edges(model.graph_spec)",
            )
        return self.line_graph_index

    def tensors(self) -> dict[str, Tensor]:
        """The fields that hold a tensor, by name; ``targets`` is not among them."""
        values = ((one.name, getattr(self, one.name)) for one in dataclasses.fields(self))
        return {name: value for name, value in values if isinstance(value, Tensor)}

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """A copy whose tensors are on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """A copy in page-locked memory, from which a GPU copies while it computes."""
        return self._each(Tensor.pin_memory)

    def float32(self) -> Self:
        """A copy with all real numbers in torch's default dtype; the last step before a model."""
        dtype = torch.get_default_dtype()
        changed: dict[str, Any] = {
            name: value.to(dtype)
            for name, value in self.tensors().items()
            if value.is_floating_point()
        }
        return replace(self, **changed)

    def to_pyg(self) -> "Data":
        """The batch as one ``torch_geometric.data.Data`` of all crystals.

        Fields keep their names, and those that are None are left out. ``Batch.from_data_list`` of
        several shifts ``edge_index`` by atoms and ``line_graph_index`` by edges.
        """
        from crystal_data.graphs.pyg import CrystalData

        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        there = {name: value for name, value in values.items() if value is not None}
        return CrystalData(num_nodes=self.num_nodes, **there)

    @classmethod
    def from_pyg(cls, data: "Data") -> Self:
        """The batch of what ``to_pyg`` gave, alone or joined by ``Batch.from_data_list``.

        Raises:
            InvalidArgumentError: If ``data`` lacks a field of a batch, or has one that a batch has
                not.
        """
        # PyG's own follow from the others.
        own = ("num_nodes", "_num_nodes", "ptr")
        values = {name: value for name, value in data.to_dict().items() if name not in own}
        known = {one.name: one for one in dataclasses.fields(cls)}
        missing = [name for name in known if _is_required(known[name]) and name not in values]
        unknown = [name for name in values if name not in known]
        if missing or unknown:
            what = f"no {', '.join(missing)}" if missing else f"{', '.join(unknown)} besides"
            raise InvalidArgumentError(
                f"from_pyg: the data has {what}", "give it what CrystalBatch.to_pyg returned"
            )
        # Of data that PyG has joined, ``batch`` counts these, and the other two are as many.
        rows = torch.arange(len(values["num_atoms"]), device=values["num_atoms"].device)
        values["batch"] = rows.repeat_interleave(values["num_atoms"])
        values["identifier"] = list(_flat(values["identifier"]))
        values["is_filler"] = bool(torch.as_tensor(values.get("is_filler", False)).any())
        # Those of joined data are lists of one and the same.
        values["fields"] = {
            name: one if isinstance(one, Field) else one[0]
            for name, one in values.get("fields", {}).items()
        }
        return cls(**values)

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
        of_atoms = [name for name, one in self.fields.items() if one.per == "atom"]
        rows = {
            name: np.split(values, splits) if name in of_atoms else values
            for name, values in targets.items()
        }
        return [
            Crystal(*arrays, properties=_labels(rows, row)) for row, arrays in enumerate(columns)
        ]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed: dict[str, Any] = {name: change(value) for name, value in self.tensors().items()}
        targets = {name: change(value) for name, value in self.targets.items()}
        return replace(self, **changed, targets=targets)


def _is_required(one: dataclasses.Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _flat(names: Iterable[str | list[str]]) -> Iterable[str]:
    for one in names:
        yield from [one] if isinstance(one, str) else one


def _labels(targets: Mapping[str, Sequence[Any] | NDArray[np.float64]], row: int) -> dict[str, Any]:
    values = {name: column[row] for name, column in targets.items()}
    return {
        name: float(value) if np.ndim(value) == 0 else value
        for name, value in values.items()
        if not np.isnan(value).all()
    }
