"""A training that ends at some moment and is resumed: the same to the last bit."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from crystal_data.run_folder import RunFolder
from crystal_data.training.callbacks import ArtifactExport
from crystal_data.training.checkpoints import AtomicCheckpointIO, LastCheckpoint
from crystal_data.training.cli import run_command
from crystal_data.training.module import PropertyModule

main = partial(run_command, allow_modules=["crystal_toy"])
EPOCHS = 5
EMA = {"class_path": "crystal_data.training.EMA", "init_args": {"decay": 0.9}}
EARLY_STOPPING = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {"monitor": "val/mae", "patience": 1, "min_delta": 1e6},
}
PLATEAU = {
    "class_path": "lightning.pytorch.cli.ReduceLROnPlateau",
    "init_args": {"monitor": "val/mae", "patience": 0, "threshold": 1e6, "factor": 0.5},
}
CONFIG = {
    "seed_everything": 5,  # the third epoch is the best
    "trainer": {
        "max_epochs": EPOCHS,
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": "run",
        "callbacks": [EMA],
    },
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "model": {"class_path": "crystal_toy.noisy.NoisySum", "init_args": {"hidden_size": 4}},
            "targets": ["lattice_energy_per_atom"],
            # So fast that some epochs are worse than those before.
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.3}},
            "lr_scheduler": {"class_path": "crystal_data.training.OneCycle"},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {"class_path": "crystal_data.BuiltinSource"},
            "batch_size": 16,
            "train_size": 64,
            "num_workers": 0,
            "transforms": [{"class_path": "crystal_data.transforms.RandomRotation"}],
        },
    },
}


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))
    monkeypatch.setattr(sys, "argv", ["crystal"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fit(folder, config, *extra):
    Path(folder).mkdir(exist_ok=True)
    config = {**config, "trainer": {**config["trainer"], "default_root_dir": str(folder)}}
    Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return main(["fit", "--config", "config.yaml", *extra])


def end_in(monkeypatch, owner, hook, epoch, *, after=False):
    """Lets the process end when a hook is called in an epoch, before or after it does its work."""
    original = getattr(owner, hook)

    def patched(self, trainer, *args, **kwargs):
        due = trainer.fit_loop.epoch_progress.current.ready == epoch + 1
        if due and not after:
            raise Ended
        original(self, trainer, *args, **kwargs)
        if due:
            raise Ended

    monkeypatch.setattr(owner, hook, patched)


def assert_same(run, other):
    """Everything in two run folders but what tells the folders themselves."""
    files = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    for name in files:
        if name.suffix != ".ckpt":
            assert (run / name).read_bytes() == (other / name).read_bytes(), name
            continue
        one, two = (torch.load(folder / name, weights_only=True) for folder in (run, other))
        assert one["epoch"] == two["epoch"]
        for part in ("state_dict", "current_model_state", "averaging_state"):
            assert list(one.get(part, {})) == list(two.get(part, {}))
            for key, tensor in one.get(part, {}).items():
                assert torch.equal(tensor, two[part][key]), (name, part, key)
        assert str(one["optimizer_states"]) == str(two["optimizer_states"])
        assert str(one["lr_schedulers"]) == str(two["lr_schedulers"])


MOMENTS = {
    "before best.ckpt": (ModelCheckpoint, "on_train_epoch_end", False),
    "between best.ckpt and last.ckpt": (LastCheckpoint, "on_train_epoch_end", False),
    "after last.ckpt": (LastCheckpoint, "on_train_epoch_end", True),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Gives the folder of a run of some config that nothing has disturbed."""
    runs = {}

    def run(config):
        key = json.dumps(config, sort_keys=True)
        if key not in runs:
            runs[key] = tmp_path_factory.mktemp("undisturbed") / "run"
            assert fit(runs[key], config) == 0
        return runs[key]

    return run


def changed(*, callbacks=(), trainer=None, data=None, model=None):
    """The config with other settings; callbacks are added."""
    config = json.loads(json.dumps(CONFIG))
    config["trainer"]["callbacks"] += callbacks
    config["trainer"] |= trainer or {}
    config["data"]["init_args"] |= data or {}
    config["model"]["init_args"] |= model or {}
    return config


@pytest.mark.parametrize("epoch", [1, EPOCHS - 1])
@pytest.mark.parametrize("moment", MOMENTS)
def test_ended_when_an_epoch_ends(moment, epoch, undisturbed, monkeypatch):
    ended_and_resumed(monkeypatch, moment, epoch, CONFIG, undisturbed(CONFIG))


def ended_and_resumed(monkeypatch, moment, epoch, config, whole):
    owner, hook, after = MOMENTS[moment]
    with monkeypatch.context() as patch:
        end_in(patch, owner, hook, epoch, after=after)
        with pytest.raises(Ended):
            fit("ended", config)
    assert fit("ended", config, "--ckpt_path", "last") == 0
    assert_same(whole, Path("ended").absolute())


TWO_OUTPUTS = {"hidden_size": 4, "num_outputs": 2}
CASES = {
    "a worker": (changed(data={"num_workers": 1}), EPOCHS),
    "a schedule that waits for a metric": (changed(model={"lr_scheduler": PLATEAU}), EPOCHS),
    "stopped early": (changed(callbacks=[EARLY_STOPPING]), 2),
    "counted in steps": (changed(trainer={"max_epochs": -1, "max_steps": 18}), 5),
    "rare validation": (changed(trainer={"check_val_every_n_epoch": 2}), EPOCHS),
    "frequent validation": (changed(trainer={"val_check_interval": 0.5}), EPOCHS),
    "no validation": (changed(trainer={"limit_val_batches": 0}), EPOCHS),
    "learned weights of targets": (
        changed(
            model={
                "model": {"class_path": "crystal_toy.noisy.NoisySum", "init_args": TWO_OUTPUTS},
                "targets": ["lattice_energy_per_atom", "formation_energy_per_atom"],
                "target_weights": "uncertainty",
            }
        ),
        EPOCHS,
    ),
    "gradients of several batches": (changed(trainer={"accumulate_grad_batches": 3}), EPOCHS),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*could not find the monitored key")
def test_ended_in_other_trainings(case, undisturbed, monkeypatch):
    config, epochs = CASES[case]
    whole = undisturbed(config)
    assert torch.load(whole / "checkpoints/last.ckpt", weights_only=True)["epoch"] == epochs - 1
    for epoch in (epochs - 2, epochs - 1):
        shutil.rmtree("ended", ignore_errors=True)
        ended_and_resumed(monkeypatch, "after last.ckpt", epoch, config, whole)


def test_ended_before_the_artifact_was_written(undisturbed, monkeypatch, workplace):
    with monkeypatch.context() as patch:
        end_in(patch, ArtifactExport, "on_fit_end", EPOCHS - 1)
        with pytest.raises(Ended):
            fit("ended", CONFIG)
    # As a process leaves it that was killed while it wrote.
    (workplace / "ended/checkpoints/.0123456789abcdef.tmp").write_bytes(b"half")
    (workplace / "ended/.artifact.building-01234567").mkdir()
    assert not Path("ended/artifact").exists()
    assert fit("ended", CONFIG, "--ckpt_path", "last") == 0
    assert_same(undisturbed(CONFIG), workplace / "ended")
    # And once more, with nothing left to do.
    assert fit("ended", CONFIG, "--ckpt_path", "last") == 0
    assert_same(undisturbed(CONFIG), workplace / "ended")


def test_the_best_epoch_is_not_the_last(undisturbed):
    checkpoints = undisturbed(CONFIG) / "checkpoints"
    epochs = [
        torch.load(checkpoints / name, weights_only=True)["epoch"]
        for name in ("best.ckpt", "last.ckpt")
    ]
    assert epochs[0] < epochs[1] == EPOCHS - 1


class Unwritable:
    """Fails in the middle of being saved."""

    def __reduce__(self):
        raise Ended


def test_a_checkpoint_is_written_whole_or_not_at_all(workplace):
    path = workplace / "some/last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"weights": torch.ones(1000)}, str(path))
    before = path.read_bytes()
    with pytest.raises(Ended):
        writer.save_checkpoint({"weights": torch.zeros(1000), "other": Unwritable()}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    # What is in the file depends on nothing but the content.
    writer.save_checkpoint({"weights": torch.ones(1000)}, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, AtomicCheckpointIO),
        ("lightning.pytorch.plugins.io.TorchCheckpointIO", TorchCheckpointIO),
        (["lightning.pytorch.plugins.io.TorchCheckpointIO"], TorchCheckpointIO),
    ],
)
def test_a_way_to_write_checkpoints_that_the_user_chose_is_kept(given, expected, monkeypatch):
    used = []
    monkeypatch.setattr(
        PropertyModule,
        "on_fit_start",
        lambda self: used.append(self.trainer.strategy.checkpoint_io),
    )
    assert fit("run", changed(trainer={"max_epochs": 1, "plugins": given})) == 0
    assert [type(io) for io in used] == [expected]


def test_user_data_beside_a_run_stay(workplace):
    names = [".tmp", "notes.tmp", ".0123456789abcdef.tmp.txt", ".0123456789ABCDEF.tmp"]
    for name in names:
        (workplace / name).write_text("mine", encoding="utf-8")
    RunFolder(workplace).remove_unfinished()
    assert {path.name for path in workplace.iterdir()} == set(names)
