"""Several models for the same targets: their mean, and how much they differ."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.artifacts.artifact import Artifact
from crystal_data.artifacts.card import can_be_shown, ensemble_card
from crystal_data.artifacts.files import CARD, ENSEMBLE
from crystal_data.artifacts.registry import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.inference.calibration import COVERAGE, half_width
from crystal_data.inference.predictions import Predictions
from crystal_data.inference.predictor import Predictor
from crystal_data.io.checked_json import (
    read_json_object,
    verify_checksum,
    with_checksum,
)
from crystal_data.io.files import atomic_folder
from crystal_data.io.own_files import DamagedFileError
from crystal_data.io.read import CrystalInput

FORMAT_VERSION = 3

Columns = dict[str, NDArray[np.float64]]


class Ensemble:
    """Models trained apart, such as with different seeds, for the same targets.

    Args:
        members: One or more; all have the same targets and units.
        scale: For each target the factor that makes the members' deviation that of the error, as
            ``conformal_scale`` finds it. Without it there are no intervals.
        floor: For each target what is added to the members' deviation before the factor, as
            ``spread_floor`` finds it; nothing by default.
        evaluations: Errors of the ensemble on sets that were measured after training, as the
            metadata of an artifact have them; with ``coverage``, the share of labels that the
            intervals hold, and ``width``, the mean width of these.

    Raises:
        InvalidArgumentError: If targets or units differ.
    """

    def __init__(
        self,
        members: Sequence[Predictor],
        scale: Mapping[str, float] | None = None,
        floor: Mapping[str, float] | None = None,
        evaluations: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        first, *others = members
        for other in others:
            if list(other.fields.items()) != list(first.fields.items()):
                raise InvalidArgumentError(
                    f"members of an ensemble predict the same; one has {_described(first)}, "
                    f"another {_described(other)}"
                )
        self.members = tuple(members)
        self.scale, self.floor = dict(scale or {}), dict(floor or {})
        self.metadata = ensemble_metadata(first.metadata, evaluations)

    @property
    def targets(self) -> tuple[str, ...]:
        """What it predicts."""
        return self.members[0].targets

    @property
    def fields(self) -> dict[str, Field]:
        """What each target is."""
        return self.members[0].fields

    @property
    def units(self) -> dict[str, str]:
        """Unit of each target that has one."""
        return self.members[0].units

    def predict(
        self, crystals: CrystalInput | Iterable[CrystalInput], batch_size: int = 64
    ) -> Predictions:
        """Predicts as ``Predictor.predict`` does, with what ``combine`` adds."""
        # Each member reads them anew.
        given = list(crystals) if isinstance(crystals, Iterator) else crystals
        found = [member.predict(given, batch_size) for member in self.members]
        return Predictions(self.combine(found), found[0].ids)

    def combine(self, predictions: Sequence[Mapping[str, NDArray[np.float64]]]) -> Columns:
        """What the members' predictions say together.

        Args:
            predictions: Of each member: target to values, as ``Predictor.predict`` gives them.

        Returns:
            For each target ``name``, the mean; of several members ``name:std``, their deviation;
            calibrated also ``name:low90`` and ``name:high90``, between which nine labels of ten
            should lie.
        """
        columns: Columns = {}
        for name in self.targets:
            values = np.stack([one[name] for one in predictions])
            columns[name] = mean = values.mean(axis=0)
            if len(values) == 1:
                continue
            columns[f"{name}:std"] = std = values.std(axis=0, ddof=1)
            if name in self.scale:
                spread = std + self.floor.get(name, 0.0)
                width = half_width(spread, self.scale[name], COVERAGE)
                percent = f"{100 * COVERAGE:.0f}"
                low = mean - width
                bounds = [one.minimum[name] for one in self.members]
                known = [bound for bound in bounds if bound is not None]
                if len(known) == len(bounds):
                    low = np.maximum(low, min(known))
                columns[f"{name}:low{percent}"] = low
                columns[f"{name}:high{percent}"] = mean + width
        return columns

    def unit_of(self, column: str) -> str:
        """Unit of a column that ``combine`` gives."""
        return self.units.get(column.partition(":")[0], "")

    @classmethod
    def load(cls, folder: str | Path, *, allow_package: str | None = None) -> Self:
        """Reads what ``save_ensemble`` wrote.

        Args:
            folder: The ensemble.
            allow_package: As ``Predictor.from_pretrained``.

        Raises:
            ArtifactError: If it is not complete or was written by a newer version.
        """
        found = read_ensemble(folder)
        members = load_members(found.members, allow_package)
        return cls(members, found.scale, found.floor, found.evaluations)


@dataclass(frozen=True)
class EnsembleFile:
    """What ``ensemble.json`` says.

    Args:
        members: Folders of the members' artifacts.
        scale: As :class:`Ensemble` takes it.
        floor: As :class:`Ensemble` takes it.
        evaluations: As :class:`Ensemble` takes them.
    """

    members: tuple[Path, ...]
    scale: Mapping[str, float]
    floor: Mapping[str, float]
    evaluations: tuple[Mapping[str, Any], ...]


def read_ensemble(folder: str | Path) -> EnsembleFile:
    """Reads ``ensemble.json`` without loading the members.

    Args:
        folder: The ensemble.

    Raises:
        ArtifactError: If it is not complete or was written by a newer version.
    """
    folder = Path(folder)
    path = folder / ENSEMBLE
    try:
        content = read_json_object(path)
        version, names = content["format_version"], content["members"]
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{folder}: written in format {version}, this version reads up to {FORMAT_VERSION}",
                "upgrade crystal-data",
            )
        if version > 1:  # format 1 had no checksum
            verify_checksum(content, path)
        scale = {str(name): float(value) for name, value in content["scale"].items()}
        # Formats 1 and 2 had no floor.
        floor = {str(name): float(value) for name, value in content.get("floor", {}).items()}
    except DamagedFileError as error:
        raise ArtifactError(error.without_remedy, "make the ensemble again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: no ensemble: {error}") from error
    if (
        not isinstance(names, list)
        or not names
        or any(not isinstance(name, str) or Path(name).name != name for name in names)
        or len(set(names)) < len(names)
    ):
        raise ArtifactError(f"{path}: members are folders beside it, not {names!r:.100}")
    for values, what in ((scale, "factors"), (floor, "floors")):
        if any(not 0 <= value < math.inf for value in values.values()):
            raise ArtifactError(f"{path}: {what} are finite and not negative, not {values}")
    evaluations = content.get("evaluations", [])
    if not can_be_shown({"evaluations": evaluations}):
        raise ArtifactError(f"{path}: no evaluations: {evaluations!r:.100}")
    members = tuple(folder / name for name in names)
    return EnsembleFile(members, scale, floor, tuple(evaluations))


def ensemble_metadata(
    first: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Metadata of the first member, with the evaluations of the ensemble where it has any."""
    return {**first, **({"evaluations": list(evaluations)} if evaluations else {})}


def load_members(places: Iterable[str | Path], allow_package: str | None = None) -> list[Predictor]:
    """The predictor of each artifact; arguments as ``Predictor.from_pretrained``."""
    return [Predictor.from_pretrained(place, allow_package=allow_package) for place in places]


def is_ensemble(folder: str | Path) -> bool:
    """Whether a folder is one that ``save_ensemble`` wrote."""
    return (Path(folder) / ENSEMBLE).is_file()


def save_ensemble(
    folder: str | Path,
    members: Sequence[str | Path],
    scale: Mapping[str, float],
    *,
    floor: Mapping[str, float] | None = None,
    evaluations: Sequence[Mapping[str, Any]] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Writes a folder with a copy of each member's artifact and a card, at once.

    Args:
        folder: Made, or replaced if it is an ensemble already.
        members: Artifacts, runs, or hub ids.
        scale: As :class:`Ensemble` takes it.
        floor: As :class:`Ensemble` takes it.
        evaluations: As :class:`Ensemble` takes them.
        files: Further texts by file name.

    Raises:
        ArtifactError: If a member cannot be read, or the folder holds other files.
    """
    folder = Path(folder)
    if folder.exists() and not is_ensemble(folder) and any(folder.iterdir()):
        raise ArtifactError(f"{folder}: holds other files; an ensemble needs a folder of its own")
    artifacts = [Artifact.load(member) for member in members]
    names = [f"member-{number}" for number in range(1, len(artifacts) + 1)]
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "members": names,
        "scale": dict(scale),
        "floor": dict(floor or {}),
        **({"evaluations": list(evaluations)} if evaluations else {}),
    }
    first = artifacts[0]
    metadata = ensemble_metadata(first.metadata, evaluations)
    card = ensemble_card(first.config(), metadata, len(artifacts), scale, floor or {})
    with atomic_folder(folder) as draft:
        for name, artifact in zip(names, artifacts, strict=True):
            artifact.save(draft / name)
        text = json.dumps(with_checksum(content), indent=2) + "\n"
        (draft / ENSEMBLE).write_text(text, encoding="utf-8", newline="\n")
        for name, text in {CARD: card, **(files or {})}.items():
            (draft / name).write_text(text, encoding="utf-8")
    return folder


def _described(predictor: Predictor) -> str:
    return ", ".join(
        f"{name}, {field.words}, in {field.unit or '1'}" for name, field in predictor.fields.items()
    )
