"""Other batches than graphs: padded tokens and padded Wyckoff orbits.

A module that wants one names its collator among its needs. It gets the crystals of a batch, after
the transforms, and the values of the derived column that it names.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.errors import InvalidCrystalError, Reason, Rejection, SourceError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.store.derived import ColumnChunk, DerivedColumn
from crystal_data.store.orbits import WYCKOFF_LETTERS, OrbitColumn
from crystal_data.store.store import CrystalStore
from crystal_data.store.tokens import TokenColumn
from crystal_data.symmetry import free_lattice_parameters, wyckoff_positions

_NAMED_IN_ERROR = 3


@dataclass(eq=False, kw_only=True)
class RowBatch:
    """What every batch says of its rows, as :class:`CrystalBatch` does."""

    sample_id: Tensor  # int64 [num_crystals], row of the store
    identifier: list[str]
    # By name, [num_crystals] or [num_crystals, k]; NaN where there is no label.
    targets: dict[str, Tensor]
    # The rows are another process's too and only keep this one in step: a loss must not count them.
    is_filler: bool = False

    @property
    def num_crystals(self) -> int:
        """Number of crystals."""
        return len(self.sample_id)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """A copy whose tensors are on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """A copy in page-locked memory, from which a GPU copies while it computes."""
        return self._each(Tensor.pin_memory)

    def select(self, is_wanted: Tensor) -> Self:
        """Some of the crystals.

        Args:
            is_wanted: Of each; bool ``[num_crystals]``.
        """
        chosen = self._each(lambda tensor: tensor[is_wanted])
        names = zip(self.identifier, is_wanted.tolist(), strict=True)
        return replace(chosen, identifier=[name for name, wanted in names if wanted])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        changed: dict[str, Any] = {
            name: change(value) for name, value in values.items() if isinstance(value, Tensor)
        }
        targets = {name: change(value) for name, value in self.targets.items()}
        return replace(self, **changed, targets=targets)


@dataclass(eq=False, kw_only=True)
class TokenBatch(RowBatch):
    """Crystals as rows of tokens, padded to the longest."""

    tokens: Tensor  # int64 [num_crystals, max_length], CrystalTokenizer.PAD where padded
    mask: Tensor  # bool [num_crystals, max_length], True where there is a token


@dataclass(eq=False, kw_only=True)
class OrbitBatch(RowBatch):
    """Crystals as rows of Wyckoff orbits, padded to the most orbits; zero or False where padded."""

    space_group_number: Tensor  # int64 [num_crystals]
    lattice_parameters: Tensor  # [num_crystals, 6], a, b, c (Å), α, β, γ (degrees)
    free_lattice: Tensor  # bool [num_crystals, 6], True where the group leaves it free
    atomic_numbers: Tensor  # int64 [num_crystals, max_orbits]
    wyckoff: Tensor  # int64 [num_crystals, max_orbits], place in WYCKOFF_LETTERS
    multiplicity: Tensor  # int64 [num_crystals, max_orbits], in the conventional cell
    frac_coords: Tensor  # [num_crystals, max_orbits, 3], a point of the representative
    free_axes: Tensor  # bool [num_crystals, max_orbits, 3], True where the position leaves it free
    mask: Tensor  # bool [num_crystals, max_orbits], True where there is an orbit


class Collator(Protocol):
    """Makes a batch of crystals and of what a derived column says of them."""

    @property
    def column(self) -> DerivedColumn:
        """What the store computes once, before batches are made."""

    def collate(self, crystals: CrystalBatch, values: ColumnChunk) -> RowBatch:
        """A batch.

        Args:
            crystals: After the transforms, real numbers in torch's default dtype.
            values: Of the column, for the same crystals; none of them has failed.
        """


@dataclass(frozen=True)
class TokenCollator:
    """Makes a :class:`TokenBatch`.

    Args:
        column: How crystals become tokens.
    """

    column: TokenColumn = field(default_factory=TokenColumn)

    def collate(self, crystals: CrystalBatch, values: ColumnChunk) -> TokenBatch:
        """A batch as long as its longest crystal."""
        mask = _mask(values.counts)
        tokens = _padded(
            values.arrays["tokens"].astype(np.int64), mask
        )  # 0 is CrystalTokenizer.PAD
        return TokenBatch(**_rows(crystals), tokens=tokens, mask=mask)


@dataclass(frozen=True)
class OrbitCollator:
    """Makes an :class:`OrbitBatch`.

    Args:
        column: How orbits are found.
    """

    column: OrbitColumn = field(default_factory=OrbitColumn)

    def collate(self, crystals: CrystalBatch, values: ColumnChunk) -> OrbitBatch:
        """A batch as wide as the most orbits in it."""
        return orbit_batch(values, **_rows(crystals))


def orbit_batch(
    values: ColumnChunk,
    *,
    sample_id: Tensor,
    identifier: list[str],
    targets: dict[str, Tensor],
    is_filler: bool = False,
) -> OrbitBatch:
    """Crystals as rows of orbits, from the values of an :class:`OrbitColumn`.

    Args:
        values: Of crystals that all have orbits.
        sample_id: Number of each crystal, of which its random draws depend.
        identifier: Of each crystal.
        targets: As of :class:`RowBatch`.
        is_filler: As of :class:`RowBatch`.
    """
    dtype = torch.get_default_dtype()
    numbers = values.arrays["space_group_number"].astype(np.int64)
    groups = [_group(number) for number in numbers.tolist()]
    owner = np.repeat(np.arange(len(numbers)), values.counts)
    places = values.arrays["wyckoff"].astype(np.int64)
    mask = _mask(values.counts)
    free_lattice = np.array([group.free_lattice for group in groups]).reshape(-1, 6)
    multiplicity = _stacked([group.multiplicity for group in groups], ())[owner, places]
    free_axes = _stacked([group.free_axes for group in groups], (3,))[owner, places]
    return OrbitBatch(
        sample_id=sample_id,
        identifier=identifier,
        targets=targets,
        is_filler=is_filler,
        space_group_number=torch.from_numpy(numbers),
        lattice_parameters=torch.from_numpy(values.arrays["lattice_parameters"]).to(dtype),
        free_lattice=torch.from_numpy(free_lattice),
        atomic_numbers=_padded(values.arrays["atomic_numbers"].astype(np.int64), mask),
        wyckoff=_padded(places, mask),
        multiplicity=_padded(multiplicity, mask),
        frac_coords=_padded(values.arrays["frac_coords"], mask).to(dtype),
        free_axes=_padded(free_axes, mask),
        mask=mask,
    )


def check_values(crystals: CrystalBatch, values: ColumnChunk, column: DerivedColumn) -> None:
    """Refuses a batch in which a crystal has no value.

    Raises:
        InvalidCrystalError: ``NO_REPRESENTATION``, with the reason of the column.
    """
    if values.failures is None:
        return
    for row in np.flatnonzero(values.failures).tolist():
        reason = column.reasons[values.failures[row] - 1]
        name = crystals.identifier[row]
        raise InvalidCrystalError(name, Reason.NO_REPRESENTATION, _detail(column, reason))


def rejected_by(store: CrystalStore, collator: Collator | None) -> dict[int, Rejection]:
    """Rows of a store that a collator cannot take, as rows of ``rejected.csv``.

    Args:
        store: Has the collator's column.
        collator: None takes everything.
    """
    values = None if collator is None else store.column_of(collator.column)
    if collator is None or values is None:
        return {}
    names, files = store.strings("identifier"), store.strings("file")
    return {
        row: Rejection(
            names[row],
            files[row],
            "build",
            Reason.NO_REPRESENTATION,
            _detail(collator.column, reason),
        )
        for row, reason in values.failed().items()
    }


def refuse_rejected(store: CrystalStore, collator: Collator) -> None:
    """Refuses a store in which crystals have no value of a collator's column.

    Raises:
        SourceError: If there are any; the message names the first ones.
    """
    rejected = list(rejected_by(store, collator).values())
    if not rejected:
        return
    shown = "; ".join(f"{one.identifier}: {one.detail}" for one in rejected[:_NAMED_IN_ERROR])
    raise SourceError(
        f"{store.metadata['source']}: {len(rejected)} of {len(store)} crystals cannot be used by "
        f"this model, such as {shown}",
        "leave them out with on_invalid='skip' (--data.on_invalid skip)",
    )


def _detail(column: DerivedColumn, reason: str) -> str:
    return f"it has no {column.name}: {reason}, with {column}"


def _rows(crystals: CrystalBatch) -> dict[str, Any]:
    return {
        "sample_id": crystals.sample_id,
        "identifier": crystals.identifier,
        "targets": crystals.targets,
        "is_filler": crystals.is_filler,
    }


def _mask(counts: NDArray[np.int64]) -> Tensor:
    """True in the first ``counts`` places of each row; ``[rows, counts.max()]``."""
    return torch.from_numpy(np.arange(counts.max(initial=0)) < counts[:, None])


def _padded(values: NDArray[Any], mask: Tensor) -> Tensor:
    """Ragged values as a rectangle, zero where padded; ``[*mask.shape, *values.shape[1:]]``."""
    filled = torch.from_numpy(values)
    padded = filled.new_zeros((*mask.shape, *values.shape[1:]))
    padded[mask] = filled
    return padded


class _Group(NamedTuple):
    """What a space group says of its cell and positions, by place in ``WYCKOFF_LETTERS``."""

    free_lattice: NDArray[np.bool_]  # [6]
    multiplicity: NDArray[np.int64]  # [27], 0 for letters that the group lacks
    free_axes: NDArray[np.bool_]  # [27, 3]


@lru_cache(maxsize=231)
def _group(number: int) -> _Group:
    free_lattice = np.zeros(6, dtype=bool)
    free_lattice[list(free_lattice_parameters(number))] = True
    multiplicity = np.zeros(len(WYCKOFF_LETTERS), dtype=np.int64)
    free_axes = np.zeros((len(WYCKOFF_LETTERS), 3), dtype=bool)
    for position in wyckoff_positions(number):
        place = WYCKOFF_LETTERS.index(position.letter)
        multiplicity[place] = position.multiplicity
        free_axes[place, list(position.free_axes)] = True
    return _Group(free_lattice, multiplicity, free_axes)


def _stacked(tables: list[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.array(tables).reshape(-1, len(WYCKOFF_LETTERS), *shape)
