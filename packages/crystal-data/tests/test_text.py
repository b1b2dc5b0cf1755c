"""Text and tokens of crystals: exact ways back, and nothing else is read."""

import io
import re

import numpy as np
import pytest
from ase.io import read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.crystal import Crystal, end_to_end
from crystal_data.io import parse_cif, to_ase
from crystal_data.testing import random_crystal
from crystal_data.text import (
    CifText,
    CompactText,
    CrystalTextError,
    CrystalTokenizer,
    TextFailure,
    round_crystal,
)
from crystal_data.text.rounding import FAILURES

CODECS = (CifText, CompactText, CrystalTokenizer)
SALT = Crystal(
    [[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]],
    [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]],
    [11, 17],
    identifier="salt",
)


def cell(*lattice, frac_coords=((0.0, 0.0, 0.0),)):
    return Crystal(lattice, frac_coords, np.full(len(frac_coords), 6), identifier="odd")


def same(one, other):
    """Equal to the last bit, properties aside."""
    pairs = zip(end_to_end([one]), end_to_end([other]), strict=True)
    return one.identifier == other.identifier and all(np.array_equal(a, b) for a, b in pairs)


def canonical(codec, encoded):
    return encoded.split() if isinstance(encoded, str) else encoded.tolist()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    num_atoms=st.integers(1, 60),
    decimals=st.integers(1, 6),
    make=st.sampled_from(CODECS),
)
def test_the_way_back_is_exact(seed, num_atoms, decimals, make):
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng, num_atoms)
    try:
        rounded = round_crystal(crystal, decimals)
    except CrystalTextError:
        if decimals > 1:
            raise
        return  # two atoms in a box of a tenth of each axis
    codec = make(decimals)
    for given_crystal in (crystal, rounded):
        encoded = codec.encode(given_crystal)
        assert same(codec.decode(encoded, crystal.identifier), rounded)
        assert canonical(codec, codec.encode(codec.decode(encoded))) == canonical(codec, encoded)
    assert np.abs(rounded.lengths - crystal.lengths).max() < 0.51 * 10.0**-decimals
    assert np.abs(rounded.angles - crystal.angles).max() < 0.51 * 10.0**-decimals
    sign = np.sign(np.linalg.det(crystal.lattice))
    moved = rounded.frac_coords - sign * crystal.frac_coords
    assert np.abs(moved - np.rint(moved)).max() < 0.51 * 10.0**-decimals


def test_a_left_handed_crystal_is_not_mirrored():
    left = Crystal(np.diag([3.0, 4.0, -5.0]), [[0.1, 0.2, 0.3], [0, 0, 0], [0.5, 0, 0]], [6, 7, 8])
    again = round_crystal(left, 6)
    relative = (again.frac_coords - again.frac_coords[1] + 0.5) % 1 - 0.5
    wanted = left.frac_coords @ left.lattice
    found = relative @ again.lattice
    # Half of a cell counts as either sign.
    turn, *_ = np.linalg.lstsq(left.lattice, -again.lattice)
    assert np.linalg.det(turn) > 0.999
    assert np.allclose(np.linalg.norm(wanted[0] @ turn - found[0]), 0, atol=1e-5)


def test_cif_is_what_ase_writes_but_for_the_digits():
    rng = np.random.default_rng(0)
    for crystal in [SALT, *(random_crystal(rng, n) for n in (1, 2, 9, 30))]:
        rounded = round_crystal(crystal)
        buffer = io.BytesIO()
        write(buffer, to_ase(rounded), format="cif")
        lines = buffer.getvalue().decode().split("\n")
        number = re.compile(r"(?<= )-?\d+\.\d+(?:e-\d+)?(?= |$)")
        for index, line in enumerate(lines):
            if line.startswith("_cell"):
                lines[index] = number.sub(lambda m: f"{float(m[0]):.4f}", line)
            elif line.startswith("  ") and "1.0000" in line:
                head, tail = line.split("  1.0  ")
                x, y, z, occupancy = tail.split()
                coords = "  ".join(f"{float(v) % 1 + 0.0:.4f}" for v in (x, y, z))
                lines[index] = f"{head}  1.0  {coords}  {occupancy}"
        assert CifText().encode(crystal) == "\n".join(lines)


def test_cif_is_read_by_others():
    rng = np.random.default_rng(1)
    for crystal in (SALT, random_crystal(rng, 12)):
        rounded, text = round_crystal(crystal), CifText().encode(crystal)
        theirs = read(io.StringIO(text), format="cif")
        assert np.allclose(theirs.cell.cellpar(), np.concatenate([rounded.lengths, rounded.angles]))
        assert np.allclose(theirs.get_scaled_positions(), rounded.frac_coords, atol=1e-9)
        assert theirs.numbers.tolist() == rounded.atomic_numbers.tolist()
        assert np.allclose(parse_cif(text).frac_coords, rounded.frac_coords, atol=1e-12)


def test_examples():
    text = "Na Cl 3.988 3.988 3.988 60.000 60.000 60.000 0.000 0.000 0.000 0.500 0.500 0.500"
    assert CompactText(3).encode(SALT) == text
    assert same(CompactText(3).decode(text.replace(" ", "\n"), "salt"), round_crystal(SALT, 3))
    collapsed = " ".join(CifText(3).encode(SALT).split())
    assert same(CifText(3).decode(collapsed, "salt"), round_crystal(SALT, 3))
    tokenizer = CrystalTokenizer(decimals=2)
    tokens = tokenizer.encode(SALT)
    names = " ".join(tokenizer.VOCABULARY[token] for token in tokens)
    assert names == (
        "<bos> Na Cl 0 0 3 9 9 0 0 3 9 9 0 0 3 9 9 0 6 0 0 0 0 6 0 0 0 0 6 0 0 0 "
        "0 0 0 0 0 0 5 0 5 0 5 0 <eos>"
    )
    assert len(tokens) == tokenizer.length(2)
    assert len(tokenizer.VOCABULARY) == len(set(tokenizer.VOCABULARY)) == 132
    assert same(tokenizer.decode([*tokens, 0, 0], "salt"), round_crystal(SALT, 2))


def test_many_crystals_are_encoded_as_each_alone():
    rng = np.random.default_rng(2)
    crystals = [random_crystal(rng, n) for n in (3, 1, 20, 7, 12)]
    crystals.insert(2, cell([2000, 0, 0], [0, 2, 0], [0, 0, 2]))
    tokenizer = CrystalTokenizer(max_length=CrystalTokenizer().length(12))
    tokens, counts, failures = tokenizer.encode_arrays(end_to_end(crystals))
    reasons = [FAILURES[code] for code in failures]
    assert reasons == [None, None, "cell_too_large", "too_long", None, None]
    parts = np.split(tokens, np.cumsum(counts)[:-1])
    for crystal, part, reason in zip(crystals, parts, reasons, strict=True):
        if reason is None:
            assert part.tolist() == tokenizer.encode(crystal).tolist()
        else:
            assert len(part) == 0
            with pytest.raises(
                CrystalTextError, match=f"{crystal.identifier or crystal.formula}: "
            ):
                tokenizer.encode(crystal)
    empty = tokenizer.encode_arrays(end_to_end([]))
    assert [len(part) for part in empty] == [0, 0, 0]


@pytest.mark.parametrize("make", CODECS)
@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (cell([1000, 0, 0], [0, 2, 0], [0, 0, 2]), "1000 Å long"),
        (cell([1e30, 0, 0], [0, 2, 0], [0, 0, 2]), "1000 Å long"),
        (cell([30, 0, 0], [0, 30, 0], [30, 30, 1e-3]), "less than 0.01 Å³"),
        (cell([0.11, 0, 0], [0, 0.11, 0], [0, 0, 0.11]), "less than 0.01 Å³"),
        (
            cell([3, 0, 0], [0, 3, 0], [0, 0, 3], frac_coords=[[0, 0, 0], [0.99999, 0, 1.00001]]),
            "two atoms are at the same place",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_text_can_hold_is_refused(make, crystal, message):
    with pytest.raises(CrystalTextError, match=f"odd: it has no text: .*{message}"):
        make().encode(crystal)
    with pytest.raises(CrystalTextError, match=message):
        round_crystal(crystal)


def test_options_are_checked():
    for make in (*CODECS, lambda decimals: round_crystal(SALT, decimals)):
        with pytest.raises(ValueError, match="decimals is 7; it must be from 1 to 6"):
            make(7)
    with pytest.raises(ValueError, match="max_length is 20; one atom alone has 57 tokens"):
        CrystalTokenizer(max_length=20)
    masked = end_to_end([SALT])._replace(atomic_numbers=np.array([11, 0]))
    with pytest.raises(CrystalTextError, match="masked"):
        CrystalTokenizer().encode_arrays(masked)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na Cl 3.9881", "3.9881", "does not begin with an element"),
        ("Na Cl", "Na Xx", "1 sites need 9 numbers"),
        ("Na Cl", "Na Cl Cl", "3 sites need 15 numbers, not 12 words after Cl"),
        ("3.9881 60", "3.988 60", r"'3.988' is not a number below 1000 with 4 decimals"),
        ("3.9881 60", "03.9881 60", "'03.9881' is not a number"),
        ("3.9881 60", "-3.9881 60", "'-3.9881' is not a number"),
        ("3.9881 60", "٣.9881 60", "is not a number"),
        ("60.0000 0.0", "180.0000 0.0", "less than 0.01 Å³"),
        ("0.5000 0.5000 0.5000", "0.5000 0.5000 1.0000", "'1.0000' is not a coordinate below 1"),
        ("0.5000 0.5000 0.5000", "0.0000 0.0000 0.0000", "two atoms are at the same place"),
        ("0.5000 0.5000 0.5000", "0.5000 0.5000", "2 sites need 12 numbers, not 11"),
    ],
)
def test_compact_text_with_a_mistake(old, new, message):
    text = CompactText().encode(SALT)
    assert old in text
    with pytest.raises(CrystalTextError, match=f"salt: .*{message}"):
        CompactText().decode(text.replace(old, new, 1), "salt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na1 Cl1", "Na1 Cl2", "'Cl2\"' stands where 'Cl1\"' is expected"),
        ("structural       NaCl", "structural       KCl", "'KCl' stands where 'NaCl'"),
        ("  Cl  Cl1", "  K   K1 ", "'NaCl' stands where 'NaK'"),
        ("  Cl  Cl1", "  Xx  Xx1", "'Xx' is no element"),
        ("'x, y, z'", "'x, y, -z'", "stands where"),
        ("_cell_angle_beta", "_cell_angle_b", "nothing follows _cell_angle_beta"),
        ("0.5000  1.0000", "0.5000  0.5000", "'0.5000' stands where '1.0000'"),
        ("0.5000  1.0000", "0.5000", "13 words are no table of sites"),
        ("0.5000  0.5000  0.5000", "1.5000  0.5000  0.5000", "'1.5000' is not a coordinate"),
        ("data_image0", "data_image0 data_image0", "'data_image0' stands where"),
    ],
)
def test_cif_with_a_mistake(old, new, message):
    text = CifText().encode(SALT)
    assert old in text
    with pytest.raises(CrystalTextError, match=f"text: .*{message}"):
        CifText().decode(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[1:], "do not run from <bos> to <eos>"),
        (lambda t: t[:-1], "do not run from <bos> to <eos>"),
        (lambda t: [], "do not run from <bos> to <eos>"),
        (lambda t: [t], "do not run from <bos> to <eos>"),
        (lambda t: [*t, 0, 7], "something other than <pad> follows <eos>"),
        (lambda t: [*t[:1], *t[3:]], "not elements followed by digits"),
        (lambda t: [*t[:9], 3, *t[10:]], "not elements followed by digits"),
        (lambda t: [*t[:9], 200, *t[10:]], "not elements followed by digits"),
        (lambda t: [*t[:-2], 2], "2 sites need 66 digits, not 65"),
        (lambda t: [*t[:2], *t[1:]], "3 sites need 78 digits, not 66"),
    ],
)
def test_tokens_with_a_mistake(change, message):
    tokens = CrystalTokenizer().encode(SALT).tolist()
    with pytest.raises(CrystalTextError, match=f"tokens: .*{message}"):
        CrystalTokenizer().decode(change(tokens))


@settings(max_examples=200)
@given(st.data())
def test_nothing_damaged_becomes_another_crystal(data):
    """Whatever is read is exactly what would be written for the crystal that comes back."""
    rng = np.random.default_rng(data.draw(st.integers(0, 50)))
    codec = data.draw(st.sampled_from([make() for make in CODECS]))
    encoded = codec.encode(random_crystal(rng, int(rng.integers(1, 5))))
    if isinstance(encoded, str):
        parts, joint = re.split(r"(\s+|\d)", encoded), ""
        strange = st.sampled_from(
            ["0", "9", " ", ".", "Fe", "Na1", "1.0000", "-", "loop_", "", "é"]
        )
    else:
        parts, strange = encoded.tolist(), st.integers(0, 140)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(parts) - 1))
        action = data.draw(st.sampled_from(["drop", "twice", "change", "cut", "swap"]))
        if action == "drop":
            del parts[place]
        elif action == "twice":
            parts.insert(place, parts[place])
        elif action == "change":
            parts[place] = data.draw(strange)
        elif action == "cut":
            parts = parts[: place + 1]
        else:
            parts[place], parts[-1 - place] = parts[-1 - place], parts[place]
        if not parts:
            return
    damaged = joint.join(parts) if isinstance(encoded, str) else np.array(parts)
    try:
        crystal = codec.decode(damaged)
    except CrystalTextError:
        return
    again = codec.encode(crystal)
    if isinstance(encoded, str):
        assert again.split() == damaged.split()
    else:
        end = int(np.flatnonzero(damaged == codec.EOS)[0])
        assert again.tolist() == damaged[: end + 1].tolist()


def test_every_failure_has_a_code():
    assert set(FAILURES) == {None, *TextFailure}
