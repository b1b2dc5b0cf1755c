"""A logger whose library is missing is answered with what to install."""

import importlib.util

import pytest
from jsonargparse import Namespace

from crystal_data.training.command import main
from crystal_data.training.loggers import missing_logger

TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"
ANSWER = "TensorBoardLogger needs tensorboard, which is not installed; "
ANSWER += "pip install 'crystal-data[tensorboard]'"


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch):
    find = importlib.util.find_spec
    gone = {"tensorboard", "tensorboardX", "wandb"}
    monkeypatch.setattr(
        "crystal_data.training.loggers.find_spec", lambda name: None if name in gone else find(name)
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (True, None),
        ([], None),
        ({"class_path": "lightning.pytorch.loggers.CSVLogger"}, None),
        ({"class_path": TENSORBOARD}, ANSWER),
        ([Namespace(class_path="a.CSVLogger"), Namespace(class_path=TENSORBOARD)], ANSWER),
    ],
)
def test_what_is_missing(given, expected):
    assert missing_logger(given) == expected


def test_one_of_two_libraries_is_enough(monkeypatch):
    monkeypatch.setattr(
        "crystal_data.training.loggers.find_spec", lambda name: name == "tensorboardX" or None
    )
    assert missing_logger({"class_path": TENSORBOARD}) is None


@pytest.mark.parametrize("name", ["WandbLogger", "TensorBoardLogger"])
def test_the_command_says_it(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["crystal-data"])
    config = tmp_path / "config.yaml"
    config.write_text(
        "model: {class_path: PropertyModule, init_args: {targets: a, model: PretrainedModel}}\n"
        "data: {class_path: CrystalDataModule, init_args: {source: BuiltinSource}}\n"
    )
    options = ["--trainer.logger", name]
    options += ["--trainer.logger.save_dir", "logs"]
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(config), *options])
    assert stop.value.code == 2
    extra = {"WandbLogger": "wandb", "TensorBoardLogger": "tensorboard"}[name]
    error = capsys.readouterr().err
    assert error.startswith(f"error: trainer.logger: {name} needs {extra}, which is not installed")
    assert f"pip install 'crystal-data[{extra}]'" in error
    assert not list(tmp_path.glob("runs"))
