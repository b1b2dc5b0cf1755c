"""Leaks between sets, with crystals in other cells, origins, orders and names."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crystal_data.builtin import BuiltinSource
from crystal_data.crystal import Crystal
from crystal_data.io import Record
from crystal_data.metrics.reduced import reduced_cell
from crystal_data.sources import MP20, MPTS52
from crystal_data.splits import CrystalSet, Leak, exclude, find_leaks, same_structure
from crystal_data.splits.same_structure import Candidates, MatcherOptions, find_same
from crystal_data.splits.split import SplitRows
from crystal_data.store import CrystalStore


def store_of(crystals: Sequence[Crystal], parents: Sequence[str] | None = None) -> CrystalStore:
    return CrystalStore.from_crystals(crystals, parent=parents, name="held_out")


def set_of(crystals: Sequence[Crystal], parents: Sequence[str] | None = None) -> CrystalSet:
    return CrystalSet.from_crystals("held_out", crystals, parents)


def rock_salt(identifier: str, numbers: tuple[int, int] = (11, 17), a: float = 4.0) -> Crystal:
    lattice = a / np.sqrt(2) * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice, np.array([[0, 0, 0], [0.5] * 3]), np.array(numbers), identifier)


def cesium_chloride(identifier: str) -> Crystal:
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal(3.5 * np.eye(3), coords, np.array([11, 17]), identifier)


def disguised(crystal: Crystal, identifier: str, seed: int = 0) -> Crystal:
    """The same structure in a doubled, sheared, shifted and reordered cell, slightly strained."""
    rng = np.random.default_rng(seed)
    change = np.array([[1, 2, 0], [0, 1, 0], [0, -1, 1]])
    frac_coords = crystal.frac_coords @ np.linalg.inv(change)
    doubled = np.concatenate([frac_coords, frac_coords + np.array([0, 0, 1])]) / [1, 1, 2]
    lattice = (change @ crystal.lattice) * np.array([[1], [1], [2]]) * 1.02
    order = rng.permutation(2 * crystal.num_atoms)
    return Crystal(
        lattice,
        (doubled + rng.random(3))[order],
        np.tile(crystal.atomic_numbers, 2)[order],
        identifier,
    )


TRAIN = (
    rock_salt("same-id", (3, 9)),
    disguised(rock_salt("x"), "disguised"),
    cesium_chloride("polymorph"),
    rock_salt("child", (12, 8)),
    rock_salt("mother", (20, 8)),
    rock_salt("other", (19, 35)),
)
PARENTS = ("", "", "", "mp-parent", "", "")
TEST = (
    rock_salt("same-id", (37, 53)),
    rock_salt("NaCl"),
    rock_salt("mp-parent", (56, 8)),
    rock_salt("son", (38, 8)),
)
TEST_PARENTS = ("", "", "", "mother")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_guise_is_found_and_nothing_else(num_workers: int) -> None:
    train, test = set_of(TRAIN, PARENTS), set_of(TEST, TEST_PARENTS)
    assert find_leaks(train, [test], num_workers=num_workers) == {
        0: Leak("same-id", "same-id", "held_out", "id"),
        1: Leak("disguised", "NaCl", "held_out", "structure"),
        3: Leak("child", "mp-parent", "held_out", "parent"),
        4: Leak("mother", "son", "held_out", "parent"),
    }


def test_the_table_lists_what_is_left_out_of_training(capfd: pytest.CaptureFixture[str]) -> None:
    store, held_out = store_of(TRAIN, PARENTS), store_of(TEST, TEST_PARENTS)
    none = np.arange(0)
    rows: SplitRows = {"train": np.arange(len(TRAIN)), "val": none, "test": none}
    exclusion = exclude(store, rows, [BuiltinSource()], lambda source: held_out)
    assert exclusion.rows.tolist() == [2, 5]
    assert exclusion.num_excluded == 4
    assert exclusion.table.splitlines() == [
        "id,matched_id,evaluation_set,how",
        "same-id,same-id,held_out,id",
        "disguised,NaCl,held_out,structure",
        "child,mp-parent,held_out,parent",
        "mother,son,held_out,parent",
    ]
    assert exclusion.sha256 == hashlib.sha256(exclusion.table.encode()).hexdigest()
    said = "held_out: 4 of 6 training rows stand in held_out and are left out\n"
    assert capfd.readouterr().err == said
    rows["test"] = np.array([2, 5])
    exclusion = exclude(store, rows, ["val", "test"], lambda source: held_out)
    assert exclusion.rows.tolist() == [0, 1, 3, 4]
    # Without anything to compare with there is no table.
    assert exclude(store, rows, [], lambda source: held_out).table == ""


def test_only_given_rows_and_chosen_checks_count() -> None:
    store, held_out = store_of(TRAIN, PARENTS), store_of(TEST, TEST_PARENTS)
    whole = CrystalSet.from_store(held_out)
    train = CrystalSet.from_store(store, np.array([5, 1, 0]))
    assert list(find_leaks(train, [whole], how=["id"])) == [2]
    subset = CrystalSet.from_store(held_out, np.array([1]))
    assert list(find_leaks(CrystalSet.from_store(store), [subset], num_workers=0)) == [1]
    with pytest.raises(ValueError, match="how='formula'"):
        find_leaks(train, [whole], how=["formula"])  # type: ignore[list-item]


def test_siblings_are_related() -> None:
    train = CrystalSet.from_crystals("train", [rock_salt("a")], ["mp-1"])
    test = CrystalSet.from_crystals("test", [rock_salt("b", (3, 9))], ["mp-1"])
    leaks = find_leaks(train, [test], num_workers=0)
    assert [(leak.matched_identifier, leak.how) for leak in leaks.values()] == [("b", "parent")]


def test_id_files(tmp_path: Path) -> None:
    (tmp_path / "held.txt").write_text("polymorph\nunheard-of\n")
    leaks = find_leaks(set_of(TRAIN), [CrystalSet.from_ids(tmp_path / "held.txt")], num_workers=0)
    assert leaks == {2: Leak("polymorph", "polymorph", "held", "id")}


def test_first_set_that_matches_is_named_whatever_comes_first() -> None:
    train = CrystalSet.from_crystals(
        "train", [disguised(rock_salt("x"), f"t{i}") for i in range(4)]
    )
    tests = [
        CrystalSet.from_crystals(f"set-{n}", [cesium_chloride("no"), rock_salt(f"yes-{n}")])
        for n in range(3)
    ]
    leaks = find_leaks(train, tests, num_workers=0)
    assert {leak.matched_identifier for leak in leaks.values()} == {"yes-0"}


def test_comparison_without_an_end_counts_as_a_match() -> None:
    # Niggli reduction alone takes longer than this.
    train, test = set_of([cesium_chloride("slow")]), set_of([rock_salt("NaCl")])
    leaks = find_leaks(train, [test], num_workers=1, timeout=1e-4)
    assert leaks == {0: Leak("slow", "NaCl", "held_out", "timeout")}


def test_what_the_matcher_fails_on_counts_as_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such cell")

    monkeypatch.setattr(same_structure, "reduced_cell", fail)
    train, test = set_of([cesium_chloride("odd")]), set_of([rock_salt("NaCl")])
    assert find_leaks(train, [test], num_workers=0)[0].how == "error"


def test_answers_are_pymatgens_own() -> None:
    from pymatgen.core.structure_matcher import StructureMatcher

    from crystal_data.io.pymatgen import to_pymatgen

    rng = np.random.default_rng(0)
    crystals = []
    for seed in range(6):
        base = rock_salt("a") if seed % 2 else cesium_chloride("b")
        noise = rng.normal(scale=0.02 * seed, size=base.frac_coords.shape)
        crystals.append(disguised(base.replace(frac_coords=base.frac_coords + noise), "c", seed))
    matcher = StructureMatcher()
    expected = {}
    for row, crystal in enumerate(crystals):
        same = [matcher.fit(to_pymatgen(crystal), to_pymatgen(other)) for other in crystals[:row]]
        if any(same):
            expected[row] = (same.index(True), "structure")
    candidates = {row: Candidates(crystal, crystals[:row]) for row, crystal in enumerate(crystals)}
    answers = find_same(candidates, MatcherOptions(), num_workers=0, timeout=10.0)
    assert answers == expected
    assert 0 < len(expected) < 5


def test_one_failure_does_not_hide_a_match_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = disguised(cesium_chloride("bad"), "bad")

    def fail(crystal: Crystal) -> Any:
        if crystal is bad:
            raise RuntimeError("no such cell")
        return reduced_cell(crystal)

    monkeypatch.setattr(same_structure, "reduced_cell", fail)
    candidates = {
        0: Candidates(rock_salt("a"), [bad, rock_salt("yes")]),
        1: Candidates(rock_salt("b"), [cesium_chloride("no"), bad]),
    }
    answers = find_same(candidates, MatcherOptions(), num_workers=0, timeout=10.0)
    assert answers == {0: (1, "structure"), 1: (1, "error")}


def test_many_of_one_formula_are_compared_in_several_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(same_structure, "_OTHERS_PER_CALL", 2)
    others = [cesium_chloride("no")] * 5 + [rock_salt("yes"), rock_salt("late")]
    candidates = {7: Candidates(disguised(rock_salt("x"), "x"), others)}
    answers = find_same(candidates, MatcherOptions(), num_workers=0, timeout=10.0)
    assert answers == {7: (5, "structure")}


@pytest.mark.data
@pytest.mark.skipif(
    "CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public files in CRYSTAL_DATA_HOME"
)
def test_mpts_52_training_rows_that_stand_in_the_test_of_mp_20() -> None:
    from crystal_data.io.options import UNCHECKED
    from crystal_data.io.parse import parse_record

    def crystals(source: MP20 | MPTS52, split: str) -> list[Crystal]:
        records = (item for item in source.records() if isinstance(item, Record))
        return [parse_record(r, UNCHECKED) for r in records if r.split == split]

    train = CrystalSet.from_crystals("mpts_52", crystals(MPTS52(), "train"))
    test = CrystalSet.from_crystals("mp_20", crystals(MP20(), "test"))
    leaks = find_leaks(train, [test], num_workers=2)
    # Measured with the parts of the files at hand: no id in common, six structures.
    assert sorted(leak.how for leak in leaks.values()) == ["structure"] * 6
