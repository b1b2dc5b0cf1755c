"""Damaged files of every format: each is read or rejected, in seconds and within memory.

The short form runs with every test; the long one, with the counts of ``LONG_COUNTS``, by
``pytest -m slow packages/crystal-data/tests/test_io_fuzz.py``. A file that fails is kept, and the
message names it.
"""

import io
import json
import random
import re
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from ase.io import write
from ase.io.jsonio import encode
from pymatgen.core import Composition

from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import Rejection, SourceError
from crystal_data.io.ase import to_extxyz
from crystal_data.io.cif import to_cif
from crystal_data.io.files import csv_text
from crystal_data.io.options import ReadOptions
from crystal_data.io.parse import parse_records
from crystal_data.io.poscar import to_poscar
from crystal_data.io.pymatgen import to_json
from crystal_data.io.read import read_crystals
from crystal_data.sources import PathsSource
from crystal_data.testing import perovskite, random_crystal, rock_salt

SHORT_COUNTS = {"cif": 800, "poscar": 200, "extxyz": 200, "json": 200, "csv": 100, "parquet": 100}
LONG_COUNTS = {"cif": 4000, **dict.fromkeys(("poscar", "extxyz", "json", "csv", "parquet"), 1000)}
SECONDS = 5.0  # for one file
MEGABYTES = 1000  # that the peak may grow by
NUMBERS = (
    *("0", "-1", "?", ".", "nan", "inf", "1e308", "-1e308", "1e-308", "1e400", "1e9", "0.33333"),
    *("180", "1e-9", "100000000000", "9" * 400, "9" * 5000, "1_000", "0x10", "½", "1,5", "1(2)"),
)

SITES = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
FCC = ("x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z")


def cif_text(formula, cell, atoms, extra="", operations=()):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", f"_chemical_formula_sum '{formula}'"]
    lines += [f"_cell_{n} {v}" for n, v in zip(names, cell.split(), strict=True)]
    lines += [extra] if extra else []
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op}'" for op in operations)]
    return "\n".join([*lines, "loop_", *(f"_atom_site_{x}" for x in SITES), *atoms]) + "\n"


SALT_SITES = ("Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1")
CUBE = "5.64 5.64 5.64 90 90 90"
CIFS = [
    cif_text("Cl Na", CUBE, SALT_SITES, "_cell_formula_units_Z 4", FCC),
    cif_text("Cl Na", CUBE, SALT_SITES, "_symmetry_space_group_name_H-M 'F m -3 m'"),
    cif_text("Cl4 Na4", CUBE, SALT_SITES, "_space_group_IT_number 225"),
    cif_text("C2", "3 3 5 90 90 120", ("C1 C 0.3333 0.6667 0.25 1",), "_space_group_IT_number 194"),
    cif_text("Cl K0.4 Na0.6", CUBE, ("Na1 Na 0 0 0 0.6", "K1 K 0 0 0 0.4", SALT_SITES[1])),
    to_cif(rock_salt()),
    to_cif(perovskite()) + to_cif(rock_salt()),
    to_cif(random_crystal(np.random.default_rng(3), 5)),
]


def trajectory():
    buffer = io.StringIO()
    images = [bulk("NaCl", "rocksalt", edge) for edge in (5.5, 5.6)]
    for image in images:
        image.info.update(id="mp-1", energy=-1.5)
    write(buffer, images, format="extxyz")
    return buffer.getvalue()


def jarvis():
    atoms = {"lattice_mat": (5.64 * np.eye(3)).tolist(), "cartesian": False}
    atoms |= {"coords": [[0, 0, 0], [0.5, 0.5, 0.5]], "elements": ["Na", "Cl"]}
    return json.dumps([{"jid": f"JVASP-{i}", "atoms": atoms, "gap": "na"} for i in range(2)])


def table(separator=","):
    rows = [[f"s{i}", x, to_cif(rock_salt())] for i, x in enumerate(["0.5", "-1", ""])]
    text = csv_text(["id", "gap", "cif"], rows)
    return text if separator == "," else re.sub(r",(?=\"|gap|cif|-|0)", separator, text)


def parquet(cell=None):
    columns = {
        "material_id": [f"s{i}" for i in range(4)],
        "gap": [0.5, None, 1.5, -1.0],
        "forces": [[[0.0, 0.1, 0.2]] * 8] * 4,
        "structure": [*([to_json(rock_salt())] * 3), cell or to_json(rock_salt())],
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="none", write_page_checksum=False)
    return buffer.getvalue()


SEEDS = {
    "cif": [text.encode() for text in CIFS],
    "poscar": [
        to_poscar(rock_salt()).encode(),
        b"NaCl\n-179.4\n5 0 0\n0 5 0\n0 0 5\n1 1\nSelective\nCartesian\n0 0 0 T\n2.5 2.5 2.5 F\n",
    ],
    "extxyz": [
        to_extxyz([rock_salt(), perovskite()]).encode(),
        to_extxyz(
            [
                rock_salt().replace(
                    properties={"forces": np.zeros((rock_salt().num_atoms, 3)), "x": 1}
                )
            ]
        ).encode(),
        trajectory().encode(),
    ],
    "json": [
        to_json(perovskite()).encode(),
        f"{to_json(rock_salt())}\n{to_json(perovskite())}\n".encode(),
        json.dumps([{"structure": json.loads(to_json(rock_salt())), "gap": [1, 2]}]).encode(),
        encode([bulk("NaCl", "rocksalt", 5.6)] * 2).encode(),
        jarvis().encode(),
    ],
    "csv": [table().encode(), table(";").encode(), table("\t").encode("utf-16")],
    "parquet": [parquet()],
}
ENDINGS = {"cif": "cif", "poscar": "vasp", "extxyz": "extxyz", "csv": "csv", "parquet": "parquet"}


def mutated(data, kind, rng):
    """One or two changes of bytes, tokens, numbers or lines."""
    for _ in range(rng.randint(1, 2)):
        data = rng.choice(OF_BYTES if kind == "parquet" else OF_TEXT)(data, rng) or b" "
    return data


def damaged(kind, rng):
    """A damaged file; of Parquet also a sound one with a damaged cell."""
    if kind == "parquet" and rng.random() < 0.5:
        cell = mutated(to_json(rock_salt()).encode(), "json", rng)
        return parquet(cell.decode("utf-8", "replace"))
    return mutated(rng.choice(SEEDS[kind]), kind, rng)


def flip(data, rng):
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.choice(
            (rng.randrange(32, 127), rng.randrange(256))
        )
    return bytes(changed)


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def garbage(data, rng):
    place = rng.randrange(len(data))
    return data[:place] + bytes(rng.randrange(256) for _ in range(6)) + data[place:]


def number(data, rng):
    found = list(re.finditer(rb"[\d.]+", data))
    if not found:
        return data
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(NUMBERS).encode() + data[one.end() :]


def swap_tokens(data, rng):
    tokens = re.split(rb"([\s,;:\"\[\]{}]+)", data)
    first, second = (2 * rng.randrange(len(tokens) // 2 + 1) for _ in range(2))
    tokens[first], tokens[second] = tokens[second], tokens[first]
    return b"".join(tokens)


def double_line(data, rng):
    lines = data.splitlines(keepends=True)
    return b"".join(
        [*lines[: (place := rng.randrange(len(lines)))], rng.choice(lines), *lines[place:]]
    )


def drop_line(data, rng):
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


OF_BYTES = [flip, cut, garbage]
OF_TEXT = [flip, flip, cut, garbage, number, number, number, swap_tokens, double_line, drop_line]


@contextmanager
def limited():
    """Ends what takes too long, where the system has an alarm."""

    def end(*_):
        raise TimeoutError(f"took more than {SECONDS} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcomes(path, kind, rng):
    """Crystals and rejections of a file, by one of the two ways that commands take."""
    if kind in ("csv", "parquet") or (kind == "json" and rng.random() < 0.5):
        try:
            return parse_records(PathsSource([path], ["gap"]).records())
        except SourceError as error:
            return [Rejection("", str(path), "read", "no_source", str(error))]
    # What is made ordered no longer has the atoms of its formula.
    on_disorder = rng.choice(("error", "error", "error", "majority", "order"))
    result = read_crystals(path, options=ReadOptions(on_disorder=on_disorder))
    return [*result.crystals, *result.rejected]


def peak_megabytes():
    if sys.platform == "win32":
        return 0.0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def fuzz(kind, count, folder):
    """Counts of what became of the files, the slowest in seconds, the peak's growth in MB."""
    rng = random.Random(f"{kind} 20261129")
    counts, slowest, before = Counter(), 0.0, peak_megabytes()
    for place in range(count):
        ending = rng.choice(("json", "jsonl")) if kind == "json" else ENDINGS[kind]
        path = folder / f"{kind}-{place}.{ending}"
        path.write_bytes(damaged(kind, rng))
        started = time.perf_counter()
        try:
            with limited():
                found = outcomes(path, kind, rng)
        except Exception as error:
            pytest.fail(f"{path}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - started)
        for one in found:
            if isinstance(one, Crystal):
                counts["crystals"] += 1
                assert np.isfinite(one.cart_coords).all(), path
                if kind == "cif" and len(found) == 1 and not one.notes:
                    counts[formula_agrees(one, path.read_bytes())] += 1
            else:
                counts[str(one.reason)] += 1
                assert len(one.detail) <= 200, path
        path.unlink()
    return counts, slowest, peak_megabytes() - before


TERM = r"[A-Z][a-z]?(?:[1-9]\d{0,2}(?:\.\d+)?)?"
FORMULA = re.compile(rf"^_chemical_formula_sum +('?)({TERM}(?: {TERM})*)\1 *$", re.MULTILINE)


def formula_agrees(crystal, data):
    """Whether pymatgen's reading of the formula sum gives the atoms, a whole number of times.

    A crystal with notes is left to them: what is known to disagree is said there.
    """
    text = data.decode("latin-1")
    if (
        text.count("data_") != 1
        or text.count("chemical_formula_sum") != 1
        or not (found := FORMULA.search(text))
    ):
        return "no formula"
    if not set(re.findall(r"[A-Z][a-z]?", found[2])) <= set(ATOMIC_NUMBERS):
        return "no formula"
    formula = Composition(found[2])
    amounts = {str(element): amount for element, amount in formula.items()}
    if "H" not in crystal.composition:
        amounts.pop("H", None)
    if set(amounts) != set(crystal.composition):
        return "another formula"
    ratios = [crystal.composition[x] / amount for x, amount in amounts.items()]
    is_whole = abs(ratios[0] - round(ratios[0])) < 0.02 * ratios[0]
    is_same = max(ratios) - min(ratios) < 0.02 * max(ratios)
    return "formula agrees" if is_whole and is_same else "another formula"


def check(kind, count, folder, capsys):
    counts, slowest, growth = fuzz(kind, count, folder)
    with capsys.disabled():
        print(
            f"\n{kind}, {count} files: {dict(counts.most_common())}; slowest {slowest:.2f} s, "
            f"peak {peak_megabytes():.0f} MB, {growth:.0f} MB more than before"
        )
    assert slowest < SECONDS
    assert growth < MEGABYTES
    assert counts["another formula"] == 0
    assert counts["crystals"] > count // 50
    assert len(counts) > 3


@pytest.mark.parametrize("kind", SHORT_COUNTS)
def test_damaged_files(kind, tmp_path, capsys):
    check(kind, SHORT_COUNTS[kind], tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", LONG_COUNTS)
def test_many_damaged_files(kind, tmp_path, capsys):
    check(kind, LONG_COUNTS[kind], tmp_path, capsys)
