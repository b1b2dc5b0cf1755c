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
from crystal_data.testing import random_crystals, rotate, shift_origin
from crystal_data.training import NamedMeans
from crystal_data.training.command import main
from crystal_data.transforms import (
    MaskAtoms,
    PerturbAtoms,
    PerturbLattice,
    RandomReflection,
    RandomRotation,
    RandomTranslation,
    SampleRandom,
)
from crystal_embed import CGCNN, CrystalTransformer, PretrainingModule, load_table
from crystal_embed.training.repair import true_log_lengths, true_log_volumes

SMALL = {"element_width": 32, "num_layers": 2, "num_heads": 4, "feedforward_width": 64}
CORRUPTIONS = [MaskAtoms(), PerturbAtoms(), PerturbLattice()]
CONFIG = {
    "seed_everything": 1,
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 5, "gradient_clip_val": 1.0},
    "model": {
        "class_path": "crystal_embed.PretrainingModule",
        "init_args": {
            "model": {
                "class_path": "crystal_embed.CrystalTransformer",
                "init_args": {**SMALL, "dropout": 0.0, "geometry": "periodic", "cutoff": 4.0},
            },
            "corruptions": [
                {"class_path": "crystal_data.transforms.MaskAtoms"},
                {
                    "class_path": "crystal_data.transforms.PerturbAtoms",
                    "init_args": {"relative": False},
                },
                {"class_path": "crystal_data.transforms.PerturbLattice"},
            ],
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003}},
            "lr_scheduler": {"class_path": "crystal_data.training.WarmupCosine"},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {
                "class_path": "crystal_data.JoinedSource",
                "init_args": {"sources": [{"class_path": "crystal_data.BuiltinSource"}]},
            },
            "balance": "source",
            "batch_size": 16,
            "train_size": 960,
            "length_buckets": True,
            "transforms": [{"class_path": "crystal_data.transforms.RandomRotation"}],
        },
    },
}
BUILT_IN = {"class_path": "crystal_data.BuiltinSource"}
DATA = {**CONFIG["data"]["init_args"], "source": BUILT_IN, "balance": None, "train_size": 96}
# On a store that other tests use too, and brief.
BRIEF = {**CONFIG, "data": {"class_path": "crystal_data.CrystalDataModule", "init_args": DATA}}
FINE_TUNING = {
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "targets": ["formation_energy_per_atom"],
            "model": CONFIG["model"]["init_args"]["model"],
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": BUILT_IN,
            "train_size": 64,
            "batch_size": 32,
        },
    },
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
    folder = tmp_path_factory.mktemp("pretraining")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crystal-embed"])
        patch.chdir(folder)
        assert fit("run", BRIEF) == 0
        yield folder


def corrupted(model, crystals, corruptions=CORRUPTIONS, spec=None):
    batch = CrystalBatch.from_crystals(crystals)
    rng = SampleRandom(0, 0, batch.sample_id)
    for corruption in corruptions:
        batch = corruption(batch, rng)
    return batch.with_edges(spec or model.graph_spec)


@pytest.mark.slow
def test_built_in_crystals_are_learned(workplace):
    assert fit("learned", CONFIG) == 0
    first, *_, last = rows(workplace / "learned")
    assert last["val/loss"] < 0.9 * first["val/loss"]
    # Without any repair the share of squares that is left is 1.
    assert last["val/length_loss"] < 0.9
    assert last["val/length_mae"] < last["val/length_mae_unrepaired"]
    assert last["val/masked_accuracy"] > 0.4  # the commonest element is 27 % of the hidden ones
    assert last["val/masked_accuracy/builtin"] == last["val/masked_accuracy"]


def test_every_evaluation_has_the_same_corruptions(workplace):
    unrepaired = {row["val/length_mae_unrepaired"] for row in rows(workplace / "run")}
    trained_on = {row["train/length_mae_unrepaired"] for row in rows(workplace / "run")}
    assert len(unrepaired) == 1
    assert len(trained_on) == 5


def test_results_tell_what_was_counted(workplace):
    counts = {r.metric: r.num_samples for r in read_results(workplace / "run/results.json")}
    hidden = counts["val/masked_accuracy"]
    assert 0 < hidden < counts["val/length_mae"]
    assert counts["val/element_loss"] == hidden
    assert counts["val/length_loss"] == 0


def test_fine_tuning_takes_the_encoder_and_names_the_head_as_new(workplace, capsys):
    assert fit("tuned", FINE_TUNING, "--init_from", "run", "--trainer.max_epochs", "1") == 0
    printed = capsys.readouterr().out
    new = [line.split()[1] for line in printed.splitlines() if line.startswith("  new ")]
    assert new == [f"heads.0.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")]
    assert "skipped" not in printed
    loaded, total = map(int, re.search(r"loaded (\d+) of (\d+) tensors", printed).groups())
    assert total - loaded == len(new)
    artifact = Artifact.load("run")
    assert list(artifact.untrained) == new
    assert not set(new) & set(artifact.weights)
    assert "heads.0.0.weight" in (workplace / "run/artifact/README.md").read_text()


def test_the_artifact_has_an_element_table(workplace):
    table = load_table("run")
    assert table.width == 32
    weights = Artifact.load("run").weights
    expected = weights["species.weight"][10] + weights["species.bias"]
    np.testing.assert_array_equal(table.vector("Na"), expected.numpy())
    assert "Na" not in table.metadata["random_elements"]
    assert "Pu" in table.metadata["random_elements"]


def test_an_artifact_is_not_enough_to_evaluate(workplace, capsys):
    path = Path("run.yaml")
    with pytest.raises(SystemExit):
        main(["validate", "--config", str(path), "--init_from", "run"])
    assert "no heads that repair" in capsys.readouterr().err
    assert main(["test", "--config", str(path), "--trainer.default_root_dir", "run"]) == 0


@pytest.mark.slow
def test_a_resumed_training_ends_the_same(workplace):
    half = ["--trainer.max_epochs", "2"]
    # The schedule follows the length of the run, so it is left out here.
    config = json.loads(json.dumps(CONFIG))
    del config["model"]["init_args"]["lr_scheduler"]
    config["data"]["init_args"]["train_size"] = 96
    assert fit("whole", config) == 0
    assert fit("parts", config, *half) == 0
    assert fit("parts", config, "--ckpt_path", "last") == 0
    whole, parts = (torch.load(f"{name}/checkpoints/last.ckpt") for name in ("whole", "parts"))
    for name, values in whole["state_dict"].items():
        assert torch.equal(values, parts["state_dict"][name]), name


def test_only_hidden_atoms_count():
    torch.manual_seed(0)
    module = PretrainingModule(CrystalTransformer(**SMALL), [MaskAtoms()]).eval()
    assert module.graph_spec is None
    crystals = random_crystals(4, seed=0)
    batch = MaskAtoms()(
        CrystalBatch.from_crystals(crystals), SampleRandom(0, 0, np.arange(4))
    ).float32()
    total, count = module._sums(batch)["element_loss"]
    assert count == batch.masked_sites.sum()
    seen = ~batch.masked_sites
    batch.true_atomic_numbers = torch.where(seen, 1, batch.true_atomic_numbers)
    assert torch.equal(module._sums(batch)["element_loss"][0], total)
    batch.is_filler = True
    assert all(not t and not c for t, c in module._sums(batch).values())


def test_repairs_undo_the_corruption_for_the_images_of_the_edges():
    crystals = random_crystals(12, seed=2)
    module = PretrainingModule(CrystalTransformer(**SMALL), CORRUPTIONS)
    moves = [*CORRUPTIONS, RandomTranslation(), RandomRotation(), RandomReflection()]
    for corruptions in (moves, [PerturbLattice(), PerturbAtoms(), MaskAtoms()]):
        batch = corrupted(module, crystals, corruptions)
        original = CrystalBatch.from_crystals(crystals)
        present = torch.linalg.det(batch.lattice).abs().log()
        expected = torch.linalg.det(original.lattice).abs().log() - present
        torch.testing.assert_close(true_log_volumes(batch), expected)
        logarithm = true_log_lengths(batch)
        assert 0.01 < logarithm.std() < 1.0
        # The shortest of the repaired lengths of an atom is its distance to the nearest atom.
        shortest = torch.full((len(batch.batch),), torch.inf).double()
        repaired = batch.edge_length * logarithm.exp()
        shortest = shortest.scatter_reduce(0, batch.edge_index[1], repaired, "amin")
        nearest = original.with_edges(module.graph_spec)
        truth = torch.full_like(shortest, torch.inf)
        truth = truth.scatter_reduce(0, nearest.edge_index[1], nearest.edge_length, "amin")
        assert torch.isclose(shortest, truth).double().mean() > 0.95


@pytest.mark.parametrize("move", [rotate, shift_origin], ids=lambda move: move.__name__)
def test_an_invariant_model_gives_invariant_repairs(move):
    torch.manual_seed(0)
    model = CrystalTransformer(**SMALL, geometry="periodic").double()
    module = PretrainingModule(model, CORRUPTIONS[1:]).double().eval()
    for head in module.heads.values():
        torch.nn.init.normal_(head.layers[-1].weight)  # which starts at zero
    rng = np.random.default_rng(0)
    batch = corrupted(module, random_crystals(4, seed=1), CORRUPTIONS[1:])
    moved = CrystalBatch.from_crystals([move(crystal, rng) for crystal in batch.to_crystals()])
    moved = moved.with_edges(module.graph_spec)
    with torch.no_grad():
        lengths = [module.heads["length"](module(b), b).sort().values for b in (batch, moved)]
        volumes = [module.heads["volume"](module(b), b) for b in (batch, moved)]
    assert lengths[0].std() > 1e-3
    torch.testing.assert_close(*lengths, atol=1e-7, rtol=0)
    torch.testing.assert_close(*volumes, atol=1e-7, rtol=0)


def test_what_takes_no_part_is_frozen_and_named():
    module = PretrainingModule(CrystalTransformer(**SMALL), CORRUPTIONS)
    frozen = {name for name, p in module.model.named_parameters() if not p.requires_grad}
    assert frozen == {f"heads.0.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")}
    batch = corrupted(module, random_crystals(4, seed=0)).float32()
    module.train_metric = module.new_metric()
    module.training_step(batch, 0).backward()
    missing = {name for name, p in module.named_parameters() if p.requires_grad and p.grad is None}
    assert not missing


def test_parts_come_with_their_corruptions():
    model = CrystalTransformer(**SMALL)
    assert list(PretrainingModule(model, [PerturbAtoms()]).heads) == ["length"]
    assert list(PretrainingModule(model, [PerturbLattice()]).heads) == ["length", "volume"]
    with pytest.raises(ValueError, match="nothing to repair; give MaskAtoms"):
        PretrainingModule(model, [RandomRotation()])
    with pytest.raises(
        InvalidArgumentError, match="CGCNN has no encode_atoms, width and property_heads"
    ):
        PretrainingModule(CGCNN(), CORRUPTIONS)


@pytest.mark.parametrize("geometry", ["cartesian", "periodic"])
def test_parts_left_out_are_those_that_vectors_of_atoms_do_not_use(geometry):
    model = CrystalTransformer(**{**SMALL, "geometry": geometry}).eval()
    module = PretrainingModule(model, CORRUPTIONS)
    model.requires_grad_(True)
    salt = Crystal(4.0 * np.eye(3), np.array([[0.0] * 3, [0.5] * 3]), np.array([11, 17]))
    batch = CrystalBatch.from_crystals([salt])
    if model.graph_spec is not None:
        batch = batch.with_edges(model.graph_spec)
    vectors = model.encode_atoms(batch.float32())
    assert vectors.shape[1] == model.width
    gradients = torch.autograd.grad(vectors.sum(), tuple(model.parameters()), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    unused = [name for name, grad in zip(names, gradients, strict=True) if grad is None]
    assert list(module.untrained) == unused


def test_means_leave_out_what_nothing_counts_in():
    means = NamedMeans(["a", "b"])
    means.update({"a": (torch.tensor(3.0), torch.tensor(2.0))})
    means.update({"a": (torch.tensor(0.0), torch.tensor(1.0))})
    assert means.compute() == {"a": (torch.tensor(1.0), 3.0)}
