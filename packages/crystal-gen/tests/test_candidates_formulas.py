"""Formulas over given elements."""

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.store import CrystalStore
from crystal_gen import FormulaProposer, TemplateLibrary, TemplateSearch
from crystal_gen.candidates.formulas import OXIDATION_STATES


@pytest.fixture(scope="module")
def search() -> TemplateSearch:
    """Na2O (twice), NaF, MgAl2O4 and Al2Mg: elements in arbitrary places."""
    rng = np.random.default_rng(0)

    def crystal(*numbers: int) -> Crystal:
        return Crystal(6.0 * np.eye(3), rng.random((len(numbers), 3)), list(numbers))

    crystals = [
        crystal(11, 11, 8),
        crystal(8, 11, 11),
        crystal(11, 9),
        crystal(12, 13, 13, 8, 8, 8, 8),
        crystal(13, 13, 12),
    ]
    named = [each.replace(identifier=str(i)) for i, each in enumerate(crystals)]
    return TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(named)))


def test_the_nearest_and_most_frequent_comes_first(search: TemplateSearch) -> None:
    found = FormulaProposer(search).propose(["O", "K"], 10)
    assert found[0].formula == "K2O"
    assert found[0].weight == 1.0
    assert {each.formula for each in found} == {"K2O", "KO2", "KO"}
    weights = [each.weight for each in found]
    assert weights == sorted(weights, reverse=True)


def test_neutral_formulas_come_before_others(search: TemplateSearch) -> None:
    found = {each.formula: each for each in FormulaProposer(search).propose(["Na", "F"], 10)}
    assert found["NaF"].is_neutral
    assert not found["NaF2"].is_neutral
    assert OXIDATION_STATES == "smact14"


def test_all_of_the_elements_are_in_each_formula(search: TemplateSearch) -> None:
    found = FormulaProposer(search).propose(["Li", "Mn", "O"], 10)
    assert found[0].formula == "LiMn2O4"
    assert len(found) == 6  # each order of the elements on 1, 2 and 4 atoms
    assert all("Li" in x.formula and "Mn" in x.formula and "O" in x.formula for x in found)
    # An element that is named twice is one.
    assert FormulaProposer(search).propose(["Na", "F", "F"], 1)[0].formula == "NaF"


def test_weights_are_those_of_the_definition(search: TemplateSearch) -> None:
    from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS as MENDELEEV

    # Of the anonymous formula AB2 there are three: twice Na2O, once Al2Mg.
    steps = abs(MENDELEEV[[11, 11, 8]] - MENDELEEV[[19, 19, 8]]).mean()
    other = abs(MENDELEEV[[13, 13, 12]] - MENDELEEV[[19, 19, 8]]).mean()
    expected = 2 * np.exp(-steps / 0.7) + np.exp(-other / 0.7)
    reverse = 2 * np.exp(-abs(MENDELEEV[[11, 11, 8]] - MENDELEEV[[8, 8, 19]]).mean() / 0.7)
    reverse += np.exp(-abs(MENDELEEV[[13, 13, 12]] - MENDELEEV[[8, 8, 19]]).mean() / 0.7)
    found = {each.formula: each for each in FormulaProposer(search).propose(["K", "O"], 10)}
    ratio = found["KO2"].weight / found["K2O"].weight
    factor = 1.0 if found["KO2"].is_neutral else 0.1
    assert ratio == pytest.approx(factor * reverse / expected)


def test_more_elements_than_any_known_crystal_has(search: TemplateSearch) -> None:
    assert FormulaProposer(search).propose(["H", "Li", "Mn", "O", "F"], 3) == []
