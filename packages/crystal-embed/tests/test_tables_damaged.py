"""Files of element tables that are damaged: refused in one line."""

import random

import numpy as np
import pytest
from safetensors.numpy import save_file

from crystal_embed.tables import ElementTable, load_table, save_table

TABLE = ElementTable(
    "small",
    np.array([1, 8, 11]),
    np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
    {"random_elements": ["H"]},
)


def same(table):
    return (
        np.array_equal(table.vectors, TABLE.vectors)
        and np.array_equal(table.atomic_numbers, TABLE.atomic_numbers)
        and (table.name, dict(table.metadata)) == (TABLE.name, dict(TABLE.metadata))
    )


def test_no_flipped_bit_of_a_safetensors_table_is_used(tmp_path):
    path = save_table(TABLE, tmp_path / "small.safetensors")
    whole, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            loaded = load_table(path)
        except ValueError as error:
            refused += str(path) in str(error) and "\n" not in str(error)
        else:
            assert same(loaded)  # the name of the checksum alone was hit
            refused += 1
    assert refused == 300


@pytest.mark.parametrize("form", [("atom_init", "json"), ("symbols", "json"), ("csv", "csv")])
def test_damaged_text_is_refused_in_one_line_or_is_a_table(tmp_path, form):
    # Text in a public form has no checksum; it must never end in another kind of error.
    path = save_table(TABLE, tmp_path / f"small.{form[1]}", form[0])
    whole, draw, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 1, 5])):
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed[: draw.choice([len(whole), draw.randrange(len(whole))])])
        try:
            load_table(path)
        except ValueError as error:
            refused += "\n" not in str(error)
    assert refused > 150


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", '{"1": ' + "[" * 100_000, "nested too deeply"),
        ("x.json", '{"1": [1' + "0" * 400 + "]}", "not all values are numbers"),
        ("x.json", '{"1": [1e39]}', "not finite"),
        ("x.json", '{"' + "9" * 5000 + '": [1]}', "neither an element symbol"),
    ],
    ids=range(4),
)
def test_text_that_no_table_has_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_table(tmp_path / name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": np.array([1.0, 8.5, np.nan])}, "expected integers and floats"),
        ({"vectors": np.ones((3, 4), dtype=bool)}, "expected integers and floats"),
        ({"metadata": "[]"}, "metadata is damaged"),
        ({"metadata": '{"random_elements": 3}'}, "metadata is damaged"),
        ({"metadata": '{"random_elements": [3]}'}, "metadata is damaged"),
        ({"metadata": "[" * 100_000}, "expected the tensors"),
        ({}, None),  # a file of a version without checksums
    ],
    ids=range(7),
)
def test_types_of_a_safetensors_table_are_checked(tmp_path, changes, message):
    path = tmp_path / "small.safetensors"
    tensors = {
        "atomic_numbers": changes.get("numbers", TABLE.atomic_numbers),
        "vectors": changes.get("vectors", TABLE.vectors),
    }
    metadata = changes.get("metadata", '{"random_elements": ["H"]}')
    save_file(tensors, path, metadata={"name": "small", "metadata": metadata})
    if message is None:
        assert same(load_table(path))
        return
    with pytest.raises(ValueError, match=message):
        load_table(path)
