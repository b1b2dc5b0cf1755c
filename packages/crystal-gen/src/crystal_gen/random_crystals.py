"""Random crystals of a space group by pyxtal: what a generator has to beat without any knowledge.

Source:
    Fredericks et al., PyXtal, Comput. Phys. Commun. 261, 107810 (2021).
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GeneratedSample, GenerationRequest, Task, count_assignments
from crystal_data.symmetry import SymmetricCrystal, SymmetryError, niggli_cell, wyckoff_position
from crystal_gen.templates.copying import reduced_to_primitive
from crystal_gen.templates.library import lattice_points

Array = NDArray[np.float64]

_NUM_GROUPS = 230
_SAME = 1e-6  # of fractional coordinates that are equal but for rounding


class RandomGenerator:
    """Places atoms at random: on the Wyckoff positions asked, or on those that pyxtal chooses.

    Cell and volume are pyxtal's too: random, of a volume between those of covalent and of van der
    Waals radii, with atoms no closer than the sum of their covalent radii allows. Where they are
    open, z is the smallest that the group can hold, and the group is any that can hold the atoms,
    each as likely as another.

    Flags: ``not_placed`` without a crystal, where all attempts had atoms too close;
    ``no_composition`` for a request without one; ``properties_not_used`` and ``start_not_used``.

    Args:
        num_attempts: Of pyxtal, each of up to 40 cells with 10 placements.

    Raises:
        InvalidArgumentError: If pyxtal is not installed, or the number is below 1.
    """

    def __init__(self, num_attempts: int = 5) -> None:
        if num_attempts < 1:
            raise InvalidArgumentError(f"num_attempts is {num_attempts}; at least one is needed")
        try:
            self._pyxtal_version = version("pyxtal")
        except PackageNotFoundError:
            raise InvalidArgumentError(
                "random crystals need pyxtal, which is not installed",
                "pip install 'crystal-gen[pyxtal]'",
            ) from None
        self.num_attempts = num_attempts

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions and options."""
        return {
            "name": type(self).__name__,
            "version": version("crystal-gen"),
            "pyxtal": self._pyxtal_version,
            "num_attempts": self.num_attempts,
        }

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task."""
        return [self._sample(task) for task in tasks]

    def _sample(self, task: Task) -> GeneratedSample:
        request, flags = task.request, []
        if request.properties:
            flags.append("properties_not_used")
        if request.start is not None:
            flags.append("start_not_used")
        if not request.composition:
            return GeneratedSample(None, source="pyxtal", flags=("no_composition", *flags))
        rng = np.random.default_rng(task.seed)
        number = request.space_group or _any_group(rng, request)
        z = request.z or _smallest_z(number, request.composition)
        counts = {
            symbol: count * z * len(lattice_points(number))
            for symbol, count in request.composition.items()
        }
        made = self._placed(rng, number, counts, _sites(rng, request, counts))
        if made is None:
            return GeneratedSample(None, source="pyxtal", flags=("not_placed", *flags))
        crystal = made.to_crystal()
        if request.space_group is None:
            crystal = niggli_cell(reduced_to_primitive(made))
        source = f"pyxtal, space group {number}"
        return GeneratedSample(crystal, source=source, flags=tuple(flags))

    def _placed(
        self,
        rng: np.random.Generator,
        number: int,
        counts: Mapping[str, int],
        sites: Mapping[str, Sequence[str]] | None,
    ) -> SymmetricCrystal | None:
        """Pyxtal's crystal, or None if it found no place for the atoms."""
        from pyxtal import pyxtal

        crystal = pyxtal()
        try:
            with warnings.catch_warnings():
                # It says so when it makes a cell larger.
                warnings.simplefilter("ignore")
                crystal.from_random(
                    dim=3,
                    group=number,
                    species=list(counts),
                    numIons=list(counts.values()),
                    sites=None if sites is None else [list(sites[symbol]) for symbol in counts],
                    random_state=rng,
                    max_count=self.num_attempts,
                )
        except RuntimeError:  # its attempts have ended
            return None
        return _symmetric(number, crystal)


def _any_group(rng: np.random.Generator, request: GenerationRequest) -> int:
    z = request.z or 1
    counts = [count * z for count in request.composition.values()]
    # Group 1 can hold anything.
    groups = (1 + rng.permutation(_NUM_GROUPS)).tolist()
    return next(number for number in groups if count_assignments(number, counts))


def _smallest_z(number: int, composition: Mapping[str, int]) -> int:
    z = 1
    # It ends: the general position holds any multiple of its multiplicity.
    while not count_assignments(number, [count * z for count in composition.values()]):
        z += 1
    return z


def _sites(
    rng: np.random.Generator, request: GenerationRequest, counts: Mapping[str, int]
) -> dict[str, list[str]] | None:
    """Labels, such as ``"4a"``, of each element's positions; None if pyxtal is to choose."""
    if not request.wyckoff:
        return None
    positions = [
        wyckoff_position(request.space_group or 1, site.letter) for site in request.wyckoff
    ]
    elements = [site.element for site in request.wyckoff]
    if not elements[0]:
        elements = _shared_out(rng, [each.multiplicity for each in positions], counts)
    sites: dict[str, list[str]] = {symbol: [] for symbol in counts}
    for position, element in zip(positions, elements, strict=True):
        sites[element].append(position.label)
    return sites


def _shared_out(
    rng: np.random.Generator, sizes: Sequence[int], counts: Mapping[str, int]
) -> list[str]:
    """An element for each orbit, at random, so that each element has its atoms.

    The request has been checked, so there is a way.
    """
    order = sorted(rng.permutation(len(sizes)).tolist(), key=lambda place: -sizes[place])
    chosen: dict[int, str] = {}
    left = dict(counts)

    def fill(depth: int) -> bool:
        if depth == len(order):
            return True
        place = order[depth]
        for symbol in rng.permutation(list(left)).tolist():
            if left[symbol] >= sizes[place]:
                left[symbol] -= sizes[place]
                chosen[place] = symbol
                if fill(depth + 1):
                    return True
                left[symbol] += sizes[place]
        return False

    fill(0)
    return [chosen[place] for place in range(len(sizes))]


def _symmetric(number: int, crystal: Any) -> SymmetricCrystal:
    """Pyxtal's crystal on the representatives of this project's Wyckoff positions."""
    letters = tuple(site.wp.letter for site in crystal.atom_sites)
    points = [
        _on_representative(number, letter, np.array(site.coords))
        for letter, site in zip(letters, crystal.atom_sites, strict=True)
    ]
    return SymmetricCrystal(
        space_group_number=number,
        lattice=np.array(crystal.lattice.matrix),
        atomic_numbers=np.array([ATOMIC_NUMBERS[site.specie] for site in crystal.atom_sites]),
        wyckoff_letters=letters,
        frac_coords=np.array(points),
    )


def _on_representative(number: int, letter: str, members: Array) -> Array:
    """The member of an orbit that lies on the representative of its position; ``[3]``."""
    delta = wyckoff_position(number, letter).project(members) - members
    distance = np.abs(delta - np.rint(delta)).max(axis=1)
    best = int(distance.argmin())
    if distance[best] > _SAME:
        raise SymmetryError(
            f"pyxtal has position {letter} of space group {number} in another setting",
            "use another version of pyxtal",
        )
    point: Array = members[best]
    return point
