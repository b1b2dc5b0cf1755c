"""Two processes pre-train as one does: fillers count in no loss and no metric."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HELPERS = Path(__file__).parent / "several_processes"
CORRUPTIONS = [
    {"class_path": "crystal_data.transforms.MaskAtoms"},
    {"class_path": "crystal_data.transforms.PerturbAtoms"},
    {"class_path": "crystal_data.transforms.PerturbLattice"},
]
MODEL = {
    "class_path": "crystal_embed.CrystalTransformer",
    "init_args": {
        "element_width": 8,
        "num_layers": 1,
        "num_heads": 2,
        "feedforward_width": 16,
        "dropout": 0.0,
        "geometry": "periodic",
        "cutoff": 3.0,
    },
}
CONFIG = {
    "seed_everything": 3,
    "trainer": {"accelerator": "cpu", "max_epochs": 2, "precision": "64-true"},
    "model": {
        "class_path": "crystal_embed.PretrainingModule",
        "init_args": {
            "model": MODEL,
            "corruptions": CORRUPTIONS,
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.02}},
        },
    },
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        "init_args": {
            "source": {
                "class_path": "crystal_data.JoinedSource",
                "init_args": {"sources": [{"class_path": "processes_toy.Holes"}]},
            },
            # Of 33 rows the last step has one, and the other process a filler.
            "batch_size": 8,
            "balance": "source",
        },
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretraining")
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    for devices in (1, 2):
        command = ["fit", "--config", "pretrain.yaml", "--trainer.devices", str(devices)]
        command += ["--trainer.default_root_dir", str(devices), "--data.cache", "cache"]
        (folder / "commands.json").write_text(json.dumps([command]), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(HELPERS / "run_commands.py"), "commands.json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": _path(), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _path() -> str:
    return os.pathsep.join([str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_weights_are_those_of_one_process(runs: Path) -> None:
    one, two = (
        torch.load(runs / f"{devices}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for devices in (1, 2)
    )
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, atol=1e-9, rtol=1e-7, msg=name)


def test_metrics_are_those_of_one_process(runs: Path) -> None:
    tables = []
    for devices in (1, 2):
        with (runs / f"{devices}/metrics.csv").open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert len(tables[0]) == len(tables[1]) == 2
    for one, two in zip(*tables, strict=True):
        assert {"val/loss", "train/loss", "val/masked_accuracy/holes"} <= one.keys()
        numbers = [{name: float(value) for name, value in row.items()} for row in (one, two)]
        # Sums of the metrics are in single precision.
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-5)


def test_counts_are_those_of_one_process(runs: Path) -> None:
    one, two = (
        {
            result["metric"]: result["num_samples"]
            for result in json.loads((runs / f"{devices}/results.json").read_text())["results"]
        }
        for devices in (1, 2)
    )
    assert one == two
    assert one["val/masked_accuracy"] > 0
