"""What the statements of a source file give names to; the file is parsed and never run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """A name that an import statement gives: to a module, or to something in it."""

    module: str
    name: str | None  # None: the module itself


@dataclass(frozen=True, eq=False)
class Module:
    """A source file that was read.

    Attributes:
        name: Dotted name, such as ``"torch.optim"``.
        folder: Of a package's modules; None for a module that is no package.
        bindings: What the statements of the module give a name, in their order.
        stars: Modules of ``from … import *``.
        is_open: Whether the code may give it further names as it runs.
    """

    name: str
    folder: Path | None
    bindings: dict[str, list[ast.AST | Import]]
    stars: list[str]
    is_open: bool


@cache
def read_module(file: Path, name: str) -> Module | None:
    """Parses a file once; None if that fails.

    Args:
        file: With Python code.
        name: Dotted name of the module.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    folder = file.parent if file.name == "__init__.py" else None
    package = name if folder is not None else name.rpartition(".")[0]
    bindings: dict[str, list[ast.AST | Import]] = {}
    stars = []
    for bound, what in _bindings(tree.body, package):
        if bound == "*" and isinstance(what, Import):
            stars.append(what.module)
        else:
            bindings.setdefault(bound, []).append(what)
    is_open = "__getattr__" in bindings and not _is_lazy(bindings["__getattr__"])
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            for bound in node.names:
                bindings.setdefault(bound, []).append(node)
        is_open |= isinstance(node, ast.Name) and node.id in {"globals", "exec"}
        is_open |= isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules"
    return Module(name, folder, bindings, stars, is_open)


def _is_lazy(bound: Sequence[ast.AST | Import]) -> bool:
    """Whether ``crystal_data.lazy`` gives the names, which stand under ``if TYPE_CHECKING`` too."""
    call = bound[0]
    return (
        len(bound) == 1
        and isinstance(call, ast.Assign)
        and isinstance(call.value, ast.Call)
        and isinstance(call.value.func, ast.Name)
        and call.value.func.id == "lazy_exports"
    )


def _bindings(body: Sequence[ast.stmt], package: str) -> Iterator[tuple[str, ast.AST | Import]]:
    """Each name that statements bind, with what it is bound to, in all branches."""
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name, statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from _imports(statement, package)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from _assigned(target, statement.value, statement)
        elif isinstance(statement, ast.AnnAssign):
            yield from _assigned(statement.target, statement.value, statement)
        else:
            blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(statement, "handlers", [])]
            for block in blocks:
                yield from _bindings(block, package)
            if not isinstance(statement, ast.If | ast.Try):
                yield from _stored(statement, statement)


def _imports(
    statement: ast.Import | ast.ImportFrom, package: str
) -> Iterator[tuple[str, ast.AST | Import]]:
    source = _absolute(statement, package) if isinstance(statement, ast.ImportFrom) else None
    for alias in statement.names:
        if source is not None:
            yield alias.asname or alias.name, Import(source, alias.name)
        elif alias.asname:
            yield alias.asname, Import(alias.name, None)
        else:
            root = alias.name.partition(".")[0]
            yield root, Import(root, None)


def _assigned(
    target: ast.expr, value: ast.expr | None, statement: ast.stmt
) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(target, ast.Name) and value is not None:
        yield target.id, value
    else:
        yield from _stored(target, statement)


def _stored(node: ast.AST, statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
            yield part.id, statement


def _absolute(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parents = package.split(".")
    kept = parents[: len(parents) - statement.level + 1]
    return ".".join([*kept, *([statement.module] if statement.module else [])])
