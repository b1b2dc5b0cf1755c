"""What a column is: shapes, turning, and what a store and its sources say of it."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data import CrystalStore, FolderSource, JoinedSource, TableSource, open_store
from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.io import to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.store import InvalidSourceError
from crystal_data.testing import random_crystals, rock_salt

VECTOR = Field("dipole", "e·Å", shape=(3,), turns_as="vector")
TENSOR = Field("born", "e", "atom", (3, 3), "tensor")
STRESS = Field("stress", "eV/Å³", "crystal", (3, 3), "symmetric_tensor")
SPECTRUM = Field("dos", "1", shape=(66,))


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)


@pytest.mark.parametrize("matrix", [rotation(0), -rotation(1)], ids=["proper", "improper"])
def test_values_turn_as_their_definition_says(matrix: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    displacement, force = rng.normal(size=(2, 5, 3))
    # A vector is what the difference of two points is; a tensor maps vectors to vectors.
    np.testing.assert_allclose(VECTOR.turn(force, matrix), force @ matrix.T, atol=1e-12)
    tensors = rng.normal(size=(5, 3, 3))
    turned = TENSOR.turn(tensors.reshape(5, 9), matrix).reshape(5, 3, 3)
    image = np.einsum("nij,nj->ni", tensors, displacement)
    np.testing.assert_allclose(
        np.einsum("nij,nj->ni", turned, displacement @ matrix.T), image @ matrix.T, atol=1e-12
    )
    spectrum = rng.normal(size=(5, 66))
    assert SPECTRUM.turn(spectrum, matrix) is spectrum


def test_torch_and_numpy_turn_alike_one_matrix_for_each_row() -> None:
    rng = np.random.default_rng(0)
    matrices = np.stack([rotation(0), -rotation(1)])
    for field in (VECTOR, STRESS):
        values = rng.normal(size=(2, field.width))
        expected = [field.turn(one, matrix) for one, matrix in zip(values, matrices, strict=True)]
        got = field.turn(torch.as_tensor(values), torch.as_tensor(matrices))
        np.testing.assert_allclose(got.numpy(), np.stack(expected), atol=1e-12)
        np.testing.assert_allclose(field.turn(values, matrices), np.stack(expected), atol=1e-12)


@pytest.mark.parametrize("field", [VECTOR, TENSOR, STRESS, SPECTRUM, Field("gap")])
def test_fields_travel_as_json_and_between_processes(field: Field) -> None:
    for arrived in (
        Field.from_dict(json.loads(json.dumps(field.to_dict()))),
        pickle.loads(pickle.dumps(field)),
        copy.deepcopy(field),
    ):
        assert type(arrived) is Field
        assert arrived == field
    with pytest.raises(AttributeError):
        field.unit = "eV"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (6,), "turns_as": "symmetric_tensor"}, r"\(6,\).*nine numbers, row after row"),
        ({"turns_as": "vector"}, r"the shape \(\).*\(3,\)"),
        ({"turns_as": "spinor"}, "turns as 'spinor'; expected one of crystal, atom"),
        ({"per": "bond"}, "per 'bond'"),
        ({"shape": (0,)}, "no shape"),
        ({"shape": (2, 2, 2)}, "no shape"),
        ({"unit": 3}, "texts"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Field("x", **wrong)


def test_what_is_no_field_is_refused() -> None:
    for wrong in ({}, {"name": "x"}, {**STRESS.to_dict(), "axis": 1}, {"name": "x", "shape": 3}):
        with pytest.raises(InvalidArgumentError, match="not a field"):
            Field.from_dict(wrong)


def test_a_store_knows_its_fields(tmp_path: Path) -> None:
    crystals = random_crystals(4, seed=0)
    rng = np.random.default_rng(0)
    properties = {
        "gap": [1.0, 2.0, None, 4.0],
        "dos": [rng.normal(size=66) for _ in crystals],
        "forces": [None, *(rng.normal(size=(one.num_atoms, 3)) for one in crystals[1:])],
        "charge": [rng.normal(size=(one.num_atoms, 1)) for one in crystals],
        "label": ["a", "", "b", "c"],
        "stress": [np.eye(3).ravel()] * 4,
        "empty": [None] * 4,
    }
    for path in (None, tmp_path / "store"):
        store = CrystalStore.from_crystals(
            crystals,
            path,
            properties=properties,
            units={"gap": "eV", "empty": "K", "forces": "eV/Å"},
            turns_as={"forces": "vector", "stress": "symmetric_tensor"},
        )
        assert store.field("gap") == Field("gap", "eV")
        assert store.field("dos") == Field("dos", shape=(66,))
        assert store.field("forces") == Field("forces", "eV/Å", "atom", (3,), "vector")
        assert store.field("charge") == Field("charge", per="atom")
        assert store.field("stress") == Field("stress", shape=(3, 3), turns_as="symmetric_tensor")
        assert store.field("empty") == Field("empty", "K")
        assert store.units == {"gap": "eV", "empty": "K", "forces": "eV/Å"}
        with pytest.raises(InvalidArgumentError, match="'label' holds text"):
            store.field("label")
        batch = store.batch([1, 3], ["forces", "stress"])
        assert batch.fields == {name: store.field(name) for name in ("forces", "stress")}


def turning(value: object, turns_as: dict) -> CrystalStore:
    return CrystalStore.from_crystals([rock_salt()], properties={"x": [value]}, turns_as=turns_as)


@pytest.mark.parametrize(
    ("value", "turns_as", "message"),
    [
        (np.ones(6), {"x": "symmetric_tensor"}, r"field 'x': a value has the shape \(6,\)"),
        (1.0, {"x": "vector"}, r"the shape \(\)"),
        (np.ones((2, 2)), {"x": "vector"}, r"the shape \(2,\)"),
        (np.arange(9.0), {"x": "symmetric_tensor"}, "not symmetric"),
        (np.ones(3), {"y": "vector"}, "turns_as names y, but the properties with numbers are x"),
        ("text", {"x": "vector"}, "turns_as names x, but .* are none"),
    ],
)
def test_values_that_do_not_turn_as_declared_are_refused(
    value: object, turns_as: dict, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        turning(value, turns_as)


def test_extxyz_says_how_the_results_of_ase_turn(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    crystals = []
    for one in random_crystals(3, seed=4):
        skew = rng.normal(size=(3, 3))
        crystals.append(
            one.replace(
                properties={
                    "forces": rng.normal(size=(one.num_atoms, 3)),
                    "stress": (skew + skew.T).ravel(),
                    "dipole": rng.normal(size=3),
                    "energy": rng.normal(),
                    "arrow": rng.normal(size=3),
                }
            )
        )
    path = tmp_path / "run.extxyz"
    path.write_text(to_extxyz(crystals), encoding="utf-8")
    store = open_store(FolderSource(path, turns_as={"arrow": "vector"}), num_workers=0)
    assert store.field("forces") == Field("forces", "eV/Å", "atom", (3,), "vector")
    assert store.field("stress") == STRESS
    assert store.field("dipole") == VECTOR
    assert store.field("arrow") == Field("arrow", shape=(3,), turns_as="vector")
    assert store.field("energy") == Field("energy")
    for row, one in enumerate(crystals):
        np.testing.assert_allclose(store.column("stress")[row], one.properties["stress"], rtol=1e-9)
    # Asked another way, the store is another.
    plain = open_store(FolderSource(path), num_workers=0)
    assert plain.field("arrow").turns_as == "invariant"
    assert plain.path != store.path


def test_sources_joined_must_agree_on_how_columns_turn(tmp_path: Path) -> None:
    cif = to_cif(rock_salt())
    for name in "ab":
        row = {"id": name, "cif": cif, "arrow": [1.0, 2.0, 3.0]}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row), encoding="utf-8")
    first = TableSource(tmp_path / "a.jsonl", turns_as={"arrow": "vector"})
    second = TableSource(tmp_path / "b.jsonl", turns_as={"arrow": "vector"})
    assert open_store(JoinedSource([first, second])).field("arrow").turns
    other = TableSource(tmp_path / "b.jsonl", turns_as={"arrow": "tensor"})
    with pytest.raises(InvalidArgumentError, match=r"'arrow' turns as tensor in b and as vector"):
        open_store(JoinedSource([first, other]))


def test_a_file_and_a_table_that_disagree_are_rejected(tmp_path: Path) -> None:
    forces = {"forces": np.ones((2, 3))}
    text = to_extxyz([rock_salt().replace(identifier="a", properties=forces)])
    (tmp_path / "a.extxyz").write_text(text, encoding="utf-8")
    row = {"id": "b", "cif": to_cif(rock_salt()), "forces": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]}
    (tmp_path / "b.jsonl").write_text(json.dumps(row), encoding="utf-8")
    table = TableSource(tmp_path / "b.jsonl", columns={"forces": "per_atom"})
    with pytest.raises(InvalidSourceError, match="turns as invariant, where others as vector"):
        open_store(JoinedSource([FolderSource(tmp_path / "a.extxyz"), table]), num_workers=0)
