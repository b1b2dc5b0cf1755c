"""A request that exists is possible, and one that is not says which one would be."""

import pickle
from collections import Counter
from itertools import combinations, combinations_with_replacement, product

import numpy as np
import pytest

from crystal_data.generation import (
    GenerationRequest,
    Quantity,
    RequestError,
    WyckoffSite,
    sample_seed,
)
from crystal_data.generation.assignment import centring, count_assignments, nearest_z
from crystal_data.symmetry import SymmetricCrystal, find_symmetry, wyckoff_positions
from crystal_data.testing import rock_salt


def test_z_counts_primitive_formula_units():
    spinel = GenerationRequest(formula="MgAl2O4", z=2, space_group=227)
    assert spinel.cell == {"Mg": 2, "Al": 4, "O": 8}
    assert spinel.conventional_cell == {"Mg": 8, "Al": 16, "O": 32}
    same = GenerationRequest(formula="MgAl2O4", z_conventional=8, space_group=227)
    assert (same.z, same.cell) == (2, spinel.cell)
    salt = GenerationRequest(formula="NaCl", z=1)
    assert salt.conventional_cell == salt.cell == {"Na": 1, "Cl": 1}
    assert GenerationRequest(formula="Li2Mn4O8", z=1).cell == {"Li": 2, "Mn": 4, "O": 8}
    assert GenerationRequest(formula="NaCl").cell == {}


@pytest.mark.parametrize(("number", "points"), [(1, 1), (5, 2), (38, 2), (166, 3), (225, 4)])
def test_centring(number, points):
    assert centring(number) == points


def test_formula_and_z_follow_from_wyckoff_positions():
    asked = GenerationRequest.from_dict({"space_group": "Fd-3m", "wyckoff": "Mg:8a Al:16d O:32e"})
    assert (asked.formula, asked.z) == ("MgAl2O4", 2)
    assert asked.id == "MgAl2O4-z2-Fd-3m-ade"
    assert asked.wyckoff[1] == WyckoffSite("d", "Al")
    letters = GenerationRequest.from_dict(
        {"formula": "MgAl2O4", "space_group": 227, "wyckoff": "8a 16d 32e"}
    )
    assert (letters.z, letters.wyckoff[0].element) == (2, "")


def test_the_wish_is_kept_as_plain_values():
    asked = GenerationRequest(
        id="a",
        formula="LiMn2O4",
        z=2,
        space_group=227,
        wyckoff=(WyckoffSite("a", "Li"), WyckoffSite("d", "Mn"), WyckoffSite("e", "O")),
        properties={"band_gap": Quantity(2.0, "eV")},
        start=rock_salt(),
        num_samples=3,
        seed=7,
    )
    again = GenerationRequest.from_dict(asked.as_dict())
    assert again.as_dict() == asked.as_dict()
    assert again.key == asked.key
    assert again.wyckoff == asked.wyckoff
    assert str(again.properties["band_gap"]) == "2 eV"
    assert pickle.loads(pickle.dumps(asked)).as_dict() == asked.as_dict()
    np.testing.assert_array_equal(again.start.lattice, asked.start.lattice)


def test_the_key_is_of_what_decides():
    asked = {"id": "a", "formula": "NaCl", "z": 1}
    key = GenerationRequest(**asked).key
    assert GenerationRequest(**asked, num_samples=9).key == key
    assert GenerationRequest(**asked, seed=1).key != key
    assert GenerationRequest(**asked, space_group=225).key != key


def test_seeds_of_samples_differ_and_stay():
    first = GenerationRequest(id="a", formula="NaCl")
    second = GenerationRequest(id="b", formula="NaCl")
    reseeded = GenerationRequest(id="a", formula="NaCl", seed=1)
    seeds = {sample_seed(r, n) for r in (first, second, reseeded) for n in range(100)}
    assert len(seeds) == 300
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    assert sample_seed(first, 0) == 4506320648262068783  # a change would change all results


@pytest.mark.parametrize(
    ("formula", "composition"),
    [
        ("LiMn2O4", {"Li": 1, "Mn": 2, "O": 4}),
        ("Ca3(PO4)2", {"Ca": 3, "P": 2, "O": 8}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
    ],
)
def test_formulas(formula, composition):
    assert GenerationRequest(formula=formula).composition == composition


WRONG = {
    "nothing": ({}, "nothing is asked for; give a formula"),
    "group 231": (
        {"formula": "NaCl", "space_group": 231},
        r"space group 231 does not exist; numbers run from 1 to 230, the nearest is 230 \(Ia-3d\)",
    ),
    "group 0": ({"formula": "NaCl", "space_group": 0}, r"the nearest is 1 \(P1\)"),
    "symbol": ({"formula": "NaCl", "space_group": "Fm-3n"}, "did you mean Fm-3"),
    "element": ({"formula": "LiXx2"}, "Xx is no element; did you mean Xe"),
    "elements": ({"elements": "Li-Mm"}, "Mm is no element; did you mean"),
    "twice": ({"elements": "Li-Li"}, "Li stands twice"),
    "both": ({"formula": "NaCl", "elements": "Na-Cl"}, "formula and elements are both given"),
    "no formula": ({"formula": "12"}, "'12' is no formula"),
    "parts of atoms": ({"formula": "Li0.5CoO2"}, "holds whole atoms; LiCo2O4 would do"),
    "z 0": ({"formula": "NaCl", "z": 0}, "z is 0; expected a whole number from 1"),
    "two z": ({"formula": "NaCl", "z": 1, "z_conventional": 4}, "z and z_conventional are both"),
    "z alone": ({"elements": "Na-Cl", "z": 2}, "z is given without a formula"),
    "too large": (
        {"formula": "LiMn2O4", "z": 500},
        "z = 500 makes 3500 atoms of LiMn2O4 .* more than 1000; z = 142 is possible",
    ),
    "centring": (
        {"formula": "NaCl", "z_conventional": 6, "space_group": 225},
        r"space group 225 \(Fm-3m\) has 4 lattice points .* not 6; 4 or 8 would do",
    ),
    "no positions": (
        {"formula": "MgAl2O4", "z": 1, "space_group": 227},
        r"MgAl2O4 in the primitive cell cannot be put on the Wyckoff positions of "
        r"space group 227 \(Fd-3m\); z = 2 \(z_conventional = 8\) would do",
    ),
    "between": ({"formula": "C", "z": 5, "space_group": 227}, r"z = 4 \(.* = 16\) or 6 \("),
    "no letter": (
        {"formula": "NaCl", "space_group": 221, "wyckoff": "Na:a Cl:z"},
        r"\(Pm-3m\) has no Wyckoff letter 'z'; its letters are abcdefghijklmn",
    ),
    "multiplicity": (
        {"space_group": 225, "wyckoff": "Na:4a Cl:8b"},
        r"'8b': position b of space group 225 \(Fm-3m\) is 4b",
    ),
    "no position": ({"space_group": 225, "wyckoff": "Na:4-a"}, "'4-a' is no Wyckoff position"),
    "fixed twice": (
        {"space_group": 221, "wyckoff": "Na:1a Cl:1a"},
        "1a is a fixed point and holds one orbit; as large and not taken: 1b",
    ),
    "letters alone": ({"formula": "NaCl", "wyckoff": "ab"}, "without a space group"),
    "mixed": ({"space_group": 225, "wyckoff": "Na:4a 4b"}, "give all, or none"),
    "other amounts": (
        {"formula": "NaCl2", "space_group": 225, "wyckoff": "Na:4a Cl:4b"},
        "hold NaCl in the primitive cell, not NaCl2; they fit NaCl with z = 1",
    ),
    "other z": (
        {"formula": "NaCl", "z": 2, "space_group": 225, "wyckoff": "Na:4a Cl:4b"},
        "hold NaCl in the primitive cell, not Na2Cl2; z = 1 fits them",
    ),
    "letters of other size": (
        {"formula": "MgAl2O4", "z": 4, "space_group": 227, "wyckoff": "8a 16d 32e"},
        "hold 14 atoms .* MgAl2O4 has 7 in a formula unit, 28 with z = 4; z = 2 fits them",
    ),
    "unshareable": (
        {"formula": "NaCl3", "z": 2, "space_group": 227, "wyckoff": "16c 16d"},
        "orbits of 4, 4 atoms cannot be shared out so that they make Na2Cl6",
    ),
    "samples": ({"formula": "NaCl", "num_samples": 0}, "num_samples is 0"),
    "seed": ({"formula": "NaCl", "seed": -1}, "seed is -1"),
    "not finite": ({"formula": "NaCl", "properties": {"a": {"value": np.nan}}}, "nan is no value"),
    "no number": (
        {"formula": "C", "properties": {"a": "high"}},
        "property a is 'high'; give a num",
    ),
    "no value": ({"formula": "C", "properties": {"a": {"unit": "eV"}}}, "property a is {'unit'"),
    "no such name": ({"formula": "NaCl", "spacegroup": 1}, "no 'spacegroup'; did you mean 'space_"),
    "id": ({"id": "a\n", "formula": "NaCl"}, "characters that are not seen"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_met_says_what_can(given, message):
    with pytest.raises(RequestError, match=message) as raised:
        GenerationRequest.from_dict(given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"space_group": "Fd-3m"}, "space_group is the text 'Fd-3m'; GenerationRequest.from_dict"),
        ({"elements": "Li-O"}, "elements is the text 'Li-O'; GenerationRequest.from_dict"),
        ({"start": "salt.cif"}, "start is a str; give a Crystal"),
    ],
)
def test_texts_have_their_own_way_in(given, message):
    with pytest.raises(RequestError, match=message):
        GenerationRequest(**given)


def test_a_property_may_have_no_unit():
    asked = GenerationRequest.from_dict({"formula": "C", "properties": {"hardness": 90}})
    assert asked.properties["hardness"] == Quantity(90.0)


def test_messages_name_the_request():
    with pytest.raises(RequestError, match=r"^request wish-3: z = 500 makes"):
        GenerationRequest(id="wish-3", formula="LiMn2O4", z=500)


def by_hand(number, counts):
    """All assignments, one by one."""
    positions = wyckoff_positions(number)
    points = centring(number)
    free = [p for p in positions if p.num_free]
    fixed = [p for p in positions if not p.num_free]

    def sets(count):
        for k in range(len(fixed) + 1):
            for special in combinations(fixed, k):
                rest = count - sum(p.multiplicity // points for p in special)
                for n in range(rest + 1):
                    for general in combinations_with_replacement(free, n):
                        if sum(p.multiplicity // points for p in general) == rest:
                            yield {p.letter for p in special}

    options = [list(sets(count)) for count in counts]
    return sum(
        all(n < 2 for n in Counter(x for letters in chosen for x in letters).values())
        for chosen in product(*options)
    )


@pytest.mark.parametrize(
    ("number", "counts"),
    [
        (1, (2, 1)),
        (2, (1, 3)),
        (14, (2, 4)),
        (47, (1, 1, 2)),
        (62, (4, 4)),
        (62, (2, 4)),
        (166, (1, 2, 3)),
        (221, (1, 1, 3)),
        (225, (1, 1, 1)),
        (227, (2, 4, 8)),
        (227, (1, 2, 4)),
        (230, (4, 8)),
    ],
)
def test_assignments_are_counted_as_by_hand(number, counts):
    assert count_assignments(number, counts) == by_hand(number, counts)


def test_what_exists_is_possible():
    """The cell of any crystal with orbits is one that its group can hold, as are its letters."""
    rng = np.random.default_rng(0)
    for number in range(1, 231, 3):
        positions = wyckoff_positions(number)
        chosen = [positions[-1], positions[rng.integers(len(positions))]]
        chosen = chosen[:1] if chosen[0] is chosen[1] else chosen
        crystal = SymmetricCrystal(
            number,
            np.eye(3) * 9.0,
            np.array([8, 26][: len(chosen)]),
            tuple(p.letter for p in chosen),
            rng.random((len(chosen), 3)),
        ).to_crystal()
        points = centring(number)
        counts = [n // points for n in crystal.composition.values()]
        assert count_assignments(number, counts) >= 1
        wyckoff = " ".join(f"{x}:{p.label}" for x, p in zip(["O", "Fe"], chosen, strict=False))
        asked = GenerationRequest.from_dict({"space_group": number, "wyckoff": wyckoff})
        assert asked.conventional_cell == crystal.composition


def test_nearest_z_is_nearest():
    for number in (14, 166, 194, 225, 227, 230):
        for z in range(1, 12):
            near = nearest_z(number, {"Ca": 1, "O": 3}, z)
            fits = [n for n in range(1, 80) if count_assignments(number, [n, 3 * n])]
            below = [n for n in fits if n < z][-1:]
            assert near == below + [n for n in fits if n > z][:1]


def test_large_requests_are_checked_quickly():
    asked = GenerationRequest(formula="Ca2Al3Si3O12OH", z=16, space_group=47)
    assert count_assignments(47, list(asked.cell.values())) > 10**20


def test_a_generated_crystal_of_a_request():
    asked = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Na:4a Cl:4b"})
    assert find_symmetry(rock_salt()).space_group_number == asked.space_group
