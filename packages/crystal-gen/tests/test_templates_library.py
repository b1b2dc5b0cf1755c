"""Libraries: made of a store, written and read, copied from."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.artifacts import Artifact, ArtifactError
from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest, Task
from crystal_data.io import to_pymatgen
from crystal_data.metrics import match
from crystal_data.store import CrystalStore
from crystal_data.symmetry import find_orbits, find_symmetry, primitive_cell
from crystal_data.testing import perovskite, rock_salt
from crystal_gen import TemplateGenerator, TemplateLibrary, TemplateSearch, VolumeModel
from crystal_gen.registry import MODELS
from crystal_gen.templates.copying import reduced_to_primitive


def test_templates_are_the_crystals_of_the_store(toys, library) -> None:
    assert len(library) == len(toys)
    assert list(library.identifiers) == [crystal.identifier for crystal in toys]
    for row, crystal in enumerate(toys):
        template = library.crystal(row)
        assert template.space_group_number == find_symmetry(crystal).space_group_number
        assert match(template.to_crystal(), crystal) == pytest.approx(0.0, abs=1e-5)


def test_training_rows_are_taken_where_there_are_any() -> None:
    crystals = [rock_salt().replace(identifier=name) for name in "abc"]
    store = CrystalStore.from_crystals(crystals, split=["train", "test", "train"])
    assert list(TemplateLibrary.from_store(store).identifiers) == ["a", "c"]
    assert list(TemplateLibrary.from_store(store, np.array([1])).identifiers) == ["b"]
    with pytest.raises(InvalidArgumentError, match="at least one crystal"):
        TemplateLibrary.from_store(store, np.arange(0))


def test_a_crystal_without_orbits_serves_compositions_alone() -> None:
    # No group is found where atoms lie on each other.
    points = np.array([[0, 0, 0], [0, 0, 1e-4], [0.5, 0.4, 0.3]])
    odd = Crystal(lattice_from_parameters((4, 5, 6), (80, 85, 95)), points, [3, 3, 8], "odd")
    store = CrystalStore.from_crystals([rock_salt(), odd])
    library = TemplateLibrary.from_store(store)
    assert library.space_group_number.tolist() == [225, 0]
    generator = TemplateGenerator(library)
    made = generator.generate([Task(GenerationRequest(formula="Na2S", z=1), 0)])[0]
    assert made.crystal is not None
    assert made.crystal.composition == {"Na": 2, "S": 1}
    assert made.crystal.volume == pytest.approx(odd.volume)
    request = GenerationRequest(formula="Na2S", z=1, space_group=1)
    assert TemplateSearch(library).find(request, 5) == []
    assert TemplateSearch(library).prototype(1) == ""


def test_every_primitive_cell_holds_the_crystal(toys, library) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(1e-3, 1e-3, 1e-2, primitive_cell=False, scale=False)
    lattices = set()
    for row, crystal in enumerate(toys):
        template = library.crystal(row)
        primitive = reduced_to_primitive(template)
        lattices.add(template.space_group_symbol[0])
        atoms = library.multiplicity[library.orbits_of(row)].sum()
        assert primitive.num_atoms == atoms
        assert np.linalg.det(primitive.lattice) > 0
        assert primitive.volume / atoms == pytest.approx(crystal.volume / crystal.num_atoms)
        # moyopy's primitive cell knows nothing of ours.
        other = primitive_cell(crystal)
        assert other.num_atoms == atoms
        assert matcher.fit(to_pymatgen(primitive), to_pymatgen(other))
    assert lattices >= {"P", "R", "F"}


@pytest.mark.parametrize("number", [5, 38, 42, 79, 146, 196, 197])
def test_primitive_cells_of_all_centrings(number: int) -> None:
    from crystal_data.symmetry import SymmetricCrystal, wyckoff_positions

    system = find_orbits(rock_salt()).lattice  # any cell: it is made to obey the group
    general = wyckoff_positions(number)[-1]
    letters = (general.letter, general.letter)
    points = np.array([[0.11, 0.23, 0.37], [0.31, 0.07, 0.19]])
    crystal = SymmetricCrystal(number, system * 2, np.array([11, 17]), letters, points)
    primitive = reduced_to_primitive(crystal)
    assert primitive.num_atoms == primitive_cell(crystal.to_crystal()).num_atoms
    assert np.linalg.det(primitive.lattice) > 0
    assert find_symmetry(primitive).space_group_number == number


def test_written_and_read_it_is_the_same(library, tmp_path) -> None:
    folder = library.save_pretrained(tmp_path / "library", data={"source": "toys"})
    again = TemplateLibrary.from_pretrained(folder)
    assert again.fingerprint == library.fingerprint
    assert again.identifiers == library.identifiers
    request = GenerationRequest.from_dict(
        {"space_group": 227, "wyckoff": "Fe:8a Cr:16d S:32e", "num_samples": 3}
    )
    tasks = [Task(request, sample) for sample in range(3)]
    for one, other in zip(
        TemplateGenerator(library).generate(tasks),
        TemplateGenerator(again).generate(tasks),
        strict=True,
    ):
        assert one.crystal is not None
        assert other.crystal is not None
        assert (one.score, one.source, one.flags) == (other.score, other.source, other.flags)
        assert np.array_equal(one.crystal.frac_coords, other.crystal.frac_coords)
        assert np.array_equal(one.crystal.lattice, other.crystal.lattice)
    assert MODELS.model_class("TemplateLibrary") is TemplateLibrary
    assert "toys" in (folder / "README.md").read_text(encoding="utf-8")
    assert pickle.loads(pickle.dumps(library)).fingerprint == library.fingerprint


def test_damaged_and_other_artifacts_are_refused(library, tmp_path) -> None:
    import torch

    folder = library.save_pretrained(tmp_path / "library")
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        TemplateLibrary.from_pretrained(folder)
    other = Artifact("crystal_embed", "CGCNN", {}, {"a": torch.zeros(1)}).save(tmp_path / "other")
    with pytest.raises(ArtifactError, match="not a template library"):
        TemplateLibrary.from_pretrained(other)
    weights = {"wyckoff": torch.zeros(1)}
    parts = Artifact("crystal_gen", "TemplateLibrary", {}, weights, kind="template_library")
    with pytest.raises(ArtifactError, match="it has no atomic_numbers"):
        TemplateLibrary.from_pretrained(parts.save(tmp_path / "parts"))
    json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_the_fingerprint_is_that_of_the_content(store, library) -> None:
    fewer = TemplateLibrary.from_store(store, np.arange(5), symprec=0.01)
    assert fewer.fingerprint != library.fingerprint
    assert TemplateLibrary.from_store(store, symprec=0.01).fingerprint == library.fingerprint


def test_libraries_are_joined_and_divided(store, toys, library) -> None:
    parts = [
        TemplateLibrary.from_store(store, np.arange(*x), symprec=0.01)
        for x in ((0, 9), (9, len(toys)))
    ]
    joined = TemplateLibrary.join(parts)
    assert joined.fingerprint == library.fingerprint
    assert joined.num_atoms.tolist() == [len(library.atoms_of(row)) for row in range(len(toys))]
    for row, crystal in enumerate(toys):
        assert joined.num_atoms[row] == primitive_cell(crystal).num_atoms
    # What an earlier library has comes once; without an identifier nothing is known to be twice.
    again = TemplateLibrary.join([parts[1], library, parts[0]])
    assert list(again.identifiers) == [*parts[1].identifiers, *parts[0].identifiers]
    unnamed = TemplateLibrary.from_store(
        CrystalStore.from_crystals([rock_salt().replace(identifier="")])
    )
    renamed = TemplateLibrary.from_store(
        CrystalStore.from_crystals([perovskite().replace(identifier="rock-salt")])
    )
    assert len(TemplateLibrary.join([unnamed, unnamed])) == 2
    assert len(TemplateLibrary.join([library, renamed])) == len(library) + 1, "another crystal"
    rows = np.array([4, 0, 11])
    taken = joined.take(rows)
    for place, row in enumerate(rows.tolist()):
        assert taken.crystal(place).identifier == joined.crystal(row).identifier
        assert np.array_equal(taken.crystal(place).frac_coords, joined.crystal(row).frac_coords)
    for empty in (lambda: joined.take(np.arange(0)), lambda: TemplateLibrary.join([])):
        with pytest.raises(InvalidArgumentError, match="at least one"):
            empty()


def test_a_large_library_is_divided_in_little_memory(library) -> None:
    import tracemalloc

    large = TemplateLibrary.join(
        [
            replace(library, identifiers=[f"{i}-{x}" for x in library.identifiers])
            for i in range(200)
        ]
    )
    assert len(large) == 200 * len(library)
    tracemalloc.start()
    half = large.take(np.arange(0, len(large), 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert half.num_atoms.tolist() == large.num_atoms[::2].tolist()
    assert peak < 20e6


def test_volumes_are_fitted_exactly_where_they_are_additive() -> None:
    # Logarithms of the volumes per atom are sums over elements, by construction.
    logs = {11: 3.0, 17: 3.4, 19: 3.6, 35: 3.7, 56: 3.9, 22: 2.6, 8: 2.3}
    crystals = []
    for base in (rock_salt(), perovskite()):
        for first, second in ((11, 17), (19, 35), (11, 35)):
            numbers = base.atomic_numbers.copy()
            if len(numbers) == 2 or base.num_atoms == 8:
                kinds = np.unique(numbers)
                numbers = np.where(numbers == kinds[0], first, second)
            mean = np.mean([logs[z] for z in numbers.tolist()])
            scale = (np.exp(mean) * len(numbers) / base.volume) ** (1 / 3)
            crystals.append(
                base.replace(
                    lattice=base.lattice * scale,
                    atomic_numbers=numbers,
                    identifier=f"c{len(crystals)}",
                )
            )
    library = TemplateLibrary.from_store(CrystalStore.from_crystals(crystals))
    model = VolumeModel(library)
    before, after = np.array([11, 17]), np.array([19, 17])
    assert model.ratio(before, after) == pytest.approx(np.exp((logs[19] - logs[11]) / 2))
    assert np.isnan(model.ratio(before, np.array([3, 17])))
    # A copy onto an element that is known; one that is not keeps the template's size.
    generator = TemplateGenerator(library, volume="fitted")
    potassium = GenerationRequest(formula="KCl", z=1)
    lithium = GenerationRequest(formula="LiCl", z=1)
    known, unknown = generator.generate([Task(potassium, 0), Task(lithium, 0)])
    assert known.crystal is not None
    assert np.log(known.crystal.volume / 2) == pytest.approx((logs[19] + logs[17]) / 2)
    assert known.flags == ()
    assert unknown.flags == ("volume_of_template",)
