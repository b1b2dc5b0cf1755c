"""Pipelines and benchmarks whose configs name code to run: nothing of it is imported or called."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crystal_apps.benchmark.command import main as benchmark
from crystal_apps.pipeline.command import main as run
from crystal_apps.pipeline.spec import PipelineError, read_pipeline
from crystal_apps.pipeline.task import Task

OPTIMIZER = "model.optimizer"
SHELL = {"class_path": "os.system", "init_args": {"command": "touch executed"}}
FOREIGN = """
from pathlib import Path
from torch.optim import SGD
Path("executed").touch()
class Own(SGD):
    pass
"""
CONFIG: dict[str, Any] = {
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "devices": 1},
    "model": {
        "class_path": "crystal_data.training.PropertyModule",
        "init_args": {
            "model": {"class_path": "crystal_embed.CGCNN", "init_args": {"width": 4}},
            "targets": ["formation_energy_per_atom"],
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {"source": {"class_path": "crystal_data.BuiltinSource"}},
    },
}


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("foreign_code.py").write_text(FOREIGN, encoding="utf-8")
    yield
    sys.modules.pop("foreign_code", None)


def pipeline(options: dict[str, Any]) -> Path:
    Path("configs/benchmarks").mkdir(parents=True)
    Path("model.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    file = Path("small.yaml")
    stages = {"one": {"config": "model.yaml", "options": options}}
    file.write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    table = {"title": "t", "stage": "one", "metric": "test/mae"}
    spec = {"title": "b", "pipeline": "../../small.yaml", "tables": [table]}
    Path("configs/benchmarks/small.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    return file


@pytest.mark.parametrize("command", [run, benchmark], ids=["run", "benchmark"])
@pytest.mark.parametrize(
    "options",
    [
        {OPTIMIZER: SHELL},
        {OPTIMIZER: "foreign_code.Own"},
        {OPTIMIZER: {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "."}}},
        {OPTIMIZER: "foreign_code.Own", "allow-module": "foreign_code"},
        {OPTIMIZER: "foreign_code.Own", "allow-module=foreign_code": 1},
        {OPTIMIZER: "foreign_code.Own", "init_from": "--allow-module=foreign_code"},
    ],
)
def test_a_pipeline_runs_nothing(
    command: Any, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = pipeline(options)
    arguments = [str(file)] if command is run else ["run", "configs/benchmarks/small.yaml"]
    assert command(arguments) == 1
    assert not Path("executed").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: one · seed 0: ")
    assert len(error.splitlines()) == len(options)  # a line for each mistake


@pytest.mark.slow
def test_the_process_of_a_run_takes_no_module_from_a_file(tmp_path: Path) -> None:
    """Neither by an option of the pipeline nor by a file in the working folder with its name."""
    file = pipeline({OPTIMIZER: "foreign_code.Own", "allow-module": "foreign_code"})
    Path("torch.py").write_text(FOREIGN, encoding="utf-8")
    task = Task(read_pipeline(file).runs()[0], tmp_path / "out")
    task.folder.mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": ""}
    with pytest.raises(PipelineError, match=r"status 2: .*allow-module"):
        task.execute(lambda done, total: None, environment)
    assert not Path("executed").exists()


def test_the_user_can_add_a_module(tmp_path: Path) -> None:
    file = pipeline({OPTIMIZER: "foreign_code.Own"})
    task = Task(read_pipeline(file).runs()[0], tmp_path / "out", (), ("foreign_code",))
    from crystal_apps.pipeline.check import read_data_module

    read_data_module("one", task.options, task.allow_modules)
    assert Path("executed").exists()
