"""More processes than rows, and rows that do not divide evenly: as one process has it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from crystal_data.io.cif import to_cif
from crystal_data.testing import random_crystals

HELPERS = Path(__file__).parent / "several_processes"
SPLITS = ["train"] * 3 + ["val", "test"]
CONFIG = {
    "trainer": {
        "max_epochs": 3,
        "accelerator": "cpu",
        "strategy": "ddp",
        "num_sanity_val_steps": 0,
    },
    "model": {
        "class_path": "PropertyModule",
        "init_args": {
            "targets": "gap",
            "model": {"class_path": "CGCNN", "init_args": {"width": 8, "num_convolutions": 1}},
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}},
        },
    },
    "data": {
        "class_path": "CrystalDataModule",
        "init_args": {
            "source": {"class_path": "TableSource", "init_args": {"path": "crystals.csv"}},
            "split": {"class_path": "ColumnSplit"},
            "batch_size": 2,
        },
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five crystals: three to train on in steps of two, one to validate, one to test."""
    folder = tmp_path_factory.mktemp("few")
    with (folder / "crystals.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "cif", "gap", "split"])
        for number, crystal in enumerate(random_crystals(len(SPLITS), seed=3)):
            table.writerow([f"c{number}", to_cif(crystal), 1.0 + number, SPLITS[number]])
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    for devices in (1, 2):
        common = ["--config", "config.yaml", "--trainer.devices", str(devices)]
        common += ["--trainer.default_root_dir", f"run-{devices}"]
        commands = [[command, *common] for command in ("fit", "test", "predict")]
        (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(HELPERS / "run_commands.py"), "commands.json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HELPERS), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def numbers(place: Path, devices: int, file: str) -> list[dict[str, str]]:
    with (place / f"run-{devices}" / file).open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


@pytest.mark.slow
def test_metrics_are_those_of_one_process(place: Path) -> None:
    alone, together = (numbers(place, devices, "metrics.csv") for devices in (1, 2))
    assert len(alone) == len(together) == 3
    for name in ("train/loss", "train/mae", "val/mae"):
        expected, found = ([float(row[name]) for row in rows] for rows in (alone, together))
        np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "count"), [("test", 1), ("predict", 5)])
def test_each_row_is_predicted_once(place: Path, file: str, count: int) -> None:
    alone, together = (numbers(place, devices, f"predictions/{file}.csv") for devices in (1, 2))
    assert [row["id"] for row in together] == [row["id"] for row in alone]
    assert len(together) == count
    values = [[float(row["gap"]) for row in rows] for rows in (alone, together)]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-4)
