"""Copying keeps what every generator has to keep, and says what it gave up."""

import numpy as np
import pytest

from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest, Task, tasks_of
from crystal_data.metrics import match
from crystal_data.symmetry import find_orbits
from crystal_data.testing import GeneratorContract, rock_salt, toy_requests
from crystal_data.testing.generator_contract import symmetry_error
from crystal_gen import Exclusion, TemplateGenerator


class TestTemplateGenerator(GeneratorContract):
    is_random = False

    @pytest.fixture(autouse=True)
    def _library(self, library):
        self.library = library

    def generator(self):
        return TemplateGenerator(self.library)


class TestWithTheirOwnVolumes(TestTemplateGenerator):
    def generator(self):
        return TemplateGenerator(self.library, volume="template")


def one(generator, **asked):
    request = GenerationRequest.from_dict(asked)
    return generator.generate([Task(request, 0)])[0]


def test_letters_are_those_that_were_asked(library) -> None:
    generator = TemplateGenerator(library, volume="template")
    requests = [
        *toy_requests(num_samples=3),
        # The same crystals from another origin.
        GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Na:4b Cl:4a"}),
        GenerationRequest.from_dict({"space_group": 227, "wyckoff": "Mg:8b Al:16c O:32e"}),
        GenerationRequest.from_dict({"space_group": 62, "wyckoff": "Ca:4c Ti:4a O:4c,8d"}),
    ]
    tasks = [task for task in tasks_of(requests) if task.request.wyckoff]
    num_compared = 0
    for task, sample in zip(tasks, generator.generate(tasks), strict=True):
        assert sample.crystal is not None
        number = task.request.space_group
        assert number is not None
        assert sample.flags == ()
        assert symmetry_error(sample.crystal, number) < 1e-6
        found = find_orbits(sample.crystal)
        if found.space_group_number != number:
            continue  # a random toy may have more symmetry than was asked
        orbits = zip(found.atomic_numbers.tolist(), found.wyckoff_letters, strict=True)
        assert sorted(w for _, w in orbits) == sorted(x.letter for x in task.request.wyckoff)
        num_compared += 1
    assert num_compared > 15


def test_an_exchanged_pair_of_letters_is_the_same_crystal(library) -> None:
    generator = TemplateGenerator(library, exclude=Exclusion(formulas=("KCl",)))
    one_way = one(generator, space_group=225, wyckoff="Na:4a Cl:4b")
    other = one(generator, space_group=225, wyckoff="Na:4b Cl:4a")
    for sample in (one_way, other):
        assert sample.source == "template rock-salt"
        assert sample.score == 0.0
        assert match(sample.crystal, rock_salt()) == pytest.approx(0.0, abs=1e-6)
    sodium = other.crystal.frac_coords[other.crystal.atomic_numbers == 11]
    assert np.abs(sodium - 0.5).max(axis=1).min() < 1e-9  # 4b holds (1/2, 1/2, 1/2)


def test_flags_say_what_was_given_up(library) -> None:
    generator = TemplateGenerator(library)
    # Fluorite's letters; no toy has them, but no other template has its composition either.
    nothing = one(generator, space_group=225, wyckoff="Ca:4a F:8c")
    assert nothing.crystal is None
    assert nothing.flags == ("no_template",)
    generator = TemplateGenerator(library, volume="template")
    in_group = one(generator, space_group=136, wyckoff="Ti:2a O:4e")
    assert in_group.flags == ("fallback_group",)
    assert symmetry_error(in_group.crystal, 136) < 1e-6
    assert one(generator, formula="KBr", z=1, space_group=221).flags == ("no_template",)
    free = TemplateGenerator(library, fallback="composition")
    copied = one(free, formula="KBr", z=1, space_group=221)
    assert copied.flags == ("fallback_composition", "volume_of_template")  # no toy has bromine
    assert copied.crystal.composition == {"K": 1, "Br": 1}
    unused = one(
        TemplateGenerator(library),
        formula="KBr",
        z=1,
        properties={"band_gap": 2.0},
        start=rock_salt(),
    )
    assert unused.flags == ("properties_not_used", "start_not_used", "volume_of_template")
    with pytest.raises(InvalidArgumentError, match="fallback is 'none'"):
        TemplateGenerator(library, fallback="none")
    with pytest.raises(InvalidArgumentError, match="volume is 'big'"):
        TemplateGenerator(library, volume="big")


def test_provenance_tells_generators_apart(library) -> None:
    provenances = [
        TemplateGenerator(library, **options).provenance
        for options in (
            {},
            {"volume": "template"},
            {"fallback": "composition"},
            {"exclude": Exclusion(ids=("rock-salt",))},
        )
    ]
    assert all(a != b for i, a in enumerate(provenances) for b in provenances[:i])
