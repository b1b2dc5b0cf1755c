"""Fingerprints and pools: what is alike becomes one, whatever its cell and origin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystal_data.generation import GenerationRequest, WyckoffSite
from crystal_data.metrics import match
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen import CrystalDiT, ModelProposer, TemplateLibrary, WyckoffTransformer
from crystal_gen.candidates.features import FEATURES, CandidateFeatures
from crystal_gen.candidates.fingerprint import fingerprint
from crystal_gen.candidates.pool import PoolMaker, primitive
from crystal_gen.candidates.sources import (
    CopySource,
    ModelSource,
    PoolSizes,
    answers_for,
    with_z,
)
from crystal_gen.templates.search import Exclusion
from crystal_gen.templates.settings import setting_changes

RADII = np.full(119, 1.5)


def rutile(x: float = 0.305, size: float = 1.0) -> SymmetricCrystal:
    lattice = size * np.diag([4.59, 4.59, 2.96])
    return SymmetricCrystal.from_parameters(136, lattice, [(22, "a", []), (8, "f", [x])])


def test_fingerprints_do_not_depend_on_the_description() -> None:
    one = rutile()
    expected = fingerprint(one, RADII)
    for change in setting_changes(136):
        found = fingerprint(change.apply(one), RADII)
        assert found.vector @ expected.vector == pytest.approx(1.0, abs=1e-9)
        assert found.contact == pytest.approx(expected.contact)
    # As all atoms of the cell in space group 1, and larger.
    atoms = one.to_crystal()
    plain = SymmetricCrystal(
        1, 1.2 * atoms.lattice, atoms.atomic_numbers, ("a",) * 6, atoms.frac_coords
    )
    found = fingerprint(plain, RADII)
    assert found.vector @ expected.vector == pytest.approx(1.0, abs=1e-6)
    assert found.contact == pytest.approx(1.2 * expected.contact)
    assert fingerprint(rutile(0.25), RADII).vector @ expected.vector < 0.95


def test_contact_is_the_smallest_distance() -> None:
    atoms = rutile().to_crystal()
    delta = atoms.frac_coords[:, None] - atoms.frac_coords
    delta -= np.rint(delta)
    distances = np.linalg.norm(delta @ atoms.lattice, axis=-1)
    assert fingerprint(rutile(), RADII).contact == pytest.approx(
        distances[distances > 0].min() / 3.0
    )


@pytest.fixture(scope="module")
def model() -> ModelSource:
    torch.manual_seed(0)
    return ModelSource(CrystalDiT((), width=16, num_layers=1, pair_width=8, num_heads=2))


@pytest.fixture(scope="module")
def proposer() -> ModelProposer:
    torch.manual_seed(0)
    return ModelProposer(WyckoffTransformer([], width=16, num_layers=1))


def test_no_two_of_a_pool_are_alike(
    library: TemplateLibrary, model: ModelSource, proposer: ModelProposer
) -> None:
    maker = PoolMaker(CopySource(library), proposer, model, PoolSizes(8, 2, 4, 6))
    request = GenerationRequest(formula="KBr", z=1)
    pool = maker.pool(request)
    assert {each.origin for each in pool.candidates} >= {"template", "noise"}
    cells = [primitive(each) for each in pool.candidates]
    assert all(cell.composition == request.cell for cell in cells)
    # What was merged is what stands for it.
    for each, place in zip(pool.made, pool.representative.tolist(), strict=True):
        assert match(primitive(each), cells[place], stol=0.15, angle_tol=5.0, ltol=0.15) is not None
    assert sum(x.num_templates + x.num_made for x in pool.candidates) == len(pool.made)
    assert np.isfinite(pool.scores).all()
    features = CandidateFeatures(maker.copies)(pool)
    assert features.shape == (len(cells), len(FEATURES))
    assert np.isfinite(features).all()
    # The same again, whatever was asked in between.
    maker.pool(GenerationRequest(formula="NaCl", z=1))
    again = maker.pool(request)
    np.testing.assert_array_equal(again.scores, pool.scores)


def test_features_do_not_know_what_is_left_out(library: TemplateLibrary) -> None:
    """Leaving a crystal out is the same as a library without it, but for the fitted volumes."""
    request = GenerationRequest(formula="KBr", z=1)
    name = "rock-salt"
    source = CopySource(library)
    rows = np.array([i for i, each in enumerate(library.identifiers) if each != name])
    exclude = Exclusion(ids=(name,))
    left_out = CandidateFeatures(source)(PoolMaker(source).pool(request, exclude=exclude), exclude)
    smaller = CopySource(library.take(rows))
    without = CandidateFeatures(smaller)(PoolMaker(smaller).pool(request))
    counted = [FEATURES.index(x) for x in ("prototype known", "formula known", "distance")]
    np.testing.assert_array_equal(left_out[:, counted], without[:, counted])


def test_copies_have_all_that_is_asked(library: TemplateLibrary) -> None:
    source = CopySource(library)
    request = GenerationRequest(formula="KBr", space_group=225)
    found = source.candidates(request, 10)
    assert found
    assert {each.crystal.space_group_number for each in found} == {225}
    assert "Mendeleev distance" in found[0].why
    assert [x.template.distance for x in found] == sorted(x.template.distance for x in found)
    several = source.candidates(GenerationRequest(formula="KBr"), 10, z_values=(1, 2))
    assert {sum(primitive(x).composition.values()) for x in several} <= {2, 4}


def test_units_that_do_not_fit_the_group_are_left_out() -> None:
    spinel = GenerationRequest(formula="LiMn2O4", space_group=227)
    assert [each.z for each in with_z(spinel, (1, 2, 3, 4))] == [2, 4]
    assert with_z(replace_z(spinel), (1,)) == []
    assert with_z(spinel, None) == [spinel]


def replace_z(request: GenerationRequest) -> GenerationRequest:
    return GenerationRequest(formula=request.formula, space_group=request.space_group)


def test_letters_without_elements_are_kept(proposer: ModelProposer) -> None:
    sites = tuple(WyckoffSite(letter) for letter in "ab")
    request = GenerationRequest(formula="NaCl", space_group=225, wyckoff=sites)
    answers = answers_for(proposer, request, 5)
    assert answers
    for each in answers:
        assert sorted(site.letter for site in each.assignment.sites) == ["a", "b"]
    given = replace(sites[0], element="Na"), replace(sites[1], element="Cl")
    [only] = answers_for(
        proposer, GenerationRequest(formula="NaCl", space_group=225, wyckoff=given), 5
    )
    assert (str(only.assignment), only.score) == ("Fm-3m Na:4a Cl:4b", 0.0)
