"""Seconds until commands say something, and until they end.

    python benchmarks/commands.py

Each command is typed once, in a new folder with a few labelled crystals, its output to a pipe, on
one thread; a first round that is not counted fills the caches. Nothing is downloaded. The commands
are those of the environment whose Python runs this file, such as one that has the wheels alone.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shlex import split

from measuring import RESULTS, write

from crystal_data import BuiltinSource, open_store, to_cif

FOLDER, CRYSTALS = "my_crystals", 60
LABEL = "formation_energy_per_atom"
MINE = "--config cgcnn-folder --data.source.path my_crystals --trainer.default_root_dir runs/mine"
MADE = "made/cif/LiMn2O4_0.cif"
COMMANDS = (
    "crystal configs",
    "crystal doctor",
    "crystal-data list",
    "crystal-data check my_crystals",
    "crystal-data info my_crystals",
    "crystal-data show my_crystals --out crystals.html",
    "crystal predict my_crystals/crystal-0.cif",
    f"crystal fit {MINE} --trainer.max_epochs 3",
    f"crystal test {MINE} --ckpt_path best",
    "crystal report runs/mine --out report.html",
    "crystal-embed predict --model runs/mine --input my_crystals --output predictions.csv",
    "crystal-embed models",
    "crystal-embed fit --help",
    "crystal-gen models",
    "crystal-gen generate --formula LiMn2O4 --n 10 --out made",
    "crystal-gen generate --elements Li-Mn-O --n 10 --out mixed",
    "crystal-gen symmetry --formula LiMn2O4",
    f"crystal-gan repair {MADE} --hide Mn --out repaired",
    f"crystal-gan vary {MADE} --mask-species Mn --samples 20 --out varied",
    f"crystal-gan predict {MADE}",
    "crystal-relax relax made/cif --model graph --out relaxed",
    "crystal-relax models",
)


def typed(command: str, folder: Path) -> dict[str, float]:
    """Seconds to the first output and to the end.

    Raises:
        SystemExit: If the command fails.
    """
    name, *rest = split(command)
    program = [str(Path(sys.executable).with_name(name)), *rest]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    with subprocess.Popen(
        program,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read(1)
        first = time.perf_counter() - start
        output += process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{command}: {output.decode()}")
    return {"first output, s": first, "whole, s": time.perf_counter() - start}


def main() -> None:
    store = open_store(BuiltinSource())
    found = {}
    for _ in range(2):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / FOLDER).mkdir()
            labels = []
            for row in range(0, 5 * CRYSTALS, 5):
                crystal = store.crystal(row)
                path = folder / FOLDER / f"crystal-{row}.cif"
                path.write_text(to_cif(crystal), encoding="utf-8")
                labels.append(f"crystal-{row},{crystal.properties[LABEL]}\n")
            (folder / FOLDER / "id_prop.csv").write_text("".join(labels), encoding="utf-8")
            for command in COMMANDS:
                found[command] = typed(command, folder)
    for command, seconds in found.items():
        print(f"{seconds['first output, s']:6.1f}{seconds['whole, s']:7.1f}  {command}")
    write(RESULTS / "commands.json", {"crystals": CRYSTALS, "commands": found})


if __name__ == "__main__":
    main()
