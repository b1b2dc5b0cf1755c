"""The order of templates against trying every permutation of elements and every setting."""

from itertools import permutations

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.crystal import lattice_from_parameters
from crystal_data.elements import SYMBOLS
from crystal_data.generation import GenerationRequest, WyckoffSite
from crystal_data.store import CrystalStore
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen import Exclusion, Level, TemplateLibrary, TemplateSearch
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.settings import setting_changes


def mendeleev(symbol: str) -> float:
    from pymatgen.core import Element

    return float(Element(symbol).mendeleev_no)


def test_numbers_are_those_of_pymatgen() -> None:
    assert [mendeleev(symbol) for symbol in SYMBOLS[1:104]] == MENDELEEV_NUMBERS[1:104].tolist()
    assert MENDELEEV_NUMBERS[104] == MENDELEEV_NUMBERS[72]  # Rf below Hf
    assert MENDELEEV_NUMBERS[118] == MENDELEEV_NUMBERS[86]  # Og below Rn


def random_crystals(count: int) -> list[Crystal]:
    """Without symmetry, of few elements, so that many have equally many atoms of several."""
    rng = np.random.default_rng(1)
    shapes = ([1, 1], [1, 1, 1], [2, 1, 1], [2, 2, 1], [2, 2], [1, 1, 1, 1], [2, 2, 2])
    crystals = []
    for number in range(count):
        shape = shapes[rng.integers(len(shapes))]
        kinds = rng.choice(np.arange(3, 84), size=len(shape), replace=False)
        numbers = np.repeat(kinds, shape)
        lattice = lattice_from_parameters(rng.uniform(6, 9, 3), rng.uniform(75, 105, 3))
        points = rng.random((len(numbers), 3))
        crystals.append(Crystal(lattice, points, numbers, identifier=f"t{number}"))
    return crystals


def by_permutations(wanted: dict[str, int], crystal: Crystal) -> float:
    """Mean difference per atom of the best of all assignments; infinite if none fits."""
    has = crystal.composition
    best = np.inf
    if len(has) == len(wanted):
        for order in permutations(wanted):
            pairs = list(zip(order, has, strict=True))
            if all(wanted[new] == has[old] for new, old in pairs):
                cost = sum(abs(mendeleev(n) - mendeleev(o)) * wanted[n] for n, o in pairs)
                best = min(best, cost / sum(wanted.values()))
    return best


def test_order_by_composition_is_that_of_all_permutations() -> None:
    templates, asked = random_crystals(60), random_crystals(90)[60:]
    search = TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(templates)))
    num_found = 0
    for crystal in asked:
        wanted = crystal.composition
        formula = "".join(f"{symbol}{count}" for symbol, count in wanted.items())
        expected = [(by_permutations(wanted, each), row) for row, each in enumerate(templates)]
        expected = sorted(pair for pair in expected if np.isfinite(pair[0]))
        found = search.find(GenerationRequest(formula=formula, z=1), limit=100)
        assert [each.row for each in found] == [row for _, row in expected]
        np.testing.assert_allclose([x.distance for x in found], [x for x, _ in expected])
        num_found += len(found)
        for each in found:
            exchanged = [each.elements[z] for z in templates[each.row].atomic_numbers.tolist()]
            copy = templates[each.row].replace(atomic_numbers=np.array(exchanged))
            assert copy.composition == wanted
            cost = sum(
                abs(mendeleev(SYMBOLS[old]) - mendeleev(SYMBOLS[new])) * wanted[SYMBOLS[new]]
                for old, new in each.elements.items()
            )
            assert cost / sum(wanted.values()) == pytest.approx(each.distance)
    assert num_found > 100


# Orbits of four elements in P4/mmm, whose fixed points change places with origin.
SITES = ("a b c d", "b a d c", "a c e f", "b d f e", "a b g h", "c d h g", "e f g h", "a a g e")


def with_letters(letters: str, numbers: list[int], name: str) -> SymmetricCrystal:
    orbits = enumerate(zip(numbers, letters.split(), strict=True))
    return SymmetricCrystal.from_parameters(
        123,
        lattice_from_parameters((4.0, 4.0, 7.3), (90, 90, 90)),
        [
            (number, letter, [0.21 + 0.07 * place] if letter in "gh" else [])
            for place, (number, letter) in orbits
        ],
        identifier=name,
    )


def by_settings(wanted: dict[int, str], has: dict[int, str], counts: dict[int, int]) -> float:
    """The best of all assignments that give every element its letters in some setting."""
    best = np.inf
    for change in setting_changes(123):
        for order in permutations(wanted):
            pairs = list(zip(order, has, strict=True))
            if all(wanted[new] == change.relabel(has[old]) for new, old in pairs):
                numbers = [(SYMBOLS[n], SYMBOLS[o], counts[n]) for n, o in pairs]
                cost = sum(abs(mendeleev(n) - mendeleev(o)) * count for n, o, count in numbers)
                best = min(best, cost / sum(counts.values()))
    return best


def test_order_by_letters_is_that_of_all_settings_and_permutations() -> None:
    rng = np.random.default_rng(3)
    names = [letters for letters in SITES if letters != "a a g e"]
    templates = []
    for place in range(40):
        numbers = rng.choice(np.arange(3, 84), size=4, replace=False).tolist()
        templates.append(with_letters(names[place % len(names)], numbers, f"t{place}"))
    crystals = [each.to_crystal() for each in templates]
    library = TemplateLibrary.from_store(CrystalStore.from_crystals(crystals))
    assert set(library.space_group_number.tolist()) == {123}
    search, sizes = TemplateSearch(library), {x: 1 + (x in "efgh") for x in "abcdefgh"}
    for letters in names:
        numbers = rng.choice(np.arange(3, 84), size=4, replace=False).tolist()
        pairs = list(zip(letters.split(), numbers, strict=True))
        sites = tuple(WyckoffSite(letter, SYMBOLS[number]) for letter, number in pairs)
        request = GenerationRequest(space_group=123, wyckoff=sites)
        wanted = {number: letter for letter, number in pairs}
        counts = {number: sizes[letter] for letter, number in pairs}
        expected = []
        for row in range(len(library)):
            crystal = library.crystal(row)
            own = zip(crystal.atomic_numbers.tolist(), crystal.wyckoff_letters, strict=True)
            expected.append((by_settings(wanted, dict(own), counts), row))
        expected = sorted(pair for pair in expected if np.isfinite(pair[0]))
        found = [x for x in search.find(request, limit=100) if x.level is Level.WYCKOFF]
        assert [each.row for each in found] == [row for _, row in expected]
        np.testing.assert_allclose([x.distance for x in found], [x for x, _ in expected])
        assert len(found) >= 5


def test_levels_follow_each_other_without_repetition() -> None:
    templates = [
        with_letters("e f h g", [11, 17, 28, 51], "far"),
        with_letters("a b c d", [3, 9, 27, 50], "other counts"),
        with_letters("e h g g", [3, 9, 27, 50], "other letters"),
        with_letters("e f g h", [3, 9, 27, 50], "near"),
    ]
    crystals = [each.to_crystal() for each in templates]
    # The same composition as the first one, in another group.
    moved = crystals[3].frac_coords + np.random.default_rng(0).normal(0, 0.03, (8, 3))
    crystals.append(crystals[3].replace(frac_coords=moved, identifier="no symmetry"))
    search = TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(crystals)))
    asked = {"space_group": 123, "wyckoff": "Li:2e F:2f Co:2g Sn:2h"}
    request = GenerationRequest.from_dict(asked)

    def found(limit, **options):
        made = search.find(request, limit, **options)
        return [(search.library.identifiers[each.row], each.level) for each in made]

    by_letters = [("near", "wyckoff"), ("far", "wyckoff")]
    by_group = [*by_letters, ("other letters", "group")]
    assert found(10) == by_group
    everything = [*by_group, ("no symmetry", "composition")]
    assert found(10, fallback=Level.COMPOSITION) == everything
    for limit in (1, 2, 3):
        assert found(limit, fallback=Level.COMPOSITION) == everything[:limit]
    request = GenerationRequest.from_dict({"space_group": 123, "wyckoff": "Li:1a F:1b Co:2e Sn:4i"})
    assert search.find(request, 10, fallback=Level.COMPOSITION) == []


def test_a_free_z_takes_cells_of_any_size_and_a_given_one_its_own() -> None:
    templates = random_crystals(60)
    search = TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(templates)))

    def sizes(**asked):
        found = search.find(GenerationRequest(**asked), 100)
        return {templates[each.row].num_atoms for each in found}

    assert sizes(formula="LiF") == {2, 4}
    assert sizes(formula="LiF", z=1) == {2}
    assert sizes(formula="LiF", z=2) == {4}
    assert sizes(formula="Li2F2") == {4}  # one formula unit as it is written
    assert sizes(formula="Li2F2", z=1) == {4}
    assert sizes(formula="LiF", z=3) == set()


def test_a_request_without_a_composition_has_no_candidates(library: TemplateLibrary) -> None:
    request = GenerationRequest(elements=("Na", "Cl"))
    assert TemplateSearch(library).find(request, 5) == []


def test_more_elements_than_any_template_has(library: TemplateLibrary) -> None:
    # A composition of eight elements ended in an error about shapes of arrays.
    many = "Li:1a Na:1b K:1c Rb:1d Mg:1e Ca:1f Sr:1g Ba:1h"
    requests = [
        GenerationRequest(formula="LiNaKRbMgCaSrBa", z=1),
        GenerationRequest(formula="LiNaKRbMgCaSrBa", z=1, space_group=2),
        GenerationRequest.from_dict({"space_group": 2, "wyckoff": many}),
    ]
    search = TemplateSearch(library)
    for request in requests:
        assert search.find(request, 5, fallback=Level.COMPOSITION) == []


def test_exclusions(library: TemplateLibrary) -> None:
    search = TemplateSearch(library)
    request = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Cs:4b I:4a"})

    def names(**exclude):
        found = search.find(request, 10, exclude=Exclusion(**exclude))
        return [library.identifiers[each.row] for each in found]

    everything = names()
    assert sorted(everything) == ["rock-salt", "salt-0", "salt-1", "salt-2"]
    assert names(ids=("salt-1", "unknown")) == [x for x in everything if x != "salt-1"]
    assert names(formulas=("K2Cl2",)) == ["rock-salt"]  # any number of formula units
    row = library.identifiers.index("rock-salt")
    assert search.prototype(row) == "1-1:225:a|b"
    assert names(prototypes=("1-1:225:a|b",)) == []
    assert names(prototypes=("1-1:225:a|c",)) == everything


def test_letters_without_elements(library: TemplateLibrary) -> None:
    search = TemplateSearch(library)
    asked = {"formula": "CsI", "space_group": 225, "wyckoff": "4a 4b"}
    found = search.find(GenerationRequest.from_dict(asked), 10)
    assert [each.level for each in found] == [Level.WYCKOFF] * 4
