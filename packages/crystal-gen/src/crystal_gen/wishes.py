"""Models that take wanted values of properties: names, units and scales of these."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import inf
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.artifacts import Artifact, ArtifactError, PretrainedModel
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.generation import GenerationRequest, RequestError

_UNITS_FILE = "units.json"  # of an artifact
_DAMAGED = "the artifact is damaged; copy it again from where it came, or save the model again"


class WishModel(PretrainedModel):
    """A model that takes wanted values of properties.

    Args:
        properties: Columns of the data that may be wished for.

    Attributes:
        property_units: Unit of each property that the training data name one of.
        property_ranges: Smallest and largest training value of each property, as far as known.
    """

    def __init__(self, properties: Sequence[str] = ()) -> None:
        super().__init__()
        self.properties = tuple(properties)
        self.property_units: dict[str, str] = {}
        self.property_ranges: dict[str, tuple[float, float]] = {}
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
        model.property_ranges = _ranges_in(artifact.metadata, model.properties)
        return model

    def take_units(self, fields: Mapping[str, Field], *, is_fit: bool) -> None:
        """Learns the units of the properties.

        Args:
            fields: Name to field of those properties that there are in the data.
            is_fit: The model is about to be trained on them.

        Raises:
            InvalidArgumentError: If one is more than a number of each crystal.
        """
        learned = [fields[name] for name in self.properties if name in fields]
        for field in learned:
            if not field.is_like(Field(field.name)):
                raise InvalidArgumentError(
                    f"'{field.name}' is {field.words}; what may be wished for is a number of each "
                    "crystal",
                    f"leave {field.name} out of the model's properties",
                )
        if is_fit:
            self.property_units = {field.name: field.unit for field in learned if field.unit}

    def fit_properties(self, targets: Mapping[str, Tensor]) -> None:
        """Learns means, deviations and ranges of the properties.

        Args:
            targets: Of all training crystals, NaN where there is no label; each ``[num_crystals]``.

        Raises:
            InvalidArgumentError: If a property has fewer than two values.
        """
        for place, name in enumerate(self.properties):
            known = targets[name].double()
            known = known[~known.isnan()]
            if len(known) < 2:
                raise InvalidArgumentError(
                    f"the training crystals have {len(known)} values of {name}; the model needs "
                    "two to learn from",
                    f"leave {name} out of the model's properties",
                )
            self.property_mean[place] = known.mean()
            # Equal values have no deviation to divide by.
            self.property_std[place] = known.std() if known.std() > 0 else 1.0
            self.property_ranges[name] = (float(known.min()), float(known.max()))

    def normalized(self, targets: Mapping[str, Tensor], num_crystals: int) -> Tensor:
        """Normalized values of the properties, NaN where there is none; ``[num_crystals, k]``.

        Args:
            targets: Values by name, each ``[num_crystals]``; those of other names are not read.
            num_crystals: Rows.
        """
        nothing = self.property_mean.new_full((num_crystals,), torch.nan)
        columns = [targets.get(name, nothing).to(nothing) for name in self.properties]
        values = torch.stack(columns, 1) if columns else nothing.new_empty(num_crystals, 0)
        return (values - self.property_mean) / self.property_std

    def check_properties(self, requests: Sequence[GenerationRequest]) -> None:
        """Refuses requests whose wishes the model cannot take as they are.

        Raises:
            RequestError: If a property is not known, or is wanted in another unit than the model
                has learned it in.
        """
        for request in requests:
            for name in request.properties:
                if name not in self.properties:
                    near = get_close_matches(name, self.properties, n=1)
                    known = ", ".join(self.properties) or "none"
                    hint = f"did you mean '{near[0]}'?" if near else f"it knows {known}"
                    raise RequestError(
                        f"request {request.id}: the model does not know the property '{name}'; "
                        f"{hint}"
                    )
            self.check_units(request)

    def doubtful_wishes(self, request: GenerationRequest) -> dict[str, str]:
        """A sentence for each property whose wish is outside the training values."""
        doubts = {}
        for name, wanted in request.properties.items():
            low, high = self.property_ranges.get(name, (-inf, inf))
            if not low <= wanted.value <= high:
                unit = f" {self.property_units[name]}" if name in self.property_units else ""
                doubts[name] = (
                    f"{name} = {wanted.value:g}{unit} is outside the training values, which are "
                    f"from {low:.3g} to {high:.3g}{unit}: what follows is a guess"
                )
        return doubts

    def check_units(self, request: GenerationRequest) -> None:
        """Refuses a property in another unit than the model has learned it in.

        Raises:
            RequestError: If there is one.
        """
        for name, wanted in request.properties.items():
            unit = self.property_units.get(name, "")
            if unit and wanted.unit not in ("", unit):
                raise RequestError(
                    f"request {request.id}: {name} is wanted in {wanted.unit}, and the model has "
                    f"learned it in {unit}; give it in {unit}"
                )


def wished(request: GenerationRequest, name: str) -> float:
    """The value of a property that is asked; NaN for none."""
    wanted = request.properties.get(name)
    return float("nan") if wanted is None else wanted.value


def _ranges_in(
    metadata: Mapping[str, Any], properties: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """What the description of the training data says of the properties."""
    described = metadata.get("training", {}).get("targets", {})
    return {
        name: (float(described[name]["min"]), float(described[name]["max"]))
        for name in properties
        if name in described
    }


def _units_of(content: bytes) -> dict[str, str]:
    try:
        units = json.loads(content)
    except ValueError as error:
        raise ArtifactError(f"{_UNITS_FILE} is no JSON", _DAMAGED) from error
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise ArtifactError(f"{_UNITS_FILE} is no table of units: {units!r:.50}", _DAMAGED)
    return units
