"""Errors meant for the user are of one kind; all others are faults of the program."""

import ast
import pickle
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from crystal_data.errors import CrystalError, Reason
from crystal_data.symmetry import OrbitFailure

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts[3:]): ast.parse(path.read_text("utf-8"))
    for path in sorted(ROOT.glob("*/*/src/**/*.py"))
}
CLASSES = [
    (module, node.name)
    for module, tree in SOURCES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
]
# Those that raise them catch them again, or show them as the cause of another.
INTERNAL = {
    "TryAgainError",
    "GiveUpError",
    "WorkerLostError",
    "WorkerTracebackError",
    "_NotPlainError",
    "_UnreadableError",
}
# Constructors that take something else than a message and a remedy.
ARGUMENTS = {
    "InvalidCrystalError": ("mp-1", Reason.EMPTY, "no atoms"),
    "FormulaError": ("mp-1", Reason.UNREADABLE, "other atoms"),
    "DamagedFileError": (Path("a.json"), "it is empty"),
    "MissingColumnError": ("enery", "mp_20", ("energy", "volume")),
    "OrbitError": (OrbitFailure.NO_SYMMETRY, "no group", "try another symprec"),
    "InvalidSourceError": ("no structures", "mend the files", Path("rejected.csv")),
}
BUILTIN = {"ValueError", "TypeError", "KeyError", "RuntimeError", "OSError", "FileNotFoundError"}
# What a user cannot cause, or what never gets to one as it is.
PLAIN = {
    "crystal_data.artifacts.pretrained": (1, "caught, and told with the artifact's name"),
    "crystal_data.builtin.energy": (1, "built-in crystals have a minimum"),
    "crystal_data.builtin.ewald": (1, "built-in crystals are neutral"),
    "crystal_data.graphs.geometry": (1, "edges come from neighbor lists"),
    "crystal_data.io.extxyz": (1, "caught, and told with the frame's name"),
    "crystal_data.io.rejected": (1, "caught, and told with the file's name"),
    "crystal_data.loading.datamodule": (2, "the Trainer calls setup() first"),
    "crystal_data.loading.sampler": (1, "a broken invariant"),
    "crystal_data.metrics.result": (2, "one is a mapping's KeyError, the other is caught"),
    "crystal_data.processes.worker_process": (1, "what was raised cannot be pickled"),
    "crystal_data.processes.workers": (1, "a broken invariant"),
    "crystal_data.store.build": (1, "a broken invariant"),
    "crystal_data.store.columns": (4, "caught, and told as a StoreError, or a broken invariant"),
    "crystal_data.store.derived_build": (1, "a broken invariant"),
    "crystal_data.store.properties": (2, "a broken invariant"),
    "crystal_data.store.store": (1, "a mapping's KeyError"),
    "crystal_data.training.predictions": (1, "a broken invariant"),
    "crystal_data.transforms.random": (1, "ranges are those of transforms"),
    "crystal_embed.tables.table": (1, "a mapping's KeyError"),
}


def made(module: str, name: str) -> CrystalError:
    error = getattr(import_module(module), name)
    found: CrystalError = error(*ARGUMENTS.get(name, ("it is empty", "fill it")))
    return found


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_errors_of_the_packages_are_meant_for_the_user(module: str, name: str) -> None:
    error = getattr(import_module(module), name)
    assert issubclass(error, CrystalError) != (name in INTERNAL)


@pytest.mark.parametrize(("module", "name"), [one for one in CLASSES if one[1] not in INTERNAL])
def test_message_and_remedy_travel_between_processes(module: str, name: str) -> None:
    error = made(module, name)
    assert error.message
    assert str(error) == "; ".join(filter(None, (error.message, error.remedy)))
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)


def test_a_remedy_may_be_missing() -> None:
    assert str(CrystalError("it is empty")) == "it is empty"
    assert CrystalError("it is empty").remedy == ""


def test_every_list_of_exceptions_is_needed() -> None:
    names = {name for _, name in CLASSES}
    assert INTERNAL | set(ARGUMENTS) <= names


def test_no_other_error_is_raised_but_for_a_reason() -> None:
    """Counted by module, so that a new one is noticed."""
    found = Counter(
        module
        for module, tree in SOURCES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BUILTIN
    )
    assert found == {module: count for module, (count, _) in PLAIN.items()}
