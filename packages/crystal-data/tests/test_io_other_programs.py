"""Files of ASE, JARVIS and pymatgen, read by the same commands as any other."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.io.jsonio import encode
from pymatgen.core import Lattice, Structure

from crystal_data.__main__ import main
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.ase import from_ase
from crystal_data.io.pymatgen import from_pymatgen, parse_json
from crystal_data.io.read import read_crystals
from crystal_data.io.rejected import read_rejected


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def salt():
    atoms = bulk("NaCl", "rocksalt", 5.64)
    atoms.info["note"] = "made by hand"
    return atoms


def relaxed():
    atoms = salt()
    forces = np.array([[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]])
    atoms.calc = SinglePointCalculator(atoms, energy=-6.5, forces=forces)
    return atoms


def jarvis(*, cartesian):
    atoms = salt()
    coords = atoms.positions if cartesian else atoms.get_scaled_positions(wrap=False)
    return {
        "lattice_mat": atoms.cell.tolist(),
        "coords": coords.tolist(),
        "elements": ["Na", "Cl"],
        "abc": atoms.cell.lengths().tolist(),
        "angles": atoms.cell.angles().tolist(),
        "cartesian": cartesian,
        "props": ["", ""],
    }


def database(atoms, **pairs):
    from ase.db import connect

    Path("d.json").unlink(missing_ok=True)
    connect("d.json").write(atoms, **pairs)
    return Path("d.json").read_text()


def written(images):
    write("w.json", images)
    return Path("w.json").read_text()


JSON = {
    "encoded": (lambda: encode(salt()), ["a"]),
    "list": (lambda: encode([salt(), salt()]), ["a#0", "a#1"]),
    "written": (lambda: written(salt()), ["a"]),
    "written-twice": (lambda: written([salt(), salt()]), ["a#0", "a#1"]),
    "database": (lambda: database(relaxed(), gap=1.5), ["a"]),
    "database-id": (lambda: database(salt(), material_id="x-7"), ["x-7"]),
    "jarvis": (lambda: json.dumps(jarvis(cartesian=False)), ["a"]),
    "jarvis-cartesian": (lambda: json.dumps(jarvis(cartesian=True)), ["a"]),
    "jarvis-wrapped": (
        lambda: json.dumps({"jid": "JVASP-9", "atoms": jarvis(cartesian=True), "gap": 1}),
        ["JVASP-9"],
    ),
    "jarvis-set": (
        lambda: json.dumps(
            [
                {"jid": f"JVASP-{i}", "atoms": jarvis(cartesian=i == 1), "gap": gap}
                for i, gap in enumerate([0.5, "na"])
            ]
        ),
        ["JVASP-0", "JVASP-1"],
    ),
}


@pytest.mark.parametrize("kind", JSON)
def test_json_of_ase_and_jarvis(kind, capsys):
    make, names = JSON[kind]
    Path("a.json").write_text(make())
    result = read_crystals("a.json")
    assert [crystal.identifier for crystal in result.crystals] == names
    for crystal in result.crystals:
        same = from_ase(salt(), crystal.identifier)
        np.testing.assert_allclose(crystal.lattice, same.lattice, atol=1e-12)
        np.testing.assert_allclose(crystal.cart_coords, same.cart_coords, atol=1e-12)
        assert crystal.species == same.species
    assert main(["convert", "a.json", "--to", "out"]) == 0
    assert f"{len(names)} structures in out; 0 left out" in capsys.readouterr().out
    converted = read_crystals("out/cif")
    assert [crystal.formula for crystal in converted.crystals] == ["NaCl"] * len(names)


def test_results_of_ase_are_properties():
    Path("a.json").write_text(database(relaxed(), gap=1.5))
    (crystal,) = read_crystals("a.json").crystals
    assert crystal.properties["gap"] == 1.5
    assert crystal.properties["energy"] == -6.5
    assert crystal.properties["forces"].shape == (2, 3)
    assert not {"ctime", "unique_id", "user"} & set(crystal.properties)


def test_lines_of_pymatgen_by_command(capsys):
    structure = Structure(Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    line = json.dumps(structure.as_dict())
    Path("s.jsonl").write_text(f"{line}\nnot JSON\n{line}\n")
    assert main(["check", "s.jsonl"]) == 0
    assert "3 structures: 2 usable, 1 not" in capsys.readouterr().out
    (rejected,) = read_rejected("rejected.csv")
    assert (rejected.identifier, rejected.reason) == ("s#1", Reason.UNREADABLE)


BROKEN = [
    ("numbers", {"__ndarray__": [[100_000_000_000], "int64", [11, 17]]}, Reason.UNREADABLE),
    ("numbers", {"__ndarray__": [[10**30], "int64", [11, 17]]}, Reason.UNREADABLE),
    ("numbers", {"__ndarray__": 3}, Reason.UNREADABLE),
    ("numbers", [11, 500], Reason.UNKNOWN_ELEMENT),
    ("numbers", [11, -1], Reason.UNKNOWN_ELEMENT),
    ("numbers", [11, 10**400], Reason.UNREADABLE),
    ("numbers", [11], Reason.NO_ATOMS),
    ("cell", [0, 0, 0], Reason.NO_CELL),
    ("cell", None, Reason.UNREADABLE),
    ("positions", [[0, 0, 0], [0.1, 0, 0]], Reason.OVERLAPPING_ATOMS),
    ("positions", [[0, 0, 0], [1, 1, float("inf")]], Reason.BAD_COORDINATES),
    ("pbc", [True, True, False], Reason.NOT_PERIODIC),
    ("pbc", [True, True], Reason.UNREADABLE),
]


@pytest.mark.parametrize(("key", "value", "reason"), BROKEN)
def test_broken_json_of_ase(key, value, reason):
    values = {**json.loads(encode(salt())), key: value}
    with pytest.raises(InvalidCrystalError) as caught:
        parse_json(json.dumps(values))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("key", "value"),
    [("elements", 3), ("elements", "Na"), ("coords", 10**400), ("lattice_mat", None)],
)
def test_broken_json_of_jarvis(key, value):
    values = {**jarvis(cartesian=True), key: value}
    with pytest.raises(InvalidCrystalError):
        parse_json(json.dumps(values))


def not_periodic():
    slab = fcc111("Cu", (1, 1, 3), vacuum=8.0)
    slab.info.clear()
    wire = salt()
    wire.pbc = (False, False, True)
    return {
        "a molecule": molecule("H2O", vacuum=4.0),
        "a chain": wire,
        "a slab": slab,
    }


@pytest.mark.parametrize("what", not_periodic())
@pytest.mark.parametrize("file", ["x.extxyz", "x.json", "x.jsonl"])
def test_what_is_not_periodic_is_no_crystal(what, file, capsys):
    atoms = not_periodic()[what]
    if what != "a molecule" or file == "x.extxyz":
        atoms.cell = atoms.cell.array + 8.0 * np.eye(3) * ~atoms.cell.any(1)[:, None]
    if file == "x.extxyz":
        write(file, atoms)
    else:
        Path(file).write_text(encode(atoms) + "\n")
    assert main(["check", file]) == 0
    (rejected,) = read_rejected("rejected.csv")
    assert rejected.reason == Reason.NOT_PERIODIC
    assert f'so this is {what} and no crystal; if it is a crystal, set pbc to "T T T"' in (
        rejected.detail
    )
    atoms.pbc = True
    assert from_ase(atoms, "x").num_atoms == len(atoms)


def test_pymatgen_says_it_too():
    cell = Lattice(np.diag([4.0, 4.0, 20.0]), pbc=(True, True, False))
    slab = Structure(cell, ["Cu"], [[0, 0, 0.5]])
    for read in (lambda: from_pymatgen(slab), lambda: parse_json(json.dumps(slab.as_dict()))):
        with pytest.raises(InvalidCrystalError, match=r'pbc is "T T F", so this is a slab'):
            read()


def frames(*infos):
    images = []
    for place, info in enumerate(infos):
        atoms = bulk("NaCl", "rocksalt", 5.6 + 0.01 * place)
        atoms.info.update(info)
        images.append(atoms)
    return images


@pytest.mark.parametrize(
    ("infos", "names"),
    [
        ([{"id": "mp-1"}] * 3, ["mp-1#0", "mp-1#1", "mp-1#2"]),
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], ["a#0", "b", "a#1"]),
        ([{"id": "a"}, {}, {"id": "b"}], ["a", "t#1", "b"]),
        ([{}, {}], ["t#0", "t#1"]),
        ([{"material_id": "mp-1"}], ["mp-1"]),
    ],
)
def test_frames_of_one_name_are_numbered(infos, names):
    write("t.extxyz", frames(*infos))
    result = read_crystals("t.extxyz")
    assert not result.rejected
    assert [crystal.identifier for crystal in result.crystals] == names
    edges = [crystal.lengths[0] * 2**0.5 for crystal in result.crystals]
    np.testing.assert_allclose(edges, [5.6 + 0.01 * i for i in range(len(names))], atol=1e-7)


HUGE = "100000000000"
FRAME = (
    '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
    "Na 0 0 0\nCl 2.5 2.5 2.5\n"
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (FRAME.replace("2\n", f"{HUGE}\n", 1), f"line 1 counts {HUGE} atoms, but 2 lines of atoms"),
        (FRAME.replace("2\n", "9" * 10_000 + "\n", 1), "line 1 is '9999"),
        (FRAME.replace("2\n", "1_0\n", 1), "line 1 is '1_0', a number of atoms expected"),
        (FRAME.replace("pos:R:3", f"pos:R:{HUGE}"), "Properties names 100000000001 columns"),
        (FRAME.replace("Prop", "Prop\\").replace("R:3", f"R:{HUGE}"), "the frame of line 1 is not"),
        (FRAME.replace("pos:R:3", "pos:R:-3"), "Properties names -2 columns"),
        (FRAME.replace("pos:R:3", "pos:R:0"), "Properties names 1 columns"),
        (FRAME.replace("species:S:1", "Z:I:1").replace("Na", "500").replace("Cl", "17"),
         "atom 1 has the atomic number 500, of no element"),
        (FRAME.replace("species:S:1", "Z:I:1").replace("Na", "-1").replace("Cl", "17"),
         "atom 1 has the atomic number -1, of no element"),
    ],
    ids=str,
)  # fmt: skip
def test_counts_are_checked_before_room_is_made(text, detail):
    Path("x.extxyz").write_text(text)
    (rejected,) = read_crystals("x.extxyz").rejected
    assert detail in rejected.detail


def test_a_bad_frame_stops_no_other():
    bad = FRAME.replace("Cl 2.5", "Cl much")
    Path("x.extxyz").write_text(f"{FRAME}\n{bad}{FRAME}5\nthe end")
    result = read_crystals("x.extxyz")
    assert [crystal.identifier for crystal in result.crystals] == ["x#0", "x#2"]
    assert [x.identifier for x in result.rejected] == ["x#1", "x#3"]
    assert "line 14 counts 5 atoms" in result.rejected[1].detail


def test_atoms_in_memory_say_that_they_are_periodic():
    atoms = Atoms("NaCl", cell=[5, 5, 5], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InvalidCrystalError, match=r"in Python: atoms\.pbc = True"):
        from_ase(atoms)
    atoms.pbc = True
    assert from_ase(atoms).formula == "NaCl"
