"""What every model of structures has: it learns from crystals, and makes them for a symmetry."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.artifacts import Artifact, ArtifactError, PretrainedModel
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch
from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom

_NUM_ELEMENTS = len(SYMBOLS)
_UNITS_FILE = "units.json"  # of an artifact


@dataclass(frozen=True)
class Sampling:
    """How structures are made.

    Args:
        num_steps: From noise to crystal.
        guidance: How strongly wanted properties count: 0 not at all, 1 as learned, more than 1
            beyond that (classifier-free guidance, Ho and Salimans, arXiv 2207.12598).
        sharpness: By how much late steps of coordinates are longer than learned, which draws
            samples to the middle of what is probable; 0 for none.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    num_steps: int = 50
    guidance: float = 1.0
    sharpness: float = 0.0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise InvalidArgumentError(f"num_steps is {self.num_steps}; at least 1 is needed")
        for name in ("guidance", "sharpness"):
            if not getattr(self, name) >= 0:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}; it is 0 or more")


class StructureModel(PretrainedModel):
    """Makes cells and coordinates for elements, space groups and Wyckoff positions.

    Args:
        properties: Columns of the data that may be wished for.

    Attributes:
        default_sampling: What suits it, where nothing else is asked for.
        property_units: Unit of each property that the training data name one of.
        uses_symmetry: It learns and makes crystals by their Wyckoff orbits. False: reduced
            primitive cells in space group 1, each atom an orbit.
    """

    default_sampling: ClassVar[Sampling] = Sampling()
    uses_symmetry: bool = True

    def __init__(self, properties: Sequence[str] = ()) -> None:
        super().__init__()
        self.properties = tuple(properties)
        self.property_units: dict[str, str] = {}
        self.property_mean: Tensor
        self.property_std: Tensor
        self.register_buffer("property_mean", torch.zeros(len(self.properties)))
        self.register_buffer("property_std", torch.ones(len(self.properties)))

    def fingerprint(self) -> str:
        """Hash of the model's arguments and weights."""
        digest = hashlib.sha256(json.dumps(self.artifact_arguments(), sort_keys=True).encode())
        for name, weights in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(weights.cpu().numpy().tobytes())
        return digest.hexdigest()

    @override
    def artifact_files(self) -> Mapping[str, bytes]:
        if not self.property_units:
            return {}
        return {_UNITS_FILE: json.dumps(self.property_units, sort_keys=True).encode()}

    @classmethod
    @override
    def from_artifact(cls, artifact: Artifact) -> Self:
        model = super().from_artifact(artifact)
        if _UNITS_FILE in artifact.files:
            model.property_units = _units_of(artifact.file(_UNITS_FILE))
        return model

    def fit_scales(self, batch: OrbitBatch) -> None:
        """Learns means and deviations.

        Args:
            batch: All training crystals.
        """
        for place, name in enumerate(self.properties):
            known = batch.targets[name].double()
            known = known[~known.isnan()]
            if len(known) < 2:
                raise InvalidArgumentError(
                    f"the training crystals have {len(known)} values of {name}; the model needs "
                    "two to learn from",
                    f"leave {name} out of the model's properties",
                )
            self.property_mean[place] = known.mean()
            # Equal values say nothing, and must not become infinite.
            self.property_std[place] = known.std() if known.std() > 0 else 1.0

    def wishes(self, batch: OrbitBatch) -> Tensor:
        """Normalized values of the properties, NaN where there is none; ``[num_crystals, k]``."""
        nothing = batch.frac_coords.new_full((batch.num_crystals,), torch.nan)
        columns = [batch.targets.get(name, nothing) for name in self.properties]
        values = torch.stack(columns, 1) if columns else nothing.new_empty(batch.num_crystals, 0)
        return (values.to(nothing) - self.property_mean) / self.property_std

    @abstractmethod
    def losses(self, batch: OrbitBatch, random: SampleRandom) -> Sums:
        """Total and count of ``coordinates`` and ``cell``, each about 1 for an untrained model.

        Args:
            batch: True crystals.
            random: For noise.
        """

    @abstractmethod
    def sample(
        self,
        batch: OrbitBatch,
        random: SampleRandom,
        sampling: Sampling,
        start: float | None = None,
    ) -> OrbitBatch:
        """Structures for what a batch asks.

        Args:
            batch: Cells and coordinates are read with a start alone.
            random: For noise; all of it, so that a sample does not depend on others.
            sampling: How.
            start: Level of noise that the given structure gets first, above 0 up to 1; None begins
                from noise alone.

        Returns:
            The batch with cells and coordinates.
        """

    @abstractmethod
    def scores(self, batch: OrbitBatch, random: SampleRandom) -> Tensor:
        """How well structures fit what the model has learned: more is better; ``[num_crystals]``.

        It is minus the model's error in taking noise away from them. Structures of one request
        compare best with the same noise.

        Args:
            batch: Crystals with cells and coordinates.
            random: For noise.
        """


def _units_of(content: bytes) -> dict[str, str]:
    try:
        units = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{_UNITS_FILE} is no JSON") from error
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise ArtifactError(f"{_UNITS_FILE} is no table of units: {units!r:.50}")
    return units


def composition_of(batch: OrbitBatch) -> Tensor:
    """Atoms of each element in the conventional cells; ``[num_crystals, 119]``."""
    dtype = batch.frac_coords.dtype
    counts = torch.zeros(batch.num_crystals, _NUM_ELEMENTS, dtype=dtype, device=batch.mask.device)
    atoms = (batch.multiplicity * batch.mask).to(dtype)
    return counts.scatter_add(1, batch.atomic_numbers, atoms)
