"""The one value that passes between packages, readers, models and writers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import cos, gcd, isfinite, radians, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError, Reason

_MIN_VOLUME = 1e-3  # Å³


@dataclass(frozen=True, eq=False)
class Crystal:
    """A periodic arrangement of atoms, ordered and fully occupied. Immutable.

    Args:
        lattice: Rows are a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Any image; shape ``[num_atoms, 3]``, dimensionless.
        atomic_numbers: Z from 1 to 118; shape ``[num_atoms]``.
        identifier: The data set's own id, such as ``"mp-149"``.
        properties: Named values that belong to this structure: numbers, strings, arrays.
        notes: What a reader had to decide to make a crystal of a file, a sentence each.

    Raises:
        InvalidCrystalError: If shapes disagree, there are no atoms, a number is not finite, an
            element does not exist, or the cell has no volume.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    identifier: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lattice = _frozen(self.lattice, np.float64)
        frac_coords = _frozen(self.frac_coords, np.float64)
        atomic_numbers = _frozen(self.atomic_numbers, np.int64)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "frac_coords", frac_coords)
        object.__setattr__(self, "atomic_numbers", atomic_numbers)
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))
        if lattice.shape != (3, 3):
            raise self._invalid(Reason.BAD_CELL, f"lattice has shape {lattice.shape}, not (3, 3)")
        volume = _volume(lattice)
        if not isfinite(volume) and not np.isfinite(lattice).all():
            raise self._invalid(Reason.BAD_CELL, "lattice has a value that is not finite")
        if atomic_numbers.ndim != 1 or frac_coords.shape != (len(atomic_numbers), 3):
            raise self._invalid(
                Reason.BAD_COORDINATES,
                f"frac_coords {frac_coords.shape} do not fit atomic_numbers {atomic_numbers.shape}",
            )
        if len(atomic_numbers) == 0:
            raise self._invalid(Reason.NO_ATOMS, "there are no atoms")
        # One sum is quicker than a look at each; large numbers may overflow in it.
        if not isfinite(frac_coords.sum()) and not np.isfinite(frac_coords).all():
            raise self._invalid(Reason.BAD_COORDINATES, "a coordinate is not finite")
        if atomic_numbers.min() < 1 or atomic_numbers.max() >= len(SYMBOLS):
            raise self._invalid(Reason.UNKNOWN_ELEMENT, "an atomic number is outside 1 to 118")
        if volume < _MIN_VOLUME:
            raise self._invalid(Reason.BAD_CELL, f"the cell's volume is {self.volume:.2g} Å³")

    def _invalid(self, reason: Reason, detail: str) -> InvalidCrystalError:
        return InvalidCrystalError(self.identifier, reason, detail)

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType does not pickle, so a Crystal travels as its arguments.
        arrays = (self.lattice, self.frac_coords, self.atomic_numbers)
        return type(self), (*arrays, self.identifier, dict(self.properties), self.notes)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    @property
    def num_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.atomic_numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Lengths of a, b, c; shape ``[3]``, Å."""
        return np.linalg.norm(self.lattice, axis=1)

    @property
    def angles(self) -> NDArray[np.float64]:
        """Angles α (b, c), β (a, c), γ (a, b); shape ``[3]``, degrees."""
        unit = self.lattice / self.lengths[:, None]
        cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
        return np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))

    @cached_property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian coordinates of the stored images; shape ``[num_atoms, 3]``, Å."""
        return self.frac_coords @ self.lattice

    @property
    def species(self) -> list[str]:
        """Element symbol of each atom."""
        return [SYMBOLS[z] for z in self.atomic_numbers]

    @cached_property
    def composition(self) -> dict[str, int]:
        """Atoms of each element in the cell, by symbol, least electronegative first."""
        numbers, counts = np.unique(self.atomic_numbers, return_counts=True)
        amounts = {SYMBOLS[z]: int(n) for z, n in zip(numbers, counts, strict=True)}
        return dict(sorted(amounts.items(), key=lambda item: (ELECTRONEGATIVITY[item[0]], item[0])))

    @property
    def formula(self) -> str:
        """Reduced formula, such as ``"NaCl"``: whole numbers without a common factor."""
        factor = gcd(*self.composition.values())
        parts = ((symbol, n // factor) for symbol, n in self.composition.items())
        return "".join(symbol if n == 1 else f"{symbol}{n}" for symbol, n in parts)

    @property
    def chemical_system(self) -> str:
        """Element symbols in alphabetical order, such as ``"Cl-Na"``."""
        return "-".join(sorted(self.composition))

    def __repr__(self) -> str:
        a, b, c = self.lengths
        name = f" {self.identifier}" if self.identifier else ""
        return f"<Crystal{name} {self.formula}, {self.num_atoms} atoms, {a:.3f} {b:.3f} {c:.3f} Å>"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one relaxation or dynamics run, first to last.

    Args:
        frames: The same atoms in the same order in each; images as the run left them.
        energies: Total energy of each frame, eV, NaN where it is not known; ``[num_frames]``.
        forces: ``[num_atoms, 3]`` of each frame, eV/Å, NaN where they are not known.
        group: What must not be split between train and test, such as the material's id.
        identifier: Of the run; by default the group.
        steps: Number of each frame in the run; by default 0, 1, 2, …
        parent: The material that the first frame was made from; empty if there is none.
        split: ``"train"``, ``"val"``, ``"test"``, or empty where the data have no splits.
        properties: What else is known of the run: numbers and text.
        file: Where it stands, for messages.

    Raises:
        InvalidArgumentError: If there are no frames, or they do not go together.
    """

    frames: tuple[Crystal, ...]
    energies: NDArray[np.float64]
    forces: tuple[NDArray[np.float64], ...]
    group: str
    identifier: str = ""
    steps: tuple[int, ...] = ()
    parent: str = ""
    split: str = ""
    properties: Mapping[str, float | str] = field(default_factory=dict)
    file: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identifier", self.identifier or self.group)
        object.__setattr__(self, "steps", self.steps or tuple(range(len(self.frames))))
        name = f"trajectory {self.identifier}"
        if not self.frames:
            raise InvalidArgumentError(f"{name} has no frames")
        counts = {len(self.frames), len(self.energies), len(self.forces), len(self.steps)}
        if len(counts) > 1:
            raise InvalidArgumentError(
                f"{name}: {len(self.frames)} frames, {len(self.energies)} energies, "
                f"{len(self.forces)} force arrays and {len(self.steps)} step numbers; each frame "
                "needs one of each"
            )
        for step, frame in enumerate(self.frames):
            if not np.array_equal(frame.atomic_numbers, self.frames[0].atomic_numbers):
                raise InvalidArgumentError(f"{name}: frame {step} has other atoms")

    @property
    def residual_force(self) -> float:
        """Largest force on an atom of the last frame, eV/Å; NaN where it is not known."""
        return float(np.linalg.norm(self.forces[-1], axis=1).max())


class CrystalArrays(NamedTuple):
    """Many crystals end to end."""

    lattice: NDArray[np.float64]  # [num_crystals, 3, 3], Å
    frac_coords: NDArray[np.float64]  # [num_atoms of all, 3], dimensionless
    atomic_numbers: NDArray[np.int64]  # [num_atoms of all]
    num_atoms: NDArray[np.int64]  # [num_crystals]


def end_to_end(crystals: Sequence[Crystal]) -> CrystalArrays:
    """The arrays of many crystals, or of none, one after the other."""
    no_numbers = np.empty(0, dtype=np.int64)
    return CrystalArrays(
        np.array([crystal.lattice for crystal in crystals]).reshape(-1, 3, 3),
        np.concatenate([np.empty((0, 3)), *(crystal.frac_coords for crystal in crystals)]),
        np.concatenate([no_numbers, *(crystal.atomic_numbers for crystal in crystals)]),
        np.array([crystal.num_atoms for crystal in crystals], dtype=np.int64),
    )


def lattice_from_parameters(
    lengths: Sequence[float] | NDArray[np.float64], angles: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Lattice matrix with a along x and b in the xy plane.

    Args:
        lengths: a, b, c; Å.
        angles: α, β, γ; degrees.

    Returns:
        Rows a, b, c; shape ``[3, 3]``, Å.

    Raises:
        InvalidArgumentError: If no cell has these angles.
    """
    # Plain numbers: for three, arrays take several times as long.
    a, b, c = (float(length) for length in lengths)
    cosines = [cos(radians(angle)) for angle in angles]
    # Exact right angles stay exact, so that cubic cells have true zeros.
    cos_alpha, cos_beta, cos_gamma = (0.0 if abs(x) < 1e-15 else x for x in cosines)
    sin_gamma = sqrt(1.0 - cos_gamma**2)
    if sin_gamma < 1e-9:
        raise InvalidArgumentError(f"gamma of {angles[2]} degrees makes a and b parallel")
    c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    c_z_squared = 1.0 - cos_beta**2 - c_y**2
    if c_z_squared <= 0.0:
        raise InvalidArgumentError(f"no cell has the angles {np.asarray(angles)} degrees")
    return np.array(
        [
            [a, 0.0, 0.0],
            [b * cos_gamma, b * sin_gamma, 0.0],
            [c * cos_beta, c * c_y, c * sqrt(c_z_squared)],
        ]
    )


def _volume(lattice: NDArray[np.float64]) -> float:
    # Plain numbers: of a 3 by 3 matrix NumPy's determinant takes five times as long.
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = lattice.tolist()
    along = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return float(abs(along))


def _frozen(values: ArrayLike, dtype: type) -> NDArray[Any]:
    array: NDArray[Any] = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array
