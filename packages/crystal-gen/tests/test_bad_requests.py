"""Requests that cannot be met: one line each, which names the nearest that could."""

from pathlib import Path

import pytest
import torch

from crystal_data.io.cif import to_cif
from crystal_data.testing import rock_salt
from crystal_gen import CrystalDiT
from crystal_gen.__main__ import main

SALT = ["--spacegroup", "225", "--wyckoff"]
BAD = {
    "multiplicities that do not add up": (
        [*SALT, "Na:4a Cl:4b", "--formula", "NaCl2"],
        "hold NaCl in the primitive cell, not NaCl2; they fit NaCl with z = 1",
    ),
    "multiplicities of another z": (
        [*SALT, "Na:4a Cl:4b", "--formula", "NaCl", "--z", "2"],
        "z = 1 fits them",
    ),
    "letters that do not add up": (
        [*SALT, "4a 8c", "--formula", "NaCl"],
        "hold 3 atoms in the primitive cell, NaCl has 2 in a formula unit; give letters that hold "
        "2 or 4",
    ),
    "a formula that no positions hold": (
        ["--formula", "LiMn2O4", "--z", "1", "--spacegroup", "227"],
        "z = 2 (z_conventional = 8) would do",
    ),
    "a fixed position used twice": (
        [*SALT, "Na:4a Cl:4a"],
        "4a is a fixed point and holds one orbit; as large and not taken: 4b",
    ),
    "a multiplicity that the position has not": (
        [*SALT, "Na:8a Cl:4b"],
        "position a of space group 225 (Fm-3m) is 4a",
    ),
    "a letter that the group has not": ([*SALT, "Na:q Cl:4b"], "its letters are abcdefghijkl"),
    "a group that there is not": (
        ["--formula", "NaCl", "--spacegroup", "231"],
        "numbers run from 1 to 230, the nearest is 230 (Ia-3d)",
    ),
    "a symbol that there is not": (
        ["--formula", "NaCl", "--spacegroup", "Fm-3mm"],
        "did you mean Fm-3m",
    ),
    "an unknown element": (["--formula", "Xx2O3", "--z", "1"], "did you mean Xe?"),
    "an unknown element on a position": ([*SALT, "Nq:4a Cl:4b"], "Nq is no element; did you mean"),
    "too large a z": (
        ["--formula", "NaCl", "--z", "5000"],
        "more than 1000; z = 500 is possible",
    ),
    "a z that the centring does not allow": (
        ["--formula", "NaCl", "--z-conventional", "6", "--spacegroup", "225"],
        "4 or 8 would do",
    ),
    "half an atom": (["--formula", "NaCl0.5", "--z", "1"], "Na2Cl would do"),
    "a start that is disordered": (
        ["--like", "disordered.cif"],
        "`crystal-data convert disordered.cif --on-disorder majority --to FOLDER` writes one",
    ),
    "a start that is not there": (["--like", "absent.cif"], "there is no file absent.cif"),
    "nothing": ([], "give a formula, elements, Wyckoff positions or a structure"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = CrystalDiT((), width=16, num_layers=1, pair_width=8, num_heads=2)
    return model.save_pretrained(tmp_path_factory.mktemp("model") / "model")


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_one_line(
    model: Path,
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = to_cif(rock_salt()).replace("  1\n  Cl", "  0.5\n  Cl")
    Path("disordered.cif").write_text(text, encoding="utf-8")
    options, message = BAD[case]
    assert main(["generate", "--model", str(model), *options, "--out", "made"]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1
    assert not Path("made").exists()


def test_the_ordered_start_that_the_message_names_can_be_used(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from crystal_data.__main__ import main as crystal_data

    monkeypatch.chdir(tmp_path)
    text = to_cif(rock_salt()).replace("  1\n  Cl", "  0.6\n  Cl")
    Path("disordered.cif").write_text(text, encoding="utf-8")
    options = "disordered.cif --on-disorder majority --to ordered"
    assert crystal_data(["convert", *options.split()]) == 0
    start = next(Path("ordered").glob("cif/*.cif"))
    options = f"--model {model} --like {start} --start-level 0 --out made"
    assert main(["generate", *options.split()]) == 0
    assert "1 samples of 1 requests" in capsys.readouterr().out
