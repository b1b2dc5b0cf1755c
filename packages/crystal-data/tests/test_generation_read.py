"""Generated structures are read from our folders and from those of other programs."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from crystal_data.errors import SourceError
from crystal_data.generation import read_generated
from crystal_data.io import to_cif, to_extxyz, to_json, write_crystals
from crystal_data.io.files import csv_text
from crystal_data.testing import random_crystals, rock_salt

CRYSTALS = random_crystals(4, seed=0, max_atoms=5)


def write_cifs(folder, names):
    for name, crystal in zip(names, CRYSTALS, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_cif(crystal))
    return folder


def keys(structures):
    return [(s.request, s.sample) for s in structures]


def test_names_of_files_say_request_and_sample(tmp_path):
    folder = write_cifs(tmp_path, ["NaCl_0.cif", "NaCl_10.cif", "NaCl_2.cif", "mp-149.cif"])
    found = read_generated(folder)
    assert keys(found) == [("NaCl", 0), ("NaCl", 2), ("NaCl", 10), ("mp-149", 0)]
    assert [s.rank for s in found] == [1, 2, 3, 1]
    assert [s.crystal.num_atoms for s in found] == [1, 3, 2, 4]
    assert found[1].file == str(folder / "NaCl_2.cif")
    assert found[0].score is None
    assert found[0].flags == ()


def test_known_requests_are_not_cut(tmp_path):
    folder = write_cifs(tmp_path, ["mp_149.cif", "mp_150.cif"])
    assert keys(read_generated(folder)) == [("mp", 149), ("mp", 150)]
    known = {"mp_149", "mp_150"}
    assert keys(read_generated(folder, requests=known)) == [("mp_149", 0), ("mp_150", 0)]


def test_a_folder_for_each_request(tmp_path):
    folder = write_cifs(tmp_path, ["a/7.cif", "a/POSCAR_9.cif", "b/x.cif", "b/y.cif"])
    assert keys(read_generated(folder)) == [("a", 7), ("a", 9), ("b", 0), ("b", 1)]


def test_two_files_of_one_sample_are_refused(tmp_path):
    folder = write_cifs(tmp_path, ["a_1.cif", "a_01.cif"])
    with pytest.raises(SourceError, match=r"a_01.cif and .*a_1.cif are both sample 1"):
        read_generated(folder)


def test_what_cannot_be_read_stays_with_its_reason(tmp_path):
    folder = write_cifs(tmp_path, ["a_0.cif"])
    (folder / "a_1.cif").write_text("data_a\n_cell_length_a 3\n")
    (folder / "a_2.cif").write_text("")
    first, second, third = read_generated(folder)
    assert first.crystal is not None
    assert (second.crystal, second.flags) == (None, ("no_cell",))
    assert (third.crystal, third.flags) == (None, ("empty",))


def test_overlapping_atoms_are_read(tmp_path):
    close = rock_salt().replace(frac_coords=np.array([[0, 0, 0], [0.01, 0, 0]]))
    (tmp_path / "a.cif").write_text(to_cif(close))
    (found,) = read_generated(tmp_path)
    assert found.crystal.num_atoms == 2


def test_a_folder_that_write_crystals_made(tmp_path):
    named = [c.replace(identifier=f"x_{place}") for place, c in enumerate(CRYSTALS)]
    write_crystals(named, tmp_path)
    assert keys(read_generated(tmp_path)) == [("x", 0), ("x", 1), ("x", 2), ("x", 3)]
    known = read_generated(tmp_path, requests=["x_0"])
    assert keys(known)[0] == ("x_0", 0)


def test_our_summary(tmp_path):
    write_cifs(tmp_path / "cif", ["a_0.cif", "a_2.cif"])
    rows = [
        ("a", 2, 1, 0.9, "cif/a_2.cif", "X", 1, "toy", ""),
        ("a", 0, 2, 0.5, "cif/a_0.cif", "X", 1, "toy", "kept;close"),
        ("a", 1, 3, "", "", "", "", "toy", "failed"),
    ]
    header = "request sample rank score file formula space_group_number source flags".split()
    (tmp_path / "summary.csv").write_text(csv_text(header, rows))
    found = read_generated(tmp_path)
    assert keys(found) == [("a", 0), ("a", 1), ("a", 2)]
    assert [s.rank for s in found] == [2, 3, 1]
    assert [s.score for s in found] == [0.5, None, 0.9]
    assert [s.flags for s in found] == [("kept", "close"), ("failed",), ()]
    assert found[1].crystal is None


def test_extended_xyz_without_names_is_one_request(tmp_path):
    path = tmp_path / "generated_crystals.extxyz"
    path.write_text(to_extxyz([c.replace(identifier="") for c in CRYSTALS]))
    assert keys(read_generated(path)) == [("generated_crystals", n) for n in range(4)]


def test_extended_xyz_with_names(tmp_path):
    path = tmp_path / "out.extxyz"
    names = ["a", "a", "b_3", "c"]
    path.write_text(
        to_extxyz([c.replace(identifier=x) for c, x in zip(CRYSTALS, names, strict=True)])
    )
    assert keys(read_generated(path)) == [("a", 0), ("a", 1), ("b", 3), ("c", 0)]
    said = {"request": "007", "sample": 4, "score": 0.25}
    path.write_text(to_extxyz([CRYSTALS[0].replace(properties=said)]))
    (found,) = read_generated(path)
    assert (found.request, found.sample, found.score) == ("007", 4, 0.25)


@pytest.mark.parametrize("column", ["cif", "structure"])
def test_tables(tmp_path, column):
    path = tmp_path / "generated.csv"
    write = to_cif if column == "cif" else to_json
    texts = [write(crystal) for crystal in CRYSTALS]
    path.write_text(csv_text(["material_id", column], zip("aabb", texts, strict=True)))
    assert keys(read_generated(path)) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    rows = [("a", 5, 1, 0.5, texts[0]), ("a", 3, 2, "", "data_")]
    path.write_text(csv_text(["request", "sample", "rank", "score", column], rows))
    first, second = read_generated(path)
    assert (first.sample, first.rank, first.score, first.crystal) == (3, 2, None, None)
    assert (second.sample, second.rank, second.score) == (5, 1, 0.5)
    assert second.file == f"{path}:1"
    path.write_text(csv_text([column], [[text] for text in texts]))
    assert keys(read_generated(path)) == [("generated", n) for n in range(4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,energy\na,1\n", "no column of structures among id, energy"),
        ("request,sample,cif\na,x,data_\n", ":1: column sample: 'x' is not a number"),
        ("request,sample,cif\na,1.5,data_\n", ":1: column sample: 1.5 is no whole number"),
        ("request,score,cif\na,good,data_\n", ":1: column score: 'good' is not a number"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "generated.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        read_generated(path)


def cdvae(crystals, runs):
    joined = {
        "frac_coords": np.concatenate([c.frac_coords for c in crystals]),
        "atom_types": np.concatenate([c.atomic_numbers for c in crystals]),
        "num_atoms": np.array([c.num_atoms for c in crystals]),
        "lengths": np.array([c.lengths for c in crystals]),
        "angles": np.array([c.angles for c in crystals]),
    }
    arrays = {key: torch.as_tensor(value) for key, value in joined.items()}
    return {key: value[None].repeat(runs, *[1] * value.ndim) for key, value in arrays.items()}


def test_files_of_cdvae(tmp_path):
    path = tmp_path / "eval_diff.pt"
    torch.save({**cdvae(CRYSTALS, 2), "time": 1.0, "eval_setting": Namespace(label="")}, path)
    found = read_generated(path)
    assert keys(found) == [(str(i), run) for i in range(4) for run in range(2)]
    np.testing.assert_allclose(found[5].crystal.frac_coords, CRYSTALS[2].frac_coords)
    np.testing.assert_allclose(found[5].crystal.lengths, CRYSTALS[2].lengths)
    torch.save({key: value[0] for key, value in cdvae(CRYSTALS, 1).items()}, path)
    assert keys(read_generated(path)) == [(str(i), 0) for i in range(4)]


class Evil:
    def __reduce__(self):
        return print, ("code of the file has run",)


def test_files_of_torch_run_no_code(tmp_path, capsys):
    path = tmp_path / "eval_diff.pt"
    torch.save({**cdvae(CRYSTALS, 1), "input_data_batch": Evil()}, path)
    with pytest.raises(SourceError, match="save a dict of frac_coords, num_atoms"):
        read_generated(path)
    assert capsys.readouterr().out == ""


def test_damaged_files_of_torch(tmp_path):
    path = tmp_path / "eval_diff.pt"
    path.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(SourceError, match="is damaged"):
        read_generated(path)
    torch.save({"frac_coords": torch.zeros(1, 3, 3)}, path)
    with pytest.raises(SourceError, match="holds frac_coords; expected"):
        read_generated(path)
    torch.save({**cdvae(CRYSTALS, 1), "lengths": torch.ones(1, 3, 3)}, path)
    with pytest.raises(SourceError, match="the shapes do not fit each other"):
        read_generated(path)
    bad = cdvae(CRYSTALS, 1)
    bad["angles"][0, 1] = 170.0
    torch.save(bad, path)
    assert [s.flags for s in read_generated(path)] == [(), ("bad_cell",), (), ()]


def test_nothing_to_read(tmp_path):
    with pytest.raises(SourceError, match="there is no file or folder"):
        read_generated(tmp_path / "absent")
    with pytest.raises(SourceError, match="holds no structures"):
        read_generated(tmp_path)
