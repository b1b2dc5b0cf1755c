"""Many relaxations in step, by a potential that knows many crystals at once.

FIRE and the Frechet cell filter are ASE's, written for arrays that hold the rows of all crystals
end to end: of each its atoms, then three rows of its cell. Where a potential is quick, most of the
time of a small relaxation is ASE's filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.trajectories.emt import ManyCrystalPotential, PotentialResults
from crystal_data.trajectories.potentials import calculator, potential
from crystal_data.trajectories.relaxing import (
    Frame,
    RelaxationError,
    RelaxationSettings,
    check_volume,
    not_converged,
    relax,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# FIRE as ASE has it by default (Bitzek et al., Phys. Rev. Lett. 97, 170201).
_TIME_STEP, _LONGEST, _LONGER, _SHORTER = 0.1, 1.0, 1.1, 0.5
_MIXING, _LESS_MIXING, _PATIENCE = 0.1, 0.99, 5
_LARGEST_STEP = 0.2  # of all coordinates of a crystal together
_HALVINGS, _TERMS = 4, 14  # of the series of an exponential


def relax_many(
    crystals: Sequence[Crystal], name: str, settings: RelaxationSettings | None = None
) -> list[list[Frame] | RelaxationError]:
    """Relax crystals by FIRE with a Frechet cell filter, in step where the potential can do that.

    Args:
        crystals: To start from.
        name: Of the potential: ``emt``, ``chgnet``, ``sevenn``.
        settings: When to stop.

    Returns:
        Of each crystal what :func:`relax` returns, or the error that it raises.

    Raises:
        InvalidArgumentError: If there is no potential of this name.
        SourceError: If it is not installed.
    """
    kind, settings = potential(name), settings or RelaxationSettings()
    if kind.of_many is None:
        return [_relaxed(crystal, name, settings) for crystal in crystals]
    runs: list[list[Frame] | RelaxationError] = []
    for first in range(0, len(crystals), kind.num_in_step):
        block = crystals[first : first + kind.num_in_step]
        runs += relax_together(block, kind.of_many, settings)
    return runs


def _relaxed(
    crystal: Crystal, name: str, settings: RelaxationSettings
) -> list[Frame] | RelaxationError:
    try:
        return relax(crystal, calculator(name), settings)
    except RelaxationError as error:
        return error


def relax_together(
    crystals: Sequence[Crystal], of_many: ManyCrystalPotential, settings: RelaxationSettings
) -> list[list[Frame] | RelaxationError]:
    """Relax crystals in step; those that come to an end no longer take part.

    Args:
        crystals: To start from.
        of_many: The potential. What it says of a crystal does not depend on the others, but for
            rounding.
        settings: When to stop.

    Returns:
        Of each crystal its frames, or why it came to no end.
    """
    runs: list[list[Frame]] = [[] for _ in crystals]
    errors: dict[int, RelaxationError] = {}
    moving = _Moving.from_crystals(crystals)
    for step in range(settings.max_steps + 1):
        lattice, frac_coords = moving.geometry()
        results = of_many(lattice, frac_coords, moving.atomic_numbers, moving.num_atoms)
        forces = moving.forces(results)
        goes_on = moving.largest(forces) >= settings.max_force
        ends = np.cumsum(moving.num_atoms)
        for row, place in enumerate(moving.places.tolist()):
            atoms = slice(ends[row] - moving.num_atoms[row], ends[row])
            start = crystals[place]
            try:
                frame = Frame(
                    step,
                    Crystal(
                        lattice[row], frac_coords[atoms], start.atomic_numbers, start.identifier
                    ),
                    float(results.energy[row]),
                    results.forces[atoms],
                    results.stress[row],
                )
                _check(frame, start)
                runs[place].append(frame)
                if goes_on[row] and step == settings.max_steps:
                    raise not_converged(frame)
            except RelaxationError as error:
                errors[place] = error
                goes_on[row] = False
        if not goes_on.any():
            break
        moving = moving.moved(forces).only(goes_on)
    return [errors.get(place, run) for place, run in enumerate(runs)]


def _check(frame: Frame, start: Crystal) -> None:
    check_volume(frame, start)
    if not np.isfinite(frame.energy) or not np.isfinite(frame.forces).all():
        raise RelaxationError(f"failed after {frame.step} steps: forces are not finite")


@dataclass(frozen=True, eq=False)
class _Moving:
    """Crystals that are not relaxed yet, and where FIRE is with each.

    Rows of atoms are Cartesian coordinates before the deformation of the cell, Å; those of a cell
    the logarithm of its deformation times the number of atoms.

    Args:
        places: Of the crystals among those that were given; shape ``[num_crystals]``.
        undeformed: Their first lattices; shape ``[num_crystals, 3, 3]``, Å.
        atomic_numbers: Shape ``[num_atoms]``.
        num_atoms: Shape ``[num_crystals]``.
        rows: Shape ``[num_atoms + 3 num_crystals, 3]``.
        velocity: Of the rows.
        time_step: Shape ``[num_crystals]``.
        mixing: Share of the velocity that is turned along the force; shape ``[num_crystals]``.
        num_downhill: Steps since one led uphill; shape ``[num_crystals]``.
    """

    places: Integers
    undeformed: Floats
    atomic_numbers: Integers
    num_atoms: Integers
    rows: Floats
    velocity: Floats
    time_step: Floats
    mixing: Floats
    num_downhill: Integers

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> Self:
        """All of them, before the first step."""
        count = len(crystals)
        rows = [np.concatenate((one.cart_coords, np.zeros((3, 3)))) for one in crystals]
        return cls(
            places=np.arange(count),
            undeformed=np.array([one.lattice for one in crystals]),
            atomic_numbers=np.concatenate([one.atomic_numbers for one in crystals]),
            num_atoms=np.array([one.num_atoms for one in crystals]),
            rows=np.concatenate(rows),
            velocity=np.zeros((sum(map(len, rows)), 3)),
            # A step without velocity counts as one uphill, which halves this.
            time_step=np.full(count, _TIME_STEP / _SHORTER),
            mixing=np.full(count, _MIXING),
            num_downhill=np.zeros(count, dtype=np.int64),
        )

    @cached_property
    def owner(self) -> Integers:
        """Crystal of each row."""
        return np.repeat(np.arange(len(self.num_atoms)), self.num_atoms + 3)

    @cached_property
    def is_cell(self) -> NDArray[np.bool_]:
        """Whether a row is of a cell."""
        ends = np.cumsum(self.num_atoms + 3)
        return np.arange(len(self.owner)) >= (ends - 3)[self.owner]

    @cached_property
    def logarithm(self) -> Floats:
        """Of the deformations; shape ``[num_crystals, 3, 3]``."""
        return self.rows[self.is_cell].reshape(-1, 3, 3) / self.num_atoms[:, None, None]

    @cached_property
    def deformation(self) -> Floats:
        """Of columns; shape ``[num_crystals, 3, 3]``."""
        return _exponential(self.logarithm)

    def geometry(self) -> tuple[Floats, Floats]:
        """Lattices and fractional coordinates, in the images of the start."""
        inverse = np.asarray(np.linalg.inv(self.undeformed), dtype=np.float64)
        frac_coords = self._times(self.rows[~self.is_cell], inverse)
        return self.undeformed @ self.deformation.swapaxes(1, 2), frac_coords

    def forces(self, results: PotentialResults) -> Floats:
        """On the rows."""
        volume = np.abs(np.linalg.det(self.undeformed) * np.linalg.det(self.deformation))
        virial = -volume[:, None, None] * results.stress
        # The derivative by the logarithm is the adjoint of that of the exponential, which is its
        # derivative at the transpose: the corner of the exponential of a block matrix (Al-Mohy
        # and Higham, SIAM J. Matrix Anal. Appl. 30, 1639).
        blocks = np.zeros((len(virial), 6, 6))
        blocks[:, :3, :3] = blocks[:, 3:, 3:] = self.logarithm.swapaxes(1, 2)
        blocks[:, :3, 3:] = virial @ np.linalg.inv(self.deformation).swapaxes(1, 2)
        on_cells = _exponential(blocks)[:, :3, 3:] / self.num_atoms[:, None, None]
        forces = np.empty_like(self.rows)
        forces[~self.is_cell] = self._times(results.forces, self.deformation)
        forces[self.is_cell] = on_cells.reshape(-1, 3)
        return forces

    @np.errstate(divide="ignore", invalid="ignore")  # of crystals without any force
    def moved(self, forces: Floats) -> Self:
        """After one step of FIRE."""
        speed, force = (np.sqrt(self._dot(one, one)) for one in (self.velocity, forces))
        is_downhill = self._dot(forces, self.velocity) > 0
        turned = np.where(is_downhill, self.mixing * speed / force, 0.0)
        kept = np.where(is_downhill, 1 - self.mixing, 0.0)
        velocity = kept[self.owner, None] * self.velocity + turned[self.owner, None] * forces
        is_long = is_downhill & (self.num_downhill > _PATIENCE)
        longer = np.minimum(self.time_step * _LONGER, _LONGEST)
        time_step = np.where(is_long, longer, self.time_step)
        time_step = np.where(is_downhill, time_step, self.time_step * _SHORTER)
        velocity += time_step[self.owner, None] * forces
        step = time_step[self.owner, None] * velocity
        length = np.sqrt(self._dot(step, step))
        shortened = np.where(length > _LARGEST_STEP, _LARGEST_STEP / length, 1.0)
        mixing = np.where(is_long, self.mixing * _LESS_MIXING, self.mixing)
        return replace(
            self,
            rows=self.rows + shortened[self.owner, None] * step,
            velocity=velocity,
            time_step=time_step,
            mixing=np.where(is_downhill, mixing, _MIXING),
            num_downhill=np.where(is_downhill, self.num_downhill + 1, 0),
        )

    def only(self, chosen: NDArray[np.bool_]) -> Self:
        """Those crystals alone."""
        if chosen.all():
            return self
        rows = chosen[self.owner]
        return replace(
            self,
            places=self.places[chosen],
            undeformed=self.undeformed[chosen],
            atomic_numbers=self.atomic_numbers[rows[~self.is_cell]],
            num_atoms=self.num_atoms[chosen],
            rows=self.rows[rows],
            velocity=self.velocity[rows],
            time_step=self.time_step[chosen],
            mixing=self.mixing[chosen],
            num_downhill=self.num_downhill[chosen],
        )

    def largest(self, forces: Floats) -> Floats:
        """Of each crystal, over its rows."""
        starts = np.cumsum(self.num_atoms + 3) - self.num_atoms - 3
        return np.maximum.reduceat(np.linalg.norm(forces, axis=1), starts)

    def _dot(self, one: Floats, other: Floats) -> Floats:
        """Of each crystal."""
        sums = np.bincount(self.owner, (one * other).sum(axis=1), len(self.num_atoms))
        return np.asarray(sums, dtype=np.float64)

    def _times(self, vectors: Floats, matrices: Floats) -> Floats:
        """A vector of each atom times the matrix of its crystal."""
        return np.einsum("ai,aij->aj", vectors, matrices[self.owner[~self.is_cell]])


def _exponential(matrices: Floats) -> Floats:
    """Of matrices whose norms on the diagonal are not far above 1, as small strains are."""
    scaled = matrices / 2**_HALVINGS
    identity = np.eye(matrices.shape[-1])
    total = identity + scaled / _TERMS
    for term in range(_TERMS - 1, 0, -1):  # Horner's rule
        total = identity + scaled @ total / term
    for _ in range(_HALVINGS):
        total = total @ total
    return total
