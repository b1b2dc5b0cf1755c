"""What is prepared for a GPU runs on a CPU with the smallest sizes: lent time is short."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystal_data.io.cif import to_cif
from crystal_data.testing import random_crystals

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu" / "equiformer.py"


def write_mp20(folder: Path) -> None:
    """Files of MP-20 with a few random crystals."""
    folder.mkdir(parents=True)
    crystals = iter(random_crystals(40, seed=0))
    for part, count in (("train", 24), ("val", 8), ("test", 8)):
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("material_id", "cif", "formation_energy_per_atom"))
            for number in range(count):
                writer.writerow((f"{part}-{number}", to_cif(next(crystals)), -0.1 * number))


def run(*arguments: str, home: Path) -> str:
    places = {"CRYSTAL_DATA_HOME": str(home / "data"), "CRYSTAL_CACHE_HOME": str(home / "home")}
    # The CPU, also where there is a GPU: the test is of the steps.
    environment = {**os.environ, **places, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_speed_and_pretraining_of_the_equivariant_network(tmp_path: Path) -> None:
    write_mp20(tmp_path / "data" / "mp_20")
    cache, runs = tmp_path / "cache", tmp_path / "runs"
    run("prepare", "--cache", str(cache), home=tmp_path)
    # The public files are not there on the other machine.
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    options = ["--arms", "tiny", "--pretrain", "tiny", "--epochs", "2", "--workers", "0"]
    options += ["--seconds", "200", "--seconds-each", "0.1", "--no-compile"]
    run(
        "run", "--cache", str(cache), "--runs", str(runs), *options, "--precision", "32-true",
        home=tmp_path,
    )  # fmt: skip
    speeds = json.loads((runs / "speeds.json").read_text(encoding="utf-8"))
    assert set(speeds) == {"device", "tiny, float32", "tiny, bfloat16"}
    for way in ("tiny, float32", "tiny, bfloat16"):
        assert speeds[way]["crystals per second"] > 0
        assert 0 < speeds[way]["share of matrix products"] < 1
    curve = json.loads((runs / "curve.json").read_text(encoding="utf-8"))
    assert [point["epoch"] for point in curve["epochs"]] == [1, 2]
    assert all(0 <= point["val/masked_accuracy"] <= 1 for point in curve["epochs"])
