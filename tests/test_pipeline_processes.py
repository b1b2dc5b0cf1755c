"""`crystal run` over several processes: by its own options, by torchrun, with SLURM's variables."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from crystal_apps import quickstart

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

QUICKSTART = Path(quickstart.__file__).with_name("pipeline.yaml")
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    shutil.copytree(QUICKSTART.parent, folder, dirs_exist_ok=True)
    for name in ("transformer.yaml", "cgcnn.yaml"):
        config = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        config["trainer"]["max_epochs"] = 2
        (folder / name).write_text(yaml.safe_dump(config), encoding="utf-8")
    content = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    axis = content["stages"]["cgcnn"]["vary"]["table"]
    content["stages"]["cgcnn"]["vary"]["table"] = {"universal": axis["universal"]}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "pipeline.yaml"


def arguments(file, out, *extra):
    return ["-m", "crystal_apps", "run", str(file), "--out", str(out), *extra]


def run(*command, **variables):
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="module")
def alone(file):
    out = file.parent / "alone"
    done = run(*arguments(file, out))
    assert done.returncode == 0, done.stderr
    return out


def rows(out, stage):
    with (out / stage / "seed-0/predictions/test.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def assert_like(out, alone):
    """Every row once, in order, and the first stage as trained by one process but for rounding.

    In the second one the first steps of Adam make more of rounding: they look at signs.
    """
    for stage, tolerance in (("transformer", 1e-3), ("cgcnn/universal", 0.1)):
        found, expected = rows(out, stage), rows(alone, stage)
        assert [row["id"] for row in found] == [row["id"] for row in expected]
        values, others = (
            np.array([float(row["formation_energy_per_atom [eV/atom]"]) for row in table])
            for table in (found, expected)
        )
        assert np.sqrt(np.square(values - others).mean()) < tolerance * others.std(), stage
    records = [json.loads(path.read_text()) for path in out.rglob("stage.json")]
    assert [record["state"] for record in records] == ["done"] * 2


def test_devices_and_strategy_reach_every_stage(file, alone):
    out = file.parent / "devices"
    done = run(*arguments(file, out, "--devices", "2", "--strategy", "ddp"))
    assert done.returncode == 0, done.stderr
    assert_like(out, alone)
    for config in out.rglob("config.yaml"):
        trainer = yaml.safe_load(config.read_text(encoding="utf-8"))["trainer"]
        assert trainer["strategy"] == "ddp"


@pytest.mark.long  # processes that the strategy starts go the same way above
def test_torchrun_goes_through_the_stages_in_step(file, alone):
    out = file.parent / "torchrun"
    done = run(*TORCHRUN, *arguments(file, out))
    assert done.returncode == 0, done.stderr
    assert_like(out, alone)
    assert done.stdout.count("transformer · seed 0") == 1
    assert done.stdout.count("mean ± std over seeds") == 1
    # Once more, and nothing is left to do; and one process says so.
    done = run(*TORCHRUN, *arguments(file, out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished before") == 2
    assert_like(out, alone)


@pytest.mark.long
def test_slurm_goes_through_the_stages_in_step(file, alone):
    out = file.parent / "slurm"
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    variables = {
        "SLURM_JOB_ID": "1234",
        "SLURM_JOB_NAME": "pipeline",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "127.0.0.1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, *arguments(file, out)],
            env=os.environ
            | {"OMP_NUM_THREADS": "1"}
            | variables
            | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(600) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert_like(out, alone)


@pytest.mark.long
def test_a_failure_ends_all_processes(file, alone):
    broken = file.parent / "broken"
    shutil.copytree(
        file.parent, broken, ignore=lambda *_: ["alone", "torchrun", "devices", "slurm"]
    )
    config = yaml.safe_load((broken / "transformer.yaml").read_text(encoding="utf-8"))
    config["data"]["init_args"]["train_size"] = 10**6
    (broken / "transformer.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = run(*TORCHRUN, *arguments(broken / "pipeline.yaml", broken / "out"))
    assert done.returncode != 0
    assert done.stdout.count("failed: ") == 2  # the stage, and the one that needs it
    assert "train_size is 1000000" in done.stdout
