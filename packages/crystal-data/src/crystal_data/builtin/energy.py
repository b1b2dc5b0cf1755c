"""Born–Mayer energy of an ionic crystal and its Born–Haber cycle."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystal_data.builtin.ewald import COULOMB, ewald_energy, image_distances
from crystal_data.builtin.ions import Ion

GPA = 160.21766  # GPa in one eV/Å³
RANGE = 0.345  # Å; M. Born and J. E. Mayer, Z. Phys. 75, 1 (1932), for the alkali halides

# Share of one bond's Coulomb force that its repulsion balances at the sum of the radii; from it
# rock salt NaCl comes out with its measured bond of 2.82 Å.
_BALANCE = 0.22
_NEGLIGIBLE = 9.0  # ranges beyond touching at which repulsion ends: exp(-9) is 1e-4


class IonicModel:
    """Energy of an arrangement of ions when the cell grows or shrinks as a whole.

    Point charges attract by their Ewald sum; each pair repels by
    ``(_BALANCE · k|q_i q_j|/R²) · RANGE · exp((R - r)/RANGE)``, ``R`` the sum of both radii.

    Args:
        lattice: Rows are a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``, dimensionless.
        charges: Formal charges; shape ``[num_atoms]``.
        radii: Ionic radii; shape ``[num_atoms]``, Å.
    """

    def __init__(
        self,
        lattice: NDArray[np.float64],
        frac_coords: NDArray[np.float64],
        charges: NDArray[np.float64],
        radii: NDArray[np.float64],
    ) -> None:
        self.volume = float(abs(np.linalg.det(lattice)))
        self.coulomb = ewald_energy(lattice, frac_coords, charges)
        contact = radii[:, None] + radii[None, :]
        distance = image_distances(lattice, frac_coords, contact.max() + _NEGLIGIBLE * RANGE)
        contact = np.broadcast_to(contact, distance.shape)
        products = np.broadcast_to(np.abs(np.outer(charges, charges)), distance.shape)
        close = distance < contact + _NEGLIGIBLE * RANGE
        self._distance, self._contact = distance[close], contact[close]
        # Each pair is in the list from both of its ends.
        self._strength = 0.5 * _BALANCE * COULOMB * RANGE * products[close] / self._contact**2

    def _repulsion(self, scale: float) -> NDArray[np.float64]:
        return self._strength * np.exp((self._contact - scale * self._distance) / RANGE)

    def energy(self, scale: float = 1.0) -> float:
        """Energy of the cell with every length multiplied by ``scale``, eV."""
        return self.coulomb / scale + float(self._repulsion(scale).sum())

    def slope(self, scale: float = 1.0) -> float:
        """First derivative of the energy by the scale, eV."""
        repulsion = float(self._repulsion(scale) @ self._distance) / RANGE
        return -self.coulomb / scale**2 - repulsion

    def curvature(self, scale: float = 1.0) -> float:
        """Second derivative of the energy by the scale, eV."""
        repulsion = float(self._repulsion(scale) @ self._distance**2) / RANGE**2
        return 2 * self.coulomb / scale**3 + repulsion

    def equilibrium(self) -> float:
        """The scale of least energy.

        Raises:
            ValueError: If there is none within a factor of 1.6.
        """
        from scipy.optimize import brentq

        low, high = 1 / 1.6, 1.6
        if not self.slope(low) < 0 < self.slope(high):
            raise ValueError("the energy has no minimum near the given cell")
        return float(brentq(self.slope, low, high, xtol=1e-12))

    def bulk_modulus(self) -> float:
        """``V d²E/dV²`` at the given size, atoms moving with the cell; GPa."""
        return GPA * (self.curvature() - 2 * self.slope()) / (9 * self.volume)


def formation_energy(lattice_energy: float, ions: Sequence[Ion]) -> float:
    """Enthalpy of the crystal against its elements as they stand at 298 K: the Born–Haber cycle.

    Args:
        lattice_energy: Of one cell against its gaseous ions, eV.
        ions: All ions of the cell.

    Returns:
        Energy of the cell, eV.
    """
    return lattice_energy + sum(ion.gas_enthalpy for ion in ions)
