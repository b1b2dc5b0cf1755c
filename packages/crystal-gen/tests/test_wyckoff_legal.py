"""Legal choices against brute force, and random answers that are all possible requests."""

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.elements import SYMBOLS
from crystal_data.generation import GenerationRequest, WyckoffSite
from crystal_data.generation.assignment import count_assignments
from crystal_data.store import WYCKOFF_LETTERS
from crystal_data.symmetry import wyckoff_positions
from crystal_gen.wyckoff.assignment import multiplicities
from crystal_gen.wyckoff.legal import Progress, legal_groups, legal_places
from crystal_gen.wyckoff.relabelings import ENANTIOMORPHS

Sequence = tuple[tuple[int, ...], ...]
counts = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def brute_force(number: int, atoms: tuple[int, ...]) -> Iterator[Sequence]:
    """All assignments, by trying every multiset of positions for every element."""
    if not atoms:
        yield ()
        return
    sizes = multiplicities(number)
    fixed = {i for i, p in enumerate(wyckoff_positions(number)) if p.num_free == 0}
    for own in multisets(sizes, atoms[0]):
        if any(own.count(place) > 1 for place in fixed):
            continue
        for rest in brute_force(number, atoms[1:]):
            if not fixed & set(own) & {place for places in rest for place in places}:
                yield (own, *rest)


def multisets(sizes: tuple[int, ...], atoms: int) -> Iterator[tuple[int, ...]]:
    most = atoms // min(sizes)
    for length in range(1, most + 1):
        for own in combinations_with_replacement(range(len(sizes)), length):
            if sum(sizes[place] for place in own) == atoms:
                yield own


def walks(progress: Progress) -> Iterator[Sequence]:
    """All complete sequences of legal choices."""
    if progress.is_complete:
        yield ()
        return
    places = np.flatnonzero(legal_places(progress)).tolist()
    assert places, progress  # never a dead end
    for place in places:
        after = progress.after(place)
        is_next_element = len(after.left) < len(progress.left)
        for rest in walks(after):
            if is_next_element:
                yield ((place,), *rest)
            else:
                yield ((place, *rest[0]), *rest[1:])


@pytest.mark.parametrize(
    ("number", "atoms"),
    [
        (1, (2, 1)),
        (2, (2, 3)),
        (6, (2, 2)),
        (15, (2, 4)),
        (47, (1, 2)),
        (62, (4, 8)),
        (99, (1, 1, 3)),
        (123, (1, 1, 2)),
        (139, (1, 2, 2)),
        (164, (1, 2)),
        (166, (1, 1, 2)),
        (194, (2, 4)),
        (216, (1, 1, 1, 1)),
        (221, (1, 1, 3)),
        (225, (2, 1, 6)),
        (227, (2, 4, 8)),
        (229, (1, 3)),
    ],
)
def test_legal_walks_are_all_assignments(number: int, atoms: tuple[int, ...]) -> None:
    walked = list(walks(Progress(number, atoms)))
    assert len(set(walked)) == len(walked) == count_assignments(number, atoms)
    assert set(walked) == set(brute_force(number, atoms))


@settings(max_examples=40, deadline=None)
@given(counts)
def test_legal_groups_are_those_with_an_assignment(atoms: list[int]) -> None:
    legal = legal_groups(atoms)
    for number in range(1, 231):
        can_hold = count_assignments(number, atoms) > 0
        assert legal[number] == (can_hold and number not in ENANTIOMORPHS), number
    assert not legal[0]


@settings(max_examples=150, deadline=None)
@given(counts, st.integers(0, 2**32 - 1))
def test_every_random_walk_ends_in_a_possible_request(atoms: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = int(rng.choice(np.flatnonzero(legal_groups(atoms))))
    progress, sites = Progress(number, tuple(atoms)), []
    while not progress.is_complete:
        element = SYMBOLS[len(progress.left)]
        place = int(rng.choice(np.flatnonzero(legal_places(progress))))
        sites.append(WyckoffSite(WYCKOFF_LETTERS[place], element))
        progress = progress.after(place)
    request = GenerationRequest(space_group=number, wyckoff=tuple(sites))
    expected = {SYMBOLS[len(atoms) - i]: n for i, n in enumerate(atoms)}
    assert request.cell == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 230), st.lists(st.integers(1, 4), min_size=1, max_size=3))
def test_a_choice_is_legal_where_brute_force_completes_it(number: int, atoms: list[int]) -> None:
    chosen = Progress(number, tuple(atoms))
    if count_assignments(number, atoms) == 0 or count_assignments(number, atoms) > 2_000:
        return
    first = {walk[0][0] for walk in brute_force(number, tuple(atoms))}
    assert set(np.flatnonzero(legal_places(chosen)).tolist()) == first
