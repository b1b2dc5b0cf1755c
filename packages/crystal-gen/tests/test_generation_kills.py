"""`crystal-gen generate`: killed and run again, by one process and by two: same files."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from crystal_data.generation import read_generated, tasks_of
from crystal_data.io.cif import to_cif
from crystal_data.symmetry import find_orbits
from crystal_data.testing import ToyGenerator, rock_salt, toy_requests
from crystal_gen import CrystalDiT
from crystal_gen.batches import batch_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_FILES = ("generation.json", "samples.jsonl", "structures.extxyz", "summary.csv")
_KILLS = 3


@dataclass(frozen=True)
class Generation:
    """What is asked again and again.

    Args:
        folder: With a table of requests, and under ``whole`` what comes of them undisturbed.
        options: Of the command.
    """

    folder: Path
    options: str

    def started(self, out: str, num_processes: int = 1) -> subprocess.Popen[bytes]:
        options = f"{self.options} --num-processes {num_processes} --out {out}"
        command = [sys.executable, "-m", "crystal_gen", "generate", *options.split()]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)

    def killed(self, out: str, num_processes: int, share: float, delay: float) -> bool:
        """Whether it was still running when a share of all rows had been written."""
        moment = share * len((self.folder / "whole" / "samples.jsonl").read_bytes())
        process = self.started(out, num_processes)
        while process.poll() is None and self.size_of_shards(out) < moment:
            time.sleep(0.002)
        time.sleep(delay)
        process.kill()
        return process.wait() == -signal.SIGKILL

    def files(self, out: str) -> dict[str, bytes]:
        folder = self.folder / out
        paths = [folder / name for name in _FILES] + sorted((folder / "cif").glob("*.cif"))
        return {path.name: path.read_bytes() for path in paths}

    def size_of_shards(self, out: str) -> int:
        shards = (self.folder / out / "shards").glob("*.jsonl")
        return sum(path.stat().st_size for path in shards)


@pytest.fixture(scope="module")
def of_model(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """A small model alone, and requests over all crystal systems."""
    folder = tmp_path_factory.mktemp("model")
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
    generation = Generation(folder, "--model model --requests wishes.csv --n 48 --steps 6")
    assert generation.started("whole").wait() == 0
    return generation


@pytest.fixture(scope="module")
def whole_way(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """All that comes with the package: copies, both models and the ranker."""
    folder = tmp_path_factory.mktemp("whole_way")
    (folder / "salt.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    (folder / "wishes.csv").write_text(
        "id,formula,z,space_group,start,formation_energy_per_atom (eV/atom)\n"
        "salt,NaCl,1,,,\n"
        "wish,KBr,1,,,-1.9\n"
        "rutile,TiO2,2,P4_2/mnm,,\n"
        "near,,,,salt.cif,\n"
        "perovskite,BaTiO3,1,,,\n"
        "wurtzite,ZnO,2,,,\n",
        encoding="utf-8",
    )
    generation = Generation(folder, "--requests wishes.csv --n 3")
    assert generation.started("whole").wait() == 0
    return generation


def test_two_processes_write_the_files_of_one(of_model: Generation) -> None:
    assert of_model.started("two", num_processes=2).wait() == 0
    assert of_model.files("two") == of_model.files("whole")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("num_processes", [pytest.param(1, marks=pytest.mark.long), 2])
def test_kills_are_made_good(of_model: Generation, num_processes: int) -> None:
    rng = random.Random(num_processes)
    out = f"killed-{num_processes}"
    shares = sorted(rng.uniform(0.0, 0.95) for _ in range(_KILLS))
    killed = [of_model.killed(out, num_processes, x, rng.uniform(0, 0.05)) for x in shares]
    assert sum(killed) >= _KILLS - 1
    assert of_model.started(out, num_processes).wait() == 0
    assert of_model.files(out) == of_model.files("whole")


def test_two_processes_go_the_whole_way_as_one(whole_way: Generation) -> None:
    assert whole_way.started("two", num_processes=2).wait() == 0
    assert whole_way.files("two") == whole_way.files("whole")
    made = [(each.request, each.sample) for each in read_generated(whole_way.folder / "two")]
    names = ("salt", "wish", "rutile", "near", "perovskite", "wurtzite")
    assert sorted(made) == sorted((name, sample) for name in names for sample in range(3))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kills_on_the_whole_way_are_made_good(whole_way: Generation) -> None:
    """As one process and as two; a third run, of one process, makes what is left."""
    assert whole_way.killed("killed", 1, share=0.1, delay=0.3)
    assert whole_way.killed("killed", 2, share=0.5, delay=0.1)
    assert whole_way.started("killed").wait() == 0
    assert whole_way.files("killed") == whole_way.files("whole")
