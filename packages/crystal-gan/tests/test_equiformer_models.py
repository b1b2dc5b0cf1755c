"""Contracts of the models: what they predict is the crystal's, not its description's."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch

from crystal_data import Crystal
from crystal_data.generation import Task
from crystal_data.layers import mean_over_atoms
from crystal_data.testing import (
    EquivariantModelContract,
    GraphModelContract,
    ToyGenerator,
    batch_for,
    briefly_trained,
    group_requests,
    isolated_atom,
    random_crystals,
)
from crystal_gan import Equiformer, EquiformerSizes, RepairModel

# Small channels, so that tests are quick; degrees as they ship.
CHANNELS = {
    "num_layers": 2,
    "num_channels": 8,
    "hidden_channels": 8,
    "feedforward_channels": 8,
    "num_heads": 2,
    "value_channels": 4,
    "edge_width": 16,
}
SMALL = EquiformerSizes(**CHANNELS, cutoff=4.0)
DEGREE_4 = EquiformerSizes(**CHANNELS, cutoff=4.0, max_degree=4)
PUBLISHED = EquiformerSizes(**CHANNELS, cutoff=4.0, max_degree=6, activation="s2", handed=True)
# One of each crystal system, with few operations.
GROUPS = (1, 3, 16, 75, 143, 168, 195)


def of_all_systems() -> list[Crystal]:
    crystals = ToyGenerator().generate(
        [Task(request, 0) for request in group_requests(GROUPS, seed=4)]
    )
    return [sample.crystal for sample in crystals if sample.crystal is not None]


class AllSystems:
    def crystals(self) -> list[Crystal]:
        return [*super().crystals(), *of_all_systems()]


def trained(sizes: EquiformerSizes, steps: int = 5) -> Equiformer:
    torch.manual_seed(0)
    return briefly_trained(Equiformer(sizes=sizes), steps)


def repairing(sizes: EquiformerSizes, **options: bool) -> RepairModel:
    torch.manual_seed(0)
    return RepairModel(sizes, **options).eval()


class TestEquiformer(AllSystems, GraphModelContract):
    model = trained(SMALL)


class TestDegree4(GraphModelContract):
    model = trained(DEGREE_4)


class TestPublished(GraphModelContract):
    """Turns only about, and a mirror image is another crystal to it: predictions spread by 0.4."""

    # At the start the sphere's functions hardly bend.
    model = trained(PUBLISHED, 30)
    tolerances: ClassVar[dict[str, float]] = {"rotate": 1e-3, "reflect": 0.2}


class Displacements(EquivariantModelContract):
    def predict(self, crystals: Sequence[Crystal]) -> torch.Tensor:
        with torch.no_grad():
            return self.model(batch_for(self.model, crystals)).displacement

    def module(self) -> torch.nn.Module:
        return self.model


class TestDisplacements(AllSystems, Displacements):
    model = repairing(SMALL)


class TestDisplacementsOfDegree4(Displacements):
    model = repairing(DEGREE_4)


class TestStrains(AllSystems, EquivariantModelContract):
    per = "crystal"
    model = repairing(SMALL, repairs_cell=True)

    def predict(self, crystals: Sequence[Crystal]) -> torch.Tensor:
        with torch.no_grad():
            strain = self.model(batch_for(self.model, crystals)).strain
        assert torch.equal(strain, strain.transpose(1, 2))
        return strain

    def module(self) -> torch.nn.Module:
        return self.model


class TestElements(GraphModelContract):
    """Logits of elements, in the mean over atoms, which no move changes."""

    model = repairing(SMALL)

    def predict(self, crystals: Sequence[Crystal]) -> torch.Tensor:
        with torch.no_grad():
            batch = batch_for(self.model, crystals)
            logits = self.model(batch).logits
        return mean_over_atoms(logits, batch.batch, batch.num_atoms)[:, 7]

    def loss(self, batch):
        return None


def chain(length: float) -> Crystal:
    return Crystal(np.diag([length, 30.0, 30.0]), np.array([[0.0, 0, 0], [0.3, 0, 0]]), [11, 17])


@pytest.mark.parametrize("sizes", [SMALL, DEGREE_4], ids=["2", "4"])
def test_nothing_jumps_where_an_atom_crosses_the_cutoff(sizes: EquiformerSizes) -> None:
    torch.manual_seed(0)
    model = RepairModel(sizes).double().eval()
    torch.set_default_dtype(torch.float64)
    try:
        # Images of an atom are 4 Å apart, which is the cutoff.
        lengths = 4.0 + np.array([-2e-3, -1e-3, 0.0, 1e-3, 2e-3])
        batch = batch_for(model, [chain(length) for length in lengths])
        counts = torch.bincount(batch.batch[batch.edge_index[1]]).tolist()
        assert counts[0] > counts[-1]
        with torch.no_grad():
            logits = model(batch).logits.view(5, 2, -1)
    finally:
        torch.set_default_dtype(torch.float32)
    slopes = logits.diff(dim=0)
    assert slopes.abs().max() > 1e-6
    torch.testing.assert_close(slopes[1:], slopes[:-1], atol=1e-5, rtol=0)


def test_the_last_neighbor_leaves_without_a_jump() -> None:
    torch.manual_seed(0)
    model = RepairModel(SMALL).eval()
    pairs = [
        Crystal(np.eye(3) * 40, np.array([[0, 0, 0], [d / 40, 0, 0]]), [3, 9])
        for d in (3.999, 3.9999999, 4.1)
    ]
    with torch.no_grad():
        near, at, beyond = model(batch_for(model, pairs)).logits.view(3, 2, -1)
    torch.testing.assert_close(near, beyond, atol=1e-4, rtol=0)
    torch.testing.assert_close(at, beyond, atol=1e-6, rtol=0)


def test_displacements_have_no_common_part_and_vanish_where_nothing_can_be_told() -> None:
    model = repairing(SMALL)
    crystals = [*random_crystals(4, seed=3), isolated_atom()]
    batch = batch_for(model, crystals)
    with torch.no_grad():
        vectors = model(batch).displacement
    sums = torch.zeros(len(crystals), 3).index_add(0, batch.batch, vectors)
    torch.testing.assert_close(sums, torch.zeros_like(sums), atol=1e-5, rtol=0)
    assert torch.equal(vectors[-1], torch.zeros(3))


def test_gradients_reach_positions_and_choices_of_elements() -> None:
    model = repairing(SMALL)
    batch = batch_for(model, random_crystals(3, seed=2))
    species = torch.nn.functional.one_hot(batch.atomic_numbers, 119).float().requires_grad_(True)
    batch.frac_coords.requires_grad_(True)
    soft, hard = model(batch, species), model(batch)
    torch.testing.assert_close(soft.logits, hard.logits, atol=1e-5, rtol=1e-5)
    loss = soft.logits.square().sum() + soft.displacement.square().sum()
    for gradient in torch.autograd.grad(loss, (species, batch.frac_coords)):
        assert torch.isfinite(gradient).all()
        assert (gradient.abs().amax(1) > 0).any()


def test_every_weight_is_used() -> None:
    model = repairing(SMALL)
    repair = model(batch_for(model, random_crystals(6, seed=2)))
    loss = repair.logits.square().sum() + repair.displacement.square().sum()
    loss.backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not unused


def test_artifacts_build_the_same_model(tmp_path) -> None:
    for model in (trained(SMALL), repairing(DEGREE_4)):
        folder = model.save_pretrained(tmp_path / type(model).__name__)
        again = type(model).from_pretrained(folder).eval()
        assert again.sizes == model.sizes
        for name, values in model.state_dict().items():
            assert torch.equal(values, again.state_dict()[name])


def test_the_published_sizes_are_those_of_equiformer_v2() -> None:
    sizes = EquiformerSizes.published()
    assert (sizes.max_degree, sizes.max_order, sizes.activation) == (6, 2, "s2")
