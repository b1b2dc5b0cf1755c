"""Trainings killed for good, by SIGKILL, and started again: nothing is lost, nobody is left."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
import yaml

from crystal_apps import quickstart

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc who is there"),
]

CONFIG = {
    "seed_everything": 1,
    "trainer": {
        "max_epochs": 12,
        "accelerator": "cpu",
        "devices": 1,
        "callbacks": [{"class_path": "crystal_data.training.EMA", "init_args": {"decay": 0.9}}],
    },
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "model": {
                "class_path": "crystal_embed.CrystalTransformer",
                "init_args": {
                    "element_width": 8,
                    "num_layers": 1,
                    "num_heads": 2,
                    "feedforward_width": 16,
                    "dropout": 0.2,
                },
            },
            "targets": ["lattice_energy_per_atom"],
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.02}},
            "lr_scheduler": {"class_path": "crystal_data.training.OneCycle"},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {"class_path": "crystal_data.BuiltinSource"},
            "batch_size": 16,
            "train_size": 96,
            "transforms": [{"class_path": "crystal_data.transforms.RandomRotation"}],
        },
    },
}
TWO_OPTIMIZERS = {
    **CONFIG,
    "model": {
        "class_path": "two_optimizers.TwoOptimizers",
        "init_args": {**CONFIG["model"]["init_args"], "target": "lattice_energy_per_atom"},
    },
}
del TWO_OPTIMIZERS["model"]["init_args"]["targets"]
HELPERS = Path(__file__).parent / "several_processes"
TWO_PROCESSES = ("--trainer.strategy", "ddp", "--trainer.devices", "2")

# A user's callback that makes checkpoints slow to write, so that a kill can hit one half written.
SLOW_WRITES = """
import time
from collections import OrderedDict
from lightning.pytorch import Callback

class Slow:
    def __reduce__(self):
        time.sleep(0.5)
        return OrderedDict, ()

class SlowWrites(Callback):
    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        checkpoint["slow"] = Slow()
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    for name, config in (("config", CONFIG), ("two-optimizers", TWO_OPTIMIZERS)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "slow_writes.py").write_text(SLOW_WRITES, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def undisturbed(workplace):
    run = workplace / "undisturbed"
    with fit(run) as process:
        assert process.wait(120) == 0
    return run


@contextmanager
def fit(run: Path, *extra: str, config: str = "config") -> Iterator[subprocess.Popen]:
    """A training of the config, resumed where there is something to resume."""
    command = [sys.executable, "-m", "crystal_apps", "fit", "--config", f"{config}.yaml"]
    command += ["--allow-module", "slow_writes", "--allow-module", "two_optimizers"]
    command += ["--trainer.default_root_dir", str(run), *extra]
    if (run / "checkpoints/last.ckpt").is_file():
        command += ["--ckpt_path", "last"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(run.parent), str(HELPERS)])}
    environment.pop("PL_GLOBAL_SEED", None)
    with (run.parent / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            command, cwd=run.parent, env=environment, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(found: Callable[[], object], process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not found():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def half_written(run: Path) -> list[Path]:
    return list((run / "checkpoints").glob(".*"))


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def are_gone(pids: set[int]) -> bool:
    # They end within a second on an idle machine, and wait for each other for many minutes if not.
    end = time.monotonic() + 30
    while time.monotonic() < end and any(map(is_alive, pids)):
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def assert_equal(one: object, two: object) -> None:
    """Numbers, tensors and what holds them, bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(two)
        for first, second in zip(one, two, strict=True):
            assert_equal(first, second)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two


def assert_same(run: Path, other: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        one, two = (torch.load(r / "checkpoints" / name, weights_only=True) for r in (run, other))
        assert one["epoch"] == two["epoch"]
        for part in ("state_dict", "current_model_state"):
            for key, tensor in one[part].items():
                assert torch.equal(tensor, two[part][key]), (name, part, key)
        assert_equal(one["optimizer_states"], two["optimizer_states"])
        assert_equal(one["lr_schedulers"], two["lr_schedulers"])
    for name in ("artifact/model.safetensors", "artifact/metadata.json", "metrics.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert (run / "results.json").read_bytes() == (other / "results.json").read_bytes()
    assert {path.name for path in run.iterdir()} == {path.name for path in other.iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def kill_at_any_moment(run: Path, rng: random.Random, *extra: str) -> None:
    """Kills once, between the first epoch that the process trains and its end."""
    metrics = run / "metrics.csv"
    before = metrics.stat().st_mtime_ns if metrics.exists() else 0
    with fit(run, *extra) as process:
        wait_for(lambda: metrics.exists() and metrics.stat().st_mtime_ns > before, process)
        time.sleep(rng.uniform(0.0, 0.6))
        started = descendants(process.pid)
        assert bool(started) == bool(extra)
        kill(process)
    assert are_gone(started)


def finish(run: Path, *extra: str, config: str = "config") -> None:
    with fit(run, *extra, config=config) as process:
        assert process.wait(120) == 0


def test_killed_at_some_moment_and_while_a_checkpoint_was_written(undisturbed, workplace):
    run = workplace / "killed"
    kill_at_any_moment(run, random.Random(0))
    with fit(run, "--trainer.callbacks+=slow_writes.SlowWrites") as process:
        wait_for(lambda: half_written(run), process)
        kill(process)
    assert half_written(run)
    finish(run)
    assert_same(undisturbed, run)


def test_the_second_process_ends_with_the_first(workplace):
    kill_at_any_moment(workplace / "two-ended", random.Random(1), *TWO_PROCESSES)


def test_two_processes_resume_exactly(workplace):
    finish(workplace / "two", *TWO_PROCESSES)
    run = workplace / "two-killed"
    for seed in range(2):
        kill_at_any_moment(run, random.Random(seed), *TWO_PROCESSES)
    finish(run, *TWO_PROCESSES)
    assert_same(workplace / "two", run)


def kill_ten_times(run: Path, rng: random.Random, config: str) -> None:
    for _ in range(10):
        with fit(run, config=config) as process:
            # Mostly while it imports or trains; a process that is done has nothing to lose.
            try:
                assert process.wait(rng.uniform(1.0, 8.0)) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                # Between the two it may have come to its end.
                assert process.wait() in (0, -signal.SIGKILL)
    finish(run, config=config)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_killed_ten_times(undisturbed, workplace, seed):
    run = workplace / f"killed-{seed}"
    kill_ten_times(run, random.Random(seed), "config")
    assert_same(undisturbed, run)


@pytest.mark.long
def test_two_optimizers_killed_ten_times(workplace):
    undisturbed, run = workplace / "two-undisturbed", workplace / "two-optimizers-killed"
    finish(undisturbed, config="two-optimizers")
    last = torch.load(undisturbed / "checkpoints/last.ckpt", weights_only=True)
    assert len(last["optimizer_states"]) == len(last["lr_schedulers"]) == 2
    kill_ten_times(run, random.Random(2), "two-optimizers")
    assert_same(undisturbed, run)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0.0, id="importing"),
        pytest.param(2.0, id="loading", marks=pytest.mark.long),
        pytest.param(20.0, id="waiting", marks=pytest.mark.long),
    ],
)
def test_the_second_process_ends_before_it_has_met_the_first(workplace, seconds):
    with fit(workplace / "never", *TWO_PROCESSES) as process:
        wait_for(lambda: descendants(process.pid), process)
        # The first one stands still while the second one goes on, up to where it waits.
        process.send_signal(signal.SIGSTOP)
        second = descendants(process.pid)
        time.sleep(seconds)
        assert all(map(is_alive, second))
        kill(process)
    assert are_gone(second)


QUICKSTART = Path(quickstart.__file__).with_name("pipeline.yaml")
TWO_DEVICES = ("--devices", "2", "--strategy", "ddp")


def pipeline(folder: Path, epochs: int | None = None, tables: int = 4) -> Path:
    """A copy of the quickstart's pipeline, smaller if wished, that writes a little slower."""
    shutil.copytree(QUICKSTART.parent, folder)
    (folder / "slow_writes.py").write_text(SLOW_WRITES.replace("0.5", "0.05"), encoding="utf-8")
    for name in ("transformer.yaml", "cgcnn.yaml"):
        config = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        config["trainer"]["max_epochs"] = epochs or config["trainer"]["max_epochs"]
        config["trainer"]["callbacks"] = ["slow_writes.SlowWrites"]
        (folder / name).write_text(yaml.safe_dump(config), encoding="utf-8")
    file = folder / "pipeline.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    axis = content["stages"]["cgcnn"]["vary"]["table"]
    content["stages"]["cgcnn"]["vary"]["table"] = dict(list(axis.items())[-tables:])
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


@contextmanager
def crystal_run(file: Path, out: Path, *extra: str) -> Iterator[subprocess.Popen]:
    """`crystal run` of a pipeline, with one thread for each process."""
    command = [sys.executable, "-m", "crystal_apps", "run", str(file), "--out", str(out), *extra]
    command += ["--allow-module", "slow_writes"]
    environment = os.environ | {"PYTHONPATH": str(file.parent), "OMP_NUM_THREADS": "1"}
    with (out.parent / "output.txt").open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def run_through(file: Path, out: Path, *extra: str) -> None:
    with crystal_run(file, out, *extra) as process:
        assert process.wait(1800) == 0


def wait_while_it_runs(found: Callable[[], object], process: subprocess.Popen) -> None:
    while process.poll() is None and not found():
        time.sleep(0.002)


def trainings(process: subprocess.Popen) -> set[int]:
    """The processes that a pipeline has started itself; of several devices those of rank 0."""
    found = set()
    for child in descendants(process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{child}/stat").read_text(encoding="utf-8")
            if int(status.rpartition(")")[2].split()[1]) == process.pid:
                found.add(child)
    return found


def kill_the_command(process: subprocess.Popen, out: Path, rng: random.Random) -> set[int]:
    wait_while_it_runs(lambda: trainings(process), process)
    time.sleep(rng.uniform(0.0, 15.0))
    started = descendants(process.pid)
    process.kill()
    return started


def kill_the_trainings(process: subprocess.Popen, out: Path, rng: random.Random) -> set[int]:
    wait_while_it_runs(lambda: trainings(process), process)
    time.sleep(rng.uniform(4.0, 15.0))
    started = descendants(process.pid)
    for training in trainings(process):
        with suppress(ProcessLookupError):
            os.kill(training, signal.SIGKILL)
    assert are_gone(started) or process.poll() is None
    process.kill()
    return started


def kill_while_a_checkpoint_is_written(
    process: subprocess.Popen, out: Path, rng: random.Random
) -> set[int]:
    def writing() -> list[Path]:
        return [path for path in out.rglob("checkpoints/.*") if path.is_file()]

    wait_while_it_runs(writing, process)
    started = descendants(process.pid)
    for training in trainings(process):
        with suppress(ProcessLookupError):
            os.kill(training, signal.SIGKILL)
    process.kill()
    assert writing() or not started
    return started


def assert_same_pipeline(out: Path, other: Path) -> None:
    runs = sorted(path.parent.relative_to(out) for path in out.rglob("stage.json"))
    assert runs == sorted(path.parent.relative_to(other) for path in other.rglob("stage.json"))
    for run in runs:
        one, two = (
            torch.load(place / run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
            for place in (out, other)
        )
        assert all(torch.equal(one[name], two[name]) for name in one), run
        for name in ("artifact/model.safetensors", "predictions/test.csv", "results.json"):
            assert (out / run / name).read_bytes() == (other / run / name).read_bytes(), run / name


@pytest.mark.long
def test_a_killed_pipeline_leaves_nobody_and_goes_on(tmp_path):
    file, out = pipeline(tmp_path / "pipeline", epochs=3, tables=1), tmp_path / "out"
    first = out / "transformer/seed-0"
    with crystal_run(file, out) as process:
        wait_for((first / "checkpoints/last.ckpt").exists, process)
        started = descendants(process.pid)
        assert started
        kill(process)
    assert are_gone(started)
    run_through(file, out, "--jobs", "2")
    lines = (first / "log.txt").read_text(encoding="utf-8").splitlines()
    # The second process began behind it; the first was perhaps killed before it said so.
    assert sum(line.startswith("epoch 1/3") for line in lines) <= 1
    assert sum(line.startswith("epoch 3/3") for line in lines) == 1
    run_through(file, tmp_path / "undisturbed", "--jobs", "2")
    assert_same_pipeline(tmp_path / "undisturbed", out)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("extra", [("--jobs", "2"), TWO_DEVICES], ids=["one", "two devices"])
def test_a_pipeline_of_the_quickstarts_size_killed_ten_times(tmp_path, extra):
    # Over two devices everything takes twice as long.
    file = pipeline(tmp_path / "pipeline", tables=1 if extra == TWO_DEVICES else 4)
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    run_through(file, undisturbed, *extra)
    rng = random.Random(0)
    ways = [kill_while_a_checkpoint_is_written, kill_the_trainings, kill_the_command]
    for number in range(10):
        with crystal_run(file, out, *extra) as process:
            started = ways[number % 3](process, out, rng)
        assert process.returncode, f"it came to its end after {number} kills"
        assert are_gone(started)
    run_through(file, out, *extra)
    assert_same_pipeline(undisturbed, out)
