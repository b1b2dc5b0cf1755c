"""Which atoms, edges and angles are folded together, and how many each then stands for."""

from dataclasses import replace

import moyopy
import numpy as np
import pytest
import torch

from crystal_data.builtin.source import BuiltinSource
from crystal_data.crystal import Crystal
from crystal_data.graphs import CrystalBatch, EquivalenceClasses, GraphSpec, fold
from crystal_data.store.build import open_store
from crystal_data.testing import double_cell, random_crystals, rock_salt

NEAREST = GraphSpec(max_neighbors=12)
WITH_ANGLES = GraphSpec(max_neighbors=12, line_graph=True)


def batch_of(crystals, spec=NEAREST):
    return CrystalBatch.from_crystals(crystals).with_edges(spec)


def orbits_of(crystal):
    cell = moyopy.Cell(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers.tolist())
    return moyopy.MoyoDataset(cell, symprec=1e-4).orbits


def test_classes_are_orbits():
    """Atoms that the space group exchanges, found by moyopy, are folded together."""
    store = open_store(BuiltinSource())
    crystals = [store.crystal(row) for row in range(0, len(store), 31)]
    batch = batch_of(crystals)
    graph = fold(batch, 3)
    splits = np.cumsum(batch.num_atoms.numpy())[:-1]
    for crystal, row in zip(crystals, np.split(graph.row_of_atom.numpy(), splits), strict=True):
        orbits = np.array(orbits_of(crystal))
        assert all(len(set(row[orbits == orbit])) == 1 for orbit in orbits)
    assert len(graph.atomic_numbers) < batch.num_nodes


@pytest.mark.parametrize("spec", [NEAREST, WITH_ANGLES], ids=["edges", "angles"])
def test_no_atoms_are_folded_without_symmetry(spec):
    """Edges of an atom to its own images are, as they lie on opposite sides."""
    batch = batch_of(random_crystals(6, seed=1), spec)
    graph = fold(batch, 3, with_angles=spec.line_graph)
    assert torch.equal(graph.atomic_numbers, batch.atomic_numbers)
    assert torch.equal(graph.batch, batch.batch)
    assert graph.atom_counts is None
    assert graph.multiplicity is graph.edge_counts
    values = torch.rand(batch.num_nodes, 2)
    assert torch.equal(graph.unfold(values), values)


def test_numbers_of_rock_salt():
    """Two atoms of six equal edges each and, to whole shells, twelve more."""
    batch = batch_of([double_cell(rock_salt(), np.random.default_rng(0))])
    graph = fold(batch, 3)
    assert graph.atom_counts.tolist() == [batch.num_nodes / 2] * 2
    assert graph.num_atoms.tolist() == [batch.num_nodes]
    assert sorted(graph.multiplicity.tolist()) == [6, 6, 12, 12]
    assert graph.degree.tolist() == [18, 18]
    assert graph.edge_counts.sum() == len(batch.edge_length)
    assert torch.equal(graph.unfold(graph.atomic_numbers), batch.atomic_numbers)


def test_angles_of_rock_salt():
    """An edge meets the six that leave its centre: straight on, back, and four at right angles."""
    spec = GraphSpec(max_neighbors=6, line_graph=True)
    batch = batch_of([double_cell(rock_salt(), np.random.default_rng(0))], spec)
    graph = fold(batch, 3, with_angles=True)
    assert graph.cosine.round().tolist().count(0.0) == 2
    found = zip(graph.cosine.round().tolist(), graph.angle_multiplicity.tolist(), strict=True)
    assert sorted(found) == [(-1, 1), (-1, 1), (0, 4), (0, 4), (1, 1), (1, 1)]
    assert graph.angle_counts.sum() == batch.line_graph_index.shape[1]


def chain():
    """Nine carbon atoms in a row."""
    frac_coords = [[0.05 + 0.1 * i, 0, 0] for i in range(9)]
    return Crystal(np.diag([25.0, 40, 40]), frac_coords, [6] * 9)


def test_as_many_rounds_as_layers():
    """Each layer sees one atom further from the ends."""
    batch = batch_of([chain()], GraphSpec(cutoff=2.6, max_neighbors=None))
    assert [len(fold(batch, layers).batch) for layers in range(6)] == [1, 2, 3, 4, 5, 5]


def test_atoms_may_be_alike_whose_edges_are_not():
    """Two molecules C–N–O and C–N–F: one layer sees no difference between the carbon atoms.

    Their edges differ, since the nitrogen atoms do, so that each belongs to half of these atoms.
    """
    positions = [[2.5 * i + 5, y, 20] for y in (5, 20) for i in range(3)]
    molecules = Crystal(30.0 * np.eye(3), np.array(positions) / 30, [6, 7, 8, 6, 7, 9])
    batch = batch_of([molecules], GraphSpec(cutoff=2.6, max_neighbors=None))
    graph = fold(batch, 1)
    assert graph.atomic_numbers.tolist() == [6, 7, 8, 7, 9]
    assert graph.atom_counts.tolist() == [2, 1, 1, 1, 1]
    assert graph.edge_counts is None
    assert graph.degree.tolist() == [1, 2, 1, 2, 1]


def test_crystals_are_never_folded_together():
    graph = fold(batch_of([rock_salt(), rock_salt()]), 3)
    assert graph.batch.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("spec", [NEAREST, WITH_ANGLES], ids=["edges", "angles"])
def test_nothing_is_folded_where_gradients_of_geometry_are_asked_for(spec):
    batch = batch_of([rock_salt()], spec)
    assert len(fold(batch, 3, with_angles=spec.line_graph).edge_length) < len(batch.edge_length)
    wanted = replace(batch, edge_length=batch.edge_length.clone().requires_grad_())
    assert fold(wanted, 3, with_angles=spec.line_graph).edge_length is wanted.edge_length
    if spec.line_graph:
        wanted = replace(batch, frac_coords=batch.frac_coords.clone().requires_grad_())
        graph = fold(wanted, 3, with_angles=True)
        assert graph.edge_length is batch.edge_length
        assert graph.cosine.requires_grad


def test_without_layers_every_atom_stands_for_itself():
    bare = CrystalBatch.from_crystals([rock_salt()])
    graph = fold(bare, None)
    assert graph.atomic_numbers is bare.atomic_numbers
    assert graph.edge_index.shape == (2, 0)
    with pytest.raises(ValueError, match="needs edges"):
        fold(bare, 2)
    with pytest.raises(ValueError, match="needs the line graph"):
        fold(bare.with_edges(NEAREST), 2, with_angles=True)


def test_classes_are_numbered_by_their_first_members():
    found = EquivalenceClasses.of(torch.tensor([7, -2, 7, 5, -2, 7]))
    assert found.of_member.tolist() == [0, 1, 0, 2, 1, 0]
    assert found.first.tolist() == [0, 1, 3]
    assert found.size.tolist() == [3, 2, 1]
    assert all(len(part) == 0 for part in EquivalenceClasses.of(torch.zeros(0, dtype=torch.int64)))
