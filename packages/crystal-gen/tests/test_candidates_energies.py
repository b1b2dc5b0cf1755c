"""Energies of a potential count in the order of a pool."""

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT

from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.generation import GenerationRequest, tasks_of
from crystal_data.io.ase import to_ase
from crystal_data.store import CrystalStore
from crystal_data.testing import face_centred, rock_salt
from crystal_data.trajectories import POTENTIALS
from crystal_gen import CandidateRanker, CrystalGenerator, TemplateLibrary
from crystal_gen.candidates.energies import energy_notes, energy_penalties
from crystal_gen.candidates.pool import primitive
from crystal_gen.candidates.sources import PoolSizes
from crystal_gen.crystal_dit import CrystalDiT
from crystal_gen.wyckoff.model import WyckoffTransformer

ALLOY = GenerationRequest(formula="CuAu", z=1, num_samples=40)


@pytest.fixture(scope="module")
def metals() -> TemplateLibrary:
    caesium_chloride = face_centred().replace(
        lattice=np.eye(3) * 3.1,
        frac_coords=np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]),
        atomic_numbers=np.array([28, 13]),
        identifier="NiAl",
    )
    crystals = [rock_salt().replace(identifier="NaCl"), caesium_chloride]
    return TemplateLibrary.from_store(CrystalStore.from_crystals(crystals), symprec=0.01)


def generator_of(library: TemplateLibrary, weight: float, **options) -> CrystalGenerator:
    torch.manual_seed(0)
    ranker = CandidateRanker(width=8, num_members=1, potential="emt")
    ranker.energy_weights[2] = weight
    return CrystalGenerator(
        library,
        CrystalDiT([], width=16, num_layers=1, pair_width=8, num_heads=2),
        WyckoffTransformer([], width=16, num_layers=1),
        ranker,
        sizes=PoolSizes(templates=6, warm_starts=1, answers=2, from_noise=3),
        **options,
    )


def test_the_lowest_come_first_where_energies_decide(metals: TemplateLibrary) -> None:
    ranked = generator_of(metals, 20.0, potential="emt").ranked(ALLOY)
    energies = []
    for each in ranked:
        atoms = to_ase(primitive(each.candidate))
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy() / len(atoms))
    assert len(energies) >= 3
    assert energies == sorted(energies)
    above = energies[-1] - energies[0]
    assert ranked[0].why.endswith("; energy 0.000 eV/atom above the lowest")
    assert ranked[-1].why.endswith(f"; energy {above:.3f} eV/atom above the lowest")


def test_without_a_potential_nothing_is_computed(metals: TemplateLibrary) -> None:
    ranked = generator_of(metals, 20.0).ranked(ALLOY)
    assert not any("lowest" in each.why for each in ranked)
    counted = generator_of(metals, 0.0, potential="emt")
    probabilities = [each.probability for each in counted.ranked(ALLOY)]
    assert probabilities == pytest.approx([each.probability for each in ranked])
    assert counted.provenance["energies"]["potential"] == "emt"


def test_where_the_potential_fails_nothing_is_lost(metals: TemplateLibrary) -> None:
    unknown = GenerationRequest(formula="NaCl", z=1, num_samples=40)
    generator = generator_of(metals, 20.0, potential="emt")
    made = [each for each in generator.generate(tasks_of([unknown])) if each.crystal is not None]
    assert len(made) == len(generator_of(metals, 20.0).ranked(unknown))
    assert all(each.why.endswith("; the potential gives no energy") for each in made)


def test_penalties_grow_with_the_energy_and_end_at_one() -> None:
    energies = np.array([-3.0, -2.98, np.nan, -1.0, -3.0])
    penalties = energy_penalties(energies)
    assert penalties == pytest.approx([0.0, 0.5, 1.0, 2.0 / 2.02, 0.0])
    np.testing.assert_array_equal(energy_penalties(np.full(2, np.nan)), np.ones(2))
    assert len(energy_penalties(np.empty(0))) == 0
    assert energy_notes(energies)[1] == "; energy 0.020 eV/atom above the lowest"


def test_a_potential_that_the_ranker_does_not_know(metals: TemplateLibrary) -> None:
    with pytest.raises(InvalidArgumentError, match="has not learned what energies of sevenn say"):
        generator_of(metals, 1.0, potential="sevenn")


def test_a_potential_that_is_not_installed(
    metals: TemplateLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        POTENTIALS, "emt", POTENTIALS["emt"].__class__("emt", "emt", "no-such", None, EMT)
    )
    with pytest.raises(SourceError, match="not installed"):
        generator_of(metals, 1.0, potential="emt")
