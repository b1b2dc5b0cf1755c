"""What one stage hands to the next or a user publishes: a folder that executes nothing."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crystal_data.artifacts.card import can_be_shown, minimum_in, model_card
from crystal_data.artifacts.files import CARD, CONFIG, METADATA, WEIGHTS
from crystal_data.artifacts.find import find_artifact
from crystal_data.artifacts.formats import FORMAT_VERSION, verified_config
from crystal_data.artifacts.kinds import (
    RESERVED,
    WITHOUT_WEIGHTS,
    ArtifactKind,
    BaseModel,
    check_extra_files,
    check_found_kind,
    check_kind,
)
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.artifacts.verified_files import hashes_in, read_verified, sha256
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.io.checked_json import read_json_object, with_checksum
from crystal_data.io.files import atomic_folder
from crystal_data.io.own_files import DamagedFileError

_REMEDY = "copy or download the artifact again"


@dataclass(frozen=True, slots=True)
class TargetScale:
    """How normalized outputs become a property: ``output * std + mean``, in the field's unit.

    Args:
        mean: A number, or for fields with a shape the number of each component, row after row.
        std: One number for all components.
        field: What the property is.
        minimum: What no value of the property is below, such as 0 eV of a band gap; None where
            nothing of the kind is known.
        is_probability: The output is a logit, whose logistic function is the probability of a
            class; mean and deviation are 0 and 1.

    Raises:
        ArtifactError: If a mean or the minimum is not finite, or the deviation is not above zero,
            or there are more or fewer means than components.
    """

    mean: float | Sequence[float]
    std: float
    field: Field
    minimum: float | None = None
    is_probability: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.field, Field):
            raise ArtifactError(f"a target has a field, not {self.field!r:.100}")
        if not isinstance(self.is_probability, bool):
            raise ArtifactError(
                f"is_probability is true or false, not {self.is_probability!r:.100}"
            )
        is_list = isinstance(self.mean, list | tuple)
        means = list(self.mean) if isinstance(self.mean, list | tuple) else [self.mean]
        bounds = [] if self.minimum is None else [self.minimum]
        for value in (*means, self.std, *bounds):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ArtifactError(f"a mean, deviation or minimum is {value!r:.100}, not a number")
        # As the normalizer keeps them: in 32 bits.
        *rounded, std = torch.tensor([*means, self.std], dtype=torch.float32).tolist()
        if not all(map(math.isfinite, rounded)) or not 0 < std < math.inf:
            raise ArtifactError(
                f"mean {self.mean!r:.100} and deviation {self.std} are no scale: both are finite, "
                "and the deviation is above 0"
            )
        if not all(map(math.isfinite, bounds)) or (bounds and self.field.turns):
            raise ArtifactError(
                f"'{self.field.name}' is {self.field.words}; {self.minimum} is no minimum of it"
            )
        if is_list != bool(self.field.shape) or len(means) != self.field.width:
            raise ArtifactError(
                f"'{self.field.name}' is {self.field.words}, but its mean is {self.mean!r:.100}"
            )
        if self.is_probability and (self.field.shape or (self.mean, self.std) != (0, 1)):
            raise ArtifactError(f"'{self.field.name}' is no probability of a class")

    @property
    def unit(self) -> str:
        """Of the property."""
        return self.field.unit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        mean = self.mean if isinstance(self.mean, int | float) else list(self.mean)
        values: dict[str, Any] = {"mean": mean, "std": self.std, "field": self.field.to_dict()}
        if self.minimum is not None:
            values["minimum"] = self.minimum
        if self.is_probability:
            values["is_probability"] = True
        return values

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> "TargetScale":
        """What ``to_dict`` gave.

        Args:
            name: Under which it stands.
            values: Mean, deviation and field, and the minimum if there is one.

        Raises:
            ArtifactError: If it is something else, or the field has another name.
        """
        try:
            scale = cls(**{**values, "field": Field.from_dict(values["field"])})
        except InvalidArgumentError as error:
            raise ArtifactError(f"target '{name}': {error}") from error
        if scale.field.name != name:
            raise ArtifactError(f"target '{name}' has the field of '{scale.field.name}'")
        return scale


# Types that a file may get wrong.
_TYPES: dict[str, Any] = {
    "package": str,
    "class_name": str,
    "arguments": Mapping,
    "graph_spec": Mapping | None,
    "targets": Mapping,
    "metadata": Mapping,
    "untrained": Sequence,
    "files": Mapping,
    "base": BaseModel | None,
}


@dataclass(frozen=True)
class Artifact:
    """The content of an artifact's folder.

    Args:
        package: Import name of the package whose class reads it.
        class_name: Name of that class, for a model in the package's registry; never a path to code.
        arguments: What an object of the class is built from; plain JSON.
        weights: Its tensors, such as the state of a model.
        graph_spec: Graph options that the model was trained with, for the check at loading.
        targets: Name to scale, in the order of the model's outputs; empty if it predicts no
            property.
        metadata: Where it comes from: versions, data, metrics; plain JSON.
        untrained: Names of weights that are left out because no training has changed them, such
            as those of the head of a pre-trained model; whoever builds it gets fresh ones.
        kind: What it is. A library of templates may have no weights.
        files: Extra files, such as those of a tokenizer: contents by plain relative name.
        base: The published model that it was trained from, or that an adapter belongs to.

    Raises:
        ArtifactError: If a value is of the wrong type, a weight is not finite, or a name of an
            extra file is not plain and relative.
    """

    package: str
    class_name: str
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    graph_spec: Mapping[str, Any] | None = None
    targets: Mapping[str, TargetScale] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    untrained: Sequence[str] = ()
    kind: ArtifactKind = "model"
    files: Mapping[str, bytes] = field(default_factory=dict)
    base: BaseModel | None = None

    def __post_init__(self) -> None:
        for name, kind in _TYPES.items():
            if not isinstance(getattr(self, name), kind):
                raise ArtifactError(f"'{name}' is of the wrong type: {getattr(self, name)!r:.50}")
        if isinstance(self.untrained, str) or not all(isinstance(x, str) for x in self.untrained):
            raise ArtifactError("'untrained' is a list of names")
        if not can_be_shown(self.metadata):
            raise ArtifactError(
                "metadata: 'data', 'training', 'metrics' and 'versions' are mappings, metrics are "
                "numbers, training has num_crystals, elements, max_atoms and targets, and each of "
                "the evaluations has target, data, num_crystals and mae"
            )
        if self.targets and self.untrained:
            raise ArtifactError("a model that predicts has no untrained weights")
        for name, values in self.weights.items():
            if not torch.isfinite(values).all():
                raise ArtifactError(
                    f"weight '{name}' has values that are not finite, so that every prediction "
                    "would be NaN"
                )
        check_kind(self.kind)
        if self.kind == "adapter" and self.base is None:
            raise ArtifactError("an adapter names its base model")
        check_extra_files(self.files)

    def file(self, name: str) -> bytes:
        """Content of an extra file.

        Raises:
            ArtifactError: If there is none of that name.
        """
        if name not in self.files:
            names = ", ".join(self.files) or "none"
            raise ArtifactError(f"there is no extra file '{name}'; there are {names}")
        return self.files[name]

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``, without the hashes of the other files."""
        return {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "package": self.package,
            "class_name": self.class_name,
            "arguments": dict(self.arguments),
            "graph_spec": None if self.graph_spec is None else dict(self.graph_spec),
            "targets": {name: scale.to_dict() for name, scale in self.targets.items()},
            "untrained": list(self.untrained),
            "base": None if self.base is None else asdict(self.base),
        }

    def save(self, folder: str | Path) -> Path:
        """Writes the folder at once: a reader sees the old one or the new one, never a part.

        Raises:
            ArtifactError: If an argument or metadata is not plain JSON.
        """
        folder = Path(folder)
        metadata, config = _to_json(self.metadata, METADATA), self.config()
        _to_json(config, CONFIG)  # refused before anything is written
        if folder.exists() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
            raise ArtifactError(
                f"{folder}: holds other files; an artifact needs a folder of its own"
            )
        with atomic_folder(folder) as draft:
            contents = {METADATA: metadata.encode(), **self.files}
            if self.weights or self.kind not in WITHOUT_WEIGHTS:
                contents = {WEIGHTS: _written(self.weights), **contents}
            for name, content in contents.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                # Written by Python, which says what a full disk or a missing right is.
                (draft / name).write_bytes(content)
            files = {name: sha256(content) for name, content in contents.items()}
            hashed = with_checksum({**config, "files": files})
            (draft / CONFIG).write_text(_to_json(hashed, CONFIG), encoding="utf-8", newline="\n")
            card = model_card(self.config(), self.metadata, list(self.files))
            (draft / CARD).write_text(card, encoding="utf-8")
        return folder

    @classmethod
    def load(cls, path_or_hub_id: str | Path, *, kind: ArtifactKind | None = None) -> "Artifact":
        """Reads a folder, or fetches one from the hub.

        Args:
            path_or_hub_id: Folder of the artifact or of a run that has one, or ``owner/name``.
            kind: What it has to be; anything by default.

        Raises:
            ArtifactError: If there is none, it is of another kind, a part is missing or broken,
                or it was written by a newer version.
        """
        folder = find_artifact(path_or_hub_id)
        try:
            config = verified_config(read_json_object(folder / CONFIG), folder)
            check_found_kind(config, kind, folder)
            contents = read_verified(folder, hashes_in(config))
            metadata = read_json_object(folder / METADATA)
            weights = _read_weights(contents.get(WEIGHTS), folder / WEIGHTS)
        except OSError as error:
            raise ArtifactError(f"{error.filename}: {error.strerror}", _REMEDY) from error
        except DamagedFileError as error:
            raise ArtifactError(error.without_remedy, _REMEDY) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise _incomplete(folder, error) from error
        try:
            return cls(
                package=config["package"],
                class_name=config["class_name"],
                arguments=config["arguments"],
                weights=weights,
                graph_spec=config["graph_spec"],
                targets={
                    name: TargetScale.from_dict(name, {**minimum_in(metadata, name), **scale})
                    for name, scale in config["targets"].items()
                },
                metadata=metadata,
                untrained=config.get("untrained", ()),
                kind=config["kind"],
                files={k: v for k, v in contents.items() if k not in RESERVED},
                base=None if config["base"] is None else BaseModel(**config["base"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise _incomplete(folder, error) from error
        except ArtifactError as error:
            raise ArtifactError(f"{folder}: {error}", _REMEDY) from error


def _written(weights: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    # Clones, because safetensors refuses tensors that share memory.
    clones = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    return save(clones, metadata={"format": "pt"})


def _read_weights(content: bytes | None, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    if content is None:  # of a kind that needs none
        return {}
    try:
        return load(content)
    # A dtype that torch does not have is a KeyError.
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFileError(path, f"no weights: {error}") from error


def _incomplete(folder: Path, error: Exception) -> ArtifactError:
    reason = f"{type(error).__name__}: {error}"
    return ArtifactError(f"{folder / CONFIG}: not complete: {reason}", _REMEDY)


def _to_json(content: Mapping[str, Any], name: str) -> str:
    try:
        return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"{name} holds only plain JSON: {error}",
            "give numbers, strings, lists and mappings, or override artifact_arguments()",
        ) from error
