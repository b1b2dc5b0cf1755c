"""What copying could find is what some copy matches, compared one by one."""

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.generation import GenerationRequest, Task
from crystal_data.metrics import MatchSettings, match, min_pair_distance
from crystal_data.store import CrystalStore
from crystal_data.symmetry import conventional_cell, primitive_cell
from crystal_data.testing import ToyGenerator, perovskite, rock_salt, toy_requests
from crystal_gen import (
    TemplateGenerator,
    TemplateLibrary,
    TemplateSearch,
    have_polymorph,
    have_template,
)

HERE = MatchSettings(num_workers=0)


def can_be_matched(crystal: Crystal) -> bool:
    """Whether a match of it does not depend on its cell, as with atoms that overlap."""
    return min_pair_distance(crystal) >= 0.5


@pytest.fixture(scope="module")
def library(toys: list[Crystal]) -> TemplateLibrary:
    store = CrystalStore.from_crystals(list(filter(can_be_matched, toys)))
    return TemplateLibrary.from_store(store, symprec=0.01)


@pytest.fixture(scope="module")
def references() -> list[Crystal]:
    """Crystals like the toys, some of them moved, and one of a kind that no template has."""
    made = []
    for request in toy_requests(num_samples=3):
        for sample in range(3):
            crystal = ToyGenerator().sample(Task(request, sample)).crystal
            assert crystal is not None
            if can_be_matched(crystal):
                made.append(crystal.replace(identifier=f"{request.id}/{sample}"))
    moved = rock_salt(37, 53, 7.3)
    moved = moved.replace(frac_coords=moved.frac_coords + np.array([0.1, 0.2, 0.3]))
    return [*made, moved.replace(identifier="moved"), perovskite().replace(identifier="perovskite")]


@pytest.mark.parametrize("num_candidates", [1, 2, 20])
def test_as_a_loop_over_copies(library, references, num_candidates: int) -> None:
    generator = TemplateGenerator(library)
    expected = []
    for each in references:
        cell = primitive_cell(each, 0.1)
        formula = "".join(f"{symbol}{count}" for symbol, count in cell.composition.items())
        request = GenerationRequest(formula=formula, z=1)
        tasks = [Task(request, sample) for sample in range(num_candidates)]
        copies = [sample.crystal for sample in generator.generate(tasks)]
        expected.append(any(copy and match(copy, each) is not None for copy in copies))
    search = TemplateSearch(library)
    found = have_template(search, references, num_candidates=num_candidates, settings=HERE)
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_any_cell_of_a_reference(library) -> None:
    search = TemplateSearch(library)
    small = rock_salt(37, 53, 7.3)
    big = conventional_cell(small)
    assert (primitive_cell(small).num_atoms, big.num_atoms) == (2, 8)
    assert have_template(search, [small, big], settings=HERE).tolist() == [True, True]


def test_a_crystal_is_not_its_own_template() -> None:
    crystals = [
        rock_salt().replace(identifier="salt"),
        perovskite().replace(identifier="cubic"),
        perovskite(56, 40).replace(identifier="other"),
    ]
    search = TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(crystals)))
    assert have_template(search, crystals, settings=HERE).tolist() == [False, True, True]
    assert have_polymorph(search, crystals).tolist() == [False, False, False]
    twins = [crystals[0].replace(identifier="twin"), rock_salt(19, 35, 6.6)]
    assert have_polymorph(search, twins).tolist() == [True, False]
    unnamed = [rock_salt()]
    assert have_template(search, unnamed, settings=HERE).tolist() == [True]
