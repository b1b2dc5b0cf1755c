"""Canonical assignments against pyxtal's tables and against crystals in other cells."""

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_data.store import WYCKOFF_LETTERS, CrystalStore, OrbitColumn
from crystal_data.symmetry import (
    SymmetricCrystal,
    all_lattice_parameters,
    find_symmetry,
    free_lattice_parameters,
    wyckoff_positions,
)
from crystal_data.testing import rock_salt
from crystal_gen.wyckoff.assignment import (
    WyckoffAssignment,
    assignments_of,
)
from crystal_gen.wyckoff.relabelings import ENANTIOMORPHS, relabelings, standard_places

SHEARED = (1, 2, 3, 5, 10, 12, 13, 14, 15)
OTHERS = (16, 22, 47, 62, 69, 70, 93, 98, 123, 141, 148, 166, 194, 208, 214, 216, 225, 227, 230)


def assigned(space_group: int, text: str) -> WyckoffAssignment:
    request = GenerationRequest.from_dict({"space_group": space_group, "wyckoff": text})
    return WyckoffAssignment.from_sites(space_group, request.wyckoff)


@pytest.mark.parametrize("number", range(1, 231))
def test_relabelings_are_a_group_of_permutations(number: int) -> None:
    found = relabelings(number)
    kinds = np.array([(p.multiplicity, p.num_free) for p in wyckoff_positions(number)])
    assert (found[0] == np.arange(len(kinds))).all()
    assert (kinds[found] == kinds).all()
    assert (np.sort(found, axis=1) == found[0]).all()
    assert len(np.unique(found, axis=0)) == len(found)


def test_all_of_an_affine_space_of_eight_centres_are_found() -> None:
    # The order of AGL(3, 2): inversion centres of P-1 may become any others but for that.
    assert len(relabelings(2)) == 1344


@pytest.mark.parametrize("number", range(2, 231))
def test_relabelings_hold_those_of_pyxtal(number: int) -> None:
    symmetry = pytest.importorskip("pyxtal.symmetry")
    table = symmetry.Group(number).get_alternatives()
    own = {tuple(row) for row in relabelings(number).tolist()}
    # A row of the table says what the positions a, b, c, … become.
    for row in table["Transformed WP"]:
        places = tuple(WYCKOFF_LETTERS.index(letter) for letter in row.split())
        assert places in own, row


@pytest.mark.parametrize("number", [*SHEARED, *OTHERS, *ENANTIOMORPHS])
def test_a_crystal_in_any_cell_has_one_canonical_assignment(number: int) -> None:
    rng = np.random.default_rng(number)
    positions = wyckoff_positions(number)
    crystal, expected = None, None
    for _ in range(4):
        fixed = [p for p in positions if p.num_free == 0 and rng.random() < 0.5][:4]
        free = [p for p in positions if p.num_free]
        chosen = [*fixed, free[int(rng.integers(len(free)))], *[positions[-1]] * 3]
        crystal = made(number, [p.letter for p in chosen], rng)
        found = of_search(crystal)
        if found.space_group in (number, standard_places(number)[0]):
            expected = found
            break
    if expected is None or crystal is None:
        pytest.skip("random positions had more symmetry")
    for _ in range(6):
        assert of_search(changed(crystal, rng)) == expected


def made(number: int, letters: list[str], rng: np.random.Generator) -> Crystal:
    """Atoms of different elements, the last three of one, at random on positions of a group."""
    size = np.array([6.0, 7.1, 8.3, 80.0, 98.0, 104.0])
    parameters = all_lattice_parameters(number, size[list(free_lattice_parameters(number))])
    elements = [*range(20, 18 + len(letters)), *[18 + len(letters)] * 2]
    return SymmetricCrystal(
        number,
        lattice_from_parameters(parameters[:3], parameters[3:]),
        np.array(elements),
        tuple(letters),
        rng.random((len(letters), 3)),
    ).to_crystal()


def changed(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Other axes, another origin, sometimes the mirror image."""
    shears = np.eye(3)
    for _ in range(3):
        i, j = rng.choice(3, 2, replace=False)
        shear = np.eye(3)
        shear[i, j] = rng.integers(-1, 2)
        shears = shear @ shears
    sign = rng.choice([-1.0, 1.0])
    return crystal.replace(
        lattice=sign * shears @ crystal.lattice,
        frac_coords=crystal.frac_coords @ np.linalg.inv(shears) + rng.random(3),
    )


def of_search(crystal: Crystal) -> WyckoffAssignment:
    info = find_symmetry(crystal, 1e-3)
    letters, first = info.wyckoff_letter_per_atom, np.unique(info.orbits)
    places = [WYCKOFF_LETTERS.index(letters[atom]) for atom in first]
    orbits = list(zip(crystal.atomic_numbers[first].tolist(), places, strict=True))
    return WyckoffAssignment.from_orbits(info.space_group_number, orbits).canonical()


@pytest.mark.parametrize(
    ("number", "one", "other"),
    [
        (225, "Na:4a Cl:4b", "Na:4b Cl:4a"),
        (227, "Li:8a Mn:16d O:32e", "Li:8b Mn:16c O:32e"),
        (221, "Sr:1a Ti:1b O:3c", "Sr:1b Ti:1a O:3d"),
        (12, "Ca:2a O:4e", "Ca:2a O:4f"),  # by other axes alone
        (213, "Mn:4a Mo:12d", "Mn:4b Mo:12d"),
    ],
)
def test_equal_answers_have_one_canonical_form(number: int, one: str, other: str) -> None:
    assert assigned(number, one) != assigned(number, other)
    assert assigned(number, one).canonical() == assigned(number, other).canonical()
    assert assigned(number, one).canonical() == assigned(number, one).canonical().canonical()


def test_different_answers_stay_apart() -> None:
    assert assigned(225, "Na:4a Cl:4b").canonical() != assigned(225, "Na:4a Cl:8c").canonical()
    assert assigned(221, "Sr:1a Ti:1b O:3c").canonical() != assigned(221, "Sr:1b Ti:1a O:3c")


def test_enantiomorphic_groups_are_one_answer() -> None:
    left, right = assigned(213, "Si:4a").canonical(), assigned(212, "Si:4b").canonical()
    assert left == right
    assert left.space_group == 212
    assert left.in_group(212) == left
    assert left.in_group(213).canonical() == left
    with pytest.raises(InvalidArgumentError, match="212 is none in 214"):
        left.in_group(214)


def test_an_assignment_is_written_and_read() -> None:
    spinel = assigned(227, "O:32e Mn:16d Li:8a")
    assert str(spinel) == "Fd-3m Li:8a Mn:16d O:32e"
    assert spinel.cell == {"Li": 2, "Mn": 4, "O": 8}
    assert GenerationRequest(space_group=227, wyckoff=spinel.sites).formula == "LiMn2O4"
    assert str(spinel.exchanged({3: 12, 25: 13, 8: 8})) == "Fd-3m Mg:8a Al:16d O:32e"


def test_stored_orbits_become_canonical_assignments() -> None:
    salt = rock_salt()
    shifted = salt.replace(frac_coords=salt.frac_coords + 0.5)
    broken = Crystal(salt.lattice, np.zeros((2, 3)), np.array([11, 17]))  # atoms overlap
    store = CrystalStore.from_crystals([salt, shifted, broken])
    values = store.add_column(OrbitColumn(0.01))
    first, second, none = assignments_of(values.cut(np.arange(3)))
    assert first == second
    assert str(first) == "Fm-3m Na:4a Cl:4b"
    assert none is None
