"""`crystal-gen generate` with what comes with the package alone."""

from pathlib import Path

import pytest

from crystal_data.generation import GenerationRequest, read_generated, tasks_of
from crystal_data.io import read_csv
from crystal_data.metrics import match
from crystal_data.testing import rock_salt
from crystal_gen import CrystalGenerator
from crystal_gen.__main__ import main
from crystal_gen.shipped import SHIPPED

# What a wish that cannot be met is answered, in one line.
BAD = {
    "unknown property": (
        "--formula NaCl --property energy_per_atom=-1",
        "did you mean 'formation_energy_per_atom'?",
    ),
    "another unit": (
        "--formula NaCl --property formation_energy_per_atom(kJ/mol)=-1",
        "is wanted in kJ/mol, and the model has learned it in eV/atom",
    ),
    "units that the group cannot hold": (
        "--formula LiMn2O4 --spacegroup 227 --z 1,3",
        "cannot hold LiMn2O4 with z = 1, 3",
    ),
    "a composition that the group cannot hold": (
        "--formula LiMn2O4 --spacegroup 227 --z 1",
        "z = 2 (z_conventional = 8) would do",
    ),
    "more units than the model counts": ("--formula NaCl --z 100", "counts from 1 to 63"),
    "no element": ("--elements Li-Qq", "Qq is no element"),
    "too many elements": ("--elements H-Li-B-C-N-O-F-Na-Mg-Al", "no known crystal has as many"),
    "no number": ("--formula NaCl --z many", "expected a number, a range 1:4"),
    "nothing": ("--n 3", "nothing is asked for"),
}


@pytest.fixture(scope="module")
def generator() -> CrystalGenerator:
    return CrystalGenerator.from_pretrained()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_wish_is_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, generator: CrystalGenerator
) -> None:
    monkeypatch.chdir(tmp_path)
    # Reading the package's models again for each would take long.
    monkeypatch.setattr(CrystalGenerator, "from_pretrained", _again(generator))
    options, message = BAD[case]
    assert main(["generate", *options.split(), "--out", "made"]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1
    assert not Path("made").exists()


def _again(generator: CrystalGenerator):
    def from_pretrained(*, z_values=None, **_) -> CrystalGenerator:
        generator.z_values = None if z_values is None else tuple(z_values)
        return generator

    return from_pretrained


def test_a_well_known_crystal_is_among_the_first(generator: CrystalGenerator) -> None:
    generator.z_values = None
    request = GenerationRequest(formula="NaCl", num_samples=3)
    made = generator.generate(tasks_of([request]))
    [salt] = [each for each in made if match(each.crystal, rock_salt()) is not None]
    assert "known crystal mp-22862 (NaCl), Fm-3m" in salt.why


# What can be met, and is a guess: one line too, and crystals.
DOUBTFUL = {
    "a value outside the training values": (
        "--formula KBr --property formation_energy_per_atom=0.5",
        "formation_energy_per_atom = 0.5 eV/atom is outside the training values, which are from "
        "-4.43 to 0.0788 eV/atom",
    ),
    "elements that the models do not know": (
        "--formula PoO2 --z 1",
        "no training crystal has Po: what follows is a guess",
    ),
    "elements without an electronegativity": (
        "--formula HeNe --z 1",
        "no training crystal has He, Ne: what follows is a guess",
    ),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_a_doubtful_wish_is_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, generator: CrystalGenerator
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CrystalGenerator, "from_pretrained", _again(generator))
    options, message = DOUBTFUL[case]
    assert main(["generate", *options.split(), "--n", "2", "--out", "made"]) == 0
    [note] = [line for line in capsys.readouterr().err.splitlines() if "note:" in line]
    assert note.startswith(f"note: {message}")
    assert len(read_generated("made")) == 2
    options = options.removesuffix(" --z 1")
    assert main(["symmetry", *options.split(), "--n", "2"]) == 0
    [note] = [line for line in capsys.readouterr().err.splitlines() if "note:" in line]
    assert note.startswith(f"note: {message}")


def test_from_a_formula_to_a_table(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    asked = "--formula KBr --z 1:2 --property formation_energy_per_atom=9 --n 3 --why --out made"
    assert main(["generate", *asked.split()]) == 0
    shown = capsys.readouterr()
    assert "note: formation_energy_per_atom = 9 eV/atom is outside the training values" in shown.err
    assert "probability" in shown.out
    assert "copy of" in shown.out
    assert len(read_generated("made")) == 3
    with Path("made", "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(read_csv(file))
    assert all(0 <= float(row["probability"]) <= 1 for row in rows if row["file"])


def test_what_comes_with_the_package_is_small_and_named(capsys) -> None:
    folders = SHIPPED.artifacts()
    size = sum(x.stat().st_size for each in folders.values() for x in each.rglob("*"))
    assert size < 12_000_000
    library = folders["templates-mp20"]
    assert sum(path.stat().st_size for path in library.iterdir()) < 2_000_000
    assert "CC BY 4.0" in (library / "README.md").read_text(encoding="utf-8")
    assert main(["models"]) == 0
    assert "candidate-ranker-mp20" in capsys.readouterr().out
