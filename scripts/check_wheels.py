"""Builds every wheel and proves that each works alone, in an empty environment.

Each package is installed beside nothing but its declared needs (ours come from the wheels just
built), then its command answers and no other package of ours can be imported. uv installs, which
links large libraries from its cache where pip would unpack them once a package.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Package → our packages it may bring along, and a command that does real work on my.cif.
PACKAGES = {
    "crystal-data": ({"crystal_data"}, ["crystal-data", "list"]),
    "crystal-embed": ({"crystal_data", "crystal_embed"}, ["crystal-embed", "predict", "my.cif"]),
    "crystal-apps": (
        {"crystal_data", "crystal_embed", "crystal_apps"},
        ["crystal", "doctor"],
    ),
}
# Rock salt, which the weights in the wheel know.
MY_CIF = """\
data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
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
OURS = {"crystal_data", "crystal_embed", "crystal_apps"}


def run(*command: str | Path, **options: object) -> str:
    """Runs a command and returns what it printed; shows the output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def check(package: str, wheels: Path, folder: Path, uv: str) -> None:
    """Installs one package into an empty environment and tries it."""
    start = time.monotonic()
    environment = folder / package
    bin_folder = environment / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    run(uv, "venv", "--python", sys.executable, environment)
    # PYTHONPATH or a home-grown site folder would hide what the wheel forgot to declare.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    wheel = next(wheels.glob(f"{package.replace('-', '_')}-*.whl"))
    run(uv, "pip", "install", "--python", python, "--find-links", wheels, wheel, env=clean)
    run(uv, "pip", "check", "--python", python, env=clean)
    allowed, command = PACKAGES[package]
    for name in sorted(OURS):
        found = subprocess.run(
            [python, "-c", f"import {name}"], capture_output=True, check=False,
            env=clean, cwd=folder,
        )  # fmt: skip
        if (found.returncode == 0) != (name in allowed):
            problem = "cannot be imported" if name in allowed else "came along undeclared"
            sys.exit(f"{package}: {name} {problem}")
    run(bin_folder / command[0], *command[1:], env=clean, cwd=folder)
    print(f"{package}: alone in an empty environment, {' '.join(command)} works "
          f"({time.monotonic() - start:.0f} s)", flush=True)  # fmt: skip


def main() -> None:
    """Builds and checks the packages named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", default=list(PACKAGES), metavar="PACKAGE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "my.cif").write_text(MY_CIF, encoding="utf-8")
        # `uv run` says which uv is running, where it is not on the PATH.
        uv = os.environ.get("UV", "uv")
        run(uv, "build", "--all-packages", "--wheel", "--out-dir", folder / "wheels", cwd=ROOT)
        for package in parser.parse_args().packages:
            check(package, folder / "wheels", folder, uv)


if __name__ == "__main__":
    main()
