"""Class names without their path lead to what the crystal packages export, and to nothing else."""

import importlib
import subprocess
import sys

import pytest

from crystal_data.training import PropertyModule
from crystal_data.training.cli import CrystalCLI
from crystal_data.training.command import main
from crystal_data.training.short_names import AmbiguousNameError, full_path, nearest_name

CONFIG = """
model:
  class_path: PropertyModule
  init_args:
    model: {class_path: crystal_data.testing.NotThere}
    targets: [a]
data:
  class_path: CrystalDataModule
  init_args:
    source: {class_path: TableSource, init_args: {path: x.csv}}
"""


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("TableSource", "crystal_data.TableSource"),
        ("PropertyModule", "crystal_data.training.PropertyModule"),
        ("RandomRotation", "crystal_data.transforms.RandomRotation"),
        ("EMA", "crystal_data.training.EMA"),
        ("torch.optim.AdamW", "torch.optim.AdamW"),
        ("AdamW", "AdamW"),
        ("os.system", "os.system"),
        ("system", "system"),
        ("Path", "Path"),  # imported by some module of ours, which does not make it ours
        ("", ""),
    ],
)
def test_what_a_name_stands_for(name, path):
    assert full_path(name) == path


def test_names_lead_to_classes_that_are_there():
    for name in ("FileSource", "OneCycle", "RatioSplit", "CrystalModule", "MaskAtoms"):
        module, _, member = full_path(name).rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), member), type)


def test_a_name_of_two_classes_is_refused_with_both(monkeypatch, capsys):
    names = {"Twice": ("crystal_data.Twice", "crystal_embed.Twice")}
    monkeypatch.setattr("crystal_data.training.short_names._exported", lambda: names)
    with pytest.raises(AmbiguousNameError, match=r"crystal_data\.Twice or crystal_embed\.Twice"):
        full_path("Twice.published")
    assert "'Twice' may be crystal_data.Twice or crystal_embed.Twice" in refused(
        ["fit", "--model", "Twice"], capsys
    )


def test_looking_a_name_up_imports_no_package():
    code = (
        "import sys; from crystal_data.training.short_names import full_path; full_path('EMA'); "
        "print({'torch', 'lightning', 'crystal_data.training.ema'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_a_config_may_leave_paths_out(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("crystal_data.testing.NotThere", "PretrainedModel"))
    arguments = ["--config", str(config), "--data.source", "FileSource", "--data.source.path=y"]
    cli = CrystalCLI(arguments, run=False)
    assert isinstance(cli.model, PropertyModule)
    assert type(cli.datamodule.source).__name__ == "FileSource"


def test_a_mistyped_name_gets_the_nearest(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("TableSource", "TabelSource"), encoding="utf-8")
    error = refused(["fit", "--config", str(config)], capsys)
    assert "'NotThere'" in error
    text = CONFIG.replace("{class_path: crystal_data.testing.NotThere}", "null")
    config.write_text(text.replace("TableSource", "TabelSource"), encoding="utf-8")
    error = refused(["fit", "--config", str(config)], capsys)
    assert "there is no class 'TabelSource'; did you mean 'TableSource'?" in error
    assert nearest_name("ProperyModule") == "PropertyModule"
    assert nearest_name("Zzzz") is None


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err
