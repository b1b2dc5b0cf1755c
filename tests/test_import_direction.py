"""Imports and configs go one way: crystal_data, then the model packages, then apps.

Within a package rooms lie above each other; a room imports rooms of lower storeys only.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("crystal_embed", "crystal_gan", "crystal_relax", "crystal_gen")
MAY_IMPORT: dict[str, set[str]] = {
    "crystal_data": set(),
    **{model: {"crystal_data"} for model in MODELS},
}
MAY_IMPORT["crystal_apps"] = set(MAY_IMPORT)
# Modules of the command line that packages build theirs on.
ENTRY_POINTS = {
    "crystal_data.cli.command_parser",
    "crystal_data.cli.configs",
    "crystal_data.cli.ensemble",
    "crystal_data.cli.inputs",
    "crystal_data.cli.lazy",
    "crystal_data.cli.text_table",
    "crystal_data.cli.models",
    "crystal_data.cli.predict",
    "crystal_data.cli.show",
    "crystal_data.processes.progress",
    "crystal_data.training.allowed",
    "crystal_data.training.cli",
    "crystal_data.training.command",
}
# Folders and modules of each package from the ground up; those of a line do not import each other.
STOREYS = {
    "crystal_data": """
        errors
        elements field versions lazy homes remembered_arguments shipped_configs lightning_internals
        crystal lattice processes
        symmetry
        io graphs text
        metrics artifacts transforms layers
        sources run_folder
        store
        splits builtin
        trajectories
        loading generation
        training
        inference testing
        cli
        __main__
    """,
    "crystal_embed": """
        registry shipped
        tables
        layers
        models
        training analysis leaderboards
        commands
        __main__
    """,
    "crystal_gen": """
        registry shipped heads lattice_vector positions wishes
        templates
        dit batches structure_model paths exchange
        crystal_dit published wyckoff
        generator training random_crystals data_requests language
        candidates
        commands
        __main__
    """,
    "crystal_gan": """
        registry shipped equiformer
        models
        training
        generator
        commands
        __main__
    """,
    "crystal_relax": """
        registry shipped relaxer model scoring pairs symmetric
        references graph text
        training inference
        many
        commands
        __main__
    """,
    "crystal_apps": """
        shipped predict
        doctor pipeline
        report benchmark
        quickstart
        __main__
    """,
}
SOURCES = sorted(ROOT.glob("*/*/src/**/*.py"))
CONFIGS = sorted((ROOT / "configs").glob("**/*.yaml"))


def imported_modules(source: str) -> set[str]:
    """Every module that a file imports, at its top or inside functions."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[3]


def test_there_is_something_to_check() -> None:
    assert {package_of(path) for path in SOURCES} >= {"crystal_data", "crystal_embed"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_direction(path: Path) -> None:
    package = package_of(path)
    roots = {module.split(".")[0] for module in imported_modules(path.read_text(encoding="utf-8"))}
    foreign = roots & set(MAY_IMPORT) - {package} - MAY_IMPORT[package]
    assert not foreign, f"{package} may not import {sorted(foreign)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_its_own_root(path: Path) -> None:
    package = package_of(path)
    assert package not in imported_modules(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_configs_keep_the_direction(path: Path) -> None:
    folder = path.relative_to(ROOT / "configs").parts[0]
    if folder == "pipelines":
        return
    roots = set(re.findall(r"class_path:\s*(\w+)\.", path.read_text(encoding="utf-8")))
    ours = roots & set(MAY_IMPORT)
    allowed = {"crystal_data"} | ({f"crystal_{folder}"} & set(MAY_IMPORT))
    assert ours <= allowed, f"{path.name} names {sorted(ours - allowed)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_siblings_use_promised_names_only(path: Path) -> None:
    """What a package's root and its subpackages export stays; the modules behind may move."""
    package = package_of(path)
    modules = imported_modules(path.read_text(encoding="utf-8"))
    ours = {m for m in modules if m.split(".")[0] in MAY_IMPORT and m.split(".")[0] != package}
    deep = {module for module in ours if module.count(".") > 1} - ENTRY_POINTS
    assert not deep, f"{path.name} reaches into {sorted(deep)}"


def room_of(path: Path) -> str:
    """The folder or module right below the package's root; empty for the root itself."""
    name = path.relative_to(ROOT).parts[4].removesuffix(".py")
    return "" if name == "__init__" else name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_what_lies_below(path: Path) -> None:
    package, room = package_of(path), room_of(path)
    storeys = [line.split() for line in STOREYS[package].strip().splitlines()]
    level = {name: storey for storey, names in enumerate(storeys) for name in names}
    if not room:
        return  # the root names public things, and imports them when asked for
    assert room in level, f"{path.name}: give the room {room!r} a storey"
    modules = imported_modules(path.read_text(encoding="utf-8"))
    own = {module.split(".")[1] for module in modules if module.startswith(f"{package}.")}
    wrong = {name for name in own - {room} if level.get(name, len(storeys)) >= level[room]}
    assert not wrong, f"{room} may not import {sorted(wrong)}, which lie on its storey or above"
