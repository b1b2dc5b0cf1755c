"""Answers of known crystals: counted, and by the nearest composition."""

from math import exp, log

import pytest

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_data.store import CrystalStore
from crystal_data.testing import perovskite, rock_salt
from crystal_gen import TemplateLibrary
from crystal_gen.wyckoff.baselines import FrequencyProposer, NearestProposer
from crystal_gen.wyckoff.neighbors import assignment_of


@pytest.fixture(scope="module")
def known() -> TemplateLibrary:
    """Rock salt of three compositions, caesium chloride of one, perovskite."""
    caesium = GenerationRequest.from_dict({"space_group": 221, "wyckoff": "Cs:1a Cl:1b"})
    crystals = [
        rock_salt().replace(identifier="NaCl"),
        rock_salt(19, 35, 6.6).replace(identifier="KBr"),
        rock_salt(12, 8, 4.2).replace(identifier="MgO"),
        perovskite().replace(identifier="BaTiO3"),
        _crystal(caesium, 4.1).replace(identifier="CsCl"),
    ]
    return TemplateLibrary.from_store(CrystalStore.from_crystals(crystals))


def _crystal(request, size):
    import numpy as np

    from crystal_data.elements import ATOMIC_NUMBERS
    from crystal_data.symmetry import SymmetricCrystal

    return SymmetricCrystal(
        request.space_group,
        size * np.eye(3),
        np.array([ATOMIC_NUMBERS[site.element] for site in request.wyckoff]),
        tuple(site.letter for site in request.wyckoff),
        np.zeros((len(request.wyckoff), 3)),
    ).to_crystal()


def test_frequent_answers_come_first(known: TemplateLibrary) -> None:
    proposer = FrequencyProposer.from_library(known)
    [answers] = proposer.propose([GenerationRequest(formula="LiF", z=1)], 10)
    assert [str(each.assignment) for each in answers] == ["Fm-3m Li:4a F:4b", "Pm-3m Li:1a F:1b"]
    assert [exp(each.score) for each in answers] == pytest.approx([0.75, 0.25])
    [groups] = proposer.groups([GenerationRequest(formula="LiF", z=1)], 10)
    assert [each.space_group for each in groups] == [225, 221]


def test_the_nearest_composition_comes_first(known: TemplateLibrary) -> None:
    proposer = NearestProposer(known)
    rubidium, [caesium, _] = proposer.propose(
        [GenerationRequest(formula="RbBr", z=1), GenerationRequest(formula="CsBr")], 2
    )
    assert [each.source for each in rubidium] == ["KBr", "CsCl"]
    assert rubidium[0].score == -0.5  # of two atoms one is one step away
    assert str(caesium.assignment) == "Pm-3m Cs:1a Br:1b"


def test_groups_and_z_that_are_asked_are_kept(known: TemplateLibrary) -> None:
    for proposer in (NearestProposer(known), FrequencyProposer.from_library(known)):
        [given] = proposer.propose([GenerationRequest(formula="LiF", space_group=221)], 10)
        assert [str(each.assignment) for each in given] == ["Pm-3m Li:1a F:1b"]
        [nothing] = proposer.propose([GenerationRequest(formula="LiF")], 10, z_values=(2, 3))
        assert nothing == []
        [some] = proposer.propose([GenerationRequest(formula="LiF")], 1, z_values=(1, 2))
        assert len(some) == 1
        assert proposer.propose([GenerationRequest(formula="Li3N")], 5) == [[]]
        with pytest.raises(InvalidArgumentError, match="no formula"):
            proposer.propose([GenerationRequest(elements=("Li", "O"))], 1)


def test_letters_follow_the_elements_of_a_formula(known: TemplateLibrary) -> None:
    [answers] = NearestProposer(known).propose([GenerationRequest(formula="SrTiO3", z=1)], 1)
    [frequent] = FrequencyProposer.from_library(known).propose(
        [GenerationRequest(formula="SrTiO3", z=1)], 1
    )
    assert answers[0].assignment == frequent[0].assignment
    assert answers[0].assignment.exchanged({38: 56, 22: 22, 8: 8}) == assignment_of(known, 3)
    assert frequent[0].score == log(1)
