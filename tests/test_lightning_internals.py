"""Private parts of Lightning and jsonargparse: each is there, and used in one module.

A failure after an upgrade means that the version changed what the module of its name relies on:
adapt that module, then raise the upper bound in the packages' ``pyproject.toml``.
"""

import ast
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import jsonargparse
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader, TensorDataset

from crystal_data import lightning_internals as internals
from crystal_data.training import jsonargparse_internals
from crystal_data.training.checkpoints import LastCheckpoint
from crystal_data.training.quiet import quiet

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("*/*/src/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])
HOMES = {"lightning_internals.py", "jsonargparse_internals.py"}
NUM_BATCHES = 3
# Attributes of the Trainer, its loops and LightningCLI; those with an underscore as well as
# `epoch_progress`, which belongs to a class whose name has one.
PRIVATE_TEXT = re.compile(
    r"\btrainer\._|_connector\b|epoch_progress|_batches_that_stepped|_loop\._|\bstrategy\._"
    r"|_average_model\b|_subcommand_parsers|\bparser\._"
)
BASES = (LightningModule, LightningDataModule, LightningCLI, Callback, ModelCheckpoint, Logger)
LIBRARIES = ("lightning", "lightning_fabric", "pytorch_lightning", "jsonargparse")


@pytest.fixture(autouse=True)
def without_advice():
    with quiet():
        yield


class Line(LightningModule):
    """Learns one number with two optimizers, and logs a metric that only the first epoch has."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(((self.weight - batch[0]) ** 2).mean())
            optimizer.step()
        self.log("epoch_twice", 2.0 * self.current_epoch, on_step=False, on_epoch=True)
        if self.current_epoch == 0:
            self.log("only_first", 1.0, on_step=False, on_epoch=True)

    def configure_optimizers(self):
        return [torch.optim.SGD([self.weight], lr=0.1) for _ in range(2)]

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.ones(NUM_BATCHES)), num_workers=0)


class Observer(Callback):
    """Keeps what the functions say when an epoch ends, where a checkpoint is written."""

    def __init__(self, *, resumes=False):
        self.resumes = resumes
        self.epochs, self.at_end, self.logged = [], [], []

    def on_train_start(self, trainer, pl_module):
        if self.resumes:
            internals.begin_next_epoch(trainer)

    def on_train_epoch_start(self, trainer, pl_module):
        self.epochs.append((trainer.current_epoch, internals.num_trained_epochs(trainer)))

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        numbers = internals.num_trained_epochs(trainer), internals.num_logged_steps(trainer)
        self.at_end.append((trainer.current_epoch, *numbers))
        self.logged.append(internals.metrics_to_log(trainer))


def trainer_of(folder, *callbacks, **options):
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1, default_root_dir=folder,
        callbacks=[LastCheckpoint(folder), *callbacks], **options,
    )  # fmt: skip


def test_numbers_of_a_training(tmp_path):
    seen = Observer()
    trainer_of(tmp_path, seen, max_epochs=2).fit(Line())
    assert seen.epochs == [(0, 0), (1, 1)]
    # While an epoch ends, Trainer.current_epoch is the one that ends. Loggers count batches;
    # Trainer.global_step counts two for each here.
    assert seen.at_end == [(0, 1, NUM_BATCHES), (1, 2, 2 * NUM_BATCHES)]
    assert seen.logged == [{"epoch_twice": 0.0, "only_first": 1.0}, {"epoch_twice": 2.0}]


def test_the_next_epoch_begins_like_any_other(tmp_path):
    trainer_of(tmp_path, max_epochs=1).fit(Line())
    steps = 2 * 3 * NUM_BATCHES  # two optimizers, three epochs
    seen = Observer(resumes=True)
    trainer = trainer_of(tmp_path, seen, max_epochs=-1, max_steps=steps)
    trainer.fit(Line(), ckpt_path=str(tmp_path / "last.ckpt"))
    assert seen.epochs == [(1, 1), (2, 2)]
    assert [numbers[1:] for numbers in seen.at_end] == [(2, 2 * NUM_BATCHES), (3, 3 * NUM_BATCHES)]


@pytest.mark.parametrize("chosen", [True, False])
def test_the_trainers_own_sampler(tmp_path, chosen):
    trainer = trainer_of(tmp_path, use_distributed_sampler=chosen)
    assert internals.uses_distributed_sampler(trainer) is chosen


def test_the_average_of_the_weights(tmp_path):
    callback = WeightAveraging(avg_fn=lambda average, current, step: average)
    found = []

    class Look(Callback):
        def on_train_end(self, trainer, pl_module):
            found.append(internals.average_model(callback).module.weight.item())

    assert internals.average_model(callback) is None
    trainer_of(tmp_path, callback, Look(), max_epochs=1).fit(Line())
    # What the first batch leaves, two steps of 0.2 towards 1 from 0; this average never moves on.
    assert found == [pytest.approx(1.0 - 0.8**2)]


def test_the_attached_data_module(tmp_path):
    class Ones(LightningDataModule):
        def train_dataloader(self):
            return DataLoader(TensorDataset(torch.ones(NUM_BATCHES)), num_workers=0)

    trainer, data = trainer_of(tmp_path, max_epochs=1), Ones()
    assert internals.attached_data_module(trainer) is None
    trainer.fit(Line(), datamodule=data)
    assert internals.attached_data_module(trainer) is data


@pytest.mark.parametrize("batches", [False, True, 2])
def test_a_trial(tmp_path, batches):
    assert internals.is_trial(trainer_of(tmp_path, fast_dev_run=batches)) is bool(batches)


ASKED = re.compile(r"(get|has)attr\((self\.)?(_?trainer|\w*module|\w*model|callback)[,.]")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_trainers_and_data_modules_declare_what_is_asked(path):
    assert not ASKED.search(path.read_text(encoding="utf-8"))


def test_class_paths_are_resolved_where_they_are_checked():
    """A further module of jsonargparse that imports by class path would escape the check."""
    holders = set()
    for info in pkgutil.iter_modules(jsonargparse.__path__, "jsonargparse."):
        module = import_module(info.name)
        if hasattr(module, "import_object"):
            holders.add(info.name.rpartition(".")[2])
    # `_util` defines it; the others are no part of parsing a command line: completion for shells
    # and editors, `FromConfigMixin`, and registered types.
    others = {"_util", "_completions", "_completions_jsonschema", "_from_config", "typing"}
    checked = {module.__name__.rpartition(".")[2] for module in jsonargparse_internals._MODULES}
    assert holders - others == checked


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_else_touches_private_parts(path):
    if path.name in HOMES:
        return
    text = path.read_text(encoding="utf-8")
    found = {*PRIVATE_TEXT.findall(text), *private_imports(text), *overridden(text)}
    assert not found, f"{sorted(found)}: belongs into one of {sorted(HOMES)}"


def private_imports(text):
    """Underscore names that a file imports from Lightning or jsonargparse."""
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{name}" for name in names]
        elif not isinstance(node, ast.Import):
            continue
        for name in names:
            first, *rest = name.split(".")
            if first in LIBRARIES and any(part.startswith("_") for part in rest):
                yield name


def overridden(text):
    """Methods of a file's classes that have the name of a private one of Lightning's."""
    methods = {name for owner in BASES for name, value in vars(owner).items() if callable(value)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            names = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            yield from (name for name in names & methods if re.match("_(?!_)", name))


@pytest.mark.parametrize(
    "text",
    [
        "class Quiet(CrystalCLI):\n    def _set_seed(self): ...",
        "self.trainer._results",
        "trainer._checkpoint_connector",
        "trainer.fit_loop.epoch_progress.current",
        "trainer.fit_loop.epoch_loop._batches_that_stepped",
        "self.trainer.strategy._lightning_module",
        "from lightning.pytorch.loops.loop import _Loop",
        "import lightning.pytorch.loops._private",
        "from jsonargparse import _typehints",
        "from lightning.pytorch.loops._private import Public",
    ],
)
def test_the_search_finds(text):
    assert PRIVATE_TEXT.findall(text) or {*private_imports(text), *overridden(text)}
