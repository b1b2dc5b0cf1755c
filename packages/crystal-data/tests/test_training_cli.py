"""fit, validate, test and predict through the command line, on crystals in memory."""

import csv
import json
import os
import re
import shutil
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crystal_data.cli.lazy import Command, dispatch
from crystal_data.crystal import Crystal
from crystal_data.inference import Predictor
from crystal_data.io.cif import to_cif
from crystal_data.io.read import read_crystals
from crystal_data.metrics.result import read_results
from crystal_data.run_folder import prediction_columns, run_group
from crystal_data.training.cli import CrystalCLI, run_command
from crystal_data.training.config_arguments import config_files
from crystal_data.training.module import PropertyModule

ALLOWED = ["crystal_toy"]
main = partial(run_command, allow_modules=ALLOWED)
STEPS = {"fit": "training_step", "test": "test_step"}
TRAINER = f"{__name__}:main"
CRYSTAL = {name: Command("", TRAINER, (name,)) for name in STEPS}
CONFIG = {
    "trainer": {"max_epochs": 12, "accelerator": "cpu", "devices": 1},
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "model": {
                "class_path": "crystal_toy.model.ElementSum",
                "init_args": {"hidden_size": 4},
            },
            "targets": ["energy"],
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.05}},
            "lr_scheduler": {"class_path": "crystal_data.training.OneCycle"},
        },
    },
    "data": {"class_path": "crystal_toy.data.ToyData", "init_args": {"batch_size": 16}},
}


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toy"))
    monkeypatch.setattr(sys, "argv", ["crystal"])
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    write(CONFIG)
    return tmp_path


def write(config, name="toy.yaml"):
    Path(name).write_text(yaml.safe_dump(config), encoding="utf-8")


def rows_of(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one_error(capsys):
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("toy: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def changed(**places):
    """The config with values set at dotted places."""
    config = json.loads(json.dumps(CONFIG))
    for place, value in places.items():
        *parents, last = place.split("__")
        target = config
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return config


def test_fit_then_test_then_predict(capsys):
    assert main(["fit", "--config", "toy.yaml"]) == 0
    run = Path("runs/toy/001")
    printed = capsys.readouterr().out
    assert "epoch 12/12" in printed
    size, labels = printed.splitlines()[1:3]
    assert re.fullmatch(r"ElementSum: [\d,]+ parameters; 12 epochs of \d+ steps on cpu", size)
    assert re.fullmatch(
        r"energy \[eV/atom\]: \d+ labels from \S+ to \S+, mean absolute deviation \S+", labels
    )
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "metrics.csv", "checkpoints", "artifact"} <= names
    checkpoints = {path.name for path in (run / "checkpoints").iterdir()}
    assert checkpoints == {"best.ckpt", "last.ckpt"}
    rows = rows_of(run / "metrics.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(12))
    assert float(rows[-1]["val/mae"]) < 0.3 * float(rows[0]["val/mae"])
    assert all(row["train/mae"] and row["val/mae/energy"] and row["lr"] for row in rows)
    for extra in (
        ["--ckpt_path", str(run / "checkpoints/best.ckpt")],
        ["--ckpt_path", "best", "--trainer.default_root_dir", str(run)],
        [],
    ):
        assert main(["test", "--config", "toy.yaml", *extra]) == 0
        table = rows_of(run / "predictions/test.csv")
        assert [row["id"] for row in table] == [f"toy-{i}" for i in range(120, 140)]
        assert set(table[0]) == {"id", "energy:label [eV/atom]", "energy [eV/atom]"}
        (run / "predictions/test.csv").unlink()
    results = {result.metric: result for result in read_results(run / "results.json")}
    assert set(results) == {"val/mae", "val/mae/energy", "test/mae", "test/mae/energy"}
    assert results["test/mae/energy"].num_samples == 20
    assert results["test/mae/energy"].parameters["unit"] == "eV/atom"
    assert results["test/mae/energy"].data_hash == "0" * 64
    label, prediction = prediction_columns("energy", "eV/atom")
    errors = [abs(float(row[label]) - float(row[prediction])) for row in table]
    assert results["test/mae"].value == pytest.approx(sum(errors) / 20, rel=1e-5)
    best = min(float(row["val/mae"]) for row in rows)
    assert results["val/mae/energy"].value == pytest.approx(best, rel=1e-6)
    assert main(["predict", "--config", "toy.yaml"]) == 0
    assert len(rows_of(run / "predictions/predict.csv")) == 20
    assert main(["validate", "--config", "toy.yaml"]) == 0
    # The training's own files are as training left them.
    assert len(rows_of(run / "metrics.csv")) == 12
    assert {"config-test.yaml", "config-validate.yaml"} <= {path.name for path in run.iterdir()}
    assert main(["fit", "--config", str(run / "config.yaml"), "--trainer.max_epochs", "1"]) == 0
    assert Path("runs/toy/002/artifact/model.safetensors").is_file()


def test_checkpoints_hold_plain_values_and_resume():
    assert main(["fit", "--config", "toy.yaml", "--trainer.max_epochs", "3"]) == 0
    last = Path("runs/toy/001/checkpoints/last.ckpt")
    content = torch.load(last, weights_only=True)
    assert content["epoch"] == 2
    assert "hyper_parameters" not in content
    arguments = ["fit", "--config", "toy.yaml", "--ckpt_path", "last", "--trainer.max_epochs", "5"]
    assert main(arguments) == 0
    assert torch.load(last, weights_only=True)["epoch"] == 4
    rows = rows_of("runs/toy/001/metrics.csv")
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4]


def test_a_training_that_is_there_is_not_replaced_unasked(capsys):
    run = Path("mine")
    fit = ["fit", "--config", "toy.yaml", "--trainer.default_root_dir", str(run)]
    assert main([*fit, "--trainer.max_epochs", "1"]) == 0
    first = (run / "checkpoints/last.ckpt").read_bytes()
    (run / "my-notes.txt").touch()
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(fit)
    error = one_error(capsys)
    assert "mine holds a training already" in error
    assert "--ckpt_path last" in error
    assert "--overwrite true" in error
    assert (run / "checkpoints/last.ckpt").read_bytes() == first
    # A job that is queued again goes on from what Lightning has saved for it.
    shutil.copy(run / "checkpoints/last.ckpt", run / "hpc_ckpt_1.ckpt")
    assert main([*fit, "--trainer.max_epochs", "2"]) == 0
    assert [int(row["epoch"]) for row in rows_of(run / "metrics.csv")] == [0, 1]
    (run / "hpc_ckpt_1.ckpt").unlink()
    assert main([*fit, "--overwrite", "true"]) == 0
    assert (run / "checkpoints/last.ckpt").read_bytes() != first
    assert (run / "my-notes.txt").exists()
    # The config that repeats the run does not replace anything.
    saved = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert saved["overwrite"] is False


@pytest.mark.parametrize("command", ["fit", "test"])
@pytest.mark.parametrize(
    ("number", "status", "what"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_a_command_with_one_line(command, number, status, what, monkeypatch, capsys):
    if command == "test":
        assert main(["fit", "--config", "toy.yaml", "--trainer.max_epochs", "1"]) == 0
    step = getattr(PropertyModule, STEPS[command])

    def send(self, batch, batch_idx):
        if command == "test" or self.trainer.current_epoch == 1:
            os.kill(os.getpid(), number)
        return step(self, batch, batch_idx)

    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(PropertyModule, STEPS[command], send)
    capsys.readouterr()
    assert dispatch("crystal", "", CRYSTAL, [command, "--config", "toy.yaml"]) == status
    note = "; to go on: --trainer.default_root_dir runs/toy/001 --ckpt_path last"
    lines = capsys.readouterr().err.splitlines()[command == "fit" :]  # the first tells of the data
    assert lines == [f"crystal: {what}{note if command == 'fit' else ''}"]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not Path("runs/toy/001/artifact").exists() or command == "test"


def test_before_the_first_checkpoint_there_is_nothing_to_go_on_from(monkeypatch, capsys):
    def send(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PropertyModule, "training_step", send)
    assert dispatch("crystal", "", CRYSTAL, ["fit", "--config", "toy.yaml"]) == 143
    assert capsys.readouterr().err.splitlines()[1:] == ["crystal: terminated"]


def damage(file, content):
    path = Path("runs/toy/001") / file
    if content is None:
        content = path.read_bytes()[:-100]
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("arguments", "file", "content", "message"),
    [
        (["fit", "--ckpt_path", "last"], "checkpoints/last.ckpt", None, "not used: the file is"),
        (["test"], "checkpoints/best.ckpt", None, "not used: the file is damaged"),
        (["predict"], "checkpoints/best.ckpt", b"", "not used: the file is damaged"),
        (["test"], "results.json", b"{", "damaged: not JSON"),
        (["fit", "--ckpt_path", "last"], "results.json", b"[]", "damaged: not a result file"),
        (
            ["test", "--config", "runs/toy/001/config.yaml"],
            "config.yaml",
            b"\xff\xfe\x00",
            "not YAML",
        ),
        (["fit", "--config", "runs/toy/001/config.yaml"], "config.yaml", b"\0\0", "not YAML"),
    ],
)
def test_damaged_files_of_a_run_are_one_line(arguments, file, content, message, capsys):
    write(changed(trainer__max_epochs=1))
    assert main(["fit", "--config", "toy.yaml"]) == 0
    damage(file, content)
    left = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    capsys.readouterr()
    try:
        status = main([*arguments, "--config", "toy.yaml"])
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    error = one_error(capsys)
    assert f"runs/toy/001/{file}: " in error
    assert message in error
    assert left == {path: path.read_bytes() for path in left}


@pytest.mark.parametrize("size", [200, 3000])
def test_a_full_disk_is_one_line(size, capsys):
    resource = pytest.importorskip("resource")
    import_module("crystal_toy.data").ToyData().prepare_data()
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
    try:
        assert main(["fit", "--config", "toy.yaml"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)
    file = "config.yaml" if size == 200 else "checkpoints/best.ckpt"
    error = one_error(capsys)
    assert f"runs/toy/001/{file}: File too large; free some space" in error
    assert list(Path("runs").rglob(".*")) == []


def test_init_from_an_artifact(capsys):
    assert main(["fit", "--config", "toy.yaml"]) == 0
    capsys.readouterr()
    artifact = "runs/toy/001/artifact"
    write(changed(trainer__max_epochs=1), "two.yaml")
    config = changed(trainer__max_epochs=1)
    config["model"]["init_args"]["targets"] = ["energy", "gap"]
    config["model"]["init_args"]["model"]["init_args"]["num_outputs"] = 2
    write(config, "two.yaml")
    assert main(["fit", "--config", "two.yaml", "--init_from", artifact]) == 0
    printed = capsys.readouterr().out
    assert "loaded 1 of 3" in printed
    assert "skipped  head.weight: shape [1, 4], the model's is [2, 4]" in printed
    # What was fine-tuned is tested by the same options; the artifact itself could not be.
    fine_tuned = ["test", "--config", "two.yaml", "--init_from", artifact]
    assert main([*fine_tuned, "--ckpt_path", "best"]) == 0
    assert "test/mae/gap" in Path("runs/two/001/results.json").read_text()
    with pytest.raises(SystemExit):
        main(fine_tuned)
    assert "predicts energy, the config asks for energy, gap" in capsys.readouterr().err
    # The run that holds it is as good.
    capsys.readouterr()
    assert main(["test", "--config", "toy.yaml", "--init_from", "runs/toy/001"]) == 0
    assert re.search(r"^test/mae +0\.\d{1,4}$", capsys.readouterr().out, re.MULTILINE)
    first = Path("runs/toy/002/predictions/test.csv").read_text()
    assert (
        main(["test", "--config", "toy.yaml", "--ckpt_path", "runs/toy/001/checkpoints/best.ckpt"])
        == 0
    )
    assert first == Path("runs/toy/001/predictions/test.csv").read_text()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model__init_args__learning_rat", 0.1, "model.init_args.learning_rat: PropertyModule has"),
        ("model__init_args__target", ["a"], "did you mean 'targets'?"),
        (
            "trainer__max_epoch",
            3,
            "trainer.max_epoch: trainer has no 'max_epoch'; did you mean 'max_epochs'?",
        ),
        (
            "data__init_args__batchsize",
            3,
            "data.init_args.batchsize: ToyData has no 'batchsize'; did you mean 'batch_size'?",
        ),
        ("trainr__max_epochs", 3, "trainr: the top level has no 'trainr'; did you mean 'trainer'?"),
        ("model__init_args__model__init_args__hiden_size", 3, "did you mean 'hidden_size'?"),
        (
            "model__init_args__model__class_path",
            "crystal_toy.model.ElementSums",
            "did you mean 'crystal_toy.model.ElementSum'?",
        ),
        ("model__init_args__optimizer__init_args__lrr", 3, "did you mean 'lr'?"),
    ],
)
def test_mistyped_key_gets_the_nearest(place, value, message, capsys):
    write(changed(**{place: value}))
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", "toy.yaml"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: toy.yaml: ")
    assert "Union" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.optimiser", "torch.optim.SGD"], "did you mean 'optimizer'?"),
        (["--init_frm", "x"], "did you mean 'init_from'?"),
        (["--data.batchsize=3"], "did you mean 'batch_size'?"),
        (["--trainer.max_epochz", "3"], "did you mean 'max_epochs'?"),
        (["--model.model.hiden_size", "3"], "ElementSum has no 'hiden_size'; did you mean"),
        (["--model.model.init_args.hiden_size", "3"], "did you mean 'hidden_size'?"),
        (["--model.optimizer.lrr", "1"], "Adam has no 'lrr'; did you mean 'lr'?"),
        (["--model.model", "crystal_toy.model.ElementSums"], "'crystal_toy.model.ElementSum'?"),
        (["--data", "crystal_data.CrystalDataModul"], "'crystal_data.CrystalDataModule'?"),
    ],
)
def test_mistyped_option_gets_the_nearest(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "toy.yaml", *arguments])
    assert message in one_error(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trainer.max_epochs", "many"], "trainer.max_epochs: expected int or null, got many"),
        (["--model.loss", "mea"], "model.loss: expected 'mse', 'mae', 'huber', got mea"),
        (["--model.model.hidden_size", "x"], "model.model.hidden_size: expected int, got x"),
        (["--data.batch_size", "x"], "data.batch_size: expected int"),
    ],
)
def test_a_wrong_value_says_what_was_expected(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "toy.yaml", *arguments])
    assert message in one_error(capsys)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("a: [", "not YAML"), ("text", "expected keys such as model")],
)
def test_a_config_that_is_none(content, message, capsys):
    if content is not None:
        Path("bad.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--config", "bad.yaml"])
    assert f"bad.yaml: {message}" in one_error(capsys)


def test_without_a_config_it_is_asked_for(capsys):
    with pytest.raises(SystemExit):
        main(["fit"])
    assert "give a config with --config: a file, or a name that" in one_error(capsys)


@pytest.mark.parametrize("given", [["--config", "cpu"], ["--config=cpu"], ["-c", "cpu"]])
def test_a_config_that_ships_is_found_by_name(given):
    write({"trainer": {"accelerator": "gpu"}}, "cpu.yaml")
    cli = CrystalCLI(["--config", "toy.yaml", *given], allow_modules=ALLOWED, run=False)
    assert cli.config.trainer.accelerator == "cpu"
    assert run_group(config_files(cli._args[2:])) == Path("runs/cpu")


def test_the_content_of_a_config_may_be_given():
    cli = CrystalCLI(
        ["--config", "toy.yaml", "--config", "{trainer: {max_epochs: 3}}"],
        allow_modules=ALLOWED,
        run=False,
    )
    assert cli.config.trainer.max_epochs == 3


@pytest.mark.parametrize("given", [["--config", "cpx"], ["--config=cpx"]])
def test_a_wrong_name_lists_what_there_is(given, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", *given])
    assert stop.value.code == 2
    assert "error: --config: no config 'cpx'; the names are cpu" in one_error(capsys)


def test_what_the_trainer_refuses_is_one_line(capsys):
    assert main(["fit", "--config", "toy.yaml", "--trainer.devices", "0"]) == 1
    assert "not a valid input using cpu" in one_error(capsys)


@pytest.mark.parametrize("config", [["--config", "toy.yaml"], ["--config=toy.yaml"]])
def test_options_override_a_config_that_follows(config):
    options = ["--model.model.hidden_size", "3", "--trainer.max_epochs", "1"]
    assert main(["fit", *options, *config]) == 0
    saved = yaml.safe_load(Path("runs/toy/001/config.yaml").read_text(encoding="utf-8"))
    assert saved["trainer"]["max_epochs"] == 1
    assert saved["model"]["init_args"]["model"]["init_args"]["hidden_size"] == 3


def test_distributed_sampler_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "toy.yaml", "--trainer.use_distributed_sampler", "true"])
    assert "own sampler" in capsys.readouterr().err


def test_test_without_a_run_says_what_to_give(capsys):
    with pytest.raises(SystemExit):
        main(["test", "--config", "toy.yaml"])
    error = capsys.readouterr().err
    assert "no run with a checkpoint in runs" in error
    assert "--init_from" in error


def test_a_checkpoint_of_other_targets_is_refused(capsys):
    assert main(["fit", "--config", "toy.yaml", "--trainer.max_epochs", "1"]) == 0
    write(changed(model__init_args__targets=["gap"]), "toy.yaml")
    assert main(["test", "--config", "toy.yaml"]) == 1
    assert "predicts energy, the config asks for gap" in one_error(capsys)


def test_print_config_is_a_config(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", "toy.yaml", "--print_config"])
    assert exit_.value.code in (0, None)
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["trainer"]["use_distributed_sampler"] is False
    assert printed["seed_everything"] == 0
    assert printed["model"]["init_args"]["loss"] == "mse"
    write(printed, "printed.yaml")
    assert main(["fit", "--config", "printed.yaml", "--trainer.max_epochs", "1"]) == 0
    cli = CrystalCLI(["--config", "toy.yaml"], allow_modules=ALLOWED, run=False)
    assert cli.model.targets == ("energy",)


def test_a_class_in_the_place_of_another_has_its_own_defaults():
    def optimizer(*args):
        cli = CrystalCLI([*args, "--config", "toy.yaml"], allow_modules=ALLOWED, run=False)
        return cli.model._optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]

    option = "--model.optimizer"
    # AdamW, which Adam replaces, has 0.01.
    assert optimizer()["weight_decay"] == 0.0
    assert optimizer(option, "torch.optim.AdamW")["weight_decay"] == 0.01
    # What was given stays.
    assert optimizer(option, "torch.optim.AdamW")["lr"] == 0.05
    decay = f"{option}.weight_decay"
    assert optimizer(decay, "0.03", option, "torch.optim.SGD")["weight_decay"] == 0.03


def test_data_root(monkeypatch):
    monkeypatch.setenv("CRYSTAL_DATA_HOME", "before")
    CrystalCLI(["--config", "toy.yaml", "--data-root", "here"], allow_modules=ALLOWED, run=False)
    import os

    assert os.environ["CRYSTAL_DATA_HOME"] == str(Path("here").absolute())


def own_folder(rows, labels):
    """A folder as CGCNN has it, of rock-salt cells whose energy is linear in the elements."""
    place = Path("mine" if labels else "unlabelled")
    place.mkdir()
    table = []
    for row in range(rows):
        numbers = [3 + row % 5, 8 + row % 7]
        crystal = Crystal(
            (4 + 0.01 * row) * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], numbers, f"own-{row}"
        )
        (place / f"own-{row}.cif").write_text(to_cif(crystal), encoding="utf-8")
        table.append(f"own-{row},{sum(numbers) if row % 4 else ''}\n")
    if labels:
        (place / "id_prop.csv").write_text("".join(table), encoding="utf-8")
    return str(place)


def own_config(path):
    source = {"class_path": "crystal_data.FolderSource", "init_args": {"path": path}}
    source["init_args"]["units"] = {"target": "eV"}
    data = {"class_path": "crystal_data.CrystalDataModule"}
    data["init_args"] = {"source": source, "batch_size": 8}
    config = changed(model__init_args__targets=["target"], trainer__max_epochs=20, data=data)
    write(config, "own.yaml")


def test_own_folder_through_the_data_module(monkeypatch, capsys):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(Path("cache").absolute()))
    own_config(own_folder(48, labels=True))
    # One target needs no list.
    assert main(["fit", "--config", "own.yaml", "--model.targets", "target"]) == 0
    assert main(["test", "--config", "own.yaml"]) == 0
    run = Path("runs/own/001")
    results = {result.metric: result for result in read_results(run / "results.json")}
    assert results["test/mae/target"].parameters["unit"] == "eV"
    assert len(results["test/mae/target"].data_hash) == 64
    metadata = json.loads((run / "artifact/metadata.json").read_text(encoding="utf-8"))
    assert metadata["data"]["source"] == "mine"
    capsys.readouterr()
    own = ["--data.source.path", own_folder(5, labels=False)]
    Path("unlabelled/bad.cif").write_text("data_bad\n_cell_length_a 3\n", encoding="utf-8")
    # A crystal that cannot be used is left out of predictions, and of nothing else.
    assert main(["predict", "--config", "own.yaml", *own]) == 0
    captured = capsys.readouterr()
    assert "unlabelled: 1 of 6 structures left out" in captured.err
    assert f"predictions: {run / 'predictions/predict.csv'}" in captured.out
    table = rows_of(run / "predictions/predict.csv")
    assert [row["id"] for row in table] == [f"own-{i}" for i in range(5)]
    assert [row["id"] for row in rows_of(run / "predictions/rejected.csv")] == ["bad"]
    assert not (run / "rejected.csv").exists()
    for command in ("fit", "validate", "test"):
        assert main([command, "--config", "own.yaml", *own]) == 1
        assert "bad (unlabelled/bad.cif)" in capsys.readouterr().err
    assert main(["predict", "--config", "own.yaml", *own, "--data.on_invalid", "error"]) == 1
    predictor = Predictor.from_pretrained(run / "artifact", allow_package="crystal_toy")
    crystals = read_crystals("unlabelled").crystals
    by_name = dict(
        zip([c.identifier for c in crystals], predictor.predict(crystals)["target"], strict=True)
    )
    for row in table:
        assert float(row["target [eV]"]) == pytest.approx(by_name[row["id"]], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data.source.path", "nowhere"], "nowhere"),
        (["--model.targets", "[targt]"], "did you mean 'target'?"),
        (["--data.train_size", "1000"], "train_size is 1000"),
        (["--data.exclude", "[tset]"], "'tset' is neither val nor test nor a file"),
    ],
)
def test_a_mistake_in_the_data_is_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setenv("CRYSTAL_CACHE_HOME", str(Path("cache").absolute()))
    own_config(own_folder(20, labels=True))
    assert main(["fit", "--config", "own.yaml", *arguments]) == 1
    assert message in one_error(capsys)


def test_a_model_without_a_registry_trains_all_the_same(workplace, monkeypatch, capsys):
    # The package as it is, without the distribution that announces it.
    toy = Path(__file__).parent / "toy" / "crystal_toy"
    shutil.copytree(toy, workplace / "bare" / "crystal_toy")
    monkeypatch.syspath_prepend(str(workplace / "bare"))
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(toy.parent)])
    assert main(["fit", "--config", "toy.yaml", "--trainer.max_epochs", "1"]) == 0
    assert (
        "no artifact: crystal_toy announces no models; put crystal_toy =" in capsys.readouterr().out
    )
    assert Path("runs/toy/001/results.json").is_file()


def test_same_seed_same_result():
    for _ in range(2):
        assert main(["fit", "--config", "toy.yaml", "--trainer.max_epochs", "2"]) == 0
    first, second = (Path(f"runs/toy/{n}/metrics.csv").read_text() for n in ("001", "002"))
    assert first == second


def test_ema_is_what_is_tested_and_handed_on():
    ema = {"class_path": "crystal_data.training.EMA", "init_args": {"decay": 0.9}}
    write(changed(trainer__callbacks=[ema], trainer__max_epochs=4))
    assert main(["fit", "--config", "toy.yaml"]) == 0
    content = torch.load("runs/toy/001/checkpoints/best.ckpt", weights_only=True)
    average, raw = content["state_dict"], content["current_model_state"]
    assert not torch.equal(average["model.head.weight"], raw["model.head.weight"])
    assert torch.equal(average["normalizer.mean"], raw["normalizer.mean"])
    from safetensors.torch import load_file

    weights = load_file("runs/toy/001/artifact/model.safetensors")
    assert torch.equal(weights["head.weight"], average["model.head.weight"])
    more = ["--ckpt_path", "last", "--trainer.max_epochs", "6"]
    assert main(["fit", "--config", "toy.yaml", *more]) == 0
    assert main(["test", "--config", "toy.yaml"]) == 0


DEEP = "[" * 100_000


@pytest.mark.parametrize("text", [f"model: {DEEP}", f"trainer: {{max_epochs: {DEEP}}}"])
def test_a_config_of_many_levels_is_one_line(text, capsys):
    """The parser works by recursion, and such a text ended the interpreter."""
    Path("deep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--config", "deep.yaml"])
    assert "deep.yaml: nested more than 100 levels deep; remove" in one_error(capsys)


@pytest.mark.parametrize(
    "option", [["--trainer.max_epochs", DEEP], [f"--data.init_args.batch_size={DEEP}"]]
)
def test_an_option_of_many_levels_is_one_line(option, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "toy.yaml", *option])
    name = option[0].partition("=")[0]
    assert f"error: {name}: nested more than 100 levels deep" in one_error(capsys)


def test_a_quoted_value_of_many_levels_is_one_short_line(capsys):
    """The parser reads a text once more where a number is expected."""
    write(changed(data__init_args__batch_size=DEEP))
    with pytest.raises(SystemExit):
        main(["fit", "--config", "toy.yaml"])
    assert len(one_error(capsys)) < 1000
