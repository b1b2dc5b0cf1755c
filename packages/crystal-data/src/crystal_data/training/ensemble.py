"""Several modules for the same targets: their mean, and how much they differ."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.io.files import atomic_folder
from crystal_data.io.read import CrystalInput
from crystal_data.training.artifact import Artifact
from crystal_data.training.calibration import COVERAGE, half_width
from crystal_data.training.module import PropertyModule
from crystal_data.training.registry import ArtifactError

ENSEMBLE = "ensemble.json"
FORMAT_VERSION = 1

Columns = dict[str, NDArray[np.float64]]


class Ensemble:
    """Modules trained apart, such as with different seeds, for the same targets.

    Args:
        members: One or more; all have the same targets and units.
        scale: For each target the factor that makes the members' deviation that of the error, as
            ``conformal_scale`` finds it. Without it there are no intervals.

    Raises:
        ValueError: If targets or units differ.
    """

    def __init__(
        self, members: Sequence[PropertyModule], scale: Mapping[str, float] | None = None
    ) -> None:
        first, *others = members
        for other in others:
            if (other.targets, other.units) != (first.targets, first.units):
                raise ValueError(
                    f"members of an ensemble predict the same; one has {_described(first)}, "
                    f"another {_described(other)}"
                )
        self.members = tuple(members)
        self.scale = dict(scale or {})

    @property
    def targets(self) -> tuple[str, ...]:
        """What it predicts."""
        return self.members[0].targets

    @property
    def units(self) -> dict[str, str]:
        """Unit of each target that has one."""
        return self.members[0].units

    def predict(
        self, crystals: CrystalInput | Iterable[CrystalInput], batch_size: int = 64
    ) -> Columns:
        """Predicts as ``PropertyModule.predict`` does, with what ``combine`` adds."""
        # Each member reads them anew.
        given = list(crystals) if isinstance(crystals, Iterator) else crystals
        return self.combine([member.predict(given, batch_size) for member in self.members])

    def combine(self, predictions: Sequence[Mapping[str, NDArray[np.float64]]]) -> Columns:
        """What the members' predictions say together.

        Args:
            predictions: Of each member: target to values, shape ``[num_crystals]``.

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
                width = half_width(std, self.scale[name], COVERAGE)
                percent = f"{100 * COVERAGE:.0f}"
                columns[f"{name}:low{percent}"] = mean - width
                columns[f"{name}:high{percent}"] = mean + width
        return columns

    def unit_of(self, column: str) -> str:
        """Unit of a column that ``combine`` gives."""
        return self.units.get(column.partition(":")[0], "")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what ``save_ensemble`` wrote; executes nothing.

        Raises:
            ArtifactError: If it is not complete or was written by a newer version.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / ENSEMBLE).read_text(encoding="utf-8"))
            version, names = content["format_version"], content["members"]
            scale = {str(name): float(value) for name, value in content["scale"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{folder / ENSEMBLE}: no ensemble: {error}") from error
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{folder}: written in format {version}, this version reads up to {FORMAT_VERSION}"
            )
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise ArtifactError(f"{folder / ENSEMBLE}: members are folders beside it, not {names}")
        return cls([PropertyModule.from_pretrained(folder / name) for name in names], scale)


def is_ensemble(folder: str | Path) -> bool:
    """Whether a folder is one that ``save_ensemble`` wrote."""
    return (Path(folder) / ENSEMBLE).is_file()


def save_ensemble(
    folder: str | Path,
    members: Sequence[str | Path],
    scale: Mapping[str, float],
    *,
    files: Mapping[str, str] | None = None,
) -> Path:
    """Writes a folder with a copy of each member's artifact, at once.

    Args:
        folder: Made, or replaced if it is an ensemble already.
        members: Artifacts, runs, or hub ids.
        scale: As :class:`Ensemble` takes it.
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
    }
    with atomic_folder(folder) as draft:
        for name, artifact in zip(names, artifacts, strict=True):
            artifact.save(draft / name)
        (draft / ENSEMBLE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        for name, text in (files or {}).items():
            (draft / name).write_text(text, encoding="utf-8")
    return folder


def _described(module: PropertyModule) -> str:
    return ", ".join(f"{name} in {module.units.get(name, '1')}" for name in module.targets)
