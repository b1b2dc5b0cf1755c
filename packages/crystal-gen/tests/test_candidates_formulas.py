"""Formulas over given elements."""

import numpy as np
import pytest
import torch

from crystal_data import Crystal
from crystal_data.store import CrystalStore
from crystal_gen import FormulaModel, FormulaProposer, TemplateLibrary, TemplateSearch
from crystal_gen.candidates.formula_model import fit_formula_model, shares_of
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


@pytest.fixture(scope="module")
def proposer(search: TemplateSearch) -> FormulaProposer:
    """With a model of K and O, for which the energy is -4 times the share of oxygen."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    compositions = [
        {"K": int(a), "O": int(b)} for a, b in rng.integers(1, 9, size=(400, 2)).tolist()
    ]
    shares = torch.tensor([each["O"] / sum(each.values()) for each in compositions])
    model = FormulaModel(["energy"], width=8)
    fit_formula_model(model, compositions, {"energy": -4.0 * shares}, num_epochs=40)
    return FormulaProposer(search, model)


def test_the_formula_that_fits_comes_first(proposer: FormulaProposer) -> None:
    for wish, formula in ((-1.33, "K2O"), (-2.0, "KO")):
        found = proposer.propose(["K", "O"], 3, {"energy": wish})
        assert found[0].formula == formula
        assert found[0].weight == 1.0


def test_a_wish_that_nothing_usual_meets_takes_the_nearest(proposer: FormulaProposer) -> None:
    plain = {each.formula: each for each in proposer.propose(["K", "O"], 3)}
    found = proposer.propose(["K", "O"], 3, {"energy": -50.0})
    assert all(plain[each.formula].weight >= 0.01 for each in found)


def test_without_a_wish_or_a_model_it_is_as_before(
    proposer: FormulaProposer, search: TemplateSearch
) -> None:
    plain = FormulaProposer(search).propose(["K", "O"], 3)
    assert proposer.propose(["K", "O"], 3) == plain
    assert FormulaProposer(search).propose(["K", "O"], 3, {"energy": -1.0}) == plain


def test_the_model_of_formulas_knows_its_errors() -> None:
    """Where labels are noisy the deviation is that of the noise; what is not labelled is let be."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    compositions = [{"Na": 1, "Cl": 1} if each < 0.5 else {"Fe": 1} for each in rng.random(2000)]
    noise = torch.from_numpy(rng.normal(size=2000))
    values = torch.tensor([-2.0 if "Na" in each else 1.0 for each in compositions])
    values = values + noise * torch.tensor([0.1 if "Na" in x else 0.6 for x in compositions])
    values[::7] = torch.nan
    model = FormulaModel(["energy"], width=8)
    fit_formula_model(model, compositions, {"energy": values}, num_epochs=30)
    value, log_deviation = model(shares_of([{"Na": 4, "Cl": 4}, {"Fe": 2}]))
    scale = float(model.property_std[0])
    expected = (value * scale + model.property_mean)[:, 0].tolist()
    assert expected == pytest.approx([-2.0, 1.0], abs=0.1)
    deviations = (log_deviation.exp() * scale)[:, 0].tolist()
    assert deviations == pytest.approx([0.1, 0.6], rel=0.4)


def test_likelihoods_are_normal_densities() -> None:
    from scipy.stats import norm

    torch.manual_seed(0)
    model = FormulaModel(["energy", "gap"], width=8)
    model.property_mean.copy_(torch.tensor([1.0, 2.0]))
    model.property_std.copy_(torch.tensor([0.5, 2.0]))
    compositions = [{"Na": 1, "Cl": 1}, {"Fe": 2, "O": 3}]
    value, log_deviation = (each.detach().numpy() for each in model.eval()(shares_of(compositions)))
    found = model.log_likelihoods(compositions, {"gap": 4.0})
    deviation = np.maximum(np.exp(log_deviation[:, 1]), 0.25)
    expected = norm.logpdf((4.0 - 2.0) / 2.0, value[:, 1], deviation)
    # Up to a constant; the property that is not wished counts for nothing.
    assert found == pytest.approx(expected + 0.5 * np.log(2 * np.pi), abs=1e-5)


def test_more_elements_than_any_known_crystal_has(search: TemplateSearch) -> None:
    assert FormulaProposer(search).propose(["H", "Li", "Mn", "O", "F"], 3) == []
