"""What the default model keeps exactly, and that it learns."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from crystal_data.generation import GenerationRequest, Task
from crystal_data.loading import OrbitBatch
from crystal_data.metrics import match
from crystal_data.symmetry import SymmetricCrystal, find_orbits
from crystal_data.testing import GeneratorContract, ToyGenerator, toy_requests
from crystal_data.transforms import SampleRandom
from crystal_gen import CrystalDiT, Sampling, StructureGenerator, TemplateLibrary
from crystal_gen.batches import batch_of, crystals_of
from crystal_gen.dit.geometry import Cells, neighbors
from crystal_gen.lattice_vector import lattice_vector
from crystal_gen.positions import images_of, position_table
from crystal_gen.structure_model import composition_of

ENERGY = "formation_energy_per_atom"


def small_model(**options: bool) -> CrystalDiT:
    torch.manual_seed(0)
    model = CrystalDiT(width=32, num_layers=2, pair_width=16, num_heads=4, **options)
    for weights in model.parameters():  # layers that begin at zero would hide what they see
        torch.nn.init.normal_(weights, std=0.1)
    return model.eval()


def known_crystals() -> list[SymmetricCrystal]:
    made = [ToyGenerator().sample(Task(request, 0)).crystal for request in toy_requests()]
    return [find_orbits(crystal) for crystal in made if crystal is not None]


@pytest.fixture(scope="module")
def crystals() -> list[SymmetricCrystal]:
    return known_crystals()


@pytest.fixture(scope="module")
def batch(crystals: list[SymmetricCrystal]) -> OrbitBatch:
    energies = [-1.0 + 0.1 * place for place in range(len(crystals))]
    return batch_of(crystals, range(len(crystals)), {ENERGY: energies})


def velocities(model: CrystalDiT, batch: OrbitBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the crystals as they are, halfway through."""
    sites = model._sites(model.table(torch.device("cpu")), batch, model.wishes(batch))
    cell = lattice_vector(batch.lattice_parameters)
    shape = model.scale.normalize(batch.space_group_number, composition_of(batch), cell)
    time = torch.full((batch.num_crystals,), 0.5)
    velocity, strain = model.network(sites, time, batch.frac_coords, cell, shape)
    return velocity * sites.free_axes, strain


def test_padding_does_not_matter(crystals: list[SymmetricCrystal], batch: OrbitBatch) -> None:
    model = small_model()
    together, cells = velocities(model, batch)
    for row, crystal in enumerate(crystals):
        one = batch_of([crystal], [row], {ENERGY: [-1.0 + 0.1 * row]})
        alone, cell = velocities(model, one)
        assert torch.allclose(alone[0], together[row, : crystal.num_orbits], atol=1e-5)
        assert torch.allclose(cell[0], cells[row], atol=1e-5)


def test_images_of_points_do_not_matter(batch: OrbitBatch) -> None:
    model = small_model()
    whole = torch.from_numpy(np.random.default_rng(0).integers(-2, 3, batch.frac_coords.shape))
    moved = replace(batch, frac_coords=batch.frac_coords + whole * batch.free_axes)
    # A free axis may enter several coordinates, so only whole steps of general points are lattice
    # translations for certain.
    is_general = batch.free_axes.all(2, keepdim=True)
    moved.frac_coords = torch.where(is_general, moved.frac_coords, batch.frac_coords)
    for one, other in zip(velocities(model, batch), velocities(model, moved), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_order_of_orbits_does_not_matter(crystals: list[SymmetricCrystal]) -> None:
    model, rng = small_model(), np.random.default_rng(0)
    for crystal in crystals:
        order = rng.permutation(crystal.num_orbits)
        other = SymmetricCrystal(
            space_group_number=crystal.space_group_number,
            lattice=crystal.lattice,
            atomic_numbers=crystal.atomic_numbers[order],
            wyckoff_letters=tuple(crystal.wyckoff_letters[place] for place in order),
            frac_coords=crystal.frac_coords[order],
        )
        first, cell = velocities(model, batch_of([crystal], [0], {}))
        second, other_cell = velocities(model, batch_of([other], [0], {}))
        assert torch.allclose(first[0, order], second[0], atol=1e-5)
        assert torch.allclose(cell, other_cell, atol=1e-5)


@pytest.mark.parametrize("number", [1, 4, 33])
def test_origin_along_polar_axes_does_not_matter(number: int) -> None:
    model, rng = small_model(), np.random.default_rng(number)
    shift = {1: [0.2, 0.3, 0.4], 4: [0.0, 0.3, 0.0], 33: [0.0, 0.0, 0.4]}[number]
    crystal = SymmetricCrystal(
        space_group_number=number,
        lattice=np.diag([5.0, 6.0, 7.0]),
        atomic_numbers=np.array([8, 12]),
        wyckoff_letters=("a", "a"),
        frac_coords=rng.random((2, 3)),
    )
    one = batch_of([crystal], [0], {})
    moved = replace(one, frac_coords=one.frac_coords + torch.tensor(shift))
    for first, second in zip(velocities(model, one), velocities(model, moved), strict=True):
        assert torch.allclose(first, second, atol=1e-4)


def test_what_is_not_free_stays(batch: OrbitBatch) -> None:
    made = small_model().sample(batch, SampleRandom(0, 0, batch.sample_id), Sampling(num_steps=3))
    for crystal, free in zip(crystals_of(made), batch.free_lattice, strict=True):
        assert crystal is not None
        again = find_orbits(crystal.to_crystal(), 1e-3)
        assert again.space_group_number >= crystal.space_group_number or free.all()
    lengths = made.lattice_parameters[batch.space_group_number == 225]
    assert torch.allclose(lengths[:, 0], lengths[:, 1])
    assert torch.allclose(lengths[:, 3:], torch.tensor(90.0))


def test_a_start_of_little_noise_stays_near(
    crystals: list[SymmetricCrystal], batch: OrbitBatch
) -> None:
    random = SampleRandom(0, 0, batch.sample_id)
    made = small_model().sample(batch, random, Sampling(num_steps=1), start=1e-3)
    for crystal, true in zip(crystals_of(made), crystals, strict=True):
        assert crystal is not None
        assert match(crystal.to_crystal(), true.to_crystal(), stol=0.05) is not None


def test_guidance_of_nothing_is_no_wish(batch: OrbitBatch) -> None:
    model = small_model()
    random = SampleRandom(0, 0, batch.sample_id)
    plain = replace(batch, targets={})
    unguided = model.sample(batch, random, Sampling(num_steps=2, guidance=0.0))
    wishless = model.sample(plain, random, Sampling(num_steps=2))
    wished = model.sample(batch, random, Sampling(num_steps=2))
    assert torch.allclose(unguided.frac_coords, wishless.frac_coords, atol=1e-5)
    assert not torch.allclose(wished.frac_coords, wishless.frac_coords, atol=1e-3)


def test_without_geometry_distances_are_not_seen(batch: OrbitBatch) -> None:
    model = small_model(uses_geometry=False)
    model.network.readout.weights.weight.data.zero_()
    moved = replace(batch, frac_coords=torch.rand_like(batch.frac_coords))
    for one, other in zip(velocities(model, batch), velocities(model, moved), strict=True):
        assert torch.equal(one, other)


@pytest.fixture(scope="module")
def trained(batch: OrbitBatch) -> CrystalDiT:
    """A model that knows ten crystals by heart."""
    torch.manual_seed(0)
    model = CrystalDiT(width=32, num_layers=2, pair_width=16, num_heads=4, exchange=0.0).train()
    model.fit_scales(batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    copies = batch_of(
        [crystal for crystal in crystals_of(batch) if crystal is not None] * 4,
        range(4 * batch.num_crystals),
        {ENERGY: batch.targets[ENERGY].tolist() * 4},
    )
    for step in range(100):
        sums = model.losses(copies, SampleRandom(0, step, copies.sample_id))
        loss = sum(total / count for total, count in sums.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_it_learns_crystals_by_heart(
    trained: CrystalDiT, crystals: list[SymmetricCrystal], batch: OrbitBatch
) -> None:
    random = SampleRandom(0, 0, batch.sample_id)
    untrained = small_model().sample(batch, random, Sampling(num_steps=20))
    made = trained.sample(batch, random, Sampling(num_steps=20))

    def num_matches(found: OrbitBatch) -> int:
        pairs = zip(crystals_of(found), crystals, strict=True)
        return sum(
            one is not None and match(one.to_crystal(), true.to_crystal()) is not None
            for one, true in pairs
        )

    assert num_matches(made) >= num_matches(untrained) + 2


def test_saved_and_loaded(trained: CrystalDiT, batch: OrbitBatch, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path / "model")
    loaded = CrystalDiT.from_pretrained(tmp_path / "model").eval()
    assert loaded.fingerprint() == trained.fingerprint()
    random = SampleRandom(0, 0, batch.sample_id)
    first = trained.sample(batch, random, Sampling(num_steps=2))
    second = loaded.sample(batch, random, Sampling(num_steps=2))
    assert torch.equal(first.frac_coords, second.frac_coords)


class TestFromNoise(GeneratorContract):
    """The contract of generators, for a model that has learned nothing."""

    tolerances: ClassVar[dict[str, float]] = {"block": 1e-3}

    def generator(self) -> StructureGenerator:
        torch.manual_seed(0)
        model = CrystalDiT(width=32, num_layers=2, pair_width=16, num_heads=4)
        found = known_crystals()
        energies = [0.1 * place for place in range(len(found))]
        model.fit_scales(batch_of(found, range(len(found)), {ENERGY: energies}))
        return StructureGenerator(model, sampling=Sampling(num_steps=2))


def test_requests_from_templates(library: TemplateLibrary) -> None:
    generator = StructureGenerator(
        small_model(), sampling=Sampling(num_steps=2), start_level=0.0, templates=library
    )
    request = GenerationRequest(formula="KBr", z=1, num_samples=2)
    first, second = generator.generate([Task(request, 0), Task(request, 1)])
    assert first.source.startswith("template")
    assert first.flags == ("letters_of_template",)
    assert first.crystal is not None
    assert first.crystal.composition == {"K": 1, "Br": 1}
    assert second.crystal is None or second.source != first.source


def test_requests_from_a_start() -> None:
    start = ToyGenerator().sample(Task(toy_requests()[0], 0)).crystal
    assert start is not None
    near = StructureGenerator(small_model(), sampling=Sampling(num_steps=2), start_level=0.01)
    kept = StructureGenerator(small_model(), start_level=0.0)
    request = GenerationRequest(start=start)
    for generator, tolerance in ((near, 0.2), (kept, 1e-3)):
        (made,) = generator.generate([Task(request, 0)])
        assert made.source == "start"
        assert made.crystal is not None
        assert match(made.crystal, start, stol=tolerance) is not None
    (refused,) = kept.generate([Task(GenerationRequest(start=start, space_group=225), 0)])
    assert refused.crystal is None
    assert refused.flags == ("start_does_not_fit",)


def test_letters_without_templates_are_needed() -> None:
    generator = StructureGenerator(small_model(), sampling=Sampling(num_steps=2))
    (made,) = generator.generate([Task(GenerationRequest(formula="NaCl", z=1), 0)])
    assert made.crystal is None
    assert made.flags == ("no_symmetry",)


def test_wishes_that_it_does_not_know_are_flagged() -> None:
    request = GenerationRequest.from_dict(
        {"space_group": 225, "wyckoff": "Na:4a Cl:4b", "properties": {"hardness": 3.0}}
    )
    generator = StructureGenerator(small_model(), sampling=Sampling(num_steps=2))
    (made,) = generator.generate([Task(request, 0)])
    assert "property_not_used" in made.flags


def test_atoms_that_fall_together_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()

    def collapsed(batch: OrbitBatch, *_: object) -> OrbitBatch:
        parameters = torch.tensor([0.5, 0.5, 0.5, 90.0, 90.0, 90.0])
        return replace(batch, lattice_parameters=parameters.expand(batch.num_crystals, 6))

    monkeypatch.setattr(model, "sample", collapsed)
    request = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Na:4a Cl:4b"})
    (made,) = StructureGenerator(model).generate([Task(request, 0)])
    assert made.crystal is None
    assert made.flags == ("atoms_too_close",)


def test_half_precision_is_near_full(batch: OrbitBatch) -> None:
    model = small_model()
    with torch.no_grad():
        full = velocities(model, batch)
        with torch.autocast("cpu", torch.bfloat16):
            half = velocities(model, batch)
    for one, other in zip(full, half, strict=True):
        assert other.dtype == torch.float32
        assert torch.allclose(one, other, atol=0.05 * float(one.abs().max()))


def test_two_images_that_are_equally_near_show_no_direction() -> None:
    """An atom halfway along an axis is seen on both sides, whatever rounding says."""
    crystal = SymmetricCrystal(
        space_group_number=1,
        lattice=np.eye(3) * 4.0,
        atomic_numbers=np.array([8, 12]),
        wyckoff_letters=("a", "a"),
        frac_coords=np.array([[0.1, 0.2, 0.3], [0.6, 0.2, 0.3]]),
    )
    batch = batch_of([crystal], [0], {})
    table = position_table().float()
    cells = Cells(torch.eye(3)[None] * 4.0, torch.eye(3)[None])
    for nudge in (-1e-6, 1e-6):
        moved = batch.frac_coords + torch.tensor([[[0.0, 0, 0], [nudge, 0, 0]]])
        near = neighbors(cells, images_of(table, batch), moved)
        assert float(near.distance[0, 0, 1]) == pytest.approx(2.0, abs=1e-4)
        assert float(near.unit[0, 0, 1].abs().max()) < 1e-3
        # Its own nearest image is a cell away, in six directions.
        assert float(near.distance[0, 0, 0]) == pytest.approx(4.0)


def test_a_cell_that_is_no_number_is_no_crystal(batch: OrbitBatch) -> None:
    """What a network that has run away makes does not stop the others."""
    parameters = batch.lattice_parameters.clone()
    parameters[0] = torch.inf
    parameters[1] = torch.nan
    made = crystals_of(replace(batch, lattice_parameters=parameters))
    assert made[:2] == [None, None]
    assert all(crystal is not None for crystal in made[2:])


def test_a_property_that_is_always_the_same_is_no_infinite_wish(batch: OrbitBatch) -> None:
    model = small_model()
    same = replace(batch, targets={ENERGY: torch.full((batch.num_crystals,), -1.5)})
    model.fit_scales(same)
    assert model.wishes(same).tolist() == [[0.0]] * batch.num_crystals
