"""One relaxation: cell and atoms follow a potential's forces, and the frames are kept."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.io.ase import to_ase
from crystal_data.io.ase_results import row_major

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

# A cell that grows or shrinks beyond this has fallen apart; steps on the way to it teach nothing.
_VOLUME_RATIOS = (0.3, 3.0)


class RelaxationError(CrystalError, RuntimeError):
    """A relaxation that came to no end; the message says why."""


@dataclass(frozen=True)
class RelaxationSettings:
    """How far a relaxation goes.

    Args:
        max_force: Largest force on an atom, or on the cell as the filter has it, at the end, eV/Å.
        max_steps: More than this is no convergence.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    max_force: float = 0.05
    max_steps: int = 500

    def __post_init__(self) -> None:
        if not self.max_force > 0:
            raise InvalidArgumentError(f"max_force is {self.max_force}; it is positive, in eV/Å")
        if self.max_steps < 1:
            raise InvalidArgumentError(f"max_steps is {self.max_steps}; at least 1 is needed")


@dataclass(frozen=True, eq=False)
class Frame:
    """A step of a relaxation.

    Args:
        step: From 0.
        crystal: Cell and atoms, not wrapped, so that atoms never jump.
        energy: Of the cell, eV.
        forces: Shape ``[num_atoms, 3]``, eV/Å.
        stress: ASE's sign; shape ``[3, 3]``, eV/Å³.
    """

    step: int
    crystal: Crystal
    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


def relax(
    crystal: Crystal, calculator: "Calculator", settings: RelaxationSettings | None = None
) -> list[Frame]:
    """Relax cell and atoms by FIRE with a Frechet cell filter.

    Args:
        crystal: To start from.
        calculator: ASE's; it gives energy, forces and stress.
        settings: When to stop.

    Returns:
        A frame for each step, the first as given, the last with small forces.

    Raises:
        RelaxationError: If it does not converge, the cell falls apart, or the calculator fails.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    settings = settings or RelaxationSettings()
    atoms = to_ase(crystal.replace(properties={}))
    atoms.calc = calculator
    frames: list[Frame] = []

    def keep() -> None:
        frames.append(_frame(len(frames), crystal, atoms))
        check_volume(frames[-1], crystal)

    with warnings.catch_warnings():
        # Of libraries that potentials are made with.
        warnings.simplefilter("ignore")
        try:
            optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
            optimizer.attach(keep)
            converged = optimizer.run(fmax=settings.max_force, steps=settings.max_steps)
        except RelaxationError:
            raise
        except Exception as error:  # what a potential makes of strange geometries
            what = f"{type(error).__name__}: {error}"
            raise RelaxationError(f"failed after {len(frames)} steps: {what}") from error
    if not converged:
        raise not_converged(frames[-1])
    return frames


def check_volume(frame: Frame, start: Crystal) -> None:
    """Raise if the cell has fallen apart.

    Raises:
        RelaxationError: If the volume is far from that of the start.
    """
    ratio = frame.crystal.volume / start.volume
    if not _VOLUME_RATIOS[0] < ratio < _VOLUME_RATIOS[1]:
        raise RelaxationError(
            f"the cell falls apart: its volume is {ratio:.2f} times the first after "
            f"{frame.step} steps"
        )


def not_converged(last: Frame) -> RelaxationError:
    """What is said of a relaxation that used up its steps."""
    force = np.linalg.norm(last.forces, axis=1).max()
    return RelaxationError(
        f"not converged after {last.step} steps: the largest force on an atom is {force:.3f} eV/Å"
    )


def _frame(step: int, start: Crystal, atoms: "Atoms") -> Frame:
    cell = np.array(atoms.cell)
    # Not ASE's scaled positions, which are wrapped.
    frac_coords = np.linalg.solve(cell.T, atoms.positions.T).T
    stress = row_major("stress", np.asarray(atoms.get_stress(), dtype=np.float64))
    return Frame(
        step,
        Crystal(cell, frac_coords, start.atomic_numbers, start.identifier),
        float(atoms.get_potential_energy()),
        np.array(atoms.get_forces(), dtype=np.float64),
        stress.reshape(3, 3),
    )
