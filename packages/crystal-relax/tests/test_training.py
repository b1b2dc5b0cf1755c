"""Loss, metrics, and a training that learns, through the command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data import Crystal, CrystalBatch, open_store
from crystal_data.errors import InvalidArgumentError
from crystal_data.testing import random_crystals, write_checkpoint
from crystal_data.trajectories import (
    DISPLACEMENT,
    STRAIN,
    Change,
    RelaxationSource,
    changed,
)
from crystal_relax import GraphRelaxer, RelaxationModule
from crystal_relax.__main__ import main
from crystal_relax.graph.geometry import Geometry, displacements
from crystal_relax.training.loss import (
    cell_parameters,
    position_errors,
    strain_errors,
    true_geometry,
)


def some_relaxations(count: int = 4) -> tuple[list[Crystal], list[Change]]:
    rng = np.random.default_rng(0)
    crystals = random_crystals(count, seed=2, max_atoms=6)
    changes = []
    for crystal in crystals:
        strain = rng.normal(scale=0.05, size=(3, 3))
        moved = rng.normal(scale=0.1, size=(crystal.num_atoms, 3))
        changes.append(Change((strain + strain.T) / 2, moved - moved.mean(axis=0)))
    return crystals, changes


def labelled(crystals: list[Crystal], changes: list[Change]) -> tuple[CrystalBatch, Geometry]:
    batch = CrystalBatch.from_crystals(crystals)
    batch.targets = {
        STRAIN.name: torch.tensor(np.array([one.strain.ravel() for one in changes])),
        DISPLACEMENT.name: torch.tensor(np.concatenate([one.displacement for one in changes])),
    }
    ends = [changed(*pair) for pair in zip(crystals, changes, strict=True)]
    frac = torch.tensor(np.concatenate([end.frac_coords for end in ends]))
    return batch, Geometry(batch.targets[STRAIN.name].view(-1, 3, 3), frac)


def test_the_true_geometry_has_no_error() -> None:
    crystals, changes = some_relaxations()
    batch, geometry = labelled(crystals, changes)
    true = true_geometry(batch, batch.targets[STRAIN.name], batch.targets[DISPLACEMENT.name])
    # Neither other images nor drift are an error.
    whole = torch.randint(-2, 3, geometry.frac_coords.shape)
    drift = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    elsewhere = geometry._replace(frac_coords=geometry.frac_coords + whole + drift)
    # Nothing moves the atoms of a crystal of one atom, and drift may choose another image.
    for found in (geometry, geometry._replace(frac_coords=geometry.frac_coords + whole)):
        assert position_errors(batch, found, true).max() < 2e-6
    assert strain_errors(elsewhere, true).max() < 2e-6
    moved = displacements(batch, geometry)
    torch.testing.assert_close(moved, batch.targets[DISPLACEMENT.name], atol=1e-9, rtol=0)
    ends = [changed(*pair) for pair in zip(crystals, changes, strict=True)]
    expected = np.array([[*end.lengths, *end.angles] for end in ends])
    np.testing.assert_allclose(cell_parameters(true.lattice).numpy(), expected, atol=1e-6)


def test_errors_are_those_of_the_starts() -> None:
    crystals, changes = some_relaxations()
    batch, _ = labelled(crystals, changes)
    true = true_geometry(batch, batch.targets[STRAIN.name], batch.targets[DISPLACEMENT.name])
    nothing = Geometry(torch.zeros_like(true.strain), batch.frac_coords)
    expected = np.linalg.norm(np.concatenate([one.displacement for one in changes]), axis=1)
    np.testing.assert_allclose(position_errors(batch, nothing, true), expected, atol=1e-6)


def module(**options: float) -> RelaxationModule:
    torch.manual_seed(0)
    model = GraphRelaxer(width=16, num_layers=2, num_radial=8, num_tensors=4)
    return RelaxationModule(model, optimizer=lambda p: torch.optim.AdamW(p, lr=0.01), **options)


def test_it_learns(folder: Path) -> None:
    """Strained metals become the ideal ones: cell and atoms, also where training had others."""
    store = open_store(RelaxationSource(folder), on_invalid="error")
    learner = module()
    spec = learner.model.graph_spec
    train, val = (
        store.batch(store.rows_of(split), learner.targets).with_edges(spec).float32()
        for split in ("train", "val")
    )
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.005)
    before = errors(learner, val)
    for _ in range(80):
        loss = learner.loss(train, *learner.true(train))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = errors(learner, val)
    assert after["positions"] < 0.7 * before["positions"]
    assert after["strain"] < 0.5 * before["strain"]


@torch.no_grad()
def errors(learner: RelaxationModule, batch: CrystalBatch) -> dict[str, float]:
    sums, _ = learner._measured(batch)
    return {name: float(total / count) for name, (total, count) in sums.items()}


def test_rows_without_labels_do_not_count() -> None:
    crystals, changes = some_relaxations()
    learner = module()
    spec = learner.model.graph_spec
    assert spec is not None
    batch, _ = labelled(crystals, changes)
    batch = batch.with_edges(spec)
    few, _ = labelled(crystals[:2], changes[:2])
    few = few.with_edges(spec).float32()
    batch.targets[STRAIN.name][2] = torch.nan
    last = batch.batch == 3
    batch.targets[DISPLACEMENT.name][last] = torch.nan
    batch = batch.float32()
    for one in (batch, few):
        one.targets = {name: values.float() for name, values in one.targets.items()}
    losses = []
    for one in (batch, few):
        geometries = learner.relaxer(one)
        losses.append(learner._of_layers(one, geometries, *learner.true(one)))
    torch.testing.assert_close(losses[0], losses[1])


def test_bad_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="cell_weight is -1"):
        module(cell_weight=-1.0)
    fields = {STRAIN.name: DISPLACEMENT._replace(name=STRAIN.name)}
    with pytest.raises(InvalidArgumentError, match="RelaxationSource gives it"):
        module().take_fields(fields, is_fit=True)


def test_fit_test_and_predict(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = [
        "--config", "graph-chgnet", "--config", "cpu", "--data.source.path", str(folder),
        "--data.cache", str(tmp_path / "cache"), "--trainer.default_root_dir", "run",
        "--model.model.width", "8", "--model.model.num_layers", "1",
    ]  # fmt: skip
    for command in (["fit", "--trainer.max_epochs", "5"], ["test"], ["predict"]):
        monkeypatch.setattr("sys.argv", ["crystal-relax", command[0], *options, *command[1:]])
        assert main() == 0
    with Path("run/predictions/test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert len(json.loads(rows[0][DISPLACEMENT.name])) == 4
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["results"]
    assert {"test/positions", "test/lengths", "test/angles"} <= {one["metric"] for one in results}
    model = GraphRelaxer.from_pretrained("run")
    assert model.graph_spec is not None


def test_a_module_comes_out_of_its_checkpoint(tmp_path: Path) -> None:
    one = module(cell_weight=2.0)
    loaded = RelaxationModule.load_from_checkpoint(write_checkpoint(one, tmp_path / "a.ckpt"))
    assert loaded.cell_weight == 2.0
    state = one.state_dict()
    assert all(torch.equal(state[name], value) for name, value in loaded.state_dict().items())
