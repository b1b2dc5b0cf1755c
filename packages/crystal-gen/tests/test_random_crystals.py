"""Random crystals keep what every generator keeps, and pyxtal's positions are ours."""

import numpy as np
import pytest

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest, Task
from crystal_data.symmetry import find_symmetry, wyckoff_positions
from crystal_data.testing import GeneratorContract, rock_salt, toy_requests
from crystal_gen import RandomGenerator

pytest.importorskip("pyxtal")


class TestRandomGenerator(GeneratorContract):
    def generator(self):
        return RandomGenerator()

    def requests(self):
        return [each for each in toy_requests(num_samples=3) if each.id != "salt"]

    # Rock salt has nothing free but its edge, in which samples differ.
    def test_salt(self) -> None:
        request = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Na:4a Cl:4b"})
        one, two = RandomGenerator().generate([Task(request, sample) for sample in (0, 1)])
        assert one.crystal.composition == {"Na": 4, "Cl": 4}
        assert one.crystal.volume != two.crystal.volume


def made(**asked):
    return RandomGenerator().generate([Task(GenerationRequest.from_dict(asked), 0)])[0]


def test_letters_are_those_asked() -> None:
    # Letters are found again up to the choice of origin, which the orbits' sizes do not feel.
    for request in toy_requests(num_samples=1):
        if not request.wyckoff:
            continue
        [sample] = RandomGenerator().generate([Task(request, 0)])
        assert sample.crystal is not None
        assert sample.source == f"pyxtal, space group {request.space_group}"
        sizes = {p.letter: p.multiplicity for p in wyckoff_positions(request.space_group)}
        found = find_symmetry(sample.crystal, 1e-4)
        assert found.space_group_number == request.space_group
        orbits = [
            (sample.crystal.atomic_numbers[first], int((found.orbits == first).sum()))
            for first in np.unique(found.orbits)
        ]
        symbols = [site.element for site in request.wyckoff]
        asked = [sizes[site.letter] for site in request.wyckoff]
        assert sorted(size for _, size in orbits) == sorted(asked)
        assert len(set(symbols)) == len({number for number, _ in orbits})


def test_what_is_open_is_chosen() -> None:
    # Orbits of 2, 4 and 4 atoms for four of the one and six of the other.
    open_elements = made(space_group=136, wyckoff="2a 4f 4g", formula="Ti2O3", z=2)
    assert open_elements.crystal.composition == {"Ti": 4, "O": 6}
    # Diamond's group holds two atoms at least.
    assert made(formula="C", space_group=227).crystal.composition == {"C": 8}
    free = made(formula="LiFeO2", z=2)
    assert free.crystal.composition == {"Li": 2, "Fe": 2, "O": 4}
    assert free.source.startswith("pyxtal, space group ")


def test_what_is_not_made_says_why() -> None:
    assert made(elements="Li-O").flags == ("no_composition",)
    start = GenerationRequest(formula="KBr", z=1, start=rock_salt(), properties={})
    [sample] = RandomGenerator().generate([Task(start, 0)])
    assert sample.flags == ("start_not_used",)
    with pytest.raises(InvalidArgumentError, match="num_attempts is 0; at least one"):
        RandomGenerator(num_attempts=0)


def test_attempts_end(monkeypatch) -> None:
    from pyxtal import crystal

    tried = []

    def too_close(self, *given):
        tried.append(self)

    monkeypatch.setattr(crystal.random_crystal, "_set_coords", too_close)
    request = GenerationRequest.from_dict({"space_group": 136, "wyckoff": "Ti:2a O:4f"})
    [sample] = RandomGenerator(num_attempts=2).generate([Task(request, 0)])
    assert (sample.crystal, sample.flags) == (None, ("not_placed",))
    assert len(tried) == 2 * 40 * 10


def test_without_pyxtal_it_says_what_to_install(monkeypatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from crystal_gen import random_crystals

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(random_crystals, "version", missing)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'crystal-gen\[pyxtal\]'"):
        RandomGenerator()


@pytest.mark.parametrize("number", range(1, 231))
def test_every_position_is_that_of_pyxtal(number: int, groups) -> None:
    group, rng = groups(number), np.random.default_rng(number)
    theirs = {position.letter: position for position in group}
    ours = {position.letter: position for position in wyckoff_positions(number)}
    assert set(theirs) == set(ours)
    for letter, position in ours.items():
        point = rng.random(3)
        members = np.array([operation.operate(point) for operation in theirs[letter].ops])
        delta = position.project(members) - members
        distance = np.abs(delta - np.rint(delta)).max(axis=1)
        expanded = position.expand(position.project(members[distance.argmin()]))
        assert len(expanded) == len(members) == position.multiplicity
        delta = expanded[:, None] - members
        assert np.abs(delta - np.rint(delta)).max(axis=2).min(axis=1).max() < 1e-9


@pytest.fixture(scope="module")
def groups():
    from pyxtal.symmetry import Group

    return Group
