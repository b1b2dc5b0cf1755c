"""Rows of LeMat-Traj, one for each frame, as trajectories and back."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, Trajectory
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.site_lists import OPTIMADE_COLUMNS, crystal_from_optimade

if TYPE_CHECKING:
    import pyarrow

Row = Mapping[str, Any]

ID, NUMBER, STEP = "id", "relaxation_number", "relaxation_step"
NEEDED = (ID, STEP, *OPTIMADE_COLUMNS)
# Read where they are there; the last three are of data sets of this form that are not LeMat-Traj.
OPTIONAL = (
    "immutable_id",
    NUMBER,
    "energy",
    "forces",
    "functional",
    "cross_compatibility",
    "parent",
    "origin",
    "split",
)
_PROPERTIES = ("functional", "origin")
_OWN = {"energy", "forces", "stress"}  # results of a frame; a trajectory has them, or has no use


def trajectory_id(frame_id: str) -> str:
    """The run that a frame belongs to: its id without the last part, which counts the frames."""
    return frame_id.rpartition("-")[0] or frame_id


def trajectory_of(rows: Sequence[Row], identifier: str, file: str, split: str = "") -> Trajectory:
    """The trajectory of rows that are in order.

    Args:
        rows: Of one run, first to last.
        identifier: Of the run.
        file: Where it stands.
        split: Of the file, which counts more than a column.

    Raises:
        InvalidCrystalError: If a row is no crystal, or frames differ in their atoms.
    """
    first = rows[0]
    frames = tuple(crystal_from_optimade(identifier, row) for row in rows)
    for step, frame in zip((row[STEP] for row in rows), frames, strict=True):
        if not np.array_equal(frame.atomic_numbers, frames[0].atomic_numbers):
            detail = f"step {step} has other atoms than the first frame, or another order of them"
            raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    compatible = first.get("cross_compatibility")
    return Trajectory(
        frames=frames,
        energies=np.array([_number(row.get("energy")) for row in rows]),
        forces=tuple(
            _forces(row.get("forces"), frame, identifier)
            for row, frame in zip(rows, frames, strict=True)
        ),
        group=str(first.get("immutable_id") or identifier),
        identifier=identifier,
        steps=tuple(int(row[STEP] or 0) for row in rows),
        parent=str(first.get("parent") or ""),
        split=split or str(first.get("split") or ""),
        properties={
            **{name: str(first[name]) for name in _PROPERTIES if first.get(name)},
            **({} if compatible is None else {"cross_compatibility": float(compatible)}),
        },
        file=file,
    )


def schema() -> "pyarrow.Schema":
    """Columns of the files that are written: LeMat-Traj's, and ``origin`` and ``parent``."""
    import pyarrow as pa

    vectors = pa.list_(pa.list_(pa.float64()))
    return pa.schema(
        {
            ID: pa.string(),
            "immutable_id": pa.string(),
            STEP: pa.int32(),
            NUMBER: pa.int32(),
            "elements": pa.list_(pa.string()),
            "species_at_sites": pa.list_(pa.string()),
            "nsites": pa.int32(),
            "nelements": pa.int8(),
            "chemical_formula_reduced": pa.string(),
            "lattice_vectors": vectors,
            "cartesian_site_positions": vectors,
            "energy": pa.float64(),
            "forces": vectors,
            "stress_tensor": vectors,
            "functional": pa.string(),
            "origin": pa.string(),
            "parent": pa.string(),
        }
    )


def trajectory_of_frames(
    frames: Iterable[Crystal], identifier: str, file: str, split: str = ""
) -> Trajectory:
    """The trajectory of crystals in order, whose energies and forces are among their properties.

    Raises:
        InvalidCrystalError: If frames differ in their atoms.
    """
    crystals = list(frames)
    said = dict(crystals[0].properties)
    for step, frame in enumerate(crystals):
        if not np.array_equal(frame.atomic_numbers, crystals[0].atomic_numbers):
            detail = f"frame {step} has other atoms than the first, or another order of them"
            raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    return Trajectory(
        frames=tuple(frame.replace(properties={}) for frame in crystals),
        energies=np.array([_number(frame.properties.get("energy")) for frame in crystals]),
        forces=tuple(
            _forces(frame.properties.get("forces"), frame, identifier) for frame in crystals
        ),
        group=str(said.get("group") or said.get("parent") or identifier),
        identifier=identifier,
        parent=str(said.get("parent") or ""),
        split=split or str(said.get("split") or ""),
        properties={
            name: value
            for name, value in said.items()
            if name not in {*_OWN, "group", "parent", "split"} and isinstance(value, str)
        },
        file=file,
    )


def _number(value: Any) -> float:
    return nan if value is None or not isfinite(value) else float(value)


def _forces(value: Any, frame: Crystal, identifier: str) -> NDArray[np.float64]:
    if value is None:
        return np.full((frame.num_atoms, 3), np.nan)
    try:
        forces = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        detail = f"forces are no numbers: {error}"
        raise InvalidCrystalError(identifier, Reason.BAD_VALUE, detail) from None
    if forces.shape != (frame.num_atoms, 3):
        detail = f"forces have the shape {forces.shape} for {frame.num_atoms} atoms"
        raise InvalidCrystalError(identifier, Reason.BAD_VALUE, detail)
    return forces
