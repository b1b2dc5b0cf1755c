"""Augmentation keeps the crystal; masking and perturbation keep what they took."""

import numpy as np
import pytest
import torch
from scipy import stats

from crystal_data.crystal import Crystal
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.spec import GraphSpec
from crystal_data.transforms import (
    MaskAtoms,
    PerturbAtoms,
    PerturbLattice,
    RandomCell,
    RandomReflection,
    RandomRotation,
    RandomTranslation,
    SampleRandom,
)
from crystal_data.transforms.augment import rotation_matrices
from crystal_data.transforms.corrupt import shortest_distances

AUGMENTATIONS = (
    RandomTranslation(),
    RandomRotation(),
    RandomReflection(1.0),
    RandomReflection(),
    RandomCell(),
)
ALL = (*AUGMENTATIONS, MaskAtoms(), PerturbAtoms(), PerturbLattice())
SPEC = GraphSpec(cutoff=6.0, max_neighbors=None)


def batch_of(count=12, seed=0, sizes=None):
    rng = np.random.default_rng(seed)
    sizes = np.arange(count) % 8 + 1 if sizes is None else np.full(count, sizes)
    crystals = [
        Crystal(
            5 * np.eye(3) + 0.8 * rng.normal(size=(3, 3)),
            rng.uniform(-1, 2, (size, 3)),
            rng.choice([8, 22, 38, 56], size),
        )
        for size in sizes
    ]
    return CrystalBatch.from_crystals(crystals)


def rng_for(batch, epoch=0):
    return SampleRandom(0, epoch, batch.sample_id)


def distances(batch):
    """Sorted distances of each crystal with the elements at both ends: what a cell describes."""
    edges = batch.with_edges(SPEC)
    neighbor, centre = edges.atomic_numbers[edges.edge_index]
    rows = zip(batch.batch[edges.edge_index[1]], centre, neighbor, edges.edge_length, strict=True)
    return sorted((int(g), int(a), int(b), round(float(d), 6)) for g, a, b, d in rows)


@pytest.mark.parametrize("transform", AUGMENTATIONS, ids=lambda t: type(t).__name__)
def test_augmentation_keeps_every_distance(transform):
    batch = batch_of()
    changed = transform(batch, rng_for(batch))
    assert not torch.equal(
        torch.cat((changed.lattice.flatten(), changed.frac_coords.flatten())),
        torch.cat((batch.lattice.flatten(), batch.frac_coords.flatten())),
    )
    expected, got = distances(batch), distances(changed)
    assert len(got) == len(expected) > 1000
    for mine, theirs in zip(got, expected, strict=True):
        assert mine[:3] == theirs[:3]
        assert mine[3] == pytest.approx(theirs[3], abs=2e-6)
    volume = torch.linalg.det(batch.lattice).abs()
    torch.testing.assert_close(torch.linalg.det(changed.lattice).abs(), volume)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_never_in_place_and_new_each_epoch(transform):
    batch = batch_of(50).with_edges(SPEC)
    before = {key: value.clone() for key, value in tensors(batch).items()}
    first = tensors(transform(batch, rng_for(batch)))
    assert tensors(batch).keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in tensors(batch).items())
    again = tensors(transform(batch, rng_for(batch)))
    later = tensors(transform(batch, rng_for(batch, epoch=1)))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], later[key]) for key in first)


def tensors(batch):
    return batch.tensors()


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_alone_equals_batched(transform):
    batch = batch_of()
    whole = transform(batch, rng_for(batch))
    crystals = batch.to_crystals()
    for row in (0, 7, 11):
        alone = CrystalBatch.from_crystals([crystals[row]])
        alone.sample_id = batch.sample_id[row : row + 1]
        alone = transform(alone, rng_for(alone))
        atoms = whole.batch == row
        torch.testing.assert_close(alone.frac_coords, whole.frac_coords[atoms], atol=1e-12, rtol=0)
        torch.testing.assert_close(alone.lattice[0], whole.lattice[row], atol=1e-12, rtol=0)
        assert torch.equal(alone.atomic_numbers, whole.atomic_numbers[atoms])


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_edges_stay_only_where_they_still_hold(transform):
    batch = batch_of().with_edges(SPEC)
    changed = transform(batch, rng_for(batch))
    assert (changed.edge_index is not None) is not transform.moves_atoms
    if not transform.moves_atoms:
        fresh = changed.with_edges(SPEC)
        torch.testing.assert_close(changed.edge_length, fresh.edge_length, atol=1e-9, rtol=0)


def test_translation_is_uniform_over_the_cell():
    batch = batch_of(4000, sizes=1)
    moved = RandomTranslation()(batch, rng_for(batch)).frac_coords.numpy()
    assert moved.min() >= 0.0
    assert moved.max() < 1.0
    for axis in moved.T:
        assert stats.kstest(axis, "uniform").pvalue > 1e-3


def test_rotations_are_proper_and_uniform():
    rotation = rotation_matrices(SampleRandom(0, 0, torch.arange(8000)).normal("q", size=4))
    torch.testing.assert_close(
        rotation @ rotation.transpose(1, 2), torch.eye(3).double().expand(8000, 3, 3)
    )
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(8000).double())
    # On SO(3) the angle has density (1 - cos θ) / π, and each image of an axis covers the sphere.
    trace = rotation.diagonal(dim1=1, dim2=2).sum(1)
    angle = torch.arccos(((trace - 1) / 2).clamp(-1, 1)).numpy()
    assert stats.kstest(angle, lambda t: (t - np.sin(t)) / np.pi).pvalue > 1e-3
    for value in rotation[:, :, 0].T.numpy():
        assert stats.kstest(value, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_reflection_is_a_mirror_and_happens_as_often_as_asked():
    batch = batch_of(2000, sizes=1)
    mirrored = RandomReflection(1.0)(batch, rng_for(batch))
    matrix = torch.linalg.inv(batch.lattice) @ mirrored.lattice
    eye = torch.eye(3).double().expand(2000, 3, 3)
    torch.testing.assert_close(matrix @ matrix.transpose(1, 2), eye)
    torch.testing.assert_close(torch.linalg.det(matrix), -torch.ones(2000).double())
    some = RandomReflection(0.3)(batch, rng_for(batch))
    flipped = torch.linalg.det(some.lattice) * torch.linalg.det(batch.lattice) < 0
    assert 0.25 < flipped.double().mean() < 0.35
    with pytest.raises(ValueError, match="probability"):
        RandomReflection(1.5)


def test_cells_differ_and_do_not_run_away():
    batch = batch_of(200)
    changed = RandomCell()(batch, rng_for(batch))
    moved = (changed.lattice - batch.lattice).abs().amax(dim=(1, 2)) > 1e-6
    assert moved.double().mean() > 0.9
    longest = batch.lattice.norm(dim=2).amax(1)
    assert (changed.lattice.norm(dim=2).amax(1) <= 1.5 * longest + 1e-9).all()


def test_rotation_turns_a_displacement_with_the_crystal():
    batch = batch_of()
    perturbed = PerturbAtoms()(batch, rng_for(batch))
    turned = RandomRotation()(perturbed, rng_for(batch))
    for one in (perturbed, turned):
        into_cell = torch.linalg.inv(one.lattice)[batch.batch]
        back = one.frac_coords - torch.einsum("ni,nij->nj", one.displacement, into_cell)
        torch.testing.assert_close(back, batch.frac_coords)


def test_masks():
    batch = batch_of(2000)
    out = MaskAtoms()(batch, rng_for(batch))
    assert torch.equal(out.true_atomic_numbers, batch.atomic_numbers)
    assert (out.atomic_numbers[out.masked_sites] == 0).all()
    assert torch.equal(
        out.atomic_numbers[~out.masked_sites], batch.atomic_numbers[~out.masked_sites]
    )
    hidden = torch.zeros(2000).long().index_add_(0, batch.batch, out.masked_sites.long())
    assert hidden.min() == 1
    random = MaskAtoms(species_probability=0.0, share=0.3)(batch, rng_for(batch))
    hidden = torch.zeros(2000).long().index_add_(0, batch.batch, random.masked_sites.long())
    assert torch.equal(hidden, (batch.num_atoms * 0.3).ceil().long())


def test_masked_species_are_whole():
    batch = batch_of(400)
    out = MaskAtoms(species_probability=1.0)(batch, rng_for(batch))
    for row in range(batch.num_crystals):
        atoms = batch.batch == row
        numbers, hidden = batch.atomic_numbers[atoms], out.masked_sites[atoms]
        assert len(numbers[hidden].unique()) == 1
        assert not torch.isin(numbers[~hidden], numbers[hidden]).any()


def test_every_atom_is_as_likely_to_be_masked():
    batch = batch_of(6000, sizes=4)
    out = MaskAtoms(species_probability=0.0, share=0.25)(batch, rng_for(batch))
    counts = out.masked_sites.view(-1, 4).sum(0)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_perturbation_has_the_size_that_was_asked_for():
    batch = batch_of(3000, sizes=2)
    out = PerturbAtoms(0.1)(batch, rng_for(batch))
    unit = out.displacement / (0.1 * shortest_distances(batch))[batch.batch, None]
    assert stats.kstest(unit.flatten().numpy(), "norm").pvalue > 1e-3
    absolute = PerturbAtoms(0.05, relative=False)(batch, rng_for(batch)).displacement
    assert stats.kstest(absolute.flatten().numpy() / 0.05, "norm").pvalue > 1e-3


def test_strain_is_symmetric_and_gives_the_volume():
    batch = batch_of(3000, sizes=1)
    out = PerturbLattice(0.05)(batch, rng_for(batch))
    torch.testing.assert_close(out.strain, out.strain.transpose(1, 2))
    torch.testing.assert_close(batch.lattice @ torch.matrix_exp(out.strain), out.lattice)
    volume = [torch.linalg.det(one.lattice) for one in (batch, out)]
    trace = out.strain.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(volume[1] / volume[0], trace.exp())
    assert torch.equal(out.frac_coords, batch.frac_coords)
    # As large along any direction.
    for direction in torch.tensor([[1.0, 0, 0], [0, 0, 1], [1, 1, 0], [1, -2, 3]]).double():
        unit = direction / direction.norm()
        along = torch.einsum("i,nij,j->n", unit, out.strain, unit) / 0.05
        assert stats.kstest(along.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    "order", [(PerturbAtoms(), PerturbLattice()), (PerturbLattice(), PerturbAtoms())]
)
def test_strain_turns_with_the_crystal_and_takes_displacements_along(order):
    batch = batch_of()
    out = batch
    for transform in (*order, RandomRotation(), RandomReflection()):
        out = transform(out, rng_for(batch))
    into_cell = torch.linalg.inv(out.lattice)[batch.batch]
    back = out.frac_coords - torch.einsum("ni,nij->nj", out.displacement, into_cell)
    torch.testing.assert_close(back, batch.frac_coords)
    lattice = out.lattice @ torch.matrix_exp(-out.strain)
    metric = [cell @ cell.transpose(1, 2) for cell in (lattice, batch.lattice)]
    torch.testing.assert_close(*metric)


def test_the_shortest_distance_goes_through_images():
    lone = Crystal(np.diag([4.0, 3.0, 5.0]), [[0.2, 7.3, 0.1]], [8])
    pair = Crystal(np.eye(3) * 6.0, [[0.02, 0, 0], [0.98, 0, 0]], [8, 8])
    batch = CrystalBatch.from_crystals([lone, pair])
    torch.testing.assert_close(shortest_distances(batch), torch.tensor([3.0, 0.24]).double())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MaskAtoms(share=0.0), "share"),
        (lambda: MaskAtoms(species_probability=-1.0), "species_probability"),
        (lambda: PerturbAtoms(sigma=0.0), "sigma"),
        (lambda: PerturbLattice(sigma=0.0), "sigma"),
        (lambda: RandomCell(max_stretch=0.5), "max_stretch"),
    ],
)
def test_impossible_options_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
