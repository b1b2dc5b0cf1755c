"""The models that come with the package."""

import pytest

from crystal_data import Crystal
from crystal_data.generation import GenerationRequest, tasks_of
from crystal_data.metrics import match
from crystal_data.testing import perovskite, rock_salt
from crystal_gen import StructureGenerator, StructureModel
from crystal_gen.__main__ import main
from crystal_gen.shipped import SHIPPED

KNOWN = (
    ({"space_group": 225, "wyckoff": "Na:4a Cl:4b"}, rock_salt()),
    ({"space_group": 221, "wyckoff": "Ba:1b Ti:1a O:3d"}, perovskite()),
)


@pytest.fixture(scope="module")
def generator() -> StructureGenerator:
    return StructureGenerator(StructureModel.from_pretrained(SHIPPED.find("crystal-dit-joined")))


def best_of_four(generator: StructureGenerator, wish: dict[str, object]) -> Crystal:
    """By the model's own score."""
    made = generator.generate(tasks_of([GenerationRequest.from_dict(wish | {"num_samples": 4})]))
    best = max(made, key=lambda sample: -10.0 if sample.score is None else sample.score)
    assert best.crystal is not None
    return best.crystal


@pytest.mark.parametrize(("wish", "known"), KNOWN, ids=["rock salt", "perovskite"])
def test_it_makes_well_known_crystals(
    generator: StructureGenerator, wish: dict[str, object], known: Crystal
) -> None:
    made = best_of_four(generator, wish)
    assert match(made, known) is not None
    # Sizes that the matcher would not mind are right too.
    volumes = made.volume / made.num_atoms, known.volume / known.num_atoms
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


def test_free_coordinates_are_found(generator: StructureGenerator) -> None:
    """Spinel: oxygen near x = 0.26, from noise."""
    best = best_of_four(generator, {"space_group": 227, "wyckoff": "Mg:8a Al:16d O:32e"})
    oxygen = best.frac_coords[best.atomic_numbers == 8]
    # From either choice of the free parameter: x or 1/4 - x away from the tetrahedral site.
    magnesium = best.frac_coords[best.atomic_numbers == 12]
    ways = oxygen[:, None] - magnesium
    ways -= ways.round()
    shortest = ((ways @ best.lattice) ** 2).sum(-1).min() ** 0.5
    assert shortest == pytest.approx(1.95, abs=0.2)


def test_units_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    folder = SHIPPED.artifacts()["crystal-dit-joined"]
    assert (folder / "model.safetensors").stat().st_size < 5_000_000
    model = StructureModel.from_pretrained(folder)
    assert model.property_units == {"formation_energy_per_atom": "eV/atom"}
    assert main(["models"]) == 0
    assert "crystal-dit-joined" in capsys.readouterr().out
