"""Builds every wheel and proves that each works alone, in an empty environment.

Each package is installed beside nothing but its declared needs (ours come from the wheels just
built), then its commands work in a folder that is no checkout and no other package of ours can be
imported. The wheels are built from the source distributions, as for a release; those built from the
checkout must hold the same files. uv installs, which links large libraries from its cache where pip
would unpack them once a package.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
MY_RUN = "--data.source.path my/ --trainer.default_root_dir runs/x"
OURS = {
    "crystal_data",
    "crystal_embed",
    "crystal_gen",
    "crystal_gan",
    "crystal_relax",
    "crystal_apps",
}
# Package → our packages it may bring along, and commands that do real work on my.cif and my/.
PACKAGES = {
    "crystal-data": ({"crystal_data"}, ["crystal-data list"]),
    "crystal-embed": (
        {"crystal_data", "crystal_embed"},
        [
            "crystal-embed predict my.cif",
            "crystal-embed configs",
            f"crystal-embed fit --config cgcnn-folder {MY_RUN} --trainer.max_epochs 1",
            f"crystal-embed test --config cgcnn-folder --config cpu {MY_RUN}",
            f"crystal-embed predict --config cgcnn-folder {MY_RUN}",
            "crystal-embed predict --model runs/x --input my/ --output predictions.csv",
        ],
    ),
    "crystal-gen": (
        {"crystal_data", "crystal_gen"},
        [
            "crystal-gen --help",
            "crystal-gen generate --templates my/ --formula KBr --z 1 --n 3 --out made",
        ],
    ),
    "crystal-gan": (
        {"crystal_data", "crystal_gan"},
        [
            "crystal-gan configs pretrain-mp20",
            "crystal-gan repair my.cif --hide Cl --out repaired",
            "crystal-gan vary my.cif --lower formation_energy_per_atom --samples 4 --out varied",
        ],
    ),
    "crystal-relax": (
        {"crystal_data", "crystal_relax"},
        [
            "crystal-relax configs",
            "crystal-data trajectories my/ --starts substitution --out relaxed",
            "crystal-relax evaluate relaxed --split all",
            "crystal-relax fit --config graph-chgnet --data.source.path relaxed "
            "--trainer.max_epochs 1 --trainer.default_root_dir runs/x",
        ],
    ),
    "crystal-apps": (
        OURS,
        # Listing the benchmarks reads all of them, their pipelines and where these find configs.
        ["crystal doctor", "crystal configs uae-mp20", "crystal benchmark list"],
    ),
}
# Rock salt, which the weights in the wheel know.
CIF = """\
data_NaCl
_cell_length_a {length}
_cell_length_b {length}
_cell_length_c {length}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na Na 0 0 0
Cl Cl 0.5 0.5 0.5
"""


def run(*command: str | Path, **options: object) -> str:
    """Runs a command and returns what it printed; shows the output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def check(package: str, wheels: Path, folder: Path, uv: str) -> None:
    """Installs one package into an empty environment and tries it, in a folder of its own."""
    start = time.monotonic()
    folder = folder / package
    folder.mkdir()
    write_crystals(folder)
    environment = folder / "environment"
    bin_folder = environment / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    run(uv, "venv", "--python", sys.executable, environment)
    # PYTHONPATH or a home-grown site folder would hide what the wheel forgot to declare.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    wheel = next(wheels.glob(f"{package.replace('-', '_')}-*.whl"))
    run(uv, "pip", "install", "--python", python, "--find-links", wheels, wheel, env=clean)
    run(uv, "pip", "check", "--python", python, env=clean)
    allowed, commands = PACKAGES[package]
    for name in sorted(OURS):
        found = subprocess.run(
            [python, "-c", f"import {name}"], capture_output=True, check=False,
            env=clean, cwd=folder,
        )  # fmt: skip
        if (found.returncode == 0) != (name in allowed):
            problem = "cannot be imported" if name in allowed else "came along undeclared"
            sys.exit(f"{package}: {name} {problem}")
    for command in commands:
        program, *words = command.split()
        run(bin_folder / program, *words, env=clean, cwd=folder)
        print(f"{package}: alone in an empty environment, {command} works "
              f"({time.monotonic() - start:.0f} s)", flush=True)  # fmt: skip


def write_crystals(folder: Path) -> None:
    """Writes my.cif, and my/ with 20 crystals and their labels."""
    (folder / "my.cif").write_text(CIF.format(length=5.64), encoding="utf-8")
    (folder / "my").mkdir()
    labels = []
    for number in range(20):
        text = CIF.format(length=5 + number / 20)
        (folder / "my" / f"crystal-{number}.cif").write_text(text, encoding="utf-8")
        labels.append(f"crystal-{number},{number / 20}\n")
    (folder / "my" / "id_prop.csv").write_text("".join(labels), encoding="utf-8")


def build(folder: Path, uv: str) -> Path:
    """Builds all wheels, and returns their folder."""
    wheels, direct = folder / "wheels", folder / "direct"
    run(uv, "build", "--all-packages", "--out-dir", wheels, cwd=ROOT)
    run(uv, "build", "--all-packages", "--wheel", "--out-dir", direct, cwd=ROOT)
    for wheel in wheels.glob("*.whl"):
        if different := _files(wheel) ^ _files(direct / wheel.name):
            sys.exit(f"{wheel.name}: in one kind of build alone: {sorted(different)}")
    return wheels


def _files(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def main() -> None:
    """Builds and checks the packages named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), metavar="PACKAGE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # `uv run` says which uv is running, where it is not on the PATH.
        uv = os.environ.get("UV", "uv")
        packages = parser.parse_args().packages
        wheels = build(folder, uv)
        # Most of the time one core computes: two packages at a time.
        with ThreadPoolExecutor(max_workers=2) as pool:
            for done in [pool.submit(check, each, wheels, folder, uv) for each in packages]:
                done.result()


if __name__ == "__main__":
    main()
