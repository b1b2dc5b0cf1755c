"""Units of wishes: learned from the data, saved with the model, and compared with requests."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data.artifacts import ArtifactError
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.generation import GenerationRequest, RequestError, Task
from crystal_data.testing import write_checkpoint
from crystal_gen import CrystalDiT, Sampling, StructureGenerator, StructureModule
from crystal_gen.wishes import _units_of

GAP, ENERGY = "band_gap", "formation_energy_per_atom"


def module() -> StructureModule:
    torch.manual_seed(0)
    model = CrystalDiT((ENERGY, GAP), width=16, num_layers=1, pair_width=8, num_heads=2)
    return StructureModule(model)


def learned() -> CrystalDiT:
    one = module()
    one.take_fields({ENERGY: Field(ENERGY, "eV/atom"), GAP: Field(GAP)}, is_fit=True)
    return one.model


def salt(**properties: object) -> GenerationRequest:
    return GenerationRequest.from_dict(
        {"id": "salt", "space_group": 225, "wyckoff": "Na:4a Cl:4b", "properties": properties}
    )


def test_units_are_learned_and_saved(tmp_path: Path) -> None:
    model = learned()
    assert model.property_units == {ENERGY: "eV/atom"}
    model.save_pretrained(tmp_path / "model")
    assert CrystalDiT.from_pretrained(tmp_path / "model").property_units == {ENERGY: "eV/atom"}
    module().model.save_pretrained(tmp_path / "unknown")
    assert CrystalDiT.from_pretrained(tmp_path / "unknown").property_units == {}


def test_an_evaluation_does_not_change_them() -> None:
    one = module()
    one.take_fields({ENERGY: Field(ENERGY, "eV/atom")}, is_fit=True)
    one.take_fields({ENERGY: Field(ENERGY, "meV/atom")}, is_fit=False)
    assert one.model.property_units == {ENERGY: "eV/atom"}


def test_spectra_cannot_be_wished_for() -> None:
    field = Field(GAP, shape=(66,))
    with pytest.raises(InvalidArgumentError, match="'band_gap' is a spectrum of 66 numbers"):
        module().take_fields({GAP: field}, is_fit=True)


@pytest.mark.parametrize("content", [b"no", b"[]", b'{"band_gap": 1}'])
def test_damaged_units_are_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"units\.json"):
        _units_of(content)


def test_a_wish_in_another_unit_is_refused() -> None:
    generator = StructureGenerator(learned(), sampling=Sampling(num_steps=1))
    wrong = salt(**{ENERGY: {"value": -100.0, "unit": "meV/atom"}})
    message = "salt: formation_energy_per_atom is wanted in meV/atom, .* give it in eV/atom"
    with pytest.raises(RequestError, match=message):
        generator.check([wrong])
    with pytest.raises(RequestError, match=message):
        generator.generate([Task(wrong, 0)])
    right = [
        salt(**{ENERGY: {"value": -0.1, "unit": "eV/atom"}}),
        salt(**{ENERGY: -0.1}),
        salt(**{GAP: {"value": 1.0, "unit": "eV"}}),  # the data did not say
    ]
    generator.check(right)
    (made,) = generator.generate([Task(right[0], 0)])
    assert made.crystal is not None
    assert np.isfinite(made.crystal.lattice).all()


def test_a_wish_that_it_does_not_know_names_the_nearest() -> None:
    generator = StructureGenerator(learned())
    with pytest.raises(RequestError, match="know the property 'bandgap'; did you mean 'band_gap'"):
        generator.check([salt(bandgap=1.0)])
    with pytest.raises(RequestError, match="it knows formation_energy_per_atom, band_gap"):
        generator.check([salt(xyz=1.0)])


def test_a_module_comes_out_of_its_checkpoint(tmp_path: Path) -> None:
    one = StructureModule(
        learned(), sampling=Sampling(num_steps=3, guidance=2.0), max_val_samples=7
    )
    loaded = StructureModule.load_from_checkpoint(write_checkpoint(one, tmp_path / "a.ckpt"))
    assert loaded._sampling == one._sampling
    assert loaded.structure_model.property_units == {ENERGY: "eV/atom"}
    state = one.state_dict()
    assert all(torch.equal(state[name], value) for name, value in loaded.state_dict().items())
