"""Relaxations as a source of crystals: what is relaxed, with what the relaxation changes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from crystal_data.crystal import Trajectory
from crystal_data.errors import InvalidArgumentError, Reason, Rejection
from crystal_data.field import Field, TurnsAs
from crystal_data.io.record import SPLIT_NAMES, Record, Split
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.split_paths import SplitPaths
from crystal_data.trajectories.read import iter_trajectories, trajectory_files
from crystal_data.trajectories.relaxation import change_between

logger = logging.getLogger(__name__)

#: What a relaxation changes, as columns.
STRAIN = Field("relaxation_strain", "1", "crystal", (3, 3), "symmetric_tensor")
DISPLACEMENT = Field("relaxation_displacement", "Å", "atom", (3,), "vector")

Starts = Literal["first", "any"]
_LARGE_FORCE = 0.1  # eV/Å; more than this is no end of a relaxation


class RelaxationSource(CrystalSource):
    """The first frames of relaxations, labelled with the way to the last.

    Columns are ``relaxation_strain`` and ``relaxation_displacement`` (``Change``), which are zero
    for any other description of the same crystal, ``relaxation_energy`` (eV/atom that it brings),
    ``residual_force`` (of the last frame, eV/Å), ``trajectory``, ``group``, ``step`` (of the frame
    in its run), ``origin`` and ``functional`` where the data say them. To keep what belongs
    together in one split, draw it by ``RatioSplit(group="chemical_system")`` or ``"group"``.

    Many runs of LeMat-Traj lack their last frame, which the fetcher compared the others with and
    did not keep. ``residual_force`` shows it; ``max_residual_force`` leaves such runs out. Runs of
    several calculations are put in order by their frames (``trajectories.order``).

    Args:
        path: File or folder that :func:`iter_trajectories` reads, whose files may be called train,
            val and test; or give one for each split.
        train: File or folder of the training runs.
        val: File or folder of the validation runs.
        test: File or folder of the test runs.
        starts: ``"any"`` takes every frame but the last as a start in training. Validation and
            test are from the first frame always, so the data have to say what is trained on.
        max_residual_force: Leave out runs whose last frame has a larger force, eV/Å; None takes
            all, those without forces too.
        name: Short name; by default that of the file or folder.

    Raises:
        InvalidArgumentError: If paths or options do not go together.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        starts: Starts = "first",
        max_residual_force: float | None = None,
        name: str | None = None,
    ) -> None:
        self._paths = SplitPaths.of(type(self).__name__, path, train=train, val=val, test=test)
        if max_residual_force is not None and not max_residual_force > 0:
            raise InvalidArgumentError(
                f"max_residual_force is {max_residual_force}; it is a positive force in eV/Å"
            )
        self._starts = starts
        self._max_residual_force = max_residual_force
        self._name = name or self._paths.stem

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def units(self) -> dict[str, str]:
        return {
            STRAIN.name: STRAIN.unit,
            DISPLACEMENT.name: DISPLACEMENT.unit,
            "relaxation_energy": "eV/atom",
            "residual_force": "eV/Å",
            "step": "1",
        }

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        return {STRAIN.name: STRAIN.turns_as, DISPLACEMENT.name: DISPLACEMENT.turns_as}

    @override
    def fingerprint(self) -> str:
        files = [file for _, path in self._paths.existing() for file in trajectory_files(path)]
        options = {
            "splits": [split for split, _ in self._paths.paths],
            "starts": self._starts,
            "max_residual_force": self._max_residual_force,
        }
        return combine_fingerprint(self, hash_files(files), options)

    @override
    def records(self) -> Iterator[Record | Rejection]:
        return reject_duplicates(self._all())

    def trajectories(self) -> Iterator[Trajectory | Rejection]:
        """The runs, each in its split."""
        for split, path in self._paths.existing():
            yield from iter_trajectories(path, split)

    def _all(self) -> Iterator[Record | Rejection]:
        num_runs, num_large = 0, 0
        for item in self.trajectories():
            if isinstance(item, Rejection):
                yield item
                continue
            reason = self._unusable(item)
            if reason is not None:
                yield Rejection(item.identifier, item.file, "read", Reason.NOT_RELAXED, reason)
                continue
            num_runs += 1
            num_large += item.residual_force > _LARGE_FORCE
            yield from self._records(item)
        if num_large:
            logger.warning(
                "%s: %d of %d runs end with a force above %g eV/Å, so their last frames are no "
                "relaxed crystals; max_residual_force leaves them out",
                self.name,
                num_large,
                num_runs,
                _LARGE_FORCE,
            )

    def _unusable(self, run: Trajectory) -> str | None:
        if len(run.frames) < 2:
            return "there is one frame alone, and no change to learn"
        limit, force = self._max_residual_force, run.residual_force
        if limit is not None and not force <= limit:
            found = "unknown" if np.isnan(force) else f"{force:.3f} eV/Å"
            return (
                f"the largest force of its last frame is {found}, more than {limit:g} eV/Å: it is "
                "no relaxed crystal"
            )
        return None

    def _records(self, run: Trajectory) -> Iterator[Record]:
        end = run.frames[-1]
        if self._starts == "any" and not run.split:
            raise InvalidArgumentError(
                f"{self.name}: starts 'any' is for training alone, and nothing says whether "
                f"{run.identifier} is trained on",
                "give train=, val= and test=, or a folder with files of these names",
            )
        takes_all = self._starts == "any" and run.split == "train"
        for place in range(len(run.frames) - 1 if takes_all else 1):
            start = run.frames[place]
            change = change_between(start, end)
            gained = float(run.energies[place] - run.energies[-1]) / end.num_atoms
            properties: dict[str, Any] = {
                STRAIN.name: change.strain.ravel(),
                DISPLACEMENT.name: change.displacement,
                "relaxation_energy": gained,
                "residual_force": run.residual_force,
                "step": float(run.steps[place]),
                "trajectory": run.identifier,
                "group": run.group,
                **run.properties,
            }
            yield Record(
                identifier=f"{run.identifier}/{run.steps[place]}" if place else run.identifier,
                structure=start,
                format="crystal",
                properties=properties,
                split=_split(run.split),
                parent=run.parent,
                file=run.file,
                fields={STRAIN.name: STRAIN, DISPLACEMENT.name: DISPLACEMENT},
            )


def _split(name: str) -> Split:
    return next((split for split in SPLIT_NAMES if split == name), "")
