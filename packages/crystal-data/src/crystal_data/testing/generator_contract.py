"""What every generator must keep; each package's generators inherit these tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from crystal_data.crystal import Crystal
from crystal_data.generation import (
    GeneratedSample,
    GenerationRequest,
    Generator,
    Task,
    generate_all,
    tasks_of,
)
from crystal_data.symmetry import space_group_operations
from crystal_data.testing.toy_generator import toy_requests

_FILES = ("structures.extxyz", "summary.csv", "samples.jsonl", "generation.json")


class GeneratorContract:
    """Subclass as ``TestMyGenerator`` and give ``generator``; the tests come with it.

    A crystal with a space group asked comes in the standard conventional cell, any other in the
    cell that ``z`` counts in.

    ``tolerances`` may name ``"block"``: how far lengths (Å), angles (degrees) and fractional
    coordinates may differ between blocks, where a network's last digits depend on the size of the
    batch; 0 by default. ``"symmetry"`` is how far an atom may be from where an operation of the
    group sends it, Å; 1e-3 by default. ``is_random`` is False for a generator whose samples do not
    depend on the seed.
    """

    tolerances: ClassVar[dict[str, float]] = {}
    is_random: ClassVar[bool] = True
    _DEFAULTS: ClassVar[dict[str, float]] = {"block": 0.0, "symmetry": 1e-3}

    def generator(self) -> Generator:
        """The generator under test, in evaluation mode."""
        raise NotImplementedError("a subclass of GeneratorContract gives generator()")

    def requests(self) -> list[GenerationRequest]:
        """What is asked: by default Wyckoff positions of all crystal systems, and a composition."""
        return toy_requests(num_samples=3)

    def test_alone_equals_in_a_block(self) -> None:
        """A sample is the same alone and beside others."""
        tasks = self._tasks()
        alone = [self._generate([task])[0] for task in tasks]
        self._compare("alone and in a block", tasks, alone, self._generate(tasks))

    def test_any_order(self) -> None:
        """A sample does not depend on its place in a block."""
        tasks = self._tasks()
        order = np.random.default_rng(0).permutation(len(tasks))
        shuffled = self._generate([tasks[place] for place in order])
        back = [shuffled[place] for place in np.argsort(order)]
        self._compare("in another order", tasks, back, self._generate(tasks))

    def test_made_again(self) -> None:
        """A second generator, and a second call of one, make the same."""
        tasks, generator = self._tasks(), self.generator()
        first, second = generator.generate(tasks), generator.generate(tasks)
        self._compare("a second time", tasks, second, first, tolerance=0.0)
        self._compare("by a second generator", tasks, self._generate(tasks), first, tolerance=0.0)

    def test_any_number_of_processes(self, tmp_path: Path) -> None:
        """Two calls that share the work write the files of one, byte for byte."""
        requests = self.requests()
        generate_all(self.generator(), requests, tmp_path / "one", block_size=4)
        for rank in (1, 0):
            generator = self.generator()
            folder = tmp_path / "two"
            generate_all(generator, requests, folder, block_size=4, rank=rank, world_size=2)
        for name in _FILES:
            one, two = ((tmp_path / x / name).read_bytes() for x in ("one", "two"))
            if one != two:
                pytest.fail(f"{name} differs between one process and two")

    def test_samples_differ(self) -> None:
        """Samples of a request differ, and so do those of another seed."""
        if not self.is_random:
            pytest.skip("the generator is not random")
        tasks = [Task(request, sample) for request in self.requests() for sample in (0, 1)]
        made = [sample.crystal for sample in self._generate(tasks)]
        reseeded = [
            Task(GenerationRequest.from_dict({**task.request.as_dict(), "seed": 1}), task.sample)
            for task in tasks
        ]
        others = [sample.crystal for sample in self._generate(reseeded)]
        for place, task in enumerate(tasks):
            if made[place] is None:
                continue
            if _difference(made[place], others[place]) == 0.0:
                pytest.fail(f"{task.request.id}: another seed makes the same crystal")
            if task.sample == 1 and _difference(made[place], made[place - 1]) == 0.0:
                pytest.fail(f"{task.request.id}: samples 0 and 1 are the same crystal")

    def test_composition_is_exact(self) -> None:
        """Atoms are those that were asked for."""
        for task, crystal in self._crystals():
            wanted = task.request.conventional_cell
            if wanted and crystal.composition != wanted:
                pytest.fail(f"{task.request.id}: {crystal.composition} was made, {wanted} is asked")

    def test_symmetry_is_as_asked(self) -> None:
        """Every operation of the group maps the crystal onto itself."""
        tolerance = self._tolerance("symmetry")
        for task, crystal in self._crystals():
            if task.request.space_group is None:
                continue
            distance = symmetry_error(crystal, task.request.space_group)
            if distance > tolerance:
                pytest.fail(
                    f"{task.request.id}: an operation of space group {task.request.space_group} "
                    f"leaves an atom {distance:.2g} Å from any other; {tolerance:.2g} is allowed"
                )

    def test_cells_are_sound(self) -> None:
        """Lattices are right-handed, with angles and a volume that atoms could fill."""
        for task, crystal in self._crystals():
            volume = float(np.linalg.det(crystal.lattice)) / crystal.num_atoms
            if not 1.0 < volume < 1000.0:
                pytest.fail(f"{task.request.id}: the volume of an atom is {volume:.3g} Å³")
            if not ((crystal.angles > 15) & (crystal.angles < 165)).all():
                pytest.fail(f"{task.request.id}: the angles are {crystal.angles} degrees")

    def test_something_is_made(self) -> None:
        """At least half of the samples are crystals; those that are none say why."""
        tasks = self._tasks()
        made = self._generate(tasks)
        if sum(sample.crystal is not None for sample in made) < len(tasks) / 2:
            pytest.fail(f"of {len(tasks)} samples few are crystals: {[x.flags for x in made]}")

    def _tasks(self) -> list[Task]:
        return tasks_of(self.requests())

    def _generate(self, tasks: Sequence[Task]) -> Sequence[GeneratedSample]:
        made = self.generator().generate(tasks)
        if len(made) != len(tasks):
            pytest.fail(f"{len(tasks)} samples are asked, {len(made)} came")
        return made

    def _crystals(self) -> list[tuple[Task, Crystal]]:
        tasks = self._tasks()
        made = zip(tasks, self._generate(tasks), strict=True)
        return [(task, sample.crystal) for task, sample in made if sample.crystal is not None]

    def _tolerance(self, name: str) -> float:
        return self.tolerances.get(name, self._DEFAULTS[name])

    def _compare(
        self,
        how: str,
        tasks: Sequence[Task],
        got: Sequence[GeneratedSample],
        expected: Sequence[GeneratedSample],
        tolerance: float | None = None,
    ) -> None:
        allowed = self._tolerance("block") if tolerance is None else tolerance
        for task, one, other in zip(tasks, got, expected, strict=True):
            difference = _difference(one.crystal, other.crystal)
            if difference > allowed or one.flags != other.flags:
                pytest.fail(
                    f"{task.request.id}, sample {task.sample}: made {how} it differs by "
                    f"{difference:.2g}; {allowed:.2g} is allowed"
                )


def symmetry_error(crystal: Crystal, space_group_number: int) -> float:
    """The furthest that an operation leaves an atom from any atom of its element, Å.

    Args:
        crystal: In the standard conventional cell.
        space_group_number: 1 to 230.
    """
    rotations, translations = space_group_operations(space_group_number)
    metric = crystal.lattice @ crystal.lattice.T
    turned = np.einsum("kji,jl,klm->kim", rotations, metric, rotations)
    worst = float(np.sqrt(np.abs(turned - metric).max()))
    images = np.einsum("kij,nj->kni", rotations, crystal.frac_coords) + translations[:, None]
    for number in np.unique(crystal.atomic_numbers):
        atoms = crystal.frac_coords[crystal.atomic_numbers == number]
        moved = images[:, crystal.atomic_numbers == number]
        delta = moved[:, :, None] - atoms
        delta -= np.rint(delta)
        nearest = np.linalg.norm(delta @ crystal.lattice, axis=-1).min(axis=-1)
        worst = max(worst, float(nearest.max()))
    return worst


def _difference(one: Crystal | None, other: Crystal | None) -> float:
    """Largest difference of lengths, angles and coordinates; infinite between unlike atoms."""
    if one is None or other is None:
        return 0.0 if one is other else np.inf
    if not np.array_equal(one.atomic_numbers, other.atomic_numbers):
        return np.inf
    pairs = (
        (one.lengths, other.lengths),
        (one.angles, other.angles),
        (one.frac_coords, other.frac_coords),
    )
    return max(float(np.abs(a - b).max()) for a, b in pairs)
