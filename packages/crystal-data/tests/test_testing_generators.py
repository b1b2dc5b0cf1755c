"""The contract of generators passes a right one, and fails each that is wrong where it is wrong."""

import inspect

import numpy as np
import pytest

from crystal_data.generation import GeneratedSample, GenerationRequest
from crystal_data.testing import GeneratorContract, ToyGenerator, rock_salt, toy_requests
from crystal_data.testing.generator_contract import symmetry_error


class TestToyGenerator(GeneratorContract):
    """As a model package uses it."""

    def generator(self):
        return ToyGenerator()


def failures(contract, tmp_path):
    """Names of the checks that fail."""
    failed = set()
    for name in dir(contract):
        if not name.startswith("test_"):
            continue
        check = getattr(contract, name)
        folder = tmp_path / name
        try:
            check(folder) if inspect.signature(check).parameters else check()
        except (pytest.fail.Exception, ValueError):
            failed.add(name)
        except pytest.skip.Exception:
            pass
    return failed


def of(make):
    class Contract(GeneratorContract):
        def generator(self):
            return make()

        def requests(self):
            return [x for x in toy_requests(2) if x.id in ("monoclinic", "salt", "composition")]

    return Contract()


def changed(made, **changes):
    return GeneratedSample(made.crystal.replace(**changes), made.score, made.source)


class OneStream(ToyGenerator):
    """Draws the samples of a block one after the other from one stream."""

    def generate(self, tasks):
        rng = np.random.default_rng(0)
        made = super().generate(tasks)
        return [changed(one, lattice=one.crystal.lattice * rng.uniform(1.0, 1.1)) for one in made]


class OwnState(ToyGenerator):
    """Remembers how often it was called."""

    def __init__(self):
        self.calls = 0

    def generate(self, tasks):
        self.calls += 1
        return [
            changed(one, lattice=one.crystal.lattice * (1 + 0.01 * self.calls))
            for one in super().generate(tasks)
        ]


class BlockSize(ToyGenerator):
    """The last digits depend on what else is in the block, as a network's do."""

    def generate(self, tasks):
        return [
            changed(one, lattice=one.crystal.lattice * (1 + 1e-7 * len(tasks)))
            for one in super().generate(tasks)
        ]


class SameSamples(ToyGenerator):
    def sample(self, task):
        return super().sample(task._replace(sample=0))


class NoSeed(ToyGenerator):
    def sample(self, task):
        request = GenerationRequest.from_dict({**task.request.as_dict(), "seed": 0})
        return super().sample(task._replace(request=request))


class OtherElement(ToyGenerator):
    def sample(self, task):
        made = super().sample(task)
        numbers = made.crystal.atomic_numbers.copy()
        numbers[-1] = 36
        return changed(made, atomic_numbers=numbers)


class PrimitiveCount(ToyGenerator):
    """Takes z for the formula units of the conventional cell."""

    def sample(self, task):
        made = super().sample(task)
        kept = slice(0, made.crystal.num_atoms // task.request.centring)
        return changed(
            made,
            frac_coords=made.crystal.frac_coords[kept],
            atomic_numbers=made.crystal.atomic_numbers[kept],
        )


class OffItsPosition(ToyGenerator):
    def sample(self, task):
        made = super().sample(task)
        coords = made.crystal.frac_coords.copy()
        coords[0] += [0.003, 0.001, 0.002]
        return changed(made, frac_coords=coords)


class ShearedCell(ToyGenerator):
    def sample(self, task):
        made = super().sample(task)
        lattice = made.crystal.lattice.copy()
        lattice[0] += [0.02, 0.03, 0.04]
        return changed(made, lattice=lattice)


class LeftHanded(ToyGenerator):
    def sample(self, task):
        made = super().sample(task)
        return changed(made, lattice=-made.crystal.lattice)


class Collapsed(ToyGenerator):
    def sample(self, task):
        made = super().sample(task)
        return changed(made, lattice=made.crystal.lattice * 0.2)


class Nothing(ToyGenerator):
    def sample(self, task):
        return GeneratedSample(None, flags=("failed",))


class OneShort(ToyGenerator):
    def generate(self, tasks):
        return super().generate(tasks)[:-1]


WRONG = {
    OneStream: {"test_alone_equals_in_a_block", "test_any_order"},
    OwnState: {"test_made_again", "test_any_number_of_processes"},
    BlockSize: {"test_alone_equals_in_a_block"},
    SameSamples: {"test_samples_differ"},
    NoSeed: {"test_samples_differ"},
    OtherElement: {"test_composition_is_exact"},
    PrimitiveCount: {"test_composition_is_exact"},
    OffItsPosition: {"test_symmetry_is_as_asked"},
    ShearedCell: {"test_symmetry_is_as_asked"},
    LeftHanded: {"test_cells_are_sound"},
    Collapsed: {"test_cells_are_sound"},
    Nothing: {"test_something_is_made"},
    OneShort: {"test_something_is_made"},
}


@pytest.mark.parametrize(
    ("generator", "expected"), WRONG.items(), ids=[generator.__name__ for generator in WRONG]
)
def test_a_wrong_generator_fails_where_it_is_wrong(generator, expected, tmp_path):
    failed = failures(of(generator), tmp_path)
    assert expected <= failed
    if generator in (BlockSize, SameSamples, NoSeed, LeftHanded, Collapsed, OffItsPosition):
        assert failed == expected


def test_a_declared_tolerance_is_respected(tmp_path):
    contract = of(BlockSize)
    contract.tolerances = {"block": 1e-4}
    assert failures(contract, tmp_path) == set()


def test_a_generator_that_is_not_random_may_say_so(tmp_path):
    contract = of(NoSeed)
    contract.is_random = False
    assert failures(contract, tmp_path) == set()


def test_toy_requests_cover_all_systems():
    groups = {request.space_group for request in toy_requests()}
    assert groups == {2, 14, 62, 136, 167, 194, 225, 227, None}


def test_symmetry_error_is_a_distance():
    salt = rock_salt()
    cube = salt.replace(
        lattice=np.eye(3) * 5.64,
        frac_coords=np.array(
            [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0],
             [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]]
        ),
        atomic_numbers=np.array([11] * 4 + [17] * 4),
    )  # fmt: skip
    assert symmetry_error(cube, 225) < 1e-9
    moved = cube.frac_coords.copy()
    moved[0, 0] += 0.01
    error = symmetry_error(cube.replace(frac_coords=moved), 225)
    assert 0.05 < error < 0.12
