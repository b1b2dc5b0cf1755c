"""What one stage hands to the next or a user publishes: a folder that executes nothing."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crystal_data.artifacts.card import can_be_shown, model_card
from crystal_data.artifacts.files import ARTIFACT, CARD, CONFIG, METADATA, WEIGHTS
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.io.checked_json import (
    read_json_object,
    verify_checksum,
    with_checksum,
)
from crystal_data.io.files import atomic_folder
from crystal_data.io.own_files import DamagedFileError

FORMAT_VERSION = 3

_REMEDY = "copy or download the artifact again"


def _add_files(config: dict[str, Any]) -> dict[str, Any]:
    """Format 1 kept no hashes of the files, so there is nothing to compare them with."""
    return {**config, "files": None}


def _add_fields(config: dict[str, Any]) -> dict[str, Any]:
    """In format 2 all targets were numbers of crystals, of which only the unit was kept."""
    targets = {}
    for name, scale in config["targets"].items():
        others = {key: value for key, value in scale.items() if key != "unit"}
        field = {"name": name, "unit": scale.get("unit", ""), "shape": []}
        targets[name] = {**others, "field": field}
    return {**config, "targets": targets}


# Format version to the function that lifts a config.json of that version to the next one.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _add_files, 2: _add_fields}


@dataclass(frozen=True, slots=True)
class TargetScale:
    """How normalized outputs become a property: ``output * std + mean``, in the field's unit.

    Args:
        mean: A number, or for fields with a shape the number of each component, row after row.
        std: One number for all components.
        field: What the property is.

    Raises:
        ArtifactError: If a mean is not finite, or the deviation is not above zero, or there are
            more or fewer means than components.
    """

    mean: float | Sequence[float]
    std: float
    field: Field

    def __post_init__(self) -> None:
        if not isinstance(self.field, Field):
            raise ArtifactError(f"a target has a field, not {self.field!r:.100}")
        is_list = isinstance(self.mean, list | tuple)
        means = list(self.mean) if isinstance(self.mean, list | tuple) else [self.mean]
        for value in (*means, self.std):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ArtifactError(f"a mean or deviation is {value!r:.100}, not a number")
        # As the normalizer keeps them: in 32 bits.
        *rounded, std = torch.tensor([*means, self.std], dtype=torch.float32).tolist()
        if not all(map(math.isfinite, rounded)) or not 0 < std < math.inf:
            raise ArtifactError(
                f"mean {self.mean!r:.100} and deviation {self.std} are no scale: both are finite, "
                "and the deviation is above 0"
            )
        if is_list != bool(self.field.shape) or len(means) != self.field.width:
            raise ArtifactError(
                f"'{self.field.name}' is {self.field.words}, but its mean is {self.mean!r:.100}"
            )

    @property
    def unit(self) -> str:
        """Of the property."""
        return self.field.unit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        mean = self.mean if isinstance(self.mean, int | float) else list(self.mean)
        return {"mean": mean, "std": self.std, "field": self.field.to_dict()}

    @classmethod
    def from_dict(cls, name: str, values: Mapping[str, Any]) -> "TargetScale":
        """What ``to_dict`` gave.

        Args:
            name: Under which it stands.
            values: Mean, deviation and field.

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
_KINDS: dict[str, Any] = {
    "package": str,
    "model": str,
    "arguments": Mapping,
    "graph_spec": Mapping | None,
    "targets": Mapping,
    "metadata": Mapping,
    "untrained": Sequence,
}


@dataclass(frozen=True)
class Artifact:
    """The content of an artifact's folder.

    Args:
        package: Import name of the package that defines the model.
        model: Name in that package's registry; never a path to code.
        arguments: What the model is built from; plain JSON.
        weights: State of the model.
        graph_spec: Graph options that the model was trained with, for the check at loading.
        targets: Name to scale, in the order of the model's outputs; empty if it predicts no
            property.
        metadata: Where it comes from: versions, data, metrics; plain JSON.
        untrained: Names of weights that are left out because no training has changed them, such
            as those of the head of a pre-trained model; whoever builds it gets fresh ones.

    Raises:
        ArtifactError: If a value is of the wrong type, or a weight is not finite.
    """

    package: str
    model: str
    arguments: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    graph_spec: Mapping[str, Any] | None = None
    targets: Mapping[str, TargetScale] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    untrained: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
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

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``, without the hashes of the other files."""
        return {
            "format_version": FORMAT_VERSION,
            "package": self.package,
            "model": self.model,
            "arguments": dict(self.arguments),
            "graph_spec": None if self.graph_spec is None else dict(self.graph_spec),
            "targets": {name: scale.to_dict() for name, scale in self.targets.items()},
            "untrained": list(self.untrained),
        }

    def save(self, folder: str | Path) -> Path:
        """Writes the folder at once: a reader sees the old one or the new one, never a part.

        Raises:
            ArtifactError: If an argument or metadata is not plain JSON.
        """
        from safetensors.torch import save

        folder = Path(folder)
        metadata, config = _to_json(self.metadata, METADATA), self.config()
        _to_json(config, CONFIG)  # refused before anything is written
        if folder.exists() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
            raise ArtifactError(
                f"{folder}: holds other files; an artifact needs a folder of its own"
            )
        with atomic_folder(folder) as draft:
            # Clones, because safetensors refuses tensors that share memory.
            weights = {k: v.detach().cpu().contiguous().clone() for k, v in self.weights.items()}
            # Written by Python, which says what a full disk or a missing right is.
            (draft / WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))
            (draft / METADATA).write_text(metadata, encoding="utf-8", newline="\n")
            files = {name: _sha256((draft / name).read_bytes()) for name in (WEIGHTS, METADATA)}
            hashed = with_checksum({**config, "files": files})
            (draft / CONFIG).write_text(_to_json(hashed, CONFIG), encoding="utf-8", newline="\n")
            (draft / CARD).write_text(model_card(self.config(), self.metadata), encoding="utf-8")
        return folder

    @classmethod
    def load(cls, path_or_hub_id: str | Path) -> "Artifact":
        """Reads a folder, or fetches one from the hub.

        Raises:
            ArtifactError: If there is none, a part is missing or broken, or it was written by a
                newer version.
        """
        folder = find_artifact(path_or_hub_id)
        try:
            config = _current(read_json_object(folder / CONFIG), folder)
            contents = _read_files(folder, config["files"])
            metadata = read_json_object(folder / METADATA)
            weights = _read_weights(contents[WEIGHTS], folder / WEIGHTS)
        except OSError as error:
            raise ArtifactError(f"{error.filename}: {error.strerror}", _REMEDY) from error
        except DamagedFileError as error:
            raise ArtifactError(error.without_remedy, _REMEDY) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise _incomplete(folder, error) from error
        try:
            return cls(
                package=config["package"],
                model=config["model"],
                arguments=config["arguments"],
                weights=weights,
                graph_spec=config["graph_spec"],
                targets={
                    name: TargetScale.from_dict(name, scale)
                    for name, scale in config["targets"].items()
                },
                metadata=metadata,
                untrained=config.get("untrained", ()),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise _incomplete(folder, error) from error
        except ArtifactError as error:
            raise ArtifactError(f"{folder}: {error}", _REMEDY) from error


def find_artifact(path_or_hub_id: str | Path) -> Path:
    """The local folder of an artifact, or that of a run which holds one; ``owner/name`` is fetched.

    Raises:
        ArtifactError: If there is no such folder and the hub does not give one.
    """
    folder = Path(path_or_hub_id)
    for place in (folder, folder / ARTIFACT):
        if (place / CONFIG).is_file():
            return place
    if folder.exists():
        raise ArtifactError(
            f"{folder}: no {CONFIG} in it or in {ARTIFACT}/, so it is no artifact and no "
            "finished run"
        )
    name = str(path_or_hub_id)
    if isinstance(path_or_hub_id, Path) or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ArtifactError(
            f"{name}: no such folder, and not a hub id, which looks like owner/name"
        )
    from huggingface_hub import snapshot_download

    files = [WEIGHTS, CONFIG, METADATA, CARD]
    try:
        return Path(snapshot_download(name, allow_patterns=files))
    # The hub's client lets errors of several network libraries through.
    except Exception as error:
        reason, _, _ = str(error).partition("\n")
        raise ArtifactError(
            f"{name}: there is no folder of that name here, and the hub gave nothing "
            f"({type(error).__name__}: {reason})",
            "where the hub cannot be reached, copy the files "
            f"{', '.join(files[:3])} into a folder and give its path",
        ) from error


def _current(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    version = config.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{folder / CONFIG}: format_version is {version!r}, not a number")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder}: written in format {version}, this version reads up to {FORMAT_VERSION}",
            f"upgrade {str(config.get('package', 'crystal-data')).replace('_', '-')}",
        )
    if version > 1:
        verify_checksum(config, folder / CONFIG)
        if not isinstance(config.get("files"), dict):
            raise DamagedFileError(folder / CONFIG, "the hashes of the files are missing")
    for step in range(version, FORMAT_VERSION):
        config = MIGRATIONS[step](config)
    return config


def _read_files(folder: Path, hashes: Mapping[str, str] | None) -> dict[str, bytes]:
    """Contents of the artifact's files by name, each as it was written.

    Args:
        folder: The artifact.
        hashes: SHA-256 by file name; None where they are not known.

    Raises:
        DamagedFileError: If a file has another hash.
        KeyError: If the hash of weights or metadata is missing.
        OSError: If a file cannot be read.
    """
    contents = {}
    for name in dict.fromkeys((WEIGHTS, METADATA, *(hashes or ()))):
        if Path(name).name != name:
            raise DamagedFileError(folder / CONFIG, f"{name!r} is no name of a file beside it")
        if (folder / name).exists() and not (folder / name).is_file():
            raise DamagedFileError(folder / name, "a folder or pipe, where a file was expected")
        contents[name] = (folder / name).read_bytes()
        if hashes is not None and _sha256(contents[name]) != hashes[name]:
            raise DamagedFileError(
                folder / name, f"its sha256 is not that of {CONFIG}: it was changed or damaged"
            )
    return contents


def _read_weights(content: bytes, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    # A dtype that torch does not have is a KeyError.
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFileError(path, f"no weights: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
