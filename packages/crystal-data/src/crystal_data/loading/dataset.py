"""Cuts the batches that the sampler asks for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from crystal_data.crystal import CrystalArrays
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.loading.collate import Collator, RowBatch, check_values
from crystal_data.loading.sampler import BatchRequest
from crystal_data.store.edges import EdgeColumn
from crystal_data.store.store import CrystalStore
from crystal_data.transforms.base import Transform
from crystal_data.transforms.random import SampleRandom


class CrystalDataset(Dataset[Any]):
    """One item is one batch. Pickles as the store's path, so loader workers share its pages.

    Args:
        store: Where the rows are.
        targets: Columns that the batches bring along.
        graph_spec: Edges that the batches have; None for none.
        transforms: Applied in order, before the edges of moved atoms are found.
        seed: Of the transforms' draws.
        collator: Makes other batches than a ``CrystalBatch``; None for that.
    """

    def __init__(
        self,
        store: CrystalStore,
        *,
        targets: Sequence[str] = (),
        graph_spec: GraphSpec | None = None,
        transforms: Sequence[Transform] = (),
        seed: int = 0,
        collator: Collator | None = None,
    ) -> None:
        self.store = store
        self._targets = tuple(targets)
        self._graph_spec = graph_spec
        self._transforms = tuple(transforms)
        self._seed = seed
        self._collator = collator
        # Stored edges are those of the stored positions.
        moves_atoms = any(transform.moves_atoms for transform in self._transforms)
        self._stored_edges = None if moves_atoms else graph_spec
        if self._stored_edges is not None:
            # Opened, and checked, before workers are started: they take it over.
            store.column_of(EdgeColumn(self._stored_edges))
        if collator is not None:
            store.column_of(collator.column)

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, request: BatchRequest) -> CrystalBatch | RowBatch:
        """The batch of a request, in torch's default dtype.

        Raises:
            InvalidCrystalError: If a crystal has no value of the collator's column.
        """
        crystals = self._crystals(request)
        if self._collator is None:
            return crystals.float32()
        column = self._collator.column
        stored = self.store.column_of(column)
        if stored is None or self._transforms:
            # Stored values are those of the stored crystals.
            values = column.compute(_arrays(crystals))
        else:
            values = stored.cut(request.rows)
        check_values(crystals, values, column)
        return self._collator.collate(crystals.float32(), values)

    def _crystals(self, request: BatchRequest) -> CrystalBatch:
        batch = self.store.batch(request.rows, self._targets, self._stored_edges)
        rng = SampleRandom(self._seed, request.epoch, batch.sample_id)
        for transform in self._transforms:
            batch = transform(batch, rng)
        if self._graph_spec is not None and batch.edge_index is None:
            batch = batch.with_edges(self._graph_spec)
        batch.is_filler = request.is_filler
        if batch.is_filler:
            batch.targets = {
                name: torch.full_like(values, torch.nan) for name, values in batch.targets.items()
            }
        return batch


def _arrays(batch: CrystalBatch) -> CrystalArrays:
    return CrystalArrays(
        batch.lattice.numpy(),
        batch.frac_coords.numpy(),
        batch.atomic_numbers.numpy(),
        batch.num_atoms.numpy(),
    )
