"""Ewald sums, Born–Mayer energies and the tables against independent values."""

import numpy as np
import pytest
from numpy.typing import NDArray

from crystal_data.builtin.energy import GPA, IonicModel, formation_energy
from crystal_data.builtin.ewald import COULOMB, ewald_energy, image_distances
from crystal_data.builtin.ions import KJ_PER_MOL, Ion, atoms, shannon_radii
from crystal_data.builtin.prototypes import PROTOTYPES

TYPES = {prototype.name: prototype for prototype in PROTOTYPES}


@pytest.mark.parametrize(
    ("name", "charges", "formula_units", "madelung"),
    [
        # E = -M k/r0 per formula unit with the charges put in, r0 the nearest distance; values as
        # tabulated by D. Quane, J. Chem. Educ. 47, 396 (1970), and in Kittel's textbook.
        ("rock salt", (1, -1), 1, 1.747565),
        ("caesium chloride", (1, -1), 1, 1.762675),
        ("zinc blende", (1, -1), 1, 1.638055),
        ("fluorite", (2, -1), 1, 5.03878),
        ("cuprite", (1, -2), 2, 4.4425),
    ],
)
def test_madelung_constants(
    name: str, charges: tuple[int, int], formula_units: int, madelung: float
) -> None:
    prototype = TYPES[name]
    q = np.array(charges, dtype=float)[prototype.slot_of_atom]
    distance = image_distances(prototype.lattice, prototype.frac_coords, 2.0)
    nearest = distance[:, q > 0][:, :, q < 0].min()
    energy = ewald_energy(prototype.lattice, prototype.frac_coords, q) / formula_units
    assert -energy * nearest / COULOMB == pytest.approx(madelung, rel=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_ewald_agrees_with_pymatgen_in_any_cell(seed: int) -> None:
    from pymatgen.core import Lattice, Structure
    from pymatgen.core.ewald import EwaldSummation

    rng = np.random.default_rng(seed)
    num_atoms = int(rng.integers(1, 9)) * 2
    lattice = rng.normal(size=(3, 3)) + np.diag(rng.uniform(2.5, 8.0, size=3))
    frac_coords = rng.uniform(-2, 2, size=(num_atoms, 3))
    charges = rng.normal(size=num_atoms)
    charges -= charges.mean()
    structure = Structure(Lattice(lattice), ["Na"] * num_atoms, frac_coords)
    structure.add_oxidation_state_by_site(list(charges))
    expected = EwaldSummation(structure, acc_factor=14).total_energy
    got = ewald_energy(lattice, frac_coords, charges)
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_ewald_energy_belongs_to_the_crystal_and_not_to_its_cell() -> None:
    rng = np.random.default_rng(5)
    lattice = np.diag([3.0, 4.0, 5.0]) + rng.normal(scale=0.4, size=(3, 3))
    frac_coords, charges = rng.uniform(size=(4, 3)), np.array([2.0, -1.0, -2.0, 1.0])
    energy = ewald_energy(lattice, frac_coords, charges)
    shear = np.array([[1, 0, 0], [2, 1, 0], [0, -1, 1]])
    moved = frac_coords + rng.uniform(size=3) + rng.integers(-3, 3, size=(4, 3))
    sheared = ewald_energy(shear @ lattice, moved @ np.linalg.inv(shear), charges)
    assert sheared == pytest.approx(energy, rel=1e-8)
    double = np.diag([2, 1, 1])
    doubled = np.concatenate([frac_coords, frac_coords + np.eye(3)[0]]) @ np.linalg.inv(double)
    twice = ewald_energy(double @ lattice, doubled, np.tile(charges, 2))
    assert twice == pytest.approx(2 * energy, rel=1e-8)


def test_ewald_refuses_a_charged_cell() -> None:
    with pytest.raises(ValueError, match=r"net charge of \+1 e"):
        ewald_energy(np.eye(3) * 4, np.zeros((1, 3)), np.ones(1))


def _rock_salt(a: float) -> IonicModel:
    prototype = TYPES["rock salt"]
    charges, radii = np.array([1.0, -1.0]), np.array([1.02, 1.81])
    return IonicModel(prototype.lattice * a, prototype.frac_coords, charges, radii)


def test_sodium_chloride_as_in_textbooks() -> None:
    model = _rock_salt(5.64)
    scale = model.equilibrium()
    a = 5.64 * scale
    assert a / 2 == pytest.approx(2.82, abs=0.01)  # measured bond, Å
    energy = model.energy(scale)
    # Kittel, Introduction to Solid State Physics, alkali halides: -182.6 kcal/mol.
    assert energy == pytest.approx(-7.92, abs=0.05)
    assert _rock_salt(a).bulk_modulus() == pytest.approx(24.0, abs=2.5)  # measured, GPa
    formation = formation_energy(energy, [Ion("Na", 1), Ion("Cl", -1)])
    assert formation == pytest.approx(-411 * KJ_PER_MOL, abs=0.4)  # measured enthalpy


def test_derivatives_are_those_of_the_energy() -> None:
    model, h = _rock_salt(5.5), 1e-4
    energies = np.array([model.energy(s) for s in (1 - h, 1, 1 + h)])
    assert model.slope() == pytest.approx((energies[2] - energies[0]) / (2 * h), rel=1e-6)
    assert model.curvature() == pytest.approx(energies @ [1, -2, 1] / h**2, rel=1e-4)

    def energies_of(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([model.energy((v / model.volume) ** (1 / 3)) for v in volumes])

    step = model.volume * 1e-3
    second = energies_of(model.volume + step * np.array([-1.0, 0.0, 1.0])) @ [1, -2, 1] / step**2
    assert model.bulk_modulus() == pytest.approx(GPA * model.volume * second, rel=1e-4)


def test_scaling_the_model_is_scaling_the_cell() -> None:
    assert _rock_salt(5.2).energy(1.1) == pytest.approx(_rock_salt(5.72).energy(), abs=1e-3)


def test_a_model_without_a_minimum_says_so() -> None:
    with pytest.raises(ValueError, match="no minimum"):
        _rock_salt(20.0).equilibrium()


def test_tables_agree_with_pymatgen() -> None:
    from pymatgen.core import Element

    roman = dict(enumerate("I II III IV V VI VII VIII IX X XI XII".split(), start=1))
    for ion, radii in shannon_radii().items():
        published = Element(ion.symbol).data["Shannon radii"][str(ion.charge)]
        assert list(radii) == sorted(radii)
        for coordination, radius in radii.items():
            spins = published[roman[coordination]]
            assert radius == spins.get("High Spin", next(iter(spins.values())))["ionic_radius"]
    for symbol, atom in atoms().items():
        energies = Element(symbol).data["Ionization energies"][: len(atom.ionisation)]
        np.testing.assert_allclose(atom.ionisation, energies, atol=1e-4)
        if atom.affinity:
            first = Element(symbol).data["Electron affinity"]
            assert atom.affinity[0] == pytest.approx(first, abs=1e-4)


def test_every_ion_has_all_it_needs() -> None:
    for ion in shannon_radii():
        atom = atoms()[ion.symbol]
        assert 0 < atom.atomisation < 10, ion
        if ion.charge > 0:
            assert len(atom.ionisation) >= ion.charge, ion
            assert list(atom.ionisation) == sorted(atom.ionisation), ion
        else:
            assert len(atom.affinity) == -ion.charge, ion
