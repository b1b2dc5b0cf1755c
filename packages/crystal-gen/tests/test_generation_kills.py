"""`crystal-gen generate --model`: killed and run again, by one process and by two: same files."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from crystal_data.generation import tasks_of
from crystal_data.symmetry import find_orbits
from crystal_data.testing import ToyGenerator, toy_requests
from crystal_gen import CrystalDiT
from crystal_gen.batches import batch_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_FILES = ("generation.json", "samples.jsonl", "structures.extxyz", "summary.csv")
_KILLS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a table of requests over all crystal systems, and what comes of them."""
    folder = tmp_path_factory.mktemp("kills")
    torch.manual_seed(0)
    model = CrystalDiT((), width=16, num_layers=1, pair_width=8, num_heads=2)
    made = [ToyGenerator().sample(task).crystal for task in tasks_of(toy_requests())]
    known = [find_orbits(crystal) for crystal in made if crystal is not None]
    model.fit_scales(batch_of(known, range(len(known)), {}))
    model.save_pretrained(folder / "model")
    rows = [each.as_dict() for each in toy_requests() if each.wyckoff]
    lines = [f"{row['id']},{row['space_group']},{row['wyckoff']}\n" for row in rows]
    table = "".join(["id,space_group,wyckoff\n", *lines])
    (folder / "wishes.csv").write_text(table, encoding="utf-8")
    assert started(folder, "whole").wait() == 0
    return folder


def started(folder: Path, out: str, num_processes: int = 1) -> subprocess.Popen[bytes]:
    options = "--model model --requests wishes.csv --n 48 --steps 6"
    options += f" --num-processes {num_processes} --out {out}"
    command = [sys.executable, "-m", "crystal_gen", "generate", *options.split()]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [folder / name for name in _FILES] + sorted((folder / "cif").glob("*.cif"))
    return {path.name: path.read_bytes() for path in paths}


def size_of_shards(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "shards").glob("*.jsonl"))


def test_two_processes_write_the_files_of_one(folder: Path) -> None:
    assert started(folder, "two", num_processes=2).wait() == 0
    assert files_of(folder / "two") == files_of(folder / "whole")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("num_processes", [pytest.param(1, marks=pytest.mark.long), 2])
def test_kills_are_made_good(folder: Path, num_processes: int) -> None:
    rng = random.Random(num_processes)
    total = len((folder / "whole" / "samples.jsonl").read_bytes())
    out = f"killed-{num_processes}"
    killed = 0
    for moment in sorted(rng.uniform(0.0, 0.95) * total for _ in range(_KILLS)):
        process = started(folder, out, num_processes)
        while process.poll() is None and size_of_shards(folder / out) < moment:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed >= _KILLS - 1
    assert started(folder, out, num_processes).wait() == 0
    assert files_of(folder / out) == files_of(folder / "whole")
