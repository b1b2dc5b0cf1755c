"""Adversarial training: gradients reach the generator, steps are counted, resumption is exact."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crystal_data import CrystalBatch
from crystal_data.artifacts.artifact import Artifact
from crystal_data.testing import random_crystals, write_checkpoint
from crystal_data.training import PropertyModule
from crystal_data.training.command import main
from crystal_data.transforms import MaskAtoms, PerturbAtoms, SampleRandom
from crystal_gan import AdversarialModule, Equiformer, EquiformerSizes, RepairModel
from crystal_gan.training.fakes import original, repaired

SIZES = {
    "num_layers": 1,
    "num_channels": 8,
    "hidden_channels": 8,
    "feedforward_channels": 8,
    "num_heads": 2,
    "value_channels": 4,
    "edge_width": 8,
    "cutoff": 4.0,
}
CORRUPTIONS = [MaskAtoms(), PerturbAtoms(0.1)]
CONFIG = {
    "seed_everything": 1,
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 3},
    "model": {
        "class_path": "crystal_gan.AdversarialModule",
        "init_args": {
            "model": {"class_path": "crystal_gan.RepairModel", "init_args": {"sizes": SIZES}},
            "discriminator": {
                "class_path": "crystal_gan.Equiformer",
                "init_args": {"num_outputs": 2, "sizes": SIZES},
            },
            "corruptions": [
                {"class_path": "crystal_data.transforms.MaskAtoms"},
                {
                    "class_path": "crystal_data.transforms.PerturbAtoms",
                    "init_args": {"sigma": 0.2},
                },
            ],
            "discriminator_every": 2,
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {"class_path": "crystal_data.BuiltinSource"},
            "batch_size": 8,
            "train_size": 24,
        },
    },
}


def fit(folder, *extra):
    trainer = {**CONFIG["trainer"], "default_root_dir": str(folder)}
    path = Path(f"{Path(folder).name}.yaml")
    path.write_text(yaml.safe_dump({**CONFIG, "trainer": trainer}), encoding="utf-8")
    return main(["fit", "--config", str(path), *extra])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """The working folder of this file's tests, with a brief training in ``run``."""
    folder = tmp_path_factory.mktemp("adversarial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crystal-gan"])
        patch.chdir(folder)
        assert fit("run") == 0
        yield folder


def made():
    torch.manual_seed(0)
    sizes = EquiformerSizes(**SIZES)
    return AdversarialModule(RepairModel(sizes), Equiformer(2, sizes), CORRUPTIONS)


def corrupted(crystals, corruptions=CORRUPTIONS):
    batch = CrystalBatch.from_crystals(crystals)
    rng = SampleRandom(0, 0, batch.sample_id)
    for corruption in corruptions:
        batch = corruption(batch, rng)
    return batch.with_edges(EquiformerSizes(**SIZES).graph_spec).float32()


def test_the_adversarial_term_alone_has_a_gradient_in_every_weight_of_the_generator():
    module, batch = made(), corrupted(random_crystals(8, seed=0))
    answers = module.answers(batch, module(batch))
    answers[:, 1].sum().backward()
    without = [n for n, p in module.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_elements_and_positions_both_carry_gradients():
    module, batch = made(), corrupted(random_crystals(8, seed=0))
    repair = module(batch)
    answer = module.answers(batch, repair)[:, 1].sum()
    for gradient in torch.autograd.grad(answer, (repair.logits, repair.displacement)):
        assert torch.isfinite(gradient).all()
        assert gradient.any()


def test_repairs_keep_what_was_seen_and_choose_what_was_hidden():
    module, batch = made(), corrupted(random_crystals(8, seed=0))
    repair = module(batch)
    crystals, species = repaired(batch, repair)
    torch.testing.assert_close(species.sum(1), torch.ones(len(species)))
    expected = torch.where(batch.masked_sites, repair.logits.argmax(1) + 1, batch.atomic_numbers)
    assert torch.equal(species.argmax(1), expected)
    torch.testing.assert_close(species.max(1).values, torch.ones(len(species)))
    moved = crystals.frac_coords - batch.frac_coords
    cart = torch.einsum("ni,nij->nj", moved, batch.lattice[batch.batch])
    torch.testing.assert_close(cart, -repair.displacement, atol=1e-5, rtol=0)


def test_the_original_is_what_it_was_up_to_a_common_shift():
    crystals = random_crystals(8, seed=1)
    batch = original(corrupted(crystals))
    parts = batch.frac_coords.split(batch.num_atoms.tolist())
    for crystal, frac in zip(crystals, parts, strict=True):
        difference = frac.numpy() - crystal.frac_coords
        difference -= difference[:1]
        np.testing.assert_allclose(difference, difference.round(), atol=1e-5)
    numbers = np.concatenate([crystal.atomic_numbers for crystal in crystals])
    assert np.array_equal(batch.atomic_numbers.numpy(), numbers)


def test_losses_are_those_published():
    module, batch = made(), corrupted(random_crystals(8, seed=0))
    module.train_metric = module.new_metric()
    repair = module(batch)
    answers = module.answers(batch, repair)
    expected = (answers - torch.tensor([0.0, 1.0])).abs().sum(1).mean()
    measured = module._evaluated(batch)
    total, count = measured["adversarial_loss"]
    torch.testing.assert_close(total / count, expected)
    loss, (right, of) = module._discrimination(batch, repair)
    assert 0.0 < loss < 4.0
    assert 0 <= right <= of == 16
    gradients = torch.autograd.grad(loss, tuple(module.parameters()), allow_unused=True)
    names = [name for name, _ in module.named_parameters()]
    reached = {n for n, g in zip(names, gradients, strict=True) if g is not None}
    assert reached == {name for name in names if name.startswith("discriminator.")}


def test_the_discriminator_learns_less_often(workplace):
    saved = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    steps = [
        {int(state["step"]) for state in one["state"].values()} for one in saved["optimizer_states"]
    ]
    # Three epochs of three batches; every second batch, and the offset moves.
    assert steps == [{9}, {5}]


def test_the_artifact_holds_the_generator(workplace):
    artifact = Artifact.load("run")
    assert artifact.class_name == "RepairModel"
    assert not any("discriminator" in name for name in artifact.weights)


@pytest.mark.slow
def test_a_resumed_training_ends_the_same(workplace):
    for epochs in (1, 2):
        folder = f"parts{epochs}"
        assert fit(folder, "--trainer.max_epochs", str(epochs)) == 0
        assert fit(folder, "--ckpt_path", "last") == 0
        whole, parts = (torch.load(f"{n}/checkpoints/last.ckpt") for n in ("run", folder))
        for name, values in whole["state_dict"].items():
            assert torch.equal(values, parts["state_dict"][name]), name
        assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])


def test_a_module_comes_out_of_its_checkpoint(tmp_path):
    module = made()
    path = write_checkpoint(module, tmp_path / "a.ckpt")
    loaded = AdversarialModule.load_from_checkpoint(path, discriminator_every=3)
    assert loaded.discriminator is not loaded.model
    assert loaded._discriminator_every == 3
    assert [type(one) for one in loaded.corruptions] == [type(one) for one in CORRUPTIONS]
    state = module.state_dict()
    assert all(torch.equal(state[name], value) for name, value in loaded.state_dict().items())


def test_the_outputs_follow_the_targets(tmp_path):
    module = PropertyModule(Equiformer(sizes=EquiformerSizes(**SIZES)), "a,b")
    assert module.model.output[-1].out_features == 2
    model = Equiformer.from_pretrained(module.save_pretrained(tmp_path / "artifact"))
    assert model.artifact_arguments()["num_outputs"] == 2
