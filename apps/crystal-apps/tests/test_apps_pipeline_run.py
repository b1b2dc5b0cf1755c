"""Pipelines at work: what is run again and what is not, failures, two commands in one folder."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from crystal_apps.pipeline.command import add_options, common_options, main, run_pipeline
from crystal_apps.pipeline.ranks import Ranks
from crystal_apps.pipeline.schedule import Schedule, share
from crystal_apps.pipeline.spec import PipelineError, read_pipeline
from crystal_apps.pipeline.task import Task
from crystal_apps.quickstart.command import PIPELINE
from crystal_data.processes.signals import until_signal

STAGES: dict[str, Any] = {
    "transformer": {
        "config": "transformer.yaml",
        "commands": ["fit"],
        "options": {"trainer.max_epochs": 1, "data.train_size": 64},
    },
    "cgcnn": {
        "config": "cgcnn.yaml",
        "options": {"trainer.max_epochs": 2, "data.train_size": 40},
        "vary": {
            "table": {
                "one-hot": {"model.model.element_table": "one_hot"},
                "universal": {"model.model.element_table": "permuted:${seed}:${transformer}"},
            }
        },
    },
}


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def pipeline(folder: Path, stages: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("transformer.yaml", "cgcnn.yaml"):
        shutil.copy(PIPELINE.with_name(name), folder)
    file = folder / "small.yaml"
    file.write_text(
        yaml.safe_dump({"seeds": [2], "stages": stages}, sort_keys=False), encoding="utf-8"
    )
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    file = pipeline(folder, STAGES)
    assert main([str(file), "--out", str(folder / "out"), "--jobs", "2"]) == 0
    return folder


def tasks(file: Path, out: Path) -> list[Task]:
    return [Task(run, out) for run in read_pipeline(file).runs()]


class Heard:
    """Notes what a schedule says."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def started(self, task: Task) -> None:
        self.said[task.run.name] = "started"

    def epoch(self, task: Task, done: int, total: int) -> None:
        pass

    def finished(self, task: Task, *, before: bool) -> None:
        self.said[task.run.name] = "before" if before else "ran"

    def failed(self, task: Task, reason: str) -> None:
        self.said[task.run.name] = reason


def run_all(file: Path, out: Path) -> dict[str, str]:
    heard = Heard()
    schedule = Schedule(tasks(file, out), heard)
    schedule.check()
    schedule.run()
    return heard.said


@pytest.mark.slow
def test_every_run_leaves_its_results(finished: Path) -> None:
    out = finished / "out"
    assert sorted(path.parent.name for path in out.rglob("stage.json")) == ["seed-2"] * 3
    config = (out / "cgcnn/universal/seed-2/config.yaml").read_text(encoding="utf-8")
    assert "permuted:2:" in config
    assert "seed_everything: 2" in config
    results = json.loads((out / "cgcnn/one-hot/seed-2/results.json").read_text(encoding="utf-8"))
    assert {"test/mae", "val/mae"} <= {result["metric"] for result in results["results"]}
    assert not (out / "transformer/seed-2/predictions").exists()  # it was only fitted
    log = (out / "cgcnn/one-hot/seed-2/log.txt").read_text(encoding="utf-8")
    assert "epoch 2/2" in log


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(finished: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(finished / "out", tmp_path / "elsewhere")
    # Neither the place of the folder nor comments of a config count.
    file = pipeline(tmp_path / "again", STAGES)
    config = file.with_name("cgcnn.yaml")
    config.write_text("# a remark\n" + config.read_text(encoding="utf-8"), encoding="utf-8")
    assert set(run_all(file, moved).values()) == {"before"}


@pytest.mark.slow
def test_what_counts_for_the_key(finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished / "out", tmp_path / "out")
    file = finished / "small.yaml"
    key = {task.run.name: task.key("data") for task in tasks(file, out)}
    assert len(set(key.values())) == 3
    assert all(task.key("other data") != key[task.run.name] for task in tasks(file, out))

    weights = out / "transformer/seed-2/artifact/model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"0")
    now = {task.run.name: task.key("data") for task in tasks(file, out)}
    # Just what started from these weights, though their folder stands within a longer name.
    assert [name for name in key if key[name] != now[name]] == ["cgcnn/universal/seed-2"]

    changed = json.loads(json.dumps(STAGES))
    changed["cgcnn"]["options"]["trainer.max_epochs"] = 3
    other = {t.run.name: t.key("data") for t in tasks(pipeline(tmp_path / "b", changed), out)}
    assert [name for name in now if now[name] != other[name]] == [
        "cgcnn/one-hot/seed-2",
        "cgcnn/universal/seed-2",
    ]


@pytest.mark.slow
def test_one_failure_stops_only_what_needs_it(finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished / "out", tmp_path / "out")
    stages = json.loads(json.dumps(STAGES))
    stages["transformer"]["options"]["data.train_size"] = 10**6
    said = run_all(pipeline(tmp_path / "a", stages), out)
    assert "train_size is 1000000" in said["transformer/seed-2"]
    assert "log.txt" in said["transformer/seed-2"]
    assert said["cgcnn/universal/seed-2"] == "needs transformer · seed 2"
    assert said["cgcnn/one-hot/seed-2"] == "before"
    record = json.loads((out / "transformer/seed-2/stage.json").read_text(encoding="utf-8"))
    assert record["state"] == "started"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainer.max_epochz": 3}, "cgcnn · one-hot · seed 2: .*max_epochs"),
        ({"data.batch_size": "many"}, "cgcnn · one-hot · seed 2: .*batch_size"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    stages = json.loads(json.dumps(STAGES))
    stages["cgcnn"]["options"] |= changes
    file = pipeline(tmp_path / "a", stages)
    with pytest.raises(PipelineError, match=message):
        run_all(file, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("stage.json"))


def test_foreign_folders_and_two_commands_at_once(tmp_path: Path) -> None:
    file = pipeline(tmp_path / "a", {"transformer": STAGES["transformer"]})
    thesis = tmp_path / "out/transformer/seed-2/thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    said = run_all(file, tmp_path / "out")
    assert "holds files that no pipeline made" in said["transformer/seed-2"]
    assert thesis.exists()
    with (
        FileLock(tmp_path / "out/.lock"),
        pytest.raises(PipelineError, match="works in this folder"),
    ):
        run_pipeline(read_pipeline(file), tmp_path / "out", options())


class Sleeping(Task):
    """Its process sleeps, and tells the test when it does."""

    def execute(self, progress: Any, environment: Any, rank: int = 0, started: Any = None) -> None:
        code = "import time; print(flush=True); time.sleep(60)"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            started(process)
            assert process.stdout is not None
            process.stdout.readline()
            os.kill(os.getpid(), signal.SIGTERM)
        raise PipelineError(f"status {process.returncode}")


class Silent:
    """Takes all reports."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: None


def test_a_signal_ends_the_processes_of_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pipeline(tmp_path, {"cgcnn": STAGES["cgcnn"] | {"vary": {}}})
    tasks = [Sleeping(run, tmp_path / "out") for run in read_pipeline(file).runs()]
    schedule = Schedule(tasks, Silent())
    started = time.monotonic()
    assert until_signal("crystal", lambda: len(schedule.run())) == 143
    assert time.monotonic() - started < 30
    assert capsys.readouterr().err == "crystal: terminated\n"
    assert not any(task.is_done(task.key(schedule.fingerprint(task))) for task in tasks)


def test_options_that_say_where_to_run() -> None:
    chosen = options("--devices", "2", "--strategy", "ddp", "--data-root", "d")
    common = common_options(chosen, num_nodes=1, world_size=1)
    assert common == ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--data_root", "d"]
    # Whoever started the processes has said how many there are.
    started = common_options(options(), num_nodes=2, world_size=8)
    assert started[:4] == ["--trainer.devices", "4", "--trainer.num_nodes", "2"]
    with pytest.raises(PipelineError, match="--jobs 0"):
        run_pipeline(read_pipeline(PIPELINE), Path("nowhere"), options("--jobs", "0"))


def test_the_data_root_is_where_data_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRYSTAL_DATA_HOME", str(tmp_path / "elsewhere"))
    for split in ("train", "val", "test"):
        file = tmp_path / "data" / "mp_20" / f"{split}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("material_id,cif\n")
    fingerprints = []

    def ask(schedule: Schedule) -> list[Any]:
        fingerprints.extend(schedule.fingerprint(task) for task in schedule.tasks)
        return []

    monkeypatch.setattr(Schedule, "run", ask)
    stage = {
        "config": "cgcnn.yaml",
        "options": {"data.source": {"class_path": "crystal_data.MP20"}},
    }
    chosen = options("--data-root", str(tmp_path / "data"))
    file = pipeline(tmp_path / "files", {"only": stage})
    status, _ = run_pipeline(read_pipeline(file), tmp_path / "out", chosen)
    assert status == 0
    assert len(fingerprints) == 1


def test_each_job_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    shares = [share(place, 2) for place in range(2)]
    assert [one["OMP_NUM_THREADS"] for one in shares] == ["4", "4"]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shares] == ["4,5", "6,7"]
    assert share(0, 1) == {}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in share(0, 2)


class Store(dict[str, str]):
    """As torch's, for processes that take turns."""

    def set(self, key: str, value: str) -> None:
        self[key] = value

    def get(self, key: str) -> bytes:  # type: ignore[override]
        return self[key].encode()


def test_the_first_process_decides_for_all() -> None:
    store = Store()
    first, second = (Ranks(rank, 2, store=store) for rank in range(2))
    assert first.agree(lambda: ["key", True, 1]) == ["key", True, 1]
    assert second.agree(lambda: pytest.fail("asked the second")) == ["key", True, 1]

    def fail() -> Sequence[str]:
        raise PipelineError("no such thing")

    for process in (first, second):
        with pytest.raises(PipelineError, match="no such thing"):
            process.agree(fail)
    assert first.agree(lambda: 3) == second.agree(lambda: 4) == 3
    store["crystal/4/1"] = "0"
    assert not first.all_well(is_well=True)
    assert first.environment(1234)["MASTER_PORT"] == "1234"
    assert Ranks().environment(1234) == {}


def test_the_first_process_ends_when_the_others_have_their_answers() -> None:
    from torch.distributed import TCPStore

    server = TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    client = TCPStore("127.0.0.1", server.port, 2, is_master=False, wait_for_workers=False)
    first, second = Ranks(0, 2, store=server), Ranks(1, 2, store=client)
    first.agree(lambda: "the last answer")
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(first.leave)
        with pytest.raises(TimeoutError):
            leaving.result(timeout=0.3)
        assert second.agree(lambda: None) == "the last answer"
        second.leave()
        leaving.result(timeout=30)
    Ranks().leave()
