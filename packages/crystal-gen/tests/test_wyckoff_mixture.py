"""A model's answers mixed with those of known crystals."""

from math import exp

import numpy as np
import pytest
import torch

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_data.store import CrystalStore
from crystal_data.symmetry import SymmetricCrystal
from crystal_data.testing import rock_salt
from crystal_gen import (
    MixedProposer,
    ModelProposer,
    TemplateLibrary,
    TemplateSearch,
    WyckoffTransformer,
)
from crystal_gen.wyckoff.neighbors import neighbors_of

REQUESTS = [GenerationRequest(formula="LiF", z=1), GenerationRequest(formula="Li3N", z=1)]
EVERYTHING = 1000  # more answers than there are


@pytest.fixture(scope="module")
def search() -> TemplateSearch:
    caesium = SymmetricCrystal(
        221, 4.1 * np.eye(3), np.array([55, 17]), ("a", "b"), np.zeros((2, 3))
    )
    crystals = [
        rock_salt().replace(identifier="NaCl"),
        rock_salt(19, 35, 6.6).replace(identifier="KBr"),
        caesium.to_crystal().replace(identifier="CsCl"),
    ]
    return TemplateSearch(TemplateLibrary.from_store(CrystalStore.from_crystals(crystals)))


@pytest.fixture(scope="module")
def model() -> ModelProposer:
    torch.manual_seed(0)
    return ModelProposer(WyckoffTransformer((), width=16, num_layers=1, num_heads=2))


def test_probabilities_are_mixed(model: ModelProposer, search: TemplateSearch) -> None:
    mixed = MixedProposer(model, search, share=0.25, neighbors=1)
    [salt, nitride] = mixed.propose(REQUESTS, EVERYTHING)
    [salt_alone, nitride_alone] = model.propose(REQUESTS, EVERYTHING)
    assert nitride == nitride_alone  # nothing is known that is like it
    alone = {each.assignment: exp(each.score) for each in salt_alone}
    for each in salt:
        is_rock_salt = str(each.assignment) == "Fm-3m Li:4a F:4b"
        expected = 0.75 * alone[each.assignment] + 0.25 * is_rock_salt
        assert exp(each.score) == pytest.approx(expected)
        assert each.source == ("NaCl" if is_rock_salt else "")
    assert {each.assignment for each in salt} == set(alone)
    assert [each.score for each in salt] == sorted((each.score for each in salt), reverse=True)


def test_near_crystals_count_by_their_distance(
    model: ModelProposer, search: TemplateSearch
) -> None:
    request = GenerationRequest(formula="RbBr", z=1)
    near = neighbors_of(search, request, 10)
    assert near.are_all
    assert [each.identifier for each in near.answers] == ["KBr", "CsCl", "NaCl"]
    weights = [exp(-each.distance / 3.0) for each in near.answers]
    [answers] = MixedProposer(model, search, share=1.0, scale=3.0).propose([request], 2)
    assert [each.source for each in answers] == ["KBr", "CsCl"]
    salt, caesium = (exp(each.score) for each in answers)
    assert salt == pytest.approx((weights[0] + weights[2]) / sum(weights))
    assert caesium == pytest.approx(weights[1] / sum(weights))
    [first] = MixedProposer(model, search, share=1.0, neighbors=1).propose([request], 1)
    assert exp(first[0].score) == pytest.approx(1.0)


def test_groups_are_mixed_too(model: ModelProposer, search: TemplateSearch) -> None:
    [groups] = MixedProposer(model, search, share=0.25, neighbors=1).groups(REQUESTS[:1], 230)
    [alone] = model.groups(REQUESTS[:1], 230)
    expected = {each.space_group: 0.75 * exp(each.score) for each in alone}
    expected[225] += 0.25
    assert {each.space_group: exp(each.score) for each in groups} == pytest.approx(expected)
    assert groups[0].space_group == 225


def test_the_group_that_is_asked_is_kept(model: ModelProposer, search: TemplateSearch) -> None:
    mixed = MixedProposer(model, search)
    [answers] = mixed.propose([GenerationRequest(formula="LiF", z=1, space_group=221)], 5)
    assert {each.assignment.space_group for each in answers} == {221}
    assert {each.source for each in answers} == {"CsCl"}  # its only answer


@pytest.mark.parametrize("options", [{"share": 1.5}, {"scale": 0.0}, {"neighbors": 0}])
def test_numbers_out_of_range_are_refused(
    model: ModelProposer, search: TemplateSearch, options: dict[str, float]
) -> None:
    with pytest.raises(InvalidArgumentError):
        MixedProposer(model, search, **options)  # type: ignore[arg-type]
