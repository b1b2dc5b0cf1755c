"""Answers of the model: the best are the best, random ones are drawn by their probabilities."""

from collections import Counter
from collections.abc import Iterator
from math import exp, log

import numpy as np
import pytest
import torch

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen import ModelProposer, WyckoffAssignment, WyckoffTransformer
from crystal_gen.wyckoff.batch import wyckoff_batch
from crystal_gen.wyckoff.legal import Progress, legal_groups, legal_places
from crystal_gen.wyckoff.questions import SymmetryQuestion
from crystal_gen.wyckoff.search import best_answers, free_walks, random_answers
from crystal_gen.wyckoff.tree import AnswerTree

SALT = SymmetryQuestion((11, 17), (1, 1), (1,))
OXIDE = SymmetryQuestion((22, 8), (1, 2), (1,))
METAL = SymmetryQuestion((29,), (1,), (1, 2))


@pytest.fixture(scope="module")
def model() -> WyckoffTransformer:
    """Untrained, with weights large enough that answers differ in their probabilities."""
    torch.manual_seed(0)
    made = WyckoffTransformer([], width=16, num_layers=2, num_heads=2).eval().double()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" not in name:
                weight.mul_(2.0)
    return made


def sequences(progress: Progress) -> Iterator[tuple[tuple[int, ...], ...]]:
    if progress.is_complete:
        yield ()
        return
    for place in np.flatnonzero(legal_places(progress)).tolist():
        after = progress.after(place)
        for rest in sequences(after):
            if len(after.left) < len(progress.left):
                yield ((place,), *rest)
            else:
                yield ((place, *rest[0]), *rest[1:])


def all_answers(
    model: WyckoffTransformer, question: SymmetryQuestion
) -> dict[WyckoffAssignment, float]:
    """Logarithm of the probability of every labeling, by whole sequences."""
    answers = []
    for z in question.z_values:
        atoms = tuple(count * z for count in question.counts)
        for group in np.flatnonzero(legal_groups(atoms)).tolist():
            made = sequences(Progress(group, atoms))
            answers += [WyckoffAssignment(group, question.elements, places) for places in made]
    batch = wyckoff_batch(
        answers, sample_id=torch.arange(len(answers)), identifier=[""] * len(answers), targets={}
    )
    with torch.no_grad():
        parts = model.log_probabilities(batch, torch.empty(len(answers), 0))
        logs = parts["group"] + parts["positions"]
    if len(question.z_values) > 1:
        # Other numbers of units are not asked, so these share all of the probability.
        of_z = {z: exp(parts["z"][batch.z == z][0]) for z in question.z_values}
        shares = torch.tensor([log(of_z[int(z)] / sum(of_z.values())) for z in batch.z])
        logs = logs + shares
    return dict(zip(answers, logs.tolist(), strict=True))


@pytest.mark.parametrize("question", [SALT, OXIDE, METAL], ids=["NaCl", "TiO2", "Cu"])
def test_the_best_are_the_best_of_all(model: WyckoffTransformer, question) -> None:
    every = all_answers(model, question)
    assert sum(map(exp, every.values())) == pytest.approx(1.0)
    canonical = {each: value for each, value in every.items() if each == each.canonical()}
    expected = sorted(canonical, key=lambda each: -canonical[each])
    [found] = best_answers(model, [question], 30)
    assert [each.assignment for each in found] == expected[:30]
    assert [each.score for each in found] == pytest.approx([canonical[e] for e in expected[:30]])


def test_there_are_no_more_answers_than_there_are(model: WyckoffTransformer) -> None:
    question = SymmetryQuestion((11, 17), (1, 1), (1,), space_group=47)
    every = all_answers(model, SALT)
    expected = {each for each in every if each.space_group == 47 and each == each.canonical()}
    [found] = best_answers(model, [question], 1_000)
    assert {each.assignment for each in found} == expected
    assert len(found) == len(expected)


def test_several_questions_are_answered_as_alone(model: WyckoffTransformer) -> None:
    questions = [SALT, OXIDE, SymmetryQuestion((3, 25, 8), (1, 2, 4), (2,)), SALT]
    together = best_answers(model, questions, 5)
    for question, answers in zip(questions, together, strict=True):
        [alone] = best_answers(model, [question], 5)
        assert [each.assignment for each in alone] == [each.assignment for each in answers]
        assert [each.score for each in alone] == pytest.approx([each.score for each in answers])


def test_random_answers_are_drawn_by_probability(model: WyckoffTransformer) -> None:
    every = all_answers(model, SALT)
    canonical = {each: exp(value) for each, value in every.items() if each == each.canonical()}
    total = sum(canonical.values())
    draws = random_answers(model, [SALT] * 300, 3, range(300))
    first = Counter(each[0].assignment for each in draws)
    likely = sorted(canonical, key=lambda each: -canonical[each])[:8]
    for each in likely:
        share = canonical[each] / total
        assert abs(first[each] / 300 - share) < 4 * (share * (1 - share) / 300) ** 0.5
    assert all(len({one.assignment for one in each}) == 3 for each in draws)
    for each in draws[0]:
        assert each.score == pytest.approx(every[each.assignment])


def test_random_answers_depend_on_the_seed_alone(model: WyckoffTransformer) -> None:
    one = random_answers(model, [SALT, OXIDE], 4, [1, 2])
    other = random_answers(model, [OXIDE, SALT], 4, [2, 1])[::-1]
    assert [[p.assignment for p in each] for each in one] == [
        [p.assignment for p in each] for each in other
    ]
    again = random_answers(model, [SALT], 4, [3])[0]
    assert [p.assignment for p in again] != [p.assignment for p in one[0]]


def test_all_answers_of_an_untrained_model_are_possible(model: WyckoffTransformer) -> None:
    formulas = ["LiMn2O4", "K2SiF6", "U", "CaTiO3", "Y3Al5O12", "C8"]
    requests = [GenerationRequest(formula=formula, z=z) for formula in formulas for z in (1, 2)]
    for request, answers in zip(requests, ModelProposer(model).propose(requests, 4), strict=True):
        assert 1 <= len(answers) <= 4
        for each in answers:
            made = GenerationRequest(
                formula=request.formula,
                z=request.z,
                space_group=each.assignment.space_group,
                wyckoff=each.assignment.sites,
            )
            assert made.cell == request.cell


def test_a_group_that_is_asked_is_kept(model: WyckoffTransformer) -> None:
    request = GenerationRequest(formula="SiO2", space_group=154, z=3)
    [answers] = ModelProposer(model).propose([request], 5)
    assert {each.assignment.space_group for each in answers} == {154}
    assert (
        GenerationRequest(space_group=154, wyckoff=answers[0].assignment.sites).cell == request.cell
    )
    [groups] = ModelProposer(model).groups([request], 5)
    assert [(each.space_group, round(each.score, 9)) for each in groups] == [(152, 0.0)]
    impossible = GenerationRequest(formula="SiO2", space_group=225)
    assert ModelProposer(model).propose([impossible], 5, z_values=(1,)) != [[]]
    odd = GenerationRequest(formula="SiO2", space_group=62)
    assert ModelProposer(model).propose([odd], 5, z_values=(1, 3)) == [[]]


def test_groups_are_those_of_all_answers(model: WyckoffTransformer) -> None:
    expected: dict[int, float] = {}
    for each, value in all_answers(model, METAL).items():
        expected[each.space_group] = expected.get(each.space_group, 0.0) + exp(value)
    [groups] = ModelProposer(model).groups([GenerationRequest(formula="Cu")], 6, z_values=(1, 2))
    order = sorted(expected, key=lambda group: -expected[group])[:6]
    assert [each.space_group for each in groups] == order
    assert [exp(each.score) for each in groups] == pytest.approx([expected[g] for g in order])


def test_without_the_table_few_answers_are_legal(model: WyckoffTransformer) -> None:
    questions = [SymmetryQuestion((3, 25, 8), (1, 2, 4), (2,))] * 50
    assert sum(free_walks(model, questions, range(50))) < 25
    primitive = [SymmetryQuestion((29,), (1,), (1,))] * 50
    walked = free_walks(model, primitive, range(50))
    assert walked == free_walks(model, primitive, range(50))


def test_questions_that_cannot_be_asked(model: WyckoffTransformer) -> None:
    proposer = ModelProposer(model)
    with pytest.raises(InvalidArgumentError, match="no formula"):
        proposer.propose([GenerationRequest(elements=("Li", "O"))], 1)
    with pytest.raises(InvalidArgumentError, match="counts from 1 to 63"):
        proposer.propose([GenerationRequest(formula="U", z=64)], 1)
    assert proposer.propose([], 3) == [] == proposer.groups([], 3)


def test_a_node_that_is_no_canonical_beginning_is_seen(model: WyckoffTransformer) -> None:
    tree = AnswerTree(model, [SymmetryQuestion((11, 17), (1, 1), (1,), space_group=225)])
    [units] = tree.children(tree.roots())
    [group] = tree.children([units])
    first = list(tree.children([group]))
    assert [(node.places, node.is_canonical) for node in first] == [
        (((0,),), True),
        (((1,),), False),
    ]
