"""Seconds until commands say something, and until they end.

    python benchmarks/commands.py

Each command is typed once, in a new folder with a few crystals, its output to a pipe, on one
thread; a first round that is not counted fills the caches. Nothing is downloaded.
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

FOLDER, CRYSTALS = "my_crystals", 40
COMMANDS = (
    "crystal configs",
    "crystal-data check my_crystals",
    "crystal-data info my_crystals",
    "crystal predict my_crystals/crystal-0.cif",
    "crystal-embed models",
    "crystal-gen models",
    "crystal-gen generate --formula LiMn2O4 --n 10 --out made",
    "crystal-gen symmetry --formula LiMn2O4",
    "crystal-gan repair made/cif/LiMn2O4_0.cif --hide Mn --out repaired",
    "crystal-gan vary made/cif/LiMn2O4_0.cif --mask-species Mn --samples 20 --out varied",
    "crystal-gan predict made/cif/LiMn2O4_0.cif",
    "crystal-relax relax made/cif/LiMn2O4_0.cif --model graph --out relaxed",
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
            for row in range(0, 5 * CRYSTALS, 5):
                path = folder / FOLDER / f"crystal-{row}.cif"
                path.write_text(to_cif(store.crystal(row)), encoding="utf-8")
            for command in COMMANDS:
                found[command] = typed(command, folder)
    for command, seconds in found.items():
        print(f"{seconds['first output, s']:6.1f}{seconds['whole, s']:7.1f}  {command}")
    write(RESULTS / "commands.json", {"crystals": CRYSTALS, "commands": found})


if __name__ == "__main__":
    main()
