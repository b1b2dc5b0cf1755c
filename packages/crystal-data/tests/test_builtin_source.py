"""The built-in crystals: what is promised of them."""

import time
from collections import Counter

import numpy as np
import pytest

from crystal_data.builtin.ewald import image_distances
from crystal_data.builtin.generate import decorations, prototype_entries
from crystal_data.builtin.prototypes import PROTOTYPES, Prototype
from crystal_data.builtin.source import UNITS, BuiltinSource
from crystal_data.io.record import Record


@pytest.fixture(scope="module")
def records() -> list[Record]:
    started = time.perf_counter()
    made = list(BuiltinSource().records())
    # About 8 s on one idle core; the promise is under a minute.
    assert time.perf_counter() - started < 60
    return made


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda prototype: prototype.name)
def test_prototype_is_what_its_name_says(prototype: Prototype) -> None:
    from moyopy import Cell, MoyoDataset

    numbers = (prototype.slot_of_atom + 1).tolist()
    dataset = MoyoDataset(Cell(prototype.lattice.tolist(), prototype.frac_coords.tolist(), numbers))
    assert dataset.number == prototype.space_group_number
    assert len(dataset.prim_std_cell.numbers) == len(numbers)
    slots = prototype.slot_of_atom
    negative = np.array([max(prototype.charges[slot.name]) < 0 for slot in prototype.slots])[slots]
    distance = image_distances(prototype.lattice, prototype.frac_coords, 2.5)
    for atom in np.flatnonzero(~negative):
        slot = prototype.slots[slots[atom]]
        neighbors = np.sort(distance[:, atom, negative].ravel())
        assert (neighbors < 1.27 * neighbors[0]).sum() == slot.coordination, slot.name


def test_many_crystals_elements_and_types(records: list[Record]) -> None:
    assert 2000 <= len(records) <= 3000
    elements = {symbol for record in records for symbol in record.structure.species}
    assert len(elements) >= 70
    types = Counter(record.properties["structure_type"] for record in records)
    assert len(types) == len(PROTOTYPES) >= 25
    assert sum(count >= 30 for count in types.values()) >= 20
    assert len({record.structure.formula for record in records}) >= 1000
    assert len({record.identifier for record in records}) == len(records)


def test_the_same_on_every_call(records: list[Record]) -> None:
    some = PROTOTYPES[::6]
    again = {e.crystal.identifier: e for prototype in some for e in prototype_entries(prototype)}
    first = [record for record in records if record.identifier in again]
    assert len(first) == len(again)
    for record in first:
        entry = again[record.identifier]
        assert record.structure.lattice.tobytes() == entry.crystal.lattice.tobytes()
        assert record.structure.frac_coords.tobytes() == entry.crystal.frac_coords.tobytes()
        assert record.properties["bulk_modulus"] == entry.bulk_modulus


def test_fingerprint_is_that_of_the_code_and_tables() -> None:
    fingerprint = BuiltinSource().fingerprint()
    assert fingerprint == BuiltinSource().fingerprint()
    assert len(fingerprint) == 64


def test_sodium_chloride_is_there_and_right(records: list[Record]) -> None:
    salt = next(record for record in records if record.identifier == "rock-salt-Na1+-Cl1-")
    assert salt.structure.formula == "NaCl"
    assert salt.structure.volume == pytest.approx(2 * 2.82**3, rel=0.01)
    assert salt.properties["lattice_energy_per_atom"] == pytest.approx(-7.92 / 2, abs=0.03)


def test_no_ions_overlap(records: list[Record]) -> None:
    for record in records:
        crystal = record.structure
        shortest = image_distances(crystal.lattice, crystal.frac_coords, 3.0).min()
        assert shortest > 1.2, record.identifier


def test_energies_are_sensible(records: list[Record]) -> None:
    values = {name: np.array([r.properties[name] for r in records]) for name in UNITS}
    assert all(np.isfinite(column).all() for column in values.values())
    assert values["lattice_energy_per_atom"].max() < -1
    assert values["formation_energy_per_atom"].min() > -8
    assert values["formation_energy_per_atom"].max() < 1.5
    assert values["bulk_modulus"].min() > 0
    assert values["bulk_modulus"].max() < 800


def test_deformed_copies_cost_energy(records: list[Record]) -> None:
    by_identifier = {record.identifier: record for record in records}
    copies = [record for record in records if record.identifier != record.parent]
    assert 600 < len(copies) < 1200
    cost = []
    for copy in copies:
        ideal = by_identifier[copy.parent]
        assert copy.structure.formula == ideal.structure.formula
        assert copy.split == ideal.split
        energies = [r.properties["lattice_energy_per_atom"] for r in (copy, ideal)]
        cost.append(energies[0] - energies[1])
    # The type compounds' coordinates are not relaxed, so some copies may lie lower.
    assert np.mean(np.array(cost) > 0) > 0.85
    assert np.median(cost) < 0.3


def test_parts_share_no_formula(records: list[Record]) -> None:
    parts: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for record in records:
        parts[record.split].add(record.structure.formula)
    assert not parts["train"] & parts["val"]
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]
    sizes = Counter(record.split for record in records)
    assert 0.75 < sizes["train"] / len(records) < 0.85
    assert min(sizes["val"], sizes["test"]) > 0.07 * len(records)


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda prototype: prototype.name)
def test_every_cell_is_neutral(prototype: Prototype) -> None:
    compounds = list(decorations(prototype))
    assert compounds
    for compound in compounds:
        assert compound.charges.sum() == 0
        assert len({ion.symbol for ion in compound.ions}) == len(compound.ions)
