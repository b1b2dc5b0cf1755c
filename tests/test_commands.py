"""Commands answer quickly, and every shipped config is one that they understand."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from crystal_apps.shipped import shipped_benchmarks, shipped_pipelines
from crystal_data.io.cif import to_cif
from crystal_data.shipped_configs import announced_configs
from crystal_data.testing import rock_salt
from crystal_data.training.cli import CrystalCLI

ROOT = Path(__file__).resolve().parents[1]
OF_PIPELINES = {"pipelines", "benchmarks"}  # files of `crystal run` and `crystal benchmark`
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").glob("*/*.yaml")
    # Files of `trainer` are parts of a configuration.
    if path.parent.name not in {"trainer", *OF_PIPELINES}
)
COMMANDS = [
    "crystal_data",
    "crystal_embed",
    "crystal_gen",
    "crystal_gan",
    "crystal_relax",
    "crystal_apps",
]


@pytest.mark.parametrize("package", COMMANDS)
@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_waits_for_no_heavy_import(package: str, arguments: list[str]) -> None:
    code = (
        f"import sys; from {package}.__main__ import main; status = main({arguments!r}); "
        "heavy = {'torch', 'lightning', 'pymatgen', 'ase', 'numpy'} & set(sys.modules); "
        "print('heavy:', sorted(heavy)); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("heavy: []\n")
    assert "commands:" in done.stdout


# Modules that take long to import, and that only training or single commands need.
SLOW_IMPORTS = {
    "lightning",
    "torch_geometric",
    "torch._dynamo",
    "pandas",
    "pymatgen",
    "scipy",
}
# Arguments of every command that does not train, by package; ``one.cif`` is rock salt.
NOT_TRAINING = {
    "crystal_data": [
        ["list"],
        ["check", "one.cif"],
        ["info", "one.cif"],
        ["show", "one.cif"],
        ["convert", "one.cif", "--to", "converted"],
    ],
    "crystal_embed": [
        ["configs"],
        ["models"],
        ["predict", "one.cif"],
        ["predict", "one.cif", "--config", "cgcnn-folder"],
        ["ensemble", "cgcnn-band-gap", "cgcnn-band-gap", "--output", "twice"],
        ["predict", "one.cif", "--model", "twice"],
        ["embed", "one.cif", "--model", "cgcnn-band-gap", "--what", "atoms", "--output", "a.npz"],
        ["export-table", "one_hot", "--output", "table.json"],
    ],
    "crystal_gen": [
        "generate --method template --templates one.cif --formula KBr --z 1 --out made".split(),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("package", NOT_TRAINING)
def test_only_training_imports_what_takes_long(package: str, tmp_path: Path) -> None:
    (tmp_path / "one.cif").write_text(to_cif(rock_salt()), encoding="utf-8")
    code = (
        f"import sys; from {package}.__main__ import main\n"
        f"for arguments in {NOT_TRAINING[package]!r}:\n"
        "    try: status = main(arguments)\n"
        "    except SystemExit as stop: status = stop.code\n"
        f"    heavy = {SLOW_IMPORTS!r} & set(sys.modules)\n"
        "    print(arguments, status, sorted(heavy), file=sys.stderr)\n"
        "    assert not heavy and status == 2 * ('--config' in arguments), arguments\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["crystal", "crystal-embed", "lightning"])
def test_help_of_fit_says_what_can_be_set(command: str) -> None:
    script = Path(sys.executable).parent / command
    done = subprocess.run([script, "fit", "--help"], capture_output=True, text=True, check=True)
    for option in ("--config", "--init_from", "--data_root", "--trainer.max_epochs"):
        assert option in done.stdout


def test_there_are_configs() -> None:
    assert {path.parent.name for path in CONFIGS} >= {"embed"}


def test_every_folder_of_configs_is_built_into_one_package() -> None:
    built = [folder for hook in _hooks() for folder in hook["folders"]]
    assert sorted(built) == sorted(path.name for path in (ROOT / "configs").iterdir())
    scripts = {path.read_text(encoding="utf-8") for path in ROOT.glob("*/*/hatch_build.py")}
    assert len(scripts) == 1


def test_names_of_configs_are_unique_and_announced() -> None:
    folders = [path for path in (ROOT / "configs").iterdir() if path.name not in OF_PIPELINES]
    configs = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    assert sorted(announced_configs()) == sorted(configs)
    assert set(shipped_pipelines()) == {*_names("pipelines"), "quickstart"}
    assert set(shipped_benchmarks()) == _names("benchmarks")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*/*.yaml")), ids=lambda p: p.stem)
def test_the_first_line_of_a_config_says_what_it_does(path: Path) -> None:
    first, second = path.read_text(encoding="utf-8").splitlines()[:2]
    assert first.startswith("# ")
    assert len(first) <= 100
    # A comment that goes on has a line of its own for this sentence.
    assert not second.startswith("# "), second


def _hooks() -> list[dict[str, Any]]:
    projects = [tomllib.loads(path.read_text()) for path in ROOT.glob("*/*/pyproject.toml")]
    builds = [project["tool"]["hatch"]["build"] for project in projects]
    return [build["hooks"]["custom"] for build in builds if "hooks" in build]


def _names(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / "configs" / folder).glob("*.yaml")}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_printed_config_says_the_same(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = _print_config(path, capsys)
    shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert _missing(shipped, yaml.safe_load(printed)) == []
    again = tmp_path / "printed.yaml"
    again.write_text(printed, encoding="utf-8")
    assert _print_config(again, capsys) == printed


def _print_config(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        CrystalCLI(["fit", "--config", str(path), "--print_config"])
    assert stop.value.code in {0, None}
    return capsys.readouterr().out


def _missing(wanted: object, got: object, place: str = "") -> list[str]:
    """Places where ``got`` does not hold what ``wanted`` says; defaults may be added."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            name
            for key, value in wanted.items()
            for name in _missing(value, got.get(key), f"{place}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        pairs = zip(wanted, got, strict=True)
        return [n for i, (a, b) in enumerate(pairs) for n in _missing(a, b, f"{place}[{i}]")]
    return [] if wanted == got else [f"{place}: {wanted!r} became {got!r}"]
