"""`crystal-gen symmetry`, and training of the model by the command."""

from pathlib import Path

import pytest
import torch

from crystal_gen import SmallLanguageModel, WyckoffTransformer
from crystal_gen.__main__ import main

ENERGY = "formation_energy_per_atom"


@pytest.fixture(params=["compact", "language"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    torch.manual_seed(0)
    if request.param == "compact":
        model = WyckoffTransformer([ENERGY], width=16, num_layers=1, num_heads=2)
    else:
        pytest.importorskip("transformers")
        model = SmallLanguageModel([ENERGY], width=16, num_layers=1, num_heads=2)
    model.property_units = {ENERGY: "eV/atom"}
    model.exchange.is_known[[3, 8, 25]] = True
    model.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def run(arguments: str, folder: str) -> int:
    return main(["symmetry", "--model", folder, *arguments.split()])


def test_likely_answers_are_printed(folder: str, capsys) -> None:
    wish = f"--property {ENERGY}=-2.1"
    assert run(f"--formula LiMn2O4 --z 1:2 --n 5 {wish}", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    blank = lines.index("")
    assert lines[0].split() == ["space", "group", "number", "probability"]
    assert 1 < blank <= 11
    assert lines[blank + 1].startswith("z  space group")
    assert len(lines) == blank + 2 + 5
    shares = [float(line.split()[-2]) for line in lines[blank + 2 :]]
    assert shares == sorted(shares, reverse=True)
    assert all(line.split()[0] in "12" for line in lines[blank + 2 :])


def test_a_group_that_is_asked(folder: str, capsys) -> None:
    assert run("--formula LiMn2O4 --z 2 --spacegroup Fd-3m --n 3", folder) == 0
    out = capsys.readouterr().out
    assert "Fd-3m        227     100.00 %" in out
    assert "Li:8a Mn:16c O:32e" in out or "Li:8a Mn:16d O:32e" in out


def test_elements_that_training_had_not_are_named(folder: str, capsys) -> None:
    assert run("--formula PuO2 --z 1 --n 1", folder) == 0
    assert capsys.readouterr().err.startswith("note: no training crystal has Pu:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--formula LiX2", "LiX2"),
        ("--formula LiO --z 0", "no formula units from 1"),
        ("--formula LiO --z 4:2", "no formula units from 1"),
        ("--formula LiO --z two", "expected a number, a range"),
        ("--formula LiO --z 100", "counts from 1 to 63"),
        ("--formula LiO --n 0", "at least one answer"),
        ("--formula LiO --property band=1", "does not know the property 'band'"),
        (f"--formula LiO --property {ENERGY}=low", "expected NAME=VALUE"),
        ("--formula LiMn2O4 --z 1 --spacegroup 227", "no choice of Wyckoff positions"),
        ("--formula LiO --spacegroup 231", "231 does not exist"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    folder: str, arguments: str, message: str, capsys
) -> None:
    assert run(arguments, folder) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wyckoff-transformer-mp20", "glm-small-mp20"])
def test_the_model_is_trained_and_tested_by_the_command(
    name: str, tmp_path: Path, toys, capsys
) -> None:
    from crystal_data.io.cif import to_cif

    known = tmp_path / "known"
    known.mkdir()
    for crystal in toys:
        path = known / f"{crystal.identifier}.cif"
        path.write_text(to_cif(crystal), encoding="utf-8")
    config = Path(__file__).parents[3] / "configs" / "gen" / f"{name}.yaml"
    if not config.is_file():
        pytest.skip("the configs are not here")
    arguments = ["--config", str(config), "--trainer.default_root_dir", str(tmp_path / "run")]
    arguments += ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "2"]
    arguments += ["--model.model.width", "16", "--model.model.num_layers", "1"]
    arguments += ["--model.model.properties", "[]", "--data.source", "crystal_data.FolderSource"]
    arguments += ["--data.source.path", str(known)]
    assert main(["fit", *arguments]) == 0
    assert main(["test", *arguments, "--ckpt_path", "best"]) == 0
    folder = str(tmp_path / "run" / "artifact")
    capsys.readouterr()
    assert run("--formula NaCl --z 1 --n 2", folder) == 0
    assert "Wyckoff positions" in capsys.readouterr().out


def test_what_comes_with_the_package_is_asked_where_no_model_is_named(capsys) -> None:
    assert main("symmetry --formula NaCl --z 1 --n 2".split()) == 0
    first = capsys.readouterr().out.split("\n\n")[1].splitlines()[1]
    assert first.split()[:4] == ["1", "Fm-3m", "Na:4a", "Cl:4b"]
