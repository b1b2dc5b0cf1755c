"""Trained models that relax structures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from typing_extensions import override

from crystal_data.artifacts import Artifact
from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import CrystalBatch
from crystal_data.io import CrystalInput, read_crystals
from crystal_data.loading import beyond_training
from crystal_data.store import CrystalStore
from crystal_data.trajectories import Change, changed
from crystal_relax.graph.geometry import displacements
from crystal_relax.graph.model import GraphRelaxer
from crystal_relax.relaxer import StructureRelaxer


class Relaxed(NamedTuple):
    """A predicted relaxed structure.

    Args:
        crystal: With the start's axes, atoms, images and identifier.
        change: What was predicted.
        note: What the model has never seen of the start; empty where there is nothing.
    """

    crystal: Crystal
    change: Change
    note: str


class Relaxer(StructureRelaxer):
    """Predicts relaxed structures by a trained model.

    Args:
        model: Trained.
        domain: What it was trained on, as artifacts keep it; an empty one flags nothing.
        batch_size: Structures at once.
        name: For tables.

    Raises:
        InvalidArgumentError: If ``batch_size`` is too small.
    """

    def __init__(
        self,
        model: GraphRelaxer,
        *,
        domain: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        name: str = "graph",
    ) -> None:
        if batch_size < 1:
            raise InvalidArgumentError(f"batch_size is {batch_size}; at least 1 is needed")
        self.model = model.eval()
        self.domain = dict(domain or {})
        self.batch_size = batch_size
        self._name = name

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path, *, batch_size: int = 64) -> Self:
        """A model from the folder of a run or of an artifact, or from the hub.

        Raises:
            ArtifactError: If there is none, or it is of another kind.
        """
        model = GraphRelaxer.from_pretrained(path_or_hub_id)
        domain = Artifact.load(path_or_hub_id, kind="model").metadata.get("training", {})
        return cls(model, domain=domain, batch_size=batch_size, name=str(path_or_hub_id))

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def relax(self, crystals: CrystalInput | Iterable[CrystalInput]) -> list[Crystal]:
        """A relaxed structure of each, in order.

        Args:
            crystals: Paths, folders, patterns, crystals, pymatgen's or ASE's objects, or a list.

        Raises:
            InvalidCrystalError: If one cannot be read.
        """
        return [
            one.crystal
            for one in self.predict(read_crystals(crystals, on_invalid="error").crystals)
        ]

    def predict(self, starts: Sequence[Crystal]) -> list[Relaxed]:
        """A relaxed structure of each crystal, with what was predicted and a flag."""
        found: list[Relaxed] = []
        for first in range(0, len(starts), self.batch_size):
            found += self._of_block(starts[first : first + self.batch_size])
        return found

    @torch.no_grad()
    def _of_block(self, starts: Sequence[Crystal]) -> list[Relaxed]:
        plain = [start.replace(properties={}) for start in starts]
        spec = self.model.graph_spec
        batch = CrystalBatch.from_crystals(plain)
        batch = (batch if spec is None else batch.with_edges(spec)).float32()
        batch = batch.to(next(self.model.parameters()).device)
        last = self.model(batch)[-1]
        strains = last.strain.double().cpu().numpy()
        moved = displacements(batch, last).double().cpu().split(batch.num_atoms.tolist())
        notes = beyond_training(CrystalStore.from_crystals(plain), self.domain)
        found = []
        for start, strain, motion, note in zip(plain, strains, moved, notes, strict=True):
            change = Change(strain, motion.numpy())
            found.append(Relaxed(changed(start, change), change, note))
        return found
