"""Configs and command lines that name code to run: nothing of it is imported or called."""

import json
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping

from crystal_data.training import PropertyModule
from crystal_data.training.allowed import Allowed
from crystal_data.training.allowed_paths import NotAllowedError, split_modules
from crystal_data.training.cli import CrystalCLI
from crystal_data.training.command import main

CONFIG = {
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "devices": 1},
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "model": {"class_path": "crystal_data.artifacts.PretrainedModel"},
            "targets": ["energy"],
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {"source": {"class_path": "crystal_data.BuiltinSource"}},
    },
}
FOREIGN = """
from pathlib import Path
from torch.nn import Linear
from torch.optim import SGD
from crystal_data.artifacts import PretrainedModel
Path("executed").touch()
class Own(SGD):
    pass
class Net(PretrainedModel):
    def __init__(self):
        super().__init__()
        self.layer = Linear(1, 1)
"""
SHELL = {"class_path": "os.system", "init_args": {"command": "touch executed"}}
# A class of torch that starts a program when it is made.
STARTER = "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler"
OPTIMIZER = ("model", "init_args", "optimizer")


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crystal"])
    Path("foreign_code.py").write_text(FOREIGN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "foreign_code", raising=False)
    yield
    sys.modules.pop("foreign_code", None)


def write(place=(), value=None):
    config = json.loads(json.dumps(CONFIG))
    target = config
    for name in place[:-1]:
        target = target.setdefault(name, {})
    if place:
        target[place[-1]] = value
    Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def refused(capsys, *arguments, command="fit"):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--config", "config.yaml", *arguments])
    assert exit_.value.code == 2
    assert not Path("executed").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    return error


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (OPTIMIZER, SHELL, "'os.system'"),
        (OPTIMIZER, "os.system", "'os.system'"),
        (OPTIMIZER, {"class_path": "foreign_code.Own"}, "'foreign_code.Own'"),
        (OPTIMIZER, "foreign_code.Own", "'foreign_code.Own'"),
        (
            OPTIMIZER,
            {
                "class_path": "torch.utils.collect_env.run",
                "init_args": {"command": "touch executed"},
            },
            "'torch.utils.collect_env.run'",
        ),
        (
            OPTIMIZER,
            {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": ".", "model": "x"}},
            "'torch.hub.load'",
        ),
        (
            OPTIMIZER,
            {
                "class_path": "crystal_data.lazy.import_module",
                "init_args": {"name": "foreign_code"},
            },
            "'crystal_data.lazy.import_module'",
        ),
        (
            OPTIMIZER,
            {
                "class_path": "crystal_data.training.callbacks.os.system",
                "init_args": SHELL["init_args"],
            },
            "'crystal_data.training.callbacks.os.system'",
        ),
        (
            ("model", "init_args", "lr_scheduler"),
            {"class_path": "subprocess.Popen", "init_args": {"args": "touch executed"}},
            "'subprocess.Popen'",
        ),
        (("model",), SHELL, "'os.system'"),
        (("data",), {"class_path": "foreign_code.Own"}, "'foreign_code.Own'"),
        (("data", "init_args", "source"), SHELL, "'os.system'"),
        (("data", "init_args", "transforms"), [SHELL], "'os.system'"),
        (("model", "init_args", "model"), SHELL, "'os.system'"),
        (
            ("trainer", "logger"),
            {
                "class_path": STARTER,
                "init_args": {
                    "entrypoint": "touch",
                    "args": ["executed"],
                    "env": {},
                    "stdout": None,
                    "stderr": None,
                    "local_rank_id": 0,
                    "numa_options": None,
                },
            },
            f"'{STARTER}'",
        ),
        (("model", "init_args", "model", "dict_kwargs", "device"), SHELL, "'os.system'"),
        (("trainer", "callbacks"), [SHELL], "'os.system'"),
        (
            ("trainer", "callbacks"),
            [
                {
                    "class_path": "lightning.pytorch.callbacks.LambdaCallback",
                    "init_args": {"setup": "crystal_data.lazy.import_module"},
                }
            ],
            "'crystal_data.lazy.import_module'",
        ),
        (("trainer", "logger"), {"class_path": "foreign_code.Own"}, "'foreign_code.Own'"),
        (("trainer", "strategy"), {"class_path": "foreign_code.Own"}, "'foreign_code.Own'"),
        (("trainer", "plugins"), [{"class_path": "foreign_code.Own"}], "'foreign_code.Own'"),
        (
            OPTIMIZER,
            {"class_path": "torch.optim.SGD", "dict_kwargs": {"hooks": [SHELL]}},
            "'os.system'",
        ),
    ],
)
def test_a_config_runs_nothing(place, value, named, capsys):
    write(place, value)
    error = refused(capsys)
    assert named in error
    assert ".".join(name for name in place[:1]) in error
    assert "--allow-module" in error


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_no_command_runs_it(command, capsys):
    write(OPTIMIZER, SHELL)
    error = refused(capsys, command=command)
    assert "config.yaml: model.init_args.optimizer.class_path: 'os.system' is not used" in error
    assert "if you trust os, give --allow-module os on the command line" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.optimizer", "foreign_code.Own"],
        ["--model.optimizer", "os.system", "--model.optimizer.command", "touch executed"],
        ["--model", "foreign_code.Own"],
        ["--data=foreign_code.Own"],
        ["--model.help", "foreign_code.Own"],
        ["--trainer.logger", "foreign_code.Own"],
        ["--trainer.callbacks", "[{class_path: foreign_code.Own}]"],
    ],
)
def test_a_command_line_runs_nothing(arguments, capsys):
    write()
    refused(capsys, *arguments)


def test_a_wrong_key_elsewhere_imports_nothing(capsys):
    """The search for what was mistyped looks at the same class paths."""
    write(OPTIMIZER, {"class_path": "foreign_code.Own"})
    config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    config["data"]["init_args"]["batchsize"] = 3
    Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--config", "config.yaml"])
    assert "did you mean 'batch_size'?" in capsys.readouterr().err
    assert not Path("executed").exists()


@pytest.mark.parametrize("key", ["allow_module", "allow-module", "allow_modules"])
def test_a_config_file_cannot_add_modules(key, capsys):
    write(OPTIMIZER, "foreign_code.Own")
    with Path("config.yaml").open("a", encoding="utf-8") as file:
        file.write(f"{key}: [foreign_code]\n")
    with pytest.raises(SystemExit):
        main(["fit", "--config", "config.yaml"])
    error = capsys.readouterr().err
    assert f"config.yaml: {key}: the top level has no '{key}'" in error
    assert "'foreign_code.Own' is not used" in error
    assert not Path("executed").exists()


def test_the_user_can_add_a_module():
    write(OPTIMIZER, {"class_path": "foreign_code.Own", "init_args": {"lr": 0.5}})
    arguments = ["--config", "config.yaml", "--model.model", "foreign_code.Net"]
    cli = CrystalCLI(arguments, run=False, allow_modules=["foreign_code"])
    assert Path("executed").exists()
    optimizer = cli.model.configure_optimizers()["optimizer"]
    assert type(optimizer).__name__ == "Own"
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_the_command_line_gives_modules():
    arguments = ["fit", "--allow-module", "one", "--config", "x", "--allow-module=two.three"]
    assert split_modules(arguments) == (["one", "two.three"], ["fit", "--config", "x"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 1}},
            "torch.nn.Linear is no subclass of Optimizer",
        ),
        ({"class_path": "crystal_data.training.OneCycle"}, "crystal_data.training.OneCycle is no"),
    ],
)
def test_a_class_of_another_kind(value, message, capsys):
    write(OPTIMIZER, value)
    assert f"model.optimizer: {message}" in refused(capsys)


def test_a_checkpoint_is_never_read_as_a_pickle(capsys):
    write()
    with Path("config.yaml").open("a", encoding="utf-8") as file:
        file.write("ckpt_path: evil.ckpt\nweights_only: false\n")
    assert "weights_only" in refused(capsys)


def test_own_constructors_and_kinds_of_the_libraries():
    rule = Allowed()
    for found in (PropertyModule, torch.optim.AdamW, EarlyStopping, torch.nn.L1Loss):
        rule.check_object("a.path", found)
    with pytest.raises(NotAllowedError, match="it is no class"):
        rule.check_object("crystal_data.training.PropertyModule.fit", PropertyModule.training_step)


@pytest.mark.parametrize("path", ["crystal_dat.X", "torch_x.Y", "crystal_data2.Z", "torchevil.A"])
def test_names_that_only_begin_alike(path):
    with pytest.raises(NotAllowedError):
        Allowed().check_path(path)
    with pytest.raises(NotAllowedError):
        Allowed(["torchev", "torch_", "crystal_dat.Y"]).check_path(path)
