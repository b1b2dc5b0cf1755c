"""Forces and stresses against the energy's numeric gradient; models of energies inherit these."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data.crystal import Crystal
from crystal_data.testing.builders import elongated, perovskite, random_crystals, rock_salt

_STEP = 2e-3  # Å, or of the cell
_DIRECTIONS = 3

Array = NDArray[np.float64]


class GradientContract:
    """Subclass as ``TestMyModel`` and give ``energy``, and ``forces`` or ``stress`` or both.

    The energy of each crystal, in double precision, is differentiated numerically along random
    displacements of all atoms and random strains of the cell.

    ``tolerances`` may name ``"forces"`` (eV/Å) and ``"stress"`` (eV/Å³): the difference that is
    allowed, beside the same part of the value; 1e-6 by default.
    """

    tolerances: ClassVar[dict[str, float]] = {}

    def energy(self, crystals: Sequence[Crystal]) -> Tensor:
        """Energy of the cell of each crystal, eV; float64 ``[num_crystals]``."""
        raise NotImplementedError(f"{type(self).__name__} gives no energy(crystals)")

    def forces(self, crystals: Sequence[Crystal]) -> Tensor | None:  # noqa: ARG002
        """Minus the gradient with respect to Cartesian positions, eV/Å; ``[num_atoms, 3]``."""
        return None

    def stress(self, crystals: Sequence[Crystal]) -> Tensor | None:  # noqa: ARG002
        """Gradient with respect to a strain of cell and atoms, by volume, eV/Å³; ``[n, 3, 3]``.

        A strain takes each row of the lattice to ``row @ (1 + strain)``; positive where the crystal
        wants to shrink.
        """
        return None

    def crystals(self) -> list[Crystal]:
        """The crystals that the tests use; none has its atoms where symmetry makes forces zero."""
        prototypes = [rock_salt(), perovskite(), elongated()]
        rng = np.random.default_rng(2)
        return [
            _displaced(crystal, rng.normal(0, 0.05, (crystal.num_atoms, 3)))
            for crystal in [*random_crystals(4, seed=7, max_atoms=6), *prototypes]
        ]

    def test_forces_are_the_gradient(self) -> None:
        """Work along a displacement is what the energy loses."""
        crystals = self.crystals()
        forces = self._forces(crystals)
        rng = np.random.default_rng(0)
        for _ in range(_DIRECTIONS):
            directions = [rng.normal(size=force.shape) for force in forces]
            pairs = zip(forces, directions, strict=True)
            analytic = np.array([(force * direction).sum() for force, direction in pairs])
            numeric = -self._slope(crystals, directions, _displaced)
            self._compare("forces", analytic, numeric, crystals)

    def test_forces_add_up_to_nothing(self) -> None:
        """Moving all atoms together costs no energy."""
        crystals = self.crystals()
        sums = np.array([np.abs(force.sum(0)).max() for force in self._forces(crystals)])
        self._compare("forces", sums, np.zeros(len(crystals)), crystals)

    def test_stress_is_the_gradient(self) -> None:
        """The work of a strain is stress times strain times volume."""
        crystals = self.crystals()
        stress = _array(_given(self.stress(crystals), "stress"))
        volume = np.array([crystal.volume for crystal in crystals])
        rng = np.random.default_rng(1)
        for _ in range(_DIRECTIONS):
            strains = rng.normal(size=(len(crystals), 3, 3))
            strains = (strains + strains.transpose(0, 2, 1)) / 2
            numeric = self._slope(crystals, list(strains), _strained) / volume
            self._compare("stress", (stress * strains).sum((1, 2)), numeric, crystals)

    def test_stress_is_symmetric(self) -> None:
        """A rotation of the crystal costs no energy."""
        crystals = self.crystals()
        stress = _array(_given(self.stress(crystals), "stress"))
        skew = np.abs(stress - stress.transpose(0, 2, 1)).max((1, 2))
        self._compare("stress", skew, np.zeros(len(crystals)), crystals)

    def _forces(self, crystals: Sequence[Crystal]) -> list[Array]:
        forces = _array(_given(self.forces(crystals), "forces"))
        ends = np.cumsum([crystal.num_atoms for crystal in crystals])
        return np.split(forces, ends[:-1])

    def _slope(
        self,
        crystals: Sequence[Crystal],
        directions: Sequence[Array],
        move: Callable[[Crystal, Array], Crystal],
    ) -> Array:
        """Slope of each energy along a direction, from four points: the error is of order step⁴."""

        def energies(step: float) -> Array:
            pairs = zip(crystals, directions, strict=True)
            values = self.energy([move(crystal, step * direction) for crystal, direction in pairs])
            if values.dtype != torch.float64:
                pytest.fail(f"energies are {values.dtype}; differences need double precision")
            return _array(values)

        near = energies(_STEP) - energies(-_STEP)
        far = energies(2 * _STEP) - energies(-2 * _STEP)
        slope: Array = (8 * near - far) / (12 * _STEP)
        return slope

    def _compare(
        self, name: str, analytic: Array, numeric: Array, crystals: Sequence[Crystal]
    ) -> None:
        tolerance = self.tolerances.get(name, 1e-6)
        deviation = np.abs(analytic - numeric) / (1 + np.abs(numeric))
        worst = int(deviation.argmax())
        if not deviation[worst] <= tolerance:
            pytest.fail(
                f"{name} of {crystals[worst]}: {analytic[worst]:.8g} along a direction, the energy "
                f"says {numeric[worst]:.8g}; {tolerance:.2g} is allowed"
            )


def _given(values: Tensor | None, name: str) -> Tensor:
    if values is None:
        pytest.skip(f"{name}() is not given")
    return values


def _array(values: Tensor) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    return array


def _displaced(crystal: Crystal, step: Array) -> Crystal:
    """Atoms moved by steps in Å, ``[num_atoms, 3]``."""
    moved = crystal.frac_coords + step @ np.linalg.inv(crystal.lattice)
    return crystal.replace(frac_coords=moved)


def _strained(crystal: Crystal, strain: Array) -> Crystal:
    """Cell and atoms strained, ``[3, 3]``."""
    return crystal.replace(lattice=crystal.lattice @ (np.eye(3) + strain))
