"""`crystal-gen generate --model`: from noise, templates and starts; errors in one line."""

import csv
from pathlib import Path

import pytest
import torch

from crystal_data.generation import read_generated
from crystal_data.io.cif import to_cif
from crystal_data.metrics import match
from crystal_data.testing import rock_salt
from crystal_gen import (
    CrystalDiT,
    CrystalGenerator,
    RandomGenerator,
    StructureGenerator,
    TemplateGenerator,
)
from crystal_gen.__main__ import main
from crystal_gen.commands.reporting import REMEDIES

ENERGY = "formation_energy_per_atom"


def small_model(**options: bool) -> CrystalDiT:
    torch.manual_seed(0)
    return CrystalDiT(width=16, num_layers=1, pair_width=8, num_heads=2, **options)


@pytest.fixture
def folder(tmp_path: Path, toys, monkeypatch: pytest.MonkeyPatch) -> Path:
    model = small_model()
    model.property_units = {ENERGY: "eV/atom"}
    model.save_pretrained(tmp_path / "model")
    small_model(uses_symmetry=False).save_pretrained(tmp_path / "run" / "artifact")
    (tmp_path / "known").mkdir()
    for crystal in [each for each in toys if each.formula in ("KCl", "NaCl")]:
        path = tmp_path / "known" / f"{crystal.identifier}.cif"
        path.write_text(to_cif(crystal), encoding="utf-8")
    (tmp_path / "start.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SALT = ["--spacegroup", "225", "--wyckoff", "Na:4a Cl:4b"]


def sources(folder: str) -> set[str]:
    with Path(folder, "summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["source"] for row in csv.DictReader(file)}


def test_from_noise(folder: Path, capsys) -> None:
    options = ["--model", "model", *SALT, "--n", "2", "--steps", "2", "--out", "made"]
    assert main(["generate", *options, "--property", f"{ENERGY} (eV/atom)=-1"]) == 0
    assert "2 samples of 1 requests: made" in capsys.readouterr().out
    made = read_generated("made")
    assert [each.crystal.composition for each in made] == [{"Na": 4, "Cl": 4}] * 2
    assert sources("made") == {"noise"}


def test_from_templates_and_from_a_start(folder: Path, capsys) -> None:
    options = "--model model --templates known --start-level 0 --formula KBr --z 1 --out copies"
    assert main(["generate", *options.split()]) == 0
    assert {each.partition(" ")[0] for each in sources("copies")} == {"template"}
    for level, out in (("0", "kept"), ("0.01", "near")):
        options = f"--model model --like start.cif --start-level {level} --steps 2 --out {out}"
        assert main(["generate", *options.split()]) == 0
        assert sources(out) == {"start"}
        [only] = read_generated(out)
        assert match(only.crystal, rock_salt(), stol=0.2) is not None


def test_without_symmetry_and_what_cannot_be_made(folder: Path, capsys) -> None:
    Path("wishes.csv").write_text(
        "id,formula,z,space_group\nplain,KBr,1,\ngroup,KBr,1,225\nopen,KBr,,\n", encoding="utf-8"
    )
    options = "--model run --requests wishes.csv --steps 2 --out dense"
    assert main(["generate", *options.split()]) == 0
    shown = capsys.readouterr().out
    assert "3 samples of 3 requests: dense" in shown
    assert "2 without a crystal: 1 model_without_symmetry, 1 no_cell" in shown
    options = "--model model --formula KBr --z 1 --steps 2 --out none"
    assert main(["generate", *options.split()]) == 0
    shown = capsys.readouterr().out
    assert "1 without a crystal: 1 no_symmetry" in shown
    assert "no_symmetry: the model needs Wyckoff positions; give them with elements" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method model --formula KBr", "give --model, such as crystal-dit-joined or the folder"),
        ("--model nowhere --formula KBr", "no model 'nowhere'"),
        ("--model known --formula KBr", "it is no artifact and no finished run"),
        ("--model model --formula KBr --volume fitted", "--volume is given, and the method is"),
        ("--templates known --formula KBr --guidance 0", "--guidance is given, and the method is"),
        ("--model model --formula KBr --method random", "--model is given, and the method is"),
        ("--model model --formula KBr --start-level 2", "start_level is 2.0; it is from 0 to 1"),
        ("--model model --formula KBr --steps 0", "num_steps is 0; at least 1 is needed"),
        ("--model model --formula KBr --guidance -1", "guidance is -1.0; it is 0 or more"),
        ("--model model --formula KBr --property gap=1", "does not know the property 'gap'"),
        (
            "--model model --formula KBr --property formation_energy=1",
            "did you mean 'formation_energy_per_atom'?",
        ),
    ],
)
def test_errors_are_one_line(folder: Path, capsys, options: str, message: str) -> None:
    assert main(["generate", *options.split(), "--out", "made"]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.strip().splitlines()) == 1
    assert not Path("made").exists()


def test_a_wish_in_another_unit_is_one_line(folder: Path, capsys) -> None:
    wish = ["--property", f"{ENERGY} (meV/atom)=-100"]
    assert main(["generate", "--model", "model", *SALT, *wish, "--out", "made"]) == 1
    shown = capsys.readouterr().err
    assert "give it in eV/atom" in shown
    assert len(shown.strip().splitlines()) == 1


@pytest.mark.parametrize("flag", sorted(REMEDIES))
def test_remedies_are_those_of_flags_that_generators_document(flag: str) -> None:
    generators = (StructureGenerator, TemplateGenerator, RandomGenerator, CrystalGenerator)
    assert any(f"``{flag}``" in " ".join((each.__doc__ or "").split()) for each in generators)
