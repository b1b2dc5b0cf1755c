"""A generator of random crystals: it learns nothing, and keeps all that a generator must."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GeneratedSample, GenerationRequest, Task, WyckoffSite
from crystal_data.symmetry import SymmetricCrystal, wyckoff_positions

_VOLUME_PER_ATOM = 18.0  # Å³
_ELEMENTS = ("Li", "Ti", "O")
_LARGEST_ORBIT = 48  # atoms of the conventional cell


class ToyGenerator:
    """Random cells and positions, exact in composition and symmetry.

    It takes requests with Wyckoff positions and elements, and those with formula and z but without
    a space group; of any other it makes samples without a crystal, with the flag ``not_supported``.
    Crystals with symmetry come in the standard conventional cell.
    """

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Its name."""
        return {"name": type(self).__name__}

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task."""
        return [self.sample(task) for task in tasks]

    def sample(self, task: Task) -> GeneratedSample:
        """The sample of one task."""
        rng, request = np.random.default_rng(task.seed), task.request
        if request.wyckoff and request.wyckoff[0].element:
            crystal = _on_sites(rng, request)
        elif request.cell and request.space_group is None:
            crystal = _anywhere(rng, request)
        else:
            return GeneratedSample(None, source="toy", flags=("not_supported",))
        return GeneratedSample(crystal, score=float(rng.random()), source="toy")


def toy_requests(num_samples: int = 4, seed: int = 0) -> list[GenerationRequest]:
    """Requests over all crystal systems, by Wyckoff positions, and one by composition alone.

    Args:
        num_samples: Of each request.
        seed: Of each request.
    """
    asked = [
        {"id": "triclinic", "space_group": 2, "wyckoff": "Ca:1a O:2i,2i"},
        {"id": "monoclinic", "space_group": 14, "wyckoff": "Ba:2a O:4e Ti:4e"},
        {"id": "orthorhombic", "space_group": 62, "wyckoff": "Ca:4c Ti:4b O:4c,8d"},
        {"id": "tetragonal", "space_group": 136, "wyckoff": "Ti:2a O:4f"},
        {"id": "trigonal", "space_group": 167, "wyckoff": "Al:12c O:18e"},
        {"id": "hexagonal", "space_group": 194, "wyckoff": "Zn:2c S:2d Li:4f"},
        {"id": "spinel", "space_group": 227, "wyckoff": "Mg:8a Al:16d O:32e"},
        {"id": "salt", "space_group": 225, "wyckoff": "Na:4a Cl:4b"},
        {"id": "composition", "formula": "LiFeO2", "z": 2},
    ]
    both = {"num_samples": num_samples, "seed": seed}
    return [GenerationRequest.from_dict({**one, **both}) for one in asked]


def group_requests(
    space_groups: Sequence[int], *, num_samples: int = 1, seed: int = 0
) -> list[GenerationRequest]:
    """One request for each space group: up to three orbits on positions drawn at random.

    Args:
        space_groups: Their numbers.
        num_samples: Of each request.
        seed: Of the positions.
    """
    requests = []
    for number in space_groups:
        rng = np.random.default_rng((seed, number))
        small = [p for p in wyckoff_positions(number) if p.multiplicity <= _LARGEST_ORBIT]
        sites: list[WyckoffSite] = []
        taken: set[str] = set()
        for symbol in _ELEMENTS:
            position = small[int(rng.integers(len(small)))]
            if position.letter in taken and position.num_free == 0:
                continue
            taken.add(position.letter)
            sites.append(WyckoffSite(position.letter, symbol))
        requests.append(
            GenerationRequest(
                id=f"group-{number}",
                space_group=number,
                wyckoff=tuple(sites),
                num_samples=num_samples,
                seed=seed,
            )
        )
    return requests


def _on_sites(rng: np.random.Generator, request: GenerationRequest) -> Crystal:
    count = sum(request.conventional_cell.values())
    crystal = SymmetricCrystal(
        request.space_group or 1,
        _lattice(rng, count),
        np.array([ATOMIC_NUMBERS[site.element] for site in request.wyckoff]),
        tuple(site.letter for site in request.wyckoff),
        rng.random((len(request.wyckoff), 3)),
    )
    return crystal.to_crystal()


def _anywhere(rng: np.random.Generator, request: GenerationRequest) -> Crystal:
    numbers = [ATOMIC_NUMBERS[x] for x, count in request.cell.items() for _ in range(count)]
    return Crystal(_lattice(rng, len(numbers)), rng.random((len(numbers), 3)), np.array(numbers))


def _lattice(rng: np.random.Generator, num_atoms: int) -> NDArray[np.float64]:
    lattice = lattice_from_parameters(rng.uniform(0.8, 1.25, 3), rng.uniform(75, 105, 3))
    edge = (_VOLUME_PER_ATOM * num_atoms / abs(np.linalg.det(lattice))) ** (1 / 3)
    scaled: NDArray[np.float64] = lattice * edge
    return scaled
