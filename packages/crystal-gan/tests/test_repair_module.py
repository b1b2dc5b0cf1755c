"""Training without labels: what is learned, what counts, what is handed on to fine-tuning."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crystal_data import Crystal, CrystalBatch
from crystal_data.artifacts.artifact import Artifact
from crystal_data.errors import InvalidArgumentError
from crystal_data.metrics.result import read_results
from crystal_data.testing import change_cell, random_crystals, rock_salt
from crystal_data.training.command import main
from crystal_data.transforms import (
    MaskAtoms,
    PerturbAtoms,
    PerturbLattice,
    RandomReflection,
    RandomRotation,
    SampleRandom,
)
from crystal_gan import EquiformerSizes, RepairModel, RepairModule
from crystal_gan.training.fakes import original
from crystal_gan.training.losses import displacement_sums, strain_sums, true_displacement

SIZES = {
    "num_layers": 2,
    "num_channels": 16,
    "hidden_channels": 8,
    "feedforward_channels": 16,
    "num_heads": 2,
    "value_channels": 4,
    "edge_width": 16,
    "cutoff": 4.0,
}
CORRUPTIONS = [MaskAtoms(), PerturbAtoms()]
BUILT_IN = {"class_path": "crystal_data.BuiltinSource"}
CONFIG = {
    "seed_everything": 1,
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 2},
    "model": {
        "class_path": "crystal_gan.RepairModule",
        "init_args": {
            "model": {"class_path": "crystal_gan.RepairModel", "init_args": {"sizes": SIZES}},
            "corruptions": [
                {"class_path": "crystal_data.transforms.MaskAtoms"},
                {"class_path": "crystal_data.transforms.PerturbAtoms"},
            ],
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.005}},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {"source": BUILT_IN, "batch_size": 16, "train_size": 48},
    },
}
FINE_TUNING = {
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "targets": ["formation_energy_per_atom"],
            "model": {"class_path": "crystal_gan.Equiformer", "init_args": {"sizes": SIZES}},
        },
    },
    "data": CONFIG["data"],
}


def fit(folder, config, *extra):
    config = {**config, "trainer": {**CONFIG["trainer"], "default_root_dir": str(folder)}}
    path = Path(f"{Path(folder).name}.yaml")
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return main(["fit", "--config", str(path), *extra])


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """The working folder of this file's tests, with a brief training in ``run``."""
    folder = tmp_path_factory.mktemp("repair")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crystal-gan"])
        patch.chdir(folder)
        assert fit("run", CONFIG) == 0
        yield folder


def module_of(corruptions=CORRUPTIONS, **options):
    torch.manual_seed(0)
    return RepairModule(RepairModel(EquiformerSizes(**SIZES), **options), corruptions).eval()


def corrupted(crystals, corruptions=CORRUPTIONS):
    batch = CrystalBatch.from_crystals(crystals)
    rng = SampleRandom(0, 0, batch.sample_id)
    for corruption in corruptions:
        batch = corruption(batch, rng)
    return batch.with_edges(EquiformerSizes(**SIZES).graph_spec).float32()


@pytest.mark.slow
def test_built_in_crystals_are_learned(workplace):
    config = json.loads(json.dumps(CONFIG))
    config["data"]["init_args"]["train_size"] = 480
    assert fit("learned", config, "--trainer.max_epochs", "10") == 0
    first, *_, last = rows(workplace / "learned")
    assert last["val/loss"] < 0.8 * first["val/loss"]
    assert last["val/displacement_loss"] < 0.9  # 1 without any repair
    assert last["val/position_error"] < last["val/position_error_unrepaired"]
    assert last["val/masked_accuracy"] > 0.4  # the commonest element is 27 % of the hidden ones
    assert last["val/masked_accuracy"] < last["val/masked_top5"] <= 1.0


def test_every_evaluation_has_the_same_corruptions(workplace):
    unrepaired = {row["val/position_error_unrepaired"] for row in rows(workplace / "run")}
    trained_on = {row["train/position_error_unrepaired"] for row in rows(workplace / "run")}
    assert len(unrepaired) == 1
    assert len(trained_on) == 2


def test_results_tell_what_was_counted(workplace):
    counts = {r.metric: r.num_samples for r in read_results(workplace / "run/results.json")}
    hidden = counts["val/masked_accuracy"]
    assert 0 < hidden < counts["val/position_error"]
    assert counts["val/element_loss"] == counts["val/masked_top5"] == hidden
    assert counts["val/displacement_loss"] == 0


def test_fine_tuning_takes_the_backbone_and_names_the_rest(workplace, capsys):
    assert fit("tuned", FINE_TUNING, "--init_from", "run", "--trainer.max_epochs", "1") == 0
    printed = capsys.readouterr().out
    new = [line.split()[1] for line in printed.splitlines() if line.startswith("  new ")]
    assert new == [f"output.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")]
    loaded, total = map(int, re.search(r"loaded (\d+) of (\d+) tensors", printed).groups())
    assert total - loaded == len(new)


def test_a_frozen_backbone_stays(workplace):
    freeze = {
        "class_path": "crystal_data.training.Freeze",
        "init_args": {"patterns": ["backbone.*"]},
    }
    config = json.loads(json.dumps(FINE_TUNING))
    path = Path("frozen.yaml")
    trainer = {**CONFIG["trainer"], "default_root_dir": "frozen", "max_epochs": 1}
    path.write_text(yaml.safe_dump({**config, "trainer": {**trainer, "callbacks": [freeze]}}))
    assert main(["fit", "--config", str(path), "--init_from", "run"]) == 0
    before, after = (Artifact.load(name).weights for name in ("run", "frozen"))
    shared = [name for name in after if name.startswith("backbone.")]
    assert shared
    assert all(torch.equal(before[name], after[name]) for name in shared)


def test_the_artifact_is_enough_to_evaluate(workplace):
    assert main(["validate", "--config", "run.yaml", "--init_from", "run"]) == 0


@pytest.mark.slow
def test_a_resumed_training_ends_the_same(workplace):
    assert fit("parts", CONFIG, "--trainer.max_epochs", "1") == 0
    assert fit("parts", CONFIG, "--ckpt_path", "last") == 0
    whole, parts = (torch.load(f"{name}/checkpoints/last.ckpt") for name in ("run", "parts"))
    for name, values in whole["state_dict"].items():
        assert torch.equal(values, parts["state_dict"][name]), name


def test_only_hidden_atoms_count_for_elements():
    module, batch = module_of(), corrupted(random_crystals(4, seed=0))
    sums = module.sums(batch)
    total, count = sums["element_loss"]
    assert count == batch.masked_sites.sum()
    batch.true_atomic_numbers = torch.where(~batch.masked_sites, 1, batch.true_atomic_numbers)
    assert torch.equal(module.sums(batch)["element_loss"][0], total)
    batch.is_filler = True
    assert all(not t and not c for t, c in module.sums(batch).values())


def test_the_right_answer_leaves_no_error():
    crystals = random_crystals(6, seed=1)
    moves = [PerturbAtoms(sigma=0.5), RandomRotation(), RandomReflection()]
    batch = corrupted(crystals, moves)
    sums = displacement_sums(true_displacement(batch), batch)
    assert sums["displacement_loss"][0] == 0.0
    # Each original position, up to a common shift, is what the displacement leads back to.
    moved = torch.einsum("ni,nij->nj", batch.frac_coords, batch.lattice[batch.batch])
    restored = moved - true_displacement(batch)
    for row, (crystal, positions) in enumerate(
        zip(crystals, restored.split(batch.num_atoms.tolist()), strict=True)
    ):
        frac = positions.double() @ torch.linalg.inv(batch.lattice[row].double())
        difference = frac - torch.tensor(crystal.frac_coords)
        difference = difference - difference[:1]
        np.testing.assert_allclose(difference, difference.round(), atol=1e-5)


def test_targets_do_not_depend_on_the_cell():
    """As a fractional displacement would."""
    crystal = random_crystals(5, seed=3)[-1]
    other = change_cell(crystal, np.random.default_rng(0))
    one, two = (corrupted([c], [PerturbAtoms()]) for c in (crystal, other))
    torch.testing.assert_close(true_displacement(one), true_displacement(two), atol=1e-5, rtol=0)


def test_single_atoms_count_for_no_position():
    lone = Crystal(3.0 * np.eye(3), np.zeros((1, 3)), np.array([29]))
    batch = corrupted([lone, rock_salt()])
    assert displacement_sums(true_displacement(batch), batch)["position_error"][1] == 2
    alone = corrupted([lone])
    sums = displacement_sums(true_displacement(alone), alone)
    assert sums["displacement_loss"] == (0.0, 0.0)


def test_a_strain_and_moved_atoms_are_undone_together():
    crystals = random_crystals(6, seed=1)
    for corruptions in ([PerturbAtoms(), PerturbLattice()], [PerturbLattice(), PerturbAtoms()]):
        batch = corrupted(crystals, corruptions)
        assert strain_sums(batch.strain, batch)["strain_loss"][0] == 0.0
        unrepaired = strain_sums(torch.zeros_like(batch.strain), batch)
        assert unrepaired["strain_loss"][0] == unrepaired["strain_loss"][1] > 0.0
        restored = original(batch)
        lattice = torch.from_numpy(np.stack([c.lattice for c in crystals])).float()
        torch.testing.assert_close(restored.lattice, lattice, atol=1e-4, rtol=0)
        frac = torch.from_numpy(np.concatenate([c.frac_coords for c in crystals])).float()
        moved = (restored.frac_coords - frac).split(batch.num_atoms.tolist())
        for one in moved:  # a common shift cannot be told
            difference = one - one[:1]
            torch.testing.assert_close(difference, difference.round(), atol=1e-4, rtol=0)


def test_strains_are_learned_beside_the_rest():
    corruptions = [MaskAtoms(), PerturbAtoms(), PerturbLattice()]
    module = module_of(corruptions, repairs_cell=True)
    batch = corrupted(random_crystals(8, seed=0), corruptions)
    optimizer = torch.optim.Adam(module.parameters(), 0.003)
    losses = []
    for _ in range(60):
        sums = module.sums(batch)
        total, count = sums["strain_loss"]
        losses.append(float(total.detach() / count))
        optimizer.zero_grad()
        module.repair_loss(sums).backward()
        optimizer.step()
    assert losses[0] > 0.9
    assert losses[-1] < 0.5
    assert set(module.measured) == set(sums)


def test_a_cell_is_repaired_by_a_model_that_can():
    with pytest.raises(InvalidArgumentError, match="cannot undo PerturbLattice"):
        module_of([PerturbLattice()])
    with pytest.raises(InvalidArgumentError, match="degree 1"):
        RepairModel(EquiformerSizes(**SIZES, max_degree=1, max_order=1), repairs_cell=True)


def test_a_self_conditioned_model_learns_through_what_it_is_told():
    crystals = random_crystals(6, seed=0)
    module = module_of([PerturbAtoms()], self_conditioned=True)
    batch = corrupted(crystals, [PerturbAtoms()])
    untold = module.model(batch)
    torch.nn.init.normal_(module.model.condition.weight)
    assert torch.equal(module.model(batch).displacement, untold.displacement)
    told = module(batch)
    assert not torch.allclose(told.displacement, untold.displacement)
    vectors = module.model.encode(original(batch).with_edges(module.model.graph_spec))
    again = module.model(batch, crystals=vectors)
    assert torch.equal(told.displacement, again.displacement)
    (gradient,) = torch.autograd.grad(again.displacement.square().sum(), vectors)
    assert gradient[1:].abs().amax(1).gt(0).all()  # the first has one atom, which stays


def test_one_in_five_crystals_is_not_told():
    module = module_of([PerturbAtoms()], self_conditioned=True).train()
    batch = corrupted(random_crystals(300, seed=0, max_atoms=2), [PerturbAtoms()])
    is_told = module._told(batch).abs().sum(1) > 0
    assert 0.7 < is_told.float().mean() < 0.9
    assert torch.equal(is_told, module._told(batch).abs().sum(1) > 0)


def test_what_is_told_must_not_be_the_answer():
    with pytest.raises(InvalidArgumentError, match="which elements MaskAtoms has hidden"):
        module_of(self_conditioned=True)


@pytest.mark.parametrize(
    ("corruption", "head"), [(MaskAtoms(), "displacement_head"), (PerturbAtoms(), "element_head")]
)
def test_heads_without_a_task_are_not_trained(corruption, head):
    module = module_of([corruption])
    assert module.untrained
    assert all(name.startswith(head) for name in module.untrained)
    batch = corrupted(random_crystals(6, seed=0), [corruption])
    module.train_metric = module.new_metric()
    module.training_step(batch, 0).backward()
    missing = {name for name, p in module.named_parameters() if p.requires_grad and p.grad is None}
    assert not missing


def test_something_must_be_repaired():
    with pytest.raises(InvalidArgumentError, match="nothing to repair"):
        module_of([RandomRotation()])
    with pytest.raises(InvalidArgumentError, match="no displacements; PerturbAtoms"):
        module_of().sums(corrupted(random_crystals(2, seed=0), [MaskAtoms()]))
