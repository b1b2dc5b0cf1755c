"""The graph model: equivariance, cells, supercells, artifacts, learning."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crystal_data import Crystal, CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.testing import EquivariantModelContract, random_crystals, rock_salt
from crystal_relax import GraphRelaxer
from crystal_relax.graph.geometry import Geometry, current_edges, displacements
from crystal_relax.graph.layer import angular_features


def small(seed: int = 0) -> GraphRelaxer:
    """A model whose heads are not zero, as after a training."""
    torch.manual_seed(seed)
    model = GraphRelaxer(width=12, num_layers=2, num_radial=6, num_tensors=3).eval()
    for head in (*model.moves, *model.strains):
        for weight in head.parameters():
            nn.init.normal_(weight, std=0.2)
    return model


def batch_of(crystals: Sequence[Crystal], model: GraphRelaxer) -> CrystalBatch:
    assert model.graph_spec is not None
    return CrystalBatch.from_crystals(crystals).with_edges(model.graph_spec).float32()


class TestDisplacements(EquivariantModelContract):
    model: ClassVar[GraphRelaxer] = small()

    def module(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        batch = batch_of(crystals, self.model)
        return displacements(batch, self.model(batch)[-1])


class TestStrains(EquivariantModelContract):
    per = "crystal"
    model: ClassVar[GraphRelaxer] = small(1)

    def module(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def predict(self, crystals: Sequence[Crystal]) -> Tensor:
        strain: Tensor = self.model(batch_of(crystals, self.model))[-1].strain
        return strain


@torch.no_grad()
def test_exchanged_axes_exchange_the_lattice_vectors() -> None:
    """No lattice vector has weights of its own: a, b and c are interchangeable."""
    model = small()
    crystal = random_crystals(1, seed=3, max_atoms=6)[0]
    order = [2, 0, 1]
    other = crystal.replace(
        lattice=crystal.lattice[order], frac_coords=crystal.frac_coords[:, order]
    )
    batch, exchanged = (batch_of([one], model) for one in (crystal, other))
    first, second = model(batch)[-1], model(exchanged)[-1]
    torch.testing.assert_close(first.strain, second.strain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        first.frac_coords[:, order], second.frac_coords, atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_an_untrained_model_changes_nothing() -> None:
    model = GraphRelaxer(width=8, num_layers=2)
    batch = batch_of(random_crystals(3, seed=0, max_atoms=5), model)
    for geometry in model(batch):
        torch.testing.assert_close(geometry.frac_coords, batch.frac_coords)
        assert geometry.strain.abs().max() < 1e-5


@torch.no_grad()
def test_what_symmetry_fixes_stays() -> None:
    """Both atoms of rock salt are centres of inversion; its cell can only grow or shrink."""
    model = small(2)  # one that moves this cell
    batch = batch_of([rock_salt()], model)
    geometry = model(batch)[-1]
    assert displacements(batch, geometry).abs().max() < 1e-5
    strain = geometry.strain[0]
    torch.testing.assert_close(strain, torch.eye(3) * strain[0, 0], atol=1e-5, rtol=0)
    assert strain[0, 0].abs() > 1e-4


def test_angular_features_are_smooth_at_a_centre_of_inversion() -> None:
    """Directions that sum to zero: features and gradients are finite and do not jump."""
    unit = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], requires_grad=True)
    target, envelope = torch.zeros(4, dtype=torch.int64), torch.ones(4, 1)
    found = angular_features(unit, envelope, target, 1)
    [gradient] = torch.autograd.grad(found.sum(), unit)
    assert torch.isfinite(gradient).all()
    moved = unit.detach() + torch.tensor([[0.0, 0, 1e-4], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    near = angular_features(torch.nn.functional.normalize(moved), envelope, target, 1)
    torch.testing.assert_close(found, near, atol=1e-3, rtol=0)


def test_an_artifact_predicts_the_same(tmp_path: Path) -> None:
    model = small()
    model.save_pretrained(tmp_path)
    again = GraphRelaxer.from_pretrained(tmp_path).eval()
    batch = batch_of(random_crystals(2, seed=0, max_atoms=4), model)
    with torch.no_grad():
        for one, two in zip(model(batch), again(batch), strict=True):
            torch.testing.assert_close(one.frac_coords, two.frac_coords, rtol=0, atol=0)
            torch.testing.assert_close(one.strain, two.strain, rtol=0, atol=0)


def test_one_atom_far_from_its_images() -> None:
    model = small()
    lonely = Crystal(np.eye(3) * 20.0, [[0.1, 0.2, 0.3]], [8])
    batch = batch_of([lonely, rock_salt()], model)
    geometry = model(batch)[-1]
    assert torch.isfinite(geometry.strain).all()
    assert torch.isfinite(geometry.frac_coords).all()


def test_half_precision_is_near_full() -> None:
    model = small()
    batch = batch_of(random_crystals(4, seed=1, max_atoms=6), model)
    full = model(batch)[-1]
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch)[-1]
        moved = displacements(batch, half)
    assert {half.strain.dtype, half.frac_coords.dtype, moved.dtype} == {torch.float32}
    largest = float(full.strain.detach().abs().max())
    assert torch.allclose(half.strain, full.strain, atol=0.05 * largest)
    expected = displacements(batch, full).detach()
    assert torch.allclose(moved, expected, atol=0.05 * float(expected.abs().max()))


def test_no_layer_moves_anything_far() -> None:
    """Heads as after a step too large: cells and atoms stay near, and gradients finite."""
    model = small()
    for head in (*model.moves, *model.strains):
        for weight in head.parameters():
            nn.init.normal_(weight, std=1e6)
    batch = batch_of(random_crystals(4, seed=1, max_atoms=6), model)
    geometries = model(batch)
    for number, geometry in enumerate(geometries):
        assert geometry.strain.norm(dim=(1, 2)).max() <= 0.5 * (number + 1) + 1e-4
    # Of both layers, 2 Å and the mean that is taken off each, the first in a cell strained since.
    assert displacements(batch, geometries[-1]).norm(dim=1).max() < 2 * 2 * 2 * np.exp(0.5)
    sum(one.strain.square().sum() + one.frac_coords.square().sum() for one in geometries).backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_a_crystal_unlike_all_others_has_a_finite_answer() -> None:
    """Weights as after a long training, and atoms as near as hydrogen's in place of metals."""
    model = small()
    for layer in model.layers:
        for weight in layer.parameters():
            weight.data *= 4.0
    rng = np.random.default_rng(0)
    lump = Crystal(5.0 * np.eye(3), 0.5 + 0.15 * rng.normal(size=(10, 3)), np.full(10, 46))
    last = model(batch_of([lump, rock_salt()], model))[-1]
    assert last.strain.isfinite().all()
    assert last.frac_coords.isfinite().all()
    last.strain.square().sum().backward()
    assert all(w.grad is None or w.grad.isfinite().all() for w in model.parameters())


@pytest.mark.parametrize("distance", [0.3, 1e-3, 1e-6])
def test_atoms_that_a_layer_brings_together_have_bounded_gradients(distance: float) -> None:
    pair = Crystal(4.0 * np.eye(3), np.array([[0.1, 0, 0], [0.6, 0, 0]]), np.array([11, 17]))
    batch = batch_of([pair], small())
    frac_coords = batch.frac_coords.clone()
    frac_coords[1, 0] = 0.1 + distance / 4.0
    frac_coords.requires_grad_()
    geometry = Geometry(torch.zeros(1, 3, 3), frac_coords)
    unit, lengths = current_edges(batch, geometry)
    assert lengths.min() == 0.5
    assert unit.norm(dim=1).max() <= 1 + 1e-6
    closest = unit[lengths.argmin()]
    (gradient,) = torch.autograd.grad(closest.sum(), frac_coords)
    assert 0 < gradient.abs().max() <= 4.0 / 0.5 + 1e-3


def test_numbers_out_of_range() -> None:
    with pytest.raises(InvalidArgumentError, match="num_layers is 0"):
        GraphRelaxer(num_layers=0)
