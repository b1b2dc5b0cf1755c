"""Changes as tokens, and decoding that keeps elements, order, number and syntax."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.testing.moves import reflect, rotate
from crystal_data.trajectories import Change, changed
from crystal_relax.text.changes import TextChange, apply_text_change, text_change
from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.expected import expected_numbers
from crystal_relax.text.tokens import ChangeTextError, ChangeTokenizer, Kind

VOCABULARY = len(ChangeTokenizer.VOCABULARY)


def some_pair(seed: int) -> tuple[Crystal, Crystal]:
    rng = np.random.default_rng(seed)
    start = random_crystals(1, seed=seed, max_atoms=8)[0]
    strain = rng.normal(scale=0.03, size=(3, 3))
    moved = rng.normal(scale=0.05, size=(start.num_atoms, 3))
    return start, changed(start, Change((strain + strain.T) / 2, moved - moved.mean(axis=0)))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_change_of_numbers_gives_the_end_back(seed: int) -> None:
    start, end = some_pair(seed)
    rng = np.random.default_rng(seed)
    for move in (lambda x: x, lambda x: rotate(x, rng), lambda x: reflect(x, rng)):
        first = move(start)
        # Another orientation of the end is no change.
        found = apply_text_change(
            first, text_change(first, rotate(changed_like(first, start, end), rng))
        )
        assert found is not None
        np.testing.assert_allclose(found.lengths, end.lengths, atol=1e-8)
        np.testing.assert_allclose(found.angles, end.angles, atol=1e-6)
        assert np.sign(np.linalg.det(found.lattice)) == np.sign(np.linalg.det(first.lattice))
        drift = (found.frac_coords - end.frac_coords).mean(axis=0)
        np.testing.assert_allclose(found.frac_coords - drift, end.frac_coords, atol=1e-8)


def changed_like(first: Crystal, start: Crystal, end: Crystal) -> Crystal:
    """The end, turned and mirrored as the first is to the start."""
    turn = np.linalg.solve(start.lattice, first.lattice)
    return end.replace(lattice=end.lattice @ turn)


@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 118), min_size=1, max_size=52),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_tokens_hold_a_rounded_change_exactly(decimals: int, numbers: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokenizer = ChangeTokenizer(decimals)
    cell = rng.uniform(-1, 1, 6) * np.array([9.9, 9.9, 9.9, 99, 99, 99]) * 0.95
    change = TextChange(cell, rng.uniform(-0.5, 0.5, (len(numbers), 3)))
    tokens = tokenizer.encode(change, numbers)
    assert len(tokens) == tokenizer.length(len(numbers))
    found, expected = tokenizer.decode(tokens, numbers), tokenizer.rounded(change)
    np.testing.assert_array_equal(found.cell, expected.cell)
    np.testing.assert_array_equal(found.frac_coords, expected.frac_coords)
    np.testing.assert_array_equal(tokenizer.encode(found, numbers), tokens)
    padded = [*tokens, tokenizer.PAD, tokenizer.PAD]
    np.testing.assert_array_equal(tokenizer.decode(padded, numbers).cell, expected.cell)


def test_what_is_no_change() -> None:
    tokenizer, numbers = ChangeTokenizer(2), [11, 17]
    nothing = TextChange(np.zeros(6), np.zeros((2, 3)))
    tokens = tokenizer.encode(nothing, numbers)
    with pytest.raises(ChangeTextError, match="cannot stand there"):
        tokenizer.decode(tokens, [17, 11])
    with pytest.raises(ChangeTextError, match="tokens, not"):
        tokenizer.decode(tokens[:-1], numbers)
    with pytest.raises(ChangeTextError, match="tokens, not"):
        tokenizer.decode([*tokens, tokenizer.PLUS], numbers)
    with pytest.raises(ChangeTextError, match="more than 3 digits"):
        tokenizer.encode(nothing._replace(cell=np.full(6, 12.0)), numbers)
    with pytest.raises(ChangeTextError, match="finite numbers"):
        tokenizer.encode(nothing._replace(cell=np.full(6, np.nan)), numbers)
    with pytest.raises(InvalidArgumentError, match="decimals is 0"):
        ChangeTokenizer(0)
    salt = rock_salt()
    assert apply_text_change(salt, nothing._replace(cell=np.array([-9.0, 0, 0, 0, 0, 0]))) is None
    assert apply_text_change(salt, nothing._replace(cell=np.array([0, 0, 0, 99.0, 0, 0]))) is None


def generate(
    constraint: ChangeConstraint, rows: int, temperature: float, scores: Any, steps: int
) -> torch.Tensor:
    """A plain decoding loop, as of a model whose scores are given."""
    ids = torch.full((rows, 1), ChangeTokenizer.BOS)
    for _ in range(steps):
        allowed = constraint(ids, scores(rows))
        if temperature == 0:
            following = allowed.argmax(dim=1)
        else:
            following = torch.multinomial((allowed / temperature).softmax(dim=1), 1)[:, 0]
        ids = torch.cat((ids, following[:, None]), dim=1)
    return ids[:, 1:]


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["random", "large", "infinite", "nan"])
def test_whatever_a_model_says_the_crystal_keeps_its_atoms(temperature: float, kind: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    crystals = [rng.integers(1, 119, size) for size in (1, 2, 7, 52)]
    tokenizer = ChangeTokenizer(3)
    constraint = ChangeConstraint(tokenizer, crystals, samples=3)

    def scores(rows: int) -> torch.Tensor:
        # A model may have more tokens than the tokenizer.
        found = torch.randn(rows, VOCABULARY + 5)
        if kind == "large":
            found *= 1e4
        if kind == "infinite":
            found[:, ::7] = torch.inf
        if kind == "nan":
            found[:] = torch.nan
        return found.clamp(max=1e30) if kind == "infinite" else found

    tokens = generate(constraint, 12, temperature, scores, constraint.max_new_tokens + 2)
    for row, found in enumerate(tokens.tolist()):
        change = tokenizer.decode(found, crystals[row // 3])
        assert change.frac_coords.shape == (len(crystals[row // 3]), 3)
        assert np.isfinite(change.cell).all()


def test_a_constraint_does_not_change_what_is_allowed() -> None:
    constraint = ChangeConstraint(ChangeTokenizer(1), [[11]])
    scores = torch.randn(1, VOCABULARY)
    allowed = constraint(torch.tensor([[ChangeTokenizer.BOS]]), scores)
    kept = torch.isfinite(allowed)
    assert kept.nonzero()[:, 1].tolist() == [ChangeTokenizer.PLUS, ChangeTokenizer.MINUS]
    assert torch.equal(allowed[kept], scores[kept])
    with pytest.raises(InvalidArgumentError, match="0 crystals"):
        ChangeConstraint(ChangeTokenizer(1), [])


def test_expected_numbers_of_certain_tokens_are_the_numbers() -> None:
    tokenizer = ChangeTokenizer(2)
    crystals = [[11, 17], [8]]
    rng = np.random.default_rng(0)
    changes = [
        TextChange(rng.uniform(-5, 5, 6), rng.uniform(-0.4, 0.4, (len(z), 3))) for z in crystals
    ]
    length = tokenizer.length(2)
    logits = torch.zeros(2, length, VOCABULARY)
    kinds = torch.full((2, length), int(Kind.PAD))
    places = torch.zeros(2, length, dtype=torch.int64)
    for row, (change, numbers) in enumerate(zip(changes, crystals, strict=True)):
        tokens = tokenizer.encode(change, numbers)
        logits[row, torch.arange(len(tokens)), torch.tensor(tokens)] = 50.0
        kinds[row, : len(tokens)] = torch.tensor(tokenizer.kinds(numbers))
        places[row, : len(tokens)] = torch.tensor(tokenizer.place_values(len(numbers)))
    logits.requires_grad_()
    numbers, rows = expected_numbers(logits, kinds, places)
    expected = [
        np.concatenate((x.cell, x.frac_coords.ravel())) for x in map(tokenizer.rounded, changes)
    ]
    np.testing.assert_allclose(numbers.detach() / 100, np.concatenate(expected), atol=1e-4)
    assert rows.tolist() == [0] * 12 + [1] * 9
    [gradient] = torch.autograd.grad(numbers.square().sum(), logits)
    assert torch.isfinite(gradient).all()


def test_an_uncertain_digit_counts_in_the_middle() -> None:
    tokenizer = ChangeTokenizer(1)
    kinds = torch.tensor(tokenizer.kinds([1]))[None]
    places = torch.tensor(tokenizer.place_values(1))[None]
    logits = torch.zeros(1, tokenizer.length(1), VOCABULARY)
    logits[..., ChangeTokenizer.PLUS] = 50.0
    numbers, _ = expected_numbers(logits, kinds, places)
    assert numbers.tolist() == pytest.approx([49.5] * 3 + [499.5] * 3 + [4.5] * 3)
