"""Finds what a dotted path names by reading source files; no module is imported.

Where only running the code could tell, the answer is unknown, never a guess.
"""

import ast
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from importlib.machinery import PathFinder
from pathlib import Path

from crystal_data.training.source_files import Import, Module, read_module

_MAX_STEPS = 30  # imports followed from one module to the next


class Outcome(Enum):
    """Why a search ends without a result."""

    MISSING = "there is no such name"
    UNKNOWN = "only running the code can tell"


@dataclass(frozen=True)
class Definition:
    """A class or function, the module that it stands in and the class that it belongs to."""

    module: Module
    node: ast.ClassDef | ast.FunctionDef
    owner: ast.ClassDef | None = None


@dataclass(frozen=True)
class Alias:
    """A name that an expression was assigned to."""

    module: Module
    expression: ast.expr


@dataclass(frozen=True)
class External:
    """Something of the standard library, which is not read."""

    path: str


Found = Module | Definition | Alias | External | Outcome


def find(path: str) -> Found | str:
    """What a dotted path such as ``"torch.optim.Adam"`` names.

    Returns:
        The definition, or what else it is, or a sentence about the part that is missing, with the
        nearest right name.
    """
    names = path.split(".")
    module = load_module(names[0])
    if module is Outcome.MISSING:
        return f"cannot import {path.rpartition('.')[0]}"
    found: Found = module
    place = names[0]
    for index, name in enumerate(names[1:], start=1):
        found, owner = _member(found, name, last=index == len(names) - 1), found
        if found is Outcome.MISSING:
            near = get_close_matches(name, _names_in(owner), n=1)
            hint = f"; did you mean '{place}.{near[0]}'?" if near else ""
            return f"{place} has no '{name}'{hint}"
        place = f"{place}.{name}"
    return found


def resolve(module: Module, expression: ast.expr, steps: int = 0) -> Found:
    """What a name or a dotted name in the code of a module stands for."""
    if isinstance(expression, ast.Name):
        found = look_up(module, expression.id, steps)
        return External(expression.id) if found is Outcome.MISSING else found  # such as `str`
    if isinstance(expression, ast.Attribute):
        owner = resolve(module, expression.value, steps)
        if isinstance(owner, External):
            return External(f"{owner.path}.{expression.attr}")
        return _member(owner, expression.attr, last=True)
    return Outcome.UNKNOWN


def look_up(module: Module, name: str, steps: int = 0) -> Found:
    """What a name stands for in a module."""
    bound = module.bindings.get(name, [])
    if steps > _MAX_STEPS or any(one != bound[0] for one in bound):
        return Outcome.UNKNOWN
    # A package may import a module of its own: `from torch import optim` in torch itself.
    if bound and bound[0] != Import(module.name, name):
        return _follow(module, bound[0], steps)
    found: Found = _submodule(module, name)
    for star in module.stars:
        if found is Outcome.MISSING:
            found = _from(star, name, steps)
    may_come = module.is_open or name.startswith("__")
    return Outcome.UNKNOWN if found is Outcome.MISSING and may_come else found


def load_module(name: str) -> Module | External | Outcome:
    """Reads the source of a module, or says why not."""
    root, *below = name.split(".")
    if root in sys.stdlib_module_names:
        return External(name)
    if name == "typing_extensions":  # the standard library's names, for versions before it
        return External("typing")
    found = _top_module(root)
    for part in below:
        found = _submodule(found, part) if isinstance(found, Module) else found
    return found


def _top_module(name: str) -> Module | Outcome:
    try:
        # Of a module at the top, so that nothing is imported, nor announced as if it were.
        spec = PathFinder.find_spec(name)
    except (ImportError, ValueError):
        return Outcome.UNKNOWN
    if spec is None:
        return Outcome.MISSING
    if spec.origin is None or not spec.origin.endswith(".py"):
        return Outcome.UNKNOWN
    return read_module(Path(spec.origin), name) or Outcome.UNKNOWN


def _follow(module: Module, only: ast.AST | Import, steps: int) -> Found:
    if isinstance(only, ast.ClassDef | ast.FunctionDef):
        return Definition(module, only)
    if isinstance(only, Import):
        source = only.module
        found = load_module(source) if only.name is None else _from(source, only.name, steps)
        # What is missing may belong to an optional package.
        return Outcome.UNKNOWN if found is Outcome.MISSING else found
    if isinstance(only, ast.Name | ast.Attribute):
        return resolve(module, only, steps + 1)
    return Alias(module, only) if isinstance(only, ast.expr) else Outcome.UNKNOWN


def _from(source: str, name: str, steps: int) -> Found:
    """What ``from source import name`` gives."""
    module = load_module(source)
    if isinstance(module, External):
        return External(f"{module.path}.{name}")
    return look_up(module, name, steps + 1) if isinstance(module, Module) else Outcome.UNKNOWN


def _member(owner: Found, name: str, *, last: bool) -> Found:
    if isinstance(owner, Module):
        below = Outcome.MISSING if last else _submodule(owner, name)
        return look_up(owner, name) if below is Outcome.MISSING else below
    if isinstance(owner, Definition) and isinstance(owner.node, ast.ClassDef):
        methods = [one for one in owner.node.body if getattr(one, "name", None) == name]
        if len(methods) == 1 and isinstance(methods[0], ast.FunctionDef):
            return Definition(owner.module, methods[0], owner.node)
    return Outcome.UNKNOWN


def _names_in(found: Found) -> list[str]:
    return list(found.bindings) if isinstance(found, Module) else []


def _submodule(module: Module, name: str) -> Module | Outcome:
    if module.folder is None:
        return Outcome.MISSING
    if "__path__" in module.bindings:
        return Outcome.UNKNOWN
    # Compared as text: on some file systems `Crystal.py` is found where `crystal.py` stands.
    names = [path.name for path in module.folder.iterdir()]
    present = [one for one in names if one.partition(".")[0] == name]
    package = module.folder / name / "__init__.py"
    if name in present and package.is_file():
        return read_module(package, f"{module.name}.{name}") or Outcome.UNKNOWN
    if f"{name}.py" in present:
        file = module.folder / f"{name}.py"
        return read_module(file, f"{module.name}.{name}") or Outcome.UNKNOWN
    # What else there is may be a compiled module, or a folder without an `__init__.py`.
    return Outcome.UNKNOWN if present else Outcome.MISSING
