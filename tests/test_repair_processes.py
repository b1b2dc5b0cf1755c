"""Two processes learn to repair as one does, without and with a discriminator."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HELPERS = Path(__file__).parent / "several_processes"
SIZES = {
    "num_layers": 1,
    "num_channels": 4,
    "hidden_channels": 4,
    "feedforward_channels": 4,
    "num_heads": 1,
    "value_channels": 2,
    "max_degree": 1,
    "max_order": 1,
    "edge_width": 4,
    "cutoff": 2.5,
}
OPTIMIZER = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.02}}
CORRUPTIONS = [
    {"class_path": "crystal_data.transforms.MaskAtoms"},
    {"class_path": "crystal_data.transforms.PerturbAtoms"},
]
MODEL = {"class_path": "crystal_gan.RepairModel", "init_args": {"sizes": SIZES}}
REPAIR = {
    "class_path": "crystal_gan.RepairModule",
    "init_args": {"model": MODEL, "corruptions": CORRUPTIONS, "optimizer": OPTIMIZER},
}
ADVERSARIAL = {
    "class_path": "crystal_gan.AdversarialModule",
    "init_args": {
        **REPAIR["init_args"],
        "discriminator": {
            "class_path": "crystal_gan.Equiformer",
            "init_args": {"num_outputs": 2, "sizes": SIZES},
        },
        "discriminator_optimizer": OPTIMIZER,
        "discriminator_every": 2,
    },
}
CONFIG = {
    "seed_everything": 3,
    "trainer": {"accelerator": "cpu", "max_epochs": 2, "precision": "64-true"},
    "data": {
        "class_path": "crystal_data.CrystalDataModule",
        # Of 33 rows the last step has one, and the other process a filler.
        "init_args": {"source": {"class_path": "processes_toy.Holes"}, "batch_size": 8},
    },
}
MODULES = {"repair": REPAIR, "adversarial": ADVERSARIAL}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repairs")
    for name, module in MODULES.items():
        config = {**CONFIG, "model": module}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    for devices in (1, 2):
        commands = []
        for name in MODULES:
            command = ["fit", "--config", f"{name}.yaml", "--trainer.devices", str(devices)]
            command += ["--trainer.default_root_dir", f"{name}-{devices}", "--data.cache", "cache"]
            commands.append(command)
        (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
        path = os.pathsep.join([str(HELPERS), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, str(HELPERS / "run_commands.py"), "commands.json"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _checkpoints(runs: Path, name: str) -> list[dict[str, Any]]:
    return [
        torch.load(runs / f"{name}-{devices}/checkpoints/last.ckpt", weights_only=True)
        for devices in (1, 2)
    ]


@pytest.mark.parametrize("name", MODULES)
def test_weights_are_those_of_one_process(runs: Path, name: str) -> None:
    one, two = (checkpoint["state_dict"] for checkpoint in _checkpoints(runs, name))
    assert one.keys() == two.keys()
    assert any(key.startswith("discriminator.") for key in one) == (name == "adversarial")
    for key, values in one.items():
        torch.testing.assert_close(two[key], values, atol=1e-9, rtol=1e-7, msg=key)


def test_the_discriminator_has_taken_steps(runs: Path) -> None:
    # Ten are of the generator, the others of the discriminator: after batches 0, 2 and 4, then
    # after 1 and 3.
    for checkpoint in _checkpoints(runs, "adversarial"):
        assert checkpoint["global_step"] == 15


@pytest.mark.parametrize("name", MODULES)
def test_metrics_are_those_of_one_process(runs: Path, name: str) -> None:
    tables = []
    for devices in (1, 2):
        with (runs / f"{name}-{devices}/metrics.csv").open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert len(tables[0]) == len(tables[1]) == 2
    expected = {"val/loss", "val/masked_accuracy", "val/position_error", "train/displacement_loss"}
    if name == "adversarial":
        expected |= {"train/adversarial_loss", "val/discriminator_accuracy"}
    for one, two in zip(*tables, strict=True):
        assert expected <= one.keys()
        numbers = [{key: float(value) for key, value in row.items()} for row in (one, two)]
        # Sums of the metrics are in single precision.
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_counts_are_those_of_one_process(runs: Path, name: str) -> None:
    one, two = (
        {
            result["metric"]: result["num_samples"]
            for result in json.loads((runs / f"{name}-{devices}/results.json").read_text())[
                "results"
            ]
        }
        for devices in (1, 2)
    )
    assert one == two
    assert one["val/masked_accuracy"] > 0
