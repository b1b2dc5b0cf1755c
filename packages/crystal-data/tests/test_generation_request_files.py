"""Requests from tables, from the JSON of DiffCSP++ and from the options of a command."""

import json
from argparse import ArgumentParser

import pytest

from crystal_data.errors import SourceError
from crystal_data.generation import (
    GenerationRequest,
    RequestError,
    add_request_options,
    parse_z,
    read_requests,
    request_from_diffcsp,
    request_to_diffcsp,
    requests_from,
)
from crystal_data.io import to_cif
from crystal_data.testing import rock_salt

TABLE = """\
id,formula,z,space_group,wyckoff,band_gap (eV),density,num_samples
a,LiMn2O4,2,Fd-3m,,2.0,,
b,NaN,,,,,1.5,4
c,,,225,Na:4a Cl:4b,,,
"""


def test_a_table(tmp_path):
    path = tmp_path / "wishes.csv"
    path.write_text(TABLE)
    a, b, c = read_requests(path, num_samples=3, seed=5)
    assert (a.id, a.formula, a.z, a.space_group) == ("a", "LiMn2O4", 2, 227)
    assert {name: str(x) for name, x in a.properties.items()} == {"band_gap": "2 eV"}
    assert (b.composition, b.z) == ({"Na": 1, "N": 1}, None)
    assert {name: str(x) for name, x in b.properties.items()} == {"density": "1.5"}
    assert (c.formula, c.z) == ("NaCl", 1)
    assert [x.num_samples for x in (a, b, c)] == [3, 4, 3]
    assert {x.seed for x in (a, b, c)} == {5}


def test_a_table_with_structures_to_start_from(tmp_path):
    (tmp_path / "salt.cif").write_text(to_cif(rock_salt()))
    path = tmp_path / "wishes.csv"
    path.write_text("id,start\na,salt.cif\n")
    (asked,) = read_requests(path)
    assert asked.start.formula == "NaCl"
    path.write_text("id,start\na,absent.cif\n")
    with pytest.raises(RequestError, match=r"row 1: absent: .*there is no file"):
        read_requests(path)
    disordered = to_cif(rock_salt()).replace("  1\n  Cl", "  0.5\n  Cl")
    (tmp_path / "salt.cif").write_text(disordered)
    path.write_text("id,start\na,salt.cif\n")
    with pytest.raises(RequestError, match=r"row 1: salt: .*disordered"):
        read_requests(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,formula,z\na,NaCl,1\nb,NaCl,x\n", r"csv, row 2: column z: 'x' is not a number"),
        ("id,formula,z\na,NaCl,1.5\n", r"row 1: column z: 1.5 is not a whole number"),
        ("id,formula\na,NaCl\na,KCl\n", r"row 2: the id 'a' is that of .*csv, row 1 too"),
        ("id,formula\na,\n", r"row 1: request a: nothing is asked for"),
        ("id,formula\n,NaCl\n", r"row 1: the id is missing"),
        ("id,formula,gap\na,NaCl,wide\n", r"row 1: column gap: 'wide' is not a number"),
        ("id,formula,space_group\na,NaCl,231\n", r"row 1: request a: space group 231 does not"),
        ("id,formula\n", r"has no requests"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, message):
    path = tmp_path / "wishes.csv"
    path.write_text(text)
    with pytest.raises(RequestError, match=message):
        read_requests(path)


def test_all_bad_rows_are_counted(tmp_path):
    path = tmp_path / "wishes.csv"
    path.write_text("id,formula\n" + "".join(f"r{n},Xx{n}\n" for n in range(1, 9)))
    with pytest.raises(RequestError) as raised:
        read_requests(path)
    lines = str(raised.value).split("\n")
    assert len(lines) == 6
    assert lines[-1] == f"and 3 more rows of {path}"


@pytest.mark.parametrize("text", ["formula,z\nNaCl,1\n", "id,comment\na,b\n"])
def test_a_table_without_its_columns_is_refused(tmp_path, text):
    path = tmp_path / "wishes.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match="a table of requests has a column id and one of"):
        read_requests(path)


DIFFCSP = [
    {
        "spacegroup_number": 58,
        "wyckoff_letters": ["2a", "2d", "4g"],
        "atom_types": ["Mn", "Li", "O"],
    },
    {"spacegroup_number": 225, "wyckoff_letters": "ab", "id": "salt", "num_samples": 7},
]


def test_the_form_of_diffcsp(tmp_path):
    path = tmp_path / "wishes.json"
    path.write_text(json.dumps(DIFFCSP))
    first, second = read_requests(path, num_samples=2)
    assert (first.id, first.formula, first.z) == ("request-0", "LiMnO2", 2)
    assert request_to_diffcsp(first) == DIFFCSP[0]
    assert (second.id, second.num_samples, second.formula) == ("salt", 7, "")
    assert request_to_diffcsp(second) == {
        "spacegroup_number": 225,
        "wyckoff_letters": ["4a", "4b"],
    }
    again = GenerationRequest.from_dict(request_from_diffcsp(request_to_diffcsp(first)))
    assert again.wyckoff == first.wyckoff


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([{"spacegroup_number": 58}], RequestError, "element 0: .* one is missing"),
        ([{**DIFFCSP[0], "atom_types": ["Mn"]}], RequestError, "3 wyckoff_letters and 1 atom_ty"),
        ([1], SourceError, "element 0: expected an object"),
        ([], RequestError, "has no requests"),
    ],
)
def test_bad_json(tmp_path, content, error, message):
    path = tmp_path / "wishes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(error, match=message):
        read_requests(path)
    path.write_text("[{")
    with pytest.raises(SourceError, match="not JSON"):
        read_requests(path)


def test_what_is_not_a_symmetry_request_has_no_such_form():
    with pytest.raises(RequestError, match="NaCl alone is no request there"):
        request_to_diffcsp(GenerationRequest(formula="NaCl", z=1))


def parsed(*words):
    parser = ArgumentParser()
    add_request_options(parser)
    return requests_from(parser.parse_args(words))


def test_options_of_a_command(tmp_path):
    words = "--formula LiMn2O4 --z-conventional 8 --spacegroup Fd-3m --property band_gap=2.0 --n 5"
    (asked,) = parsed(*words.split(), "--property", "density (g/cm³)=3")
    assert (asked.z, asked.space_group, asked.num_samples) == (2, 227, 5)
    assert str(asked.properties["density"]) == "3 g/cm³"
    assert asked.id == "LiMn2O4-z2-Fd-3m-band_gap=2-density=3"
    (tmp_path / "a.cif").write_text(to_cif(rock_salt()))
    (like,) = parsed("--like", str(tmp_path / "a.cif"))
    assert (like.start.formula, like.id) == ("NaCl", "a")
    path = tmp_path / "wishes.csv"
    path.write_text(TABLE)
    assert [x.num_samples for x in parsed("--requests", str(path), "--n", "2")] == [2, 4, 2]
    with pytest.raises(RequestError, match="--requests and --formula are both given"):
        parsed("--requests", str(path), "--formula", "NaCl")
    with pytest.raises(RequestError, match="--property gap: expected NAME=VALUE"):
        parsed("--formula", "NaCl", "--property", "gap")
    with pytest.raises(RequestError, match="nothing is asked for"):
        parsed("--n", "3")


def test_several_numbers_of_formula_units_leave_it_open():
    (one,) = parsed("--formula", "LiMn2O4", "--z", "2")
    (several,) = parsed("--formula", "LiMn2O4", "--z", "1:4")
    assert (one.z, several.z) == (2, None)
    assert (parse_z("3"), parse_z("1:4"), parse_z("1,2,4")) == ([3], [1, 2, 3, 4], [1, 2, 4])
    for wrong in ("two", "0", "4:1", "1:", "-1"):
        with pytest.raises(RequestError, match="--z"):
            parsed("--formula", "LiMn2O4", "--z", wrong)
