"""Models get as many outputs as their targets have numbers, and come back out of checkpoints."""

import pytest
import torch

from crystal_data.artifacts import PretrainedModel
from crystal_data.field import Field
from crystal_data.graphs import CrystalBatch
from crystal_data.testing import random_crystals, write_checkpoint
from crystal_data.training import PropertyModule
from crystal_data.transforms import MaskAtoms, PerturbAtoms, PerturbLattice
from crystal_embed import ALIGNN, CGCNN, CrystalTransformer, MEGNet, PretrainingModule

MODELS = [
    CGCNN,
    CGCNN.published,
    MEGNet,
    ALIGNN,
    lambda: CrystalTransformer(element_width=8, num_layers=1, num_heads=2),
]
SPECTRUM = Field("dos", "1", shape=(5,))


@pytest.fixture(params=MODELS, ids=["cgcnn", "published", "megnet", "alignn", "transformer"])
def make(request):
    torch.manual_seed(0)
    return request.param


def batch_of(model, crystals):
    batch = CrystalBatch.from_crystals(crystals)
    batch = batch if model.graph_spec is None else batch.with_edges(model.graph_spec)
    return batch.float32()


def test_outputs_follow_the_targets(make):
    crystals = random_crystals(3, seed=0)
    module = PropertyModule(make(), "a,b").eval()
    assert module(batch_of(module.model, crystals)).shape == (3, 2)
    module = PropertyModule(make(), ["dos"]).eval()
    module.take_fields({"dos": SPECTRUM}, is_fit=True)
    assert module(batch_of(module.model, crystals)).shape == (3, 5)


def test_one_target_leaves_the_model_as_it_was_built(make):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    PropertyModule(model, "a")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_artifact_has_the_number(make, tmp_path):
    module = PropertyModule(make(), "a,b")
    folder = module.save_pretrained(tmp_path / "artifact")
    model = PretrainedModel.from_pretrained(folder)
    assert model.artifact_arguments()["num_outputs"] == 2
    # To start from it, a spectrum's last layer fits too.
    spectrum = PropertyModule(make(), "dos")
    spectrum.take_fields({"dos": SPECTRUM}, is_fit=True)
    folder = spectrum.save_pretrained(tmp_path / "spectrum")
    started = PropertyModule(make(), "dos")
    started.load_pretrained(folder, strict=False)
    weights = spectrum.model.state_dict()
    assert all(torch.equal(weights[key], one) for key, one in started.model.state_dict().items())


def test_a_fit_module_comes_out_of_its_checkpoint(make, tmp_path):
    module = PropertyModule(make(), "dos").eval()
    module.take_fields({"dos": SPECTRUM}, is_fit=True)
    path = write_checkpoint(module, tmp_path / "a.ckpt")
    loaded = PropertyModule.load_from_checkpoint(path).eval()
    batch = batch_of(module.model, random_crystals(3, seed=1))
    assert torch.equal(loaded(batch), module(batch))


def test_pre_training_comes_out_of_its_checkpoint(tmp_path):
    model = CrystalTransformer(element_width=8, num_layers=1, num_heads=2)
    moves = [MaskAtoms(share=0.3), PerturbAtoms(), PerturbLattice()]
    module = PretrainingModule(model, moves, repair_weight=0.5)
    loaded = PretrainingModule.load_from_checkpoint(write_checkpoint(module, tmp_path / "a.ckpt"))
    assert [type(one) for one in loaded.corruptions] == [type(one) for one in moves]
    assert loaded.corruptions[0].share == 0.3
    assert loaded.state_dict().keys() == module.state_dict().keys()
