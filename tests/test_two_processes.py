"""Two processes give what one gives: commands on the CPU, by Lightning's launcher and torchrun."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HELPERS = Path(__file__).parent / "several_processes"
WORKER = HELPERS / "run_commands.py"
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")

CONFIG = {
    "seed_everything": 3,
    "trainer": {"accelerator": "cpu", "max_epochs": 1},
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "targets": ["formation_energy_per_atom", "bulk_modulus"],
            "loss": "huber",
            "model": {
                "class_path": "crystal_embed.CGCNN",
                "init_args": {
                    "num_outputs": 2,
                    "width": 16,
                    "num_convolutions": 2,
                    "hidden_width": 16,
                },
            },
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.02}},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        # Of 29 rows the last step has one.
        "init_args": {"source": {"class_path": "processes_toy.Holes"}, "batch_size": 7},
    },
}
TRANSFORMER = {
    "class_path": "crystal_embed.CrystalTransformer",
    "init_args": {
        "num_outputs": 2,
        "element_width": 8,
        "num_layers": 1,
        "num_heads": 2,
        "feedforward_width": 16,
        "dropout": 0.0,
    },
}
MOVES = [
    {"class_path": "crystal_data.transforms.RandomTranslation"},
    {"class_path": "crystal_data.transforms.PerturbAtoms"},
]
EMA = {"class_path": "crystal_data.training.EMA", "init_args": {"decay": 0.9}}
GRADIENTS = {"class_path": "processes_toy.KeepGradients"}

# Data options of each case; "steps of two": alone, the steps that two processes would make.
CASES: dict[str, dict[str, Any]] = {
    "cgcnn": {},
    "atoms": {"batch_size": None, "max_atoms": 50},
    "edges": {"batch_size": None, "max_edges": 700},
    "one-each": {"batch_size": 2, "max_atoms": 400},
    "moved": {"length_buckets": True, "transforms": MOVES},
    "transformer": {"length_buckets": True, "transforms": MOVES},
    "two-optimizers": {},
}
DOUBLE = ("cgcnn", "atoms", "edges", "one-each", "moved", "two-optimizers")
SINGLE = ("cgcnn", "moved", "transformer")


@dataclass(frozen=True)
class Place:
    """Where runs of one kind lie, and what the processes printed."""

    folder: Path
    stdout: str
    stderr: str


def write_configs(folder: Path) -> None:
    for name, options in CASES.items():
        config = json.loads(json.dumps(CONFIG))
        config["trainer"]["callbacks"] = [GRADIENTS]
        config["data"]["init_args"] |= options
        if name == "transformer":
            config["model"]["init_args"]["model"] = TRANSFORMER
        if name == "two-optimizers":
            config["model"]["class_path"] = "two_optimizers.TwoOptimizers"
            arguments = config["model"]["init_args"]
            arguments["model"]["init_args"]["num_outputs"] = 1
            arguments["target"] = arguments.pop("targets")[0]
            del arguments["loss"]
        # The same weights at every step, so that each step's gradient can be compared.
        config["model"]["init_args"]["optimizer"]["init_args"]["lr"] = 0.0
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    config = json.loads(json.dumps(CONFIG))
    config["trainer"] |= {"max_epochs": 3, "callbacks": [EMA]}
    (folder / "train.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    config["model"]["init_args"]["model"]["init_args"]["width"] = 8
    (folder / "narrow.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    config["data"]["init_args"]["source"] = {
        "class_path": "crystal_data.FolderSource",
        "init_args": {"path": "nowhere"},
    }
    (folder / "nowhere.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def gradient_commands(name: str, devices: int, precision: str, root: Path) -> list[str]:
    command = ["fit", "--config", f"{name}.yaml", "--trainer.devices", str(devices)]
    command += ["--trainer.precision", precision]
    command += ["--trainer.default_root_dir", str(root / f"{name}-{precision}")]
    if devices == 1 and ("max_atoms" in CASES[name] or "max_edges" in CASES[name]):
        command += ["--data.class_path", "processes_toy.StepsOfTwo"]
    return command


def score_commands(devices: int, checkpoint: Path, root: Path) -> list[list[str]]:
    common = ["--config", "train.yaml", "--trainer.devices", str(devices)]
    common += ["--ckpt_path", str(checkpoint), "--trainer.default_root_dir", str(root / "scores")]
    # One row a step and process: there are 13, 9 and 51 rows, so the last step has one in all.
    common += ["--data.batch_size", "2"]
    keep = ["--trainer.callbacks+=processes_toy.KeepScores"]
    return [["validate", *common, *keep], ["test", *common], ["predict", *common]]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CRYSTAL_TRACE"))}
    return {**kept, "PYTHONPATH": str(HELPERS), "OMP_NUM_THREADS": "1", **more}


def start(
    folder: Path, name: str, arguments: Sequence[str], **more: str
) -> "subprocess.Popen[bytes]":
    """Its output goes to files, which no process that is left over can keep open."""
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(**more),
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def finish(folder: Path, name: str, process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    try:
        status = process.wait(timeout=200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    out, err = ((folder / f"{name}.{kind}").read_text("utf-8") for kind in ("out", "err"))
    return status, out, err


def work(
    folder: Path, name: str, commands: Sequence[Sequence[str]], launcher: Sequence[str] = ()
) -> Place:
    file = folder / f"{name}.json"
    file.write_text(json.dumps(commands), encoding="utf-8")
    process = start(folder, name, [*launcher, str(WORKER), file.name])
    status, out, err = finish(folder, name, process)
    assert status == 0, out + err
    return Place(folder / name, out, err)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    write_configs(folder)
    return folder


def checkpoint_of(workplace: Path) -> Path:
    return workplace / "one" / "train" / "checkpoints" / "last.ckpt"


def all_commands(workplace: Path, name: str, devices: int) -> list[list[str]]:
    root = workplace / name
    cases = [(case, "64-true") for case in DOUBLE] + [(case, "32-true") for case in SINGLE]
    train = ["fit", "--config", "train.yaml", "--trainer.devices", str(devices)]
    return [
        [*train, "--trainer.default_root_dir", str(root / "train")],
        *(gradient_commands(case, devices, precision, root) for case, precision in cases),
        *score_commands(devices, checkpoint_of(workplace), root),
    ]


@pytest.fixture(scope="module")
def one(workplace: Path) -> Place:
    return work(workplace, "one", all_commands(workplace, "one", 1))


@pytest.fixture(scope="module")
def two(workplace: Path, one: Place) -> Place:
    return work(workplace, "two", all_commands(workplace, "two", 2))


@pytest.fixture(scope="module")
def torchrun(workplace: Path, one: Place) -> Place:
    root = workplace / "torchrun"
    commands = [
        gradient_commands("cgcnn", 2, "64-true", root),
        *score_commands(2, checkpoint_of(workplace), root),
        # Without a folder: runs/train/001, which is made by one of the two.
        ["fit", "--config", "train.yaml", "--trainer.devices", "2"],
    ]
    return work(workplace, "torchrun", commands, TORCHRUN)


@cache
def kept(place: Path, rank: int) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(place / f"gradients-{rank}.pt", weights_only=True)
    return found


def worst_gradient(alone: Path, together: Path, floor: float, min_rows: int = 1) -> float:
    """Largest difference of a parameter's gradient over its norm, or ``floor`` of the whole one.

    A bias in front of batch normalization has no gradient but rounding; the floor is for those.
    """
    worst = 0.0
    for rank in range(2):
        pairs = zip(kept(alone, 0)["steps"], kept(together, rank)["steps"], strict=True)
        for expected, got in pairs:
            gradients = expected["gradients"]
            assert gradients.keys() == got["gradients"].keys()
            if len(expected["rows"]) < min_rows:
                continue
            whole = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
            for name, gradient in gradients.items():
                error = (got["gradients"][name] - gradient).norm()
                worst = max(worst, float(error / gradient.norm().clamp(min=floor * whole)))
    return worst


@pytest.mark.parametrize("case", DOUBLE)
def test_gradients_are_those_of_one_process(one: Place, two: Place, case: str) -> None:
    name = f"{case}-64-true"
    assert worst_gradient(one.folder / name, two.folder / name, floor=1e-5) < 1e-9


@pytest.mark.parametrize("case", SINGLE)
def test_gradients_in_single_precision(one: Place, two: Place, case: str) -> None:
    # Twice what one process alone differs from double precision by: two do not differ more.
    # Atoms of one crystal hardly differ, so that batch normalization of one alone divides by
    # little more than rounding; in double precision such a step is compared, too.
    name = f"{case}-32-true"
    min_rows = 1 if case == "transformer" else 2
    assert worst_gradient(one.folder / name, two.folder / name, 1.0, min_rows) < 1e-5


@pytest.mark.parametrize("case", DOUBLE)
def test_running_statistics_are_those_of_one_process(one: Place, two: Place, case: str) -> None:
    name = f"{case}-64-true"
    expected = kept(one.folder / name, 0)["buffers"]
    for rank in range(2):
        got = kept(two.folder / name, rank)["buffers"]
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_what_was_to_be_tested_did_occur(one: Place, two: Place) -> None:
    def steps(case: str, rank: int) -> list[dict[str, Any]]:
        precision = "64-true" if case in DOUBLE else "32-true"
        found: list[dict[str, Any]] = kept(two.folder / f"{case}-{precision}", rank)["steps"]
        return found

    for case in ("cgcnn", "one-each", "moved", "transformer"):
        # A filler is a row of the other process without its labels.
        filler, real = (min(steps(case, rank), key=lambda s: sum(s["labels"])) for rank in (1, 0))
        assert sum(filler["labels"]) == 0 < sum(real["labels"])
    modulus = [[int(step["labels"][1]) for step in steps("cgcnn", rank)] for rank in range(2)]
    assert any((a == 0) != (b == 0) for a, b in zip(*modulus, strict=True))
    for case in ("atoms", "edges"):
        sizes = [[len(step["rows"]) for step in steps(case, rank)] for rank in range(2)]
        assert sizes[0] != sizes[1]
    rows = [row for case in range(2) for step in steps("edges", case) for row in step["rows"]]
    assert len(rows) == len({int(row) for row in rows}) == 29


def numbers(file: Path) -> dict[str, float]:
    """Metrics of ``results.json``, and how many labels they are averages of."""
    found = json.loads(file.read_text(encoding="utf-8"))
    results = found["results"] if isinstance(found, dict) else found
    return {
        f"{result['metric']}/{key}": float(result[key])
        for result in results
        for key in ("value", "num_samples")
    }


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def check_scores(alone: Path, together: Path) -> None:
    expected = numbers(alone / "results.json")
    assert expected
    assert numbers(together / "results.json") == pytest.approx(expected, rel=1e-6)
    for split, count in (("test", 9), ("predict", 55)):
        files = sorted(path.name for path in (together / "predictions").iterdir())
        assert files == ["predict.csv", "test-structures.csv", "test.csv"]
        ours, theirs = (table(run / "predictions" / f"{split}.csv") for run in (together, alone))
        assert len(theirs) == len({row["id"] for row in theirs}) == count
        assert [row["id"] for row in ours] == [row["id"] for row in theirs]
        for got, wanted in zip(ours, theirs, strict=True):
            for name in wanted.keys() - {"id"}:
                assert (got[name] == "") == (wanted[name] == "")
                if wanted[name]:
                    assert float(got[name]) == pytest.approx(float(wanted[name]), rel=1e-6)


def validation_scores(run: Path) -> dict[str, float]:
    """What ``validate`` found, with every digit."""
    found: dict[str, float] = json.loads((run / "validated.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("launcher", ["two", "torchrun"])
def test_scores_and_predictions_are_those_of_one_process(
    one: Place, launcher: str, request: pytest.FixtureRequest
) -> None:
    place = request.getfixturevalue(launcher)
    check_scores(one.folder / "scores", place.folder / "scores")
    expected = validation_scores(one.folder / "scores")
    assert set(expected) >= {"val/mae", "val/mae/bulk_modulus"}
    assert validation_scores(place.folder / "scores") == pytest.approx(expected, rel=1e-6)


def weights(run: Path) -> torch.Tensor:
    file = run / "checkpoints" / "last.ckpt"
    state = torch.load(file, weights_only=True, map_location="cpu")["state_dict"]
    return torch.cat([w.flatten().double() for w in state.values() if w.is_floating_point()])


def test_weights_after_some_steps(one: Place, two: Place, torchrun: Place, workplace: Path) -> None:
    # 15 steps of plain SGD with EMA.
    expected = weights(one.folder / "train")
    for run in (two.folder / "train", workplace / "runs" / "train" / "001"):
        error = ((weights(run) - expected).norm() / expected.norm()).item()
        assert error < 1e-5


def test_torchrun_gives_the_gradients_of_one_process(one: Place, torchrun: Place) -> None:
    alone, together = (place.folder / "cgcnn-64-true" for place in (one, torchrun))
    assert worst_gradient(alone, together, floor=1e-5) < 1e-9


def test_torchrun_makes_one_run_and_one_process_speaks(torchrun: Place, workplace: Path) -> None:
    runs = workplace / "runs" / "train"
    assert [path.name for path in runs.iterdir()] == ["001"]
    assert (runs / "001" / "checkpoints" / "last.ckpt").is_file()
    printed = torchrun.stdout.splitlines()
    assert len([line for line in printed if line.startswith("run: ")]) == 5
    assert len([line for line in printed if line.startswith("epoch ")]) == 1 + 3
    assert len([line for line in printed if line.startswith("predictions: ")]) == 2
    summary = [line for line in torchrun.stderr.splitlines() if line.startswith("holes: ")]
    assert len(summary) == 2


@pytest.mark.long
def test_slurm_gives_what_one_process_gives(workplace: Path, one: Place) -> None:
    root = workplace / "slurm"
    commands = [
        gradient_commands("cgcnn", 2, "64-true", root),
        *score_commands(2, checkpoint_of(workplace), root),
        ["fit", "--config", "moved.yaml", "--trainer.devices", "2"],
    ]
    (workplace / "slurm.json").write_text(json.dumps(commands), encoding="utf-8")
    job = {
        "SLURM_JOB_ID": str(20000 + os.getpid() % 9999),
        "SLURM_JOB_NAME": "crystal",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
    }
    tasks = [
        start(
            workplace,
            f"slurm-{rank}",
            [str(WORKER), "slurm.json"],
            **job,
            SLURM_PROCID=str(rank),
            SLURM_LOCALID=str(rank),
        )
        for rank in range(2)
    ]
    (status, out, err), other = (
        finish(workplace, f"slurm-{rank}", task) for rank, task in enumerate(tasks)
    )
    assert status == 0, out + err
    assert other == (0, "", "")
    check_scores(one.folder / "scores", root / "scores")
    assert worst_gradient(one.folder / "cgcnn-64-true", root / "cgcnn-64-true", 1e-5) < 1e-9
    assert [path.name for path in (workplace / "runs" / "moved").iterdir()] == ["001"]


@pytest.mark.long
def test_training_differs_less_than_between_seeds(workplace: Path, one: Place) -> None:
    scores: dict[int, list[float]] = {}
    for devices in (1, 2):
        commands = []
        for seed in range(3):
            run = f"seeds/{devices}-{seed}"
            command = ["fit", "--config", "train.yaml", "--trainer.default_root_dir", run]
            command += ["--trainer.devices", str(devices), "--seed_everything", str(seed)]
            command += ["--model.optimizer.class_path", "torch.optim.AdamW"]
            command += ["--model.optimizer.lr", "0.003", "--trainer.max_epochs", "10"]
            commands.append([*command, "--data.seed", str(seed)])
        work(workplace, f"seeds{devices}", commands)
        scores[devices] = [
            numbers(workplace / f"seeds/{devices}-{seed}" / "results.json")["val/mae/value"]
            for seed in range(3)
        ]
    spread = max(scores[1]) - min(scores[1])
    print(scores)
    for alone, together in zip(*scores.values(), strict=True):
        assert abs(alone - together) < 0.1 * spread


def left_over(session: int) -> list[str]:
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


MISTAKES = {
    "folder": (["fit", "--config", "nowhere.yaml"], "nowhere does not exist"),
    "checkpoint": (
        ["test", "--config", "narrow.yaml", "--ckpt_path", "CHECKPOINT"],
        "the checkpoint is of another model than the config's",
    ),
    "key": (["fit", "--config", "train.yaml", "--data.batch_sice", "3"], "batch_sice"),
}


def check_mistake(workplace: Path, mistake: str, launcher: Sequence[str]) -> None:
    arguments, message = MISTAKES[mistake]
    arguments = [str(checkpoint_of(workplace)) if a == "CHECKPOINT" else a for a in arguments]
    name = f"mistake-{mistake}-{'torchrun' if launcher else 'launcher'}"
    arguments = [*launcher, "-m", "crystal_embed", *arguments, "--trainer.devices", "2"]
    arguments += ["--allow-module", "processes_toy"]
    process = start(workplace, name, arguments)
    status, out, _ = finish(workplace, name, process)
    for _ in range(300):
        if not left_over(process.pid):
            break
        time.sleep(0.1)
    assert left_over(process.pid) == []
    assert status not in {0, None}
    # Only now has a process that ended later said all that it had to say.
    err = (workplace / f"{name}.err").read_text("utf-8")
    ours = err.partition("torch/distributed/elastic")[0] if launcher else err
    errors = [line for line in ours.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, out + err
    assert message in errors[0]
    assert "Traceback" not in ours
    assert "gloo" not in err
    assert "frame #" not in err


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_once(workplace: Path, one: Place, mistake: str) -> None:
    check_mistake(workplace, mistake, ())


@pytest.mark.long
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_once_under_torchrun(workplace: Path, one: Place, mistake: str) -> None:
    check_mistake(workplace, mistake, TORCHRUN)
