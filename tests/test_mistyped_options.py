"""Mistyped names are found before torch is imported; what the parser takes is not refused."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from crystal_data.shipped_configs import announced_configs
from crystal_data.training.allowed_paths import AllowedPaths
from crystal_data.training.cli import CrystalCLI
from crystal_data.training.config_arguments import TRAINER_COMMANDS, configs_first, named_configs
from crystal_data.training.options import option_names, trainer_arguments
from crystal_data.training.source_arguments import arguments_of
from crystal_data.training.source_names import Definition, find
from crystal_data.training.suggest import explain

TRAINING = "crystal_data.training"
MODEL = "{class_path: crystal_data.training.PropertyModule, init_args: {model: %s, targets: [a]}}"
# Of a command line after `--config cgcnn-folder`; the parser takes each.
RIGHT_OPTIONS = [
    "-c cpu",
    '--config {"trainer":{"max_epochs":3}}',
    "--seed_everything=false --ckpt_path null --init_from x",
    "--data-root x",
    "--data_root=x --freeze+ a --freeze+=b",
    "--trainer.max_epochs 3 --trainer.max_time 00:01:00 --trainer.devices [0]",
    '--trainer {"max_epochs":2} --trainer.limit_train_batches=0.5',
    "--trainer trainer.yaml --trainer.min_epochs 1",
    f"--trainer.callbacks+={TRAINING}.EMA --trainer.callbacks.decay=0.9",
    f"--trainer.callbacks={TRAINING}.EMA --trainer.callbacks.init_args.decay=0.9",
    "--trainer.callbacks null --trainer.callbacks+ lightning.pytorch.callbacks.EarlyStopping"
    " --trainer.callbacks.monitor val/mae",
    f'--trainer.callbacks [{{"class_path":"{TRAINING}.EMA"}}]',
    "--trainer.logger=lightning.pytorch.loggers.CSVLogger --trainer.logger.save_dir x",
    "--trainer.strategy ddp --trainer.profiler simple --trainer.precision 32-true",
    "--trainer.strategy=lightning.pytorch.strategies.DDPStrategy"
    " --trainer.strategy.find_unused_parameters true",
    "--trainer.plugins+=lightning.pytorch.plugins.PrecisionPlugin",  # added as Lightning runs
    "--model model.yaml",
    f"--model {TRAINING}.PropertyModule --model.targets [b]",
    "--model.model.width 16",
    "--model.init_args.model.init_args.width=16",
    "--model.model crystal_embed.ALIGNN.published",
    "--model.model crystal_embed.ALIGNN --model.model.num_gcn_layers 1",
    "--model.model.class_path crystal_embed.MEGNet",
    "--model.model=MEGNet",
    "--model PropertyModule --model.targets [b] --model.model CGCNN",
    "--model.model ALIGNN --model.model.num_gcn_layers 1",
    "--model.model CGCNN.published",
    "--model.lr_scheduler WarmupCosine --trainer.callbacks+=Compile",
    "--trainer.callbacks+ EarlyStopping --trainer.callbacks.monitor val/mae",
    "--data CrystalDataModule --data.source TableSource --data.source.path x",
    "--data.transforms+=RandomRotation",
    "--model.model.graph_spec.cutoff 6 --model.model.element_table my.table",
    "--model.optimizer torch.optim.SGD --model.optimizer.momentum 0.9",
    "--model.optimizer=SGD",
    "--model.lr_scheduler null --model.target_weights.a 1 --model.dict_kwargs.x 3",
    "--data.source.path x --data.batch_size=null",
    '--data.init_args {"batch_size":3}',
    "--data.source crystal_data.MP20",
    "--data.source.class_path crystal_data.TableSource --data.source.path x",
    "--data.split.seed 3 --data.read_options.on_disorder skip --data.exclude+=test",
    "--data.transforms+=crystal_data.transforms.RandomRotation",
    "--print_config=skip_null",
    "--help --mistyped 3",
    "--model.help --mistyped 3",
]
# Of a second config.
RIGHT_CONFIGS = [
    "model: null",
    "trainer.max_epochs: 4",
    "model: {init_args.targets: [a]}",
    "data-root: 2020-99-99",
    "freeze+: [a]",
    "trainer: {callbacks+: [{class_path: crystal_data.training.EMA}]}",
    "trainer: trainer.yaml",
    "model: model.yaml",
    f"model: {TRAINING}.PropertyModule",
    "model: {model: {width: 16}}",
    "model: {init_args: {model: {graph_spec: {cutoff: 4}}}}",
    "model: {init_args: {model: crystal_embed.MEGNet, optimizer: Adam}}",
    "model: {init_args: {model: {class_path: crystal_embed.ALIGNN.published}}}",
    "model: {class_path: PropertyModule, init_args: {model: {class_path: CGCNN, init_args: {width: "
    "16}}, targets: [a]}}",
    "data: {init_args: {source: {class_path: TableSource, init_args: {path: x}}}}",
    "model: {init_args: {optimizer: {lr: 1}}}",
    "model: {init_args: {optimizer: {class_path: Adam, init_args: {betas: [0.9, 0.95]}}}}",
    "model: {init_args: {optimizer: {class_path: torch.optim.SGD, dict_kwargs: {foo: 1}}}}",
    "model: {init_args: {lr_scheduler: {class_path: torch.optim.lr_scheduler.StepLR, "
    "init_args: {step_size: 4}}}}",
    "data: {source: {path: x}, read_options: {on_disorder: skip}}",
    "data: {init_args: {source: crystal_data.MP20}}",
    "<<: {trainer: {<<: {max_epochs: 3}}}",
]
# Places where configs find classes.
MODULES = [
    *("torch.nn", "torch.optim", "torch.optim.lr_scheduler", "torch.optim.swa_utils"),
    *("lightning.pytorch", "lightning.pytorch.callbacks", "lightning.pytorch.loggers"),
    *("lightning.pytorch.strategies", "lightning.pytorch.profilers", "lightning.pytorch.plugins"),
    *("lightning.pytorch.cli", "torchmetrics", "crystal_data", "crystal_data.training"),
    *("crystal_data.transforms", "crystal_data.sources", "crystal_data.splits"),
    *("crystal_data.loading", "crystal_embed"),
]


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["crystal"])
    Path("trainer.yaml").write_text("max_epochs: 3\n", encoding="utf-8")
    Path("model.yaml").write_text(MODEL % "crystal_embed.CGCNN", encoding="utf-8")


def arguments(*options, command="fit"):
    return named_configs(configs_first([command, *options]))


def second_config(text):
    Path("second.yaml").write_text(text, encoding="utf-8")
    return arguments("--config", "cgcnn-folder", "--config", "second.yaml")


def with_options(text):
    return arguments("--config", "cgcnn-folder", *text.split())


@pytest.mark.parametrize("text", RIGHT_OPTIONS)
def test_right_options_are_not_refused(text):
    assert explain(with_options(text), AllowedPaths()) is None


@pytest.mark.parametrize("text", RIGHT_CONFIGS)
def test_right_configs_are_not_refused(text):
    assert explain(second_config(text), AllowedPaths()) is None


@pytest.mark.slow
@pytest.mark.parametrize("text", [text for text in RIGHT_OPTIONS if "help" not in text])
def test_the_parser_takes_these_options(text, capsys):
    parse(with_options(text))
    assert "model:" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("text", RIGHT_CONFIGS)
def test_the_parser_takes_these_configs(text, capsys):
    parse(second_config(text))
    assert "model:" in capsys.readouterr().out


def parse(given, *, run=True):
    with pytest.raises(SystemExit) as stop:
        CrystalCLI([*given, "--print_config"], run=run)
    assert stop.value.code in {0, None}


@pytest.mark.parametrize("name", sorted(announced_configs()))
def test_shipped_configs_are_not_refused(name):
    for command in TRAINER_COMMANDS:
        given = arguments("--config", name, "--config", "cpu", command=command)
        assert explain(given, AllowedPaths()) is None
    overridden = [
        "--trainer.max_epochs",
        "1",
        "--trainer.callbacks+=torch.nn.Linear",
        "--data.seed=1",
    ]
    assert explain(arguments("--config", name, *overridden), AllowedPaths()) is None


@pytest.mark.parametrize("command", [*TRAINER_COMMANDS, None])
def test_the_options_are_those_of_the_parser(command, capsys):
    given = arguments("--config", "cgcnn-folder", command=command or "fit")
    parse(given if command else given[1:], run=command is not None)
    printed = yaml.safe_load(capsys.readouterr().out)
    assert {*printed, "config"} == set(option_names(command))
    assert set(printed["trainer"]) == set(trainer_arguments() or ())


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_no_argument_and_no_name_is_missed(module):
    """The source may leave open what there is; what it rules out must not be there."""
    loaded = importlib.import_module(module)
    num_known = 0
    for name in [name for name in dir(loaded) if not name.startswith("_")]:
        found, value = find(f"{module}.{name}"), getattr(loaded, name)
        # Lightning adds names that it had in the past to some modules as it runs.
        assert not isinstance(found, str) or module.startswith("lightning"), found
        if not isinstance(found, Definition) or not inspect.isclass(value):
            continue
        names = arguments_of(found)
        if names is not None:
            num_known += 1
            assert found.node.name == value.__name__
            assert parsed_arguments(value) <= set(names), f"{module}.{name}"
    assert num_known


def parsed_arguments(kind):
    parser = ArgumentParser(exit_on_error=False)
    try:
        options = parser.add_class_arguments(kind, "it", fail_untyped=False)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return set()  # no class that an option may be
    return {option.split(".")[1] for option in options if "." in option}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("torch.optim.Adam", {"params", "lr", "betas", "weight_decay"}),  # through other modules
        ("lightning.pytorch.Trainer", {"max_epochs", "callbacks"}),  # with a decorator
        ("crystal_data.GraphSpec", {"cutoff", "max_neighbors"}),  # a dataclass
        ("crystal_data.MP20", {"root"}),  # from a base class
        ("crystal_embed.CGCNN.published", {"num_outputs"}),  # a class method
    ],
)
def test_arguments_are_read_from_the_source(path, names):
    assert names <= set(arguments_of(find(path)))


MISTAKES = {
    "--config cgcnn-folder --trainer.max_epoch 3": "trainer.max_epoch: trainer has no 'max_epoch'; "
    "did you mean 'max_epochs'?",
    "--config cgcnn-folder --data.batchsize 3": "did you mean 'batch_size'?",
    "--config cgcnn-folder --model.init_args.model.init_args.widht 3": "did you mean 'width'?",
    "--config cgcnn-folder --model.model crystal_embed.CGCN": "did you mean 'crystal_embed.CGCNN'?",
    "--config cgcnn-folder --epochs 3": "epochs: the top level has no 'epochs'",
    "--config cgcnn-foldr": "no config 'cgcnn-foldr'; the names are cgcnn-folder",
    "--config wrong.yaml": "wrong.yaml: trainer.max_epoch: trainer has no 'max_epoch'",
}


def test_a_mistyped_name_is_answered_before_torch_is_imported():
    Path("wrong.yaml").write_text("trainer: {max_epoch: 3}\n", encoding="utf-8")
    code = """
import sys
from crystal_embed.__main__ import main
for line in sys.argv[1:]:
    try:
        main(["fit", *line.split()])
    except SystemExit as end:
        assert end.code == 2
print([name for name in ("torch", "lightning", "jsonargparse") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *MISTAKES], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    for line, message in zip(lines, MISTAKES.values(), strict=True):
        assert message in line


def test_an_abbreviated_option_is_refused_by_the_parser_too(capsys):
    with pytest.raises(SystemExit) as stop:
        CrystalCLI(arguments("--config", "cgcnn-folder", "--trainer.max_epoch", "3"))
    assert stop.value.code == 2
    assert "did you mean 'max_epochs'?" in capsys.readouterr().err
