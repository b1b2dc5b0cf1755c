"""A model without symmetry: compositions alone become crystals in their primitive cells."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from crystal_data import Crystal
from crystal_data.generation import GenerationRequest, Task
from crystal_data.metrics import match
from crystal_data.symmetry import SymmetricCrystal, without_symmetry
from crystal_data.testing import (
    GeneratorContract,
    face_centred,
    perovskite,
    rock_salt,
)
from crystal_data.transforms import SampleRandom
from crystal_gen import CrystalDiT, Sampling, StructureGenerator, StructureModule, TemplateLibrary
from crystal_gen.batches import batch_of, crystals_of


def known() -> list[SymmetricCrystal]:
    rutile = SymmetricCrystal.from_parameters(
        136, np.diag([4.59, 4.59, 2.96]), [(22, "a", []), (8, "f", [0.305])]
    ).to_crystal()
    return [without_symmetry(each) for each in (rock_salt(), perovskite(), face_centred(), rutile)]


def dense_model() -> CrystalDiT:
    torch.manual_seed(0)
    model = CrystalDiT((), width=32, num_layers=2, pair_width=16, num_heads=4, uses_symmetry=False)
    model.fit_scales(batch_of(known(), range(4), {}))
    return model


def generator(**options: object) -> StructureGenerator:
    return StructureGenerator(dense_model(), sampling=Sampling(num_steps=2), **options)


class TestDense(GeneratorContract):
    """The contract of generators, for requests without symmetry."""

    tolerances: ClassVar[dict[str, float]] = {"block": 1e-3}

    def generator(self) -> StructureGenerator:
        return generator()

    def requests(self) -> list[GenerationRequest]:
        return [
            GenerationRequest(formula="NaCl", z=1, num_samples=3),
            GenerationRequest(formula="LiFeO2", z=2, num_samples=3),
            GenerationRequest(formula="SrTiO3", z=1, space_group=1, num_samples=3),
            GenerationRequest(formula="Cu", z=1, num_samples=3),
        ]


def test_the_module_asks_for_what_the_model_was_made_for() -> None:
    for model, expected in ((dense_model(), False), (CrystalDiT(()), True)):
        column = StructureModule(model, symprec=0.05).collator.column
        assert column.uses_symmetry is expected
        assert column.symprec == 0.05


def test_it_is_saved_with_the_model(tmp_path: Path) -> None:
    dense_model().save_pretrained(tmp_path / "dense")
    assert CrystalDiT.from_pretrained(tmp_path / "dense").uses_symmetry is False


@pytest.fixture(scope="module")
def crystals() -> list[SymmetricCrystal]:
    return known()


@pytest.mark.slow
def test_it_learns_crystals_by_heart(crystals: list[SymmetricCrystal]) -> None:
    model = dense_model().train()
    copies = batch_of(crystals * 12, range(12 * len(crystals)), {})
    model.fit_scales(copies)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(300):
        sums = model.losses(copies, SampleRandom(0, step, copies.sample_id))
        loss = sum(total / count for total, count in sums.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    batch = batch_of(crystals, range(len(crystals)), {})
    made = model.sample(batch, SampleRandom(0, 0, batch.sample_id), Sampling(num_steps=20))
    found = [
        sample is not None and match(sample.to_crystal(), true.to_crystal()) is not None
        for sample, true in zip(crystals_of(made), crystals, strict=True)
    ]
    assert sum(found) >= 3


def test_samples_come_in_the_cell_that_z_counts() -> None:
    (made,) = generator().generate([Task(GenerationRequest(formula="LiFeO2", z=2), 0)])
    assert made.crystal is not None
    assert made.crystal.composition == {"Li": 2, "Fe": 2, "O": 4}
    assert made.source == "noise"
    assert made.flags == ()


@pytest.mark.parametrize(
    ("asked", "flag"),
    [
        ({"formula": "NaCl", "z": 1, "space_group": 225}, "model_without_symmetry"),
        ({"space_group": 225, "wyckoff": "Na:4a Cl:4b"}, "model_without_symmetry"),
        ({"formula": "NaCl"}, "no_cell"),
        ({"elements": "Na-Cl"}, "no_cell"),
    ],
)
def test_what_it_cannot_make_is_flagged(asked: dict[str, object], flag: str) -> None:
    (made,) = generator().generate([Task(GenerationRequest.from_dict(asked), 0)])
    assert made.crystal is None
    assert made.flags == (flag,)


def test_templates_and_starts_are_taken_in_their_primitive_cells(library: TemplateLibrary) -> None:
    kept = generator(start_level=0.0, templates=library)
    request = GenerationRequest(formula="KBr", z=1, num_samples=9)
    first, last = kept.generate([Task(request, 0), Task(request, 8)])
    assert first.source.startswith("template")
    assert first.flags == ()
    assert first.crystal is not None
    assert first.crystal.composition == {"K": 1, "Br": 1}
    assert last.source == "noise"
    assert last.crystal is None or last.crystal.composition == {"K": 1, "Br": 1}

    for start in (rock_salt(), perovskite()):
        near = generator(start_level=0.01, templates=library)
        (made,) = near.generate([Task(GenerationRequest(start=start), 0)])
        assert made.source == "start"
        assert made.crystal is not None
        assert match(made.crystal, start, stol=0.2) is not None


def test_order_and_origin_of_atoms_do_not_matter(crystals: list[SymmetricCrystal]) -> None:
    """Of two descriptions of a crystal the losses are those of one."""
    model, crystal = dense_model().eval(), crystals[-1]
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    one = batch_of([crystal], [0], {})
    moved = replace(one, frac_coords=(one.frac_coords + torch.tensor([0.2, 0.3, 0.4])) % 1.0)
    first, second = (
        model.losses(batch, SampleRandom(0, 0, batch.sample_id)) for batch in (one, moved)
    )
    for name, (total, _) in first.items():
        assert torch.allclose(total, second[name][0], rtol=1e-3)


def test_a_start_that_is_a_supercell_is_reduced() -> None:
    salt = rock_salt()
    doubled = Crystal(
        salt.lattice * np.array([[2.0], [1.0], [1.0]]),
        np.concatenate([salt.frac_coords, salt.frac_coords + np.array([1, 0, 0])])
        / np.array([2, 1, 1]),
        np.tile(salt.atomic_numbers, 2),
    )
    (made,) = generator(start_level=0.0).generate([Task(GenerationRequest(start=doubled), 0)])
    assert made.crystal is not None
    assert made.crystal.composition == {"Na": 1, "Cl": 1}
