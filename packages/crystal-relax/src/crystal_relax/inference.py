"""Trained models that relax structures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from typing_extensions import override

from crystal_data.artifacts import Artifact
from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.io import CrystalInput, read_crystals
from crystal_data.loading import beyond_training
from crystal_data.store import CrystalStore
from crystal_data.trajectories import Change, change_between
from crystal_relax.model import Prediction, RelaxationModel
from crystal_relax.relaxer import StructureRelaxer
from crystal_relax.shipped import SHIPPED
from crystal_relax.text.model import TextRelaxer


class Relaxed(NamedTuple):
    """A predicted relaxed structure.

    Args:
        crystal: With the start's axes, atoms, images and identifier.
        change: What was predicted.
        note: What the model has never seen of the start, or why it is kept; empty where there is
            nothing.
        spread: How far samples lie apart: root mean squared distance of their atoms from their
            means, Å; NaN where there are fewer than two.
        volume_spread: Standard deviation of the samples' volumes, as a share; NaN likewise.
    """

    crystal: Crystal
    change: Change
    note: str
    spread: float = float("nan")
    volume_spread: float = float("nan")


class Relaxer(StructureRelaxer):
    """Predicts relaxed structures by a trained model.

    Args:
        model: Trained.
        domain: What it was trained on, as artifacts keep it; an empty one flags nothing.
        batch_size: Structures at once.
        name: For tables.
        num_samples: More than one writes as many changes at temperature 1 beside the likeliest,
            which stays the prediction, and says how far they lie apart. For models that write text.
        seed: Of samples.

    Raises:
        InvalidArgumentError: If a number is out of its range, or the model writes no text.
    """

    def __init__(
        self,
        model: RelaxationModel,
        *,
        domain: Mapping[str, Any] | None = None,
        batch_size: int = 64,
        name: str = "graph",
        num_samples: int = 1,
        seed: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InvalidArgumentError(f"batch_size is {batch_size}; at least 1 is needed")
        if num_samples < 1:
            raise InvalidArgumentError(f"num_samples is {num_samples}; at least 1 is needed")
        if num_samples > 1 and not (isinstance(model, TextRelaxer) and model.output == "text"):
            raise InvalidArgumentError(
                f"{type(model).__name__} gives one prediction of a structure, not {num_samples}",
                "samples are drawn from models that write text",
            )
        self.model = model.eval()
        self.domain = dict(domain or {})
        self.batch_size = batch_size
        self.num_samples = num_samples
        self.seed = seed
        self._name = name

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, *, batch_size: int = 64, num_samples: int = 1
    ) -> Self:
        """A model that comes with the package, or one of a run or an artifact, or from the hub.

        Args:
            name_or_folder: A name that ``crystal-relax models`` lists, a folder, or ``owner/name``.
            batch_size: Structures at once.
            num_samples: As of the class.

        Raises:
            ArtifactError: If there is none, or it is of another kind.
            InvalidArgumentError: As of the class, or if no model is called so.
        """
        place = SHIPPED.find(name_or_folder)
        model = RelaxationModel.from_pretrained(place)
        domain = Artifact.load(place, kind="model").metadata.get("training", {})
        return cls(
            model,
            domain=domain,
            batch_size=batch_size,
            name=str(name_or_folder),
            num_samples=num_samples,
        )

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
        plain = [start.replace(properties={}) for start in starts]
        # Of about one size in a block, so that little is padded.
        order = sorted(range(len(plain)), key=lambda place: plain[place].num_atoms)
        found: dict[int, Relaxed] = {}
        for first in range(0, len(order), self.batch_size):
            places = order[first : first + self.batch_size]
            block = self._of_block([plain[place] for place in places])
            found.update(zip(places, block, strict=True))
        return [found[place] for place in range(len(plain))]

    def _of_block(self, starts: Sequence[Crystal]) -> list[Relaxed]:
        predictions = self.model.relaxed(starts)
        samples = self._samples(starts)
        notes = beyond_training(CrystalStore.from_crystals(starts), self.domain)
        return [
            Relaxed(
                one.crystal,
                change_between(start, one.crystal),
                "; ".join(filter(None, (note, one.note))),
                *_spread(start, of_start),
            )
            for start, one, of_start, note in zip(starts, predictions, samples, notes, strict=True)
        ]

    def _samples(self, starts: Sequence[Crystal]) -> list[list[Prediction]]:
        if self.num_samples == 1 or not isinstance(self.model, TextRelaxer):
            return [[] for _ in starts]
        return self.model.samples(starts, self.num_samples, temperature=1.0, seed=self.seed)


def _spread(start: Crystal, samples: Sequence[Prediction]) -> tuple[float, float]:
    """Of atoms (Å) and of the volume (a share); samples that are no cell do not count."""
    crystals = [one.crystal for one in samples if not one.note]
    if len(crystals) < 2:
        return float("nan"), float("nan")
    places = np.array([one.frac_coords for one in crystals]) @ start.lattice
    places -= places.mean(axis=1, keepdims=True)
    distances = np.square(places - places.mean(axis=0)).sum(axis=2)
    volumes = np.array([one.volume for one in crystals])
    return float(np.sqrt(distances.mean())), float(volumes.std() / volumes.mean())
