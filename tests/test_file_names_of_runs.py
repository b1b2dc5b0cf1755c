"""Files of a run are named in one module alone; all others ask it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN_FOLDER = "crystal_data/run_folder.py"
# Name of a file or folder to the modules that may write it down.
NAMES = {
    "artifact": {"crystal_data/artifacts/files.py"},
    "checkpoints": {RUN_FOLDER},
    "config.yaml": {RUN_FOLDER},
    "elements.csv": {RUN_FOLDER},
    "excluded.csv": {RUN_FOLDER},
    "metrics.csv": {RUN_FOLDER},
    "notes.csv": {RUN_FOLDER},
    "predictions": {RUN_FOLDER},
    "rejected.csv": {"crystal_data/io/rejected.py"},  # of stores and commands too
    "results.json": {RUN_FOLDER},
}
SUFFIXES = (".ckpt", "/artifact", "/test.csv")
SOURCES = sorted(ROOT.glob("*/*/src/**/*.py"))


def module_of(path: Path) -> str:
    return "/".join(path.relative_to(ROOT).parts[3:])


def names_in(source: str) -> set[str]:
    """Texts of a module, single words as names of files are."""
    constants = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    texts = (node.value for node in constants if isinstance(node.value, str))
    return {text for text in texts if " " not in text}


def wrong_names(source: str, module: str) -> set[str]:
    """Files of a run that a module names without being the one to do so."""
    return {
        text
        for text in names_in(source)
        if module not in NAMES.get(text, {RUN_FOLDER} if text.endswith(SUFFIXES) else {module})
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_of_runs_are_named_in_one_module(path: Path) -> None:
    found = wrong_names(path.read_text(encoding="utf-8"), module_of(path))
    assert not found, f"ask crystal_data.run_folder for {sorted(found)}"


def test_each_name_is_where_it_is_said_to_be() -> None:
    texts = {module_of(path): path.read_text(encoding="utf-8") for path in SOURCES}
    for name, modules in NAMES.items():
        assert all(name in names_in(texts[module]) for module in modules), name


@pytest.mark.parametrize(
    "code", ['open(run / "metrics.csv")', 'f"{run}/artifact"', 'run / "checkpoints/last.ckpt"']
)
def test_a_second_place_is_found(code: str) -> None:
    assert wrong_names(code, "crystal_apps/report/page.py")


def test_texts_for_users_may_name_them() -> None:
    code = '"""Reads ``results.json``."""\nprint("see excluded.csv")'
    assert not wrong_names(code, "crystal_apps/report/page.py")
