"""`crystal-embed predict` in two processes writes the bytes that one writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crystal_data.io.cif import to_cif
from crystal_data.testing import random_crystals


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_devices_write_one_table(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number, crystal in enumerate(random_crystals(5, seed=0)):
        (tmp_path / "mine" / f"c{number}.cif").write_text(to_cif(crystal), encoding="utf-8")
    (tmp_path / "mine" / "bad.cif").write_text("data_bad\n", encoding="utf-8")
    tables = []
    for devices in (1, 2):
        output = tmp_path / f"out-{devices}" / "p.csv"
        command = [sys.executable, "-m", "crystal_embed", "predict", "mine", "--batch-size", "2"]
        command += ["--devices", str(devices), "--output", str(output)]
        # The number of threads may change the last bits, and processes share them.
        alone = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, **alone})
        tables.append(output.read_text(encoding="utf-8"))
        assert "no_cell" in (output.parent / "rejected.csv").read_text(encoding="utf-8")
        assert sorted(path.name for path in output.parent.iterdir()) == ["p.csv", "rejected.csv"]
    one, two = tables
    assert two == one
    assert [line.partition(",")[0] for line in one.splitlines()[1:]] == [f"c{n}" for n in range(5)]
