"""The arguments of a class or function, and what each may be, read from source files.

Like ``source_names`` it runs no code, and leaves open what only running it could tell.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crystal_data.training.source_files import Module
from crystal_data.training.source_names import Alias, Definition, External, Found, resolve

# These leave a function or a class with the arguments that it has.
_HARMLESS = {
    "abc.abstractmethod",
    "typing.final",
    "typing.override",
    "typing.runtime_checkable",
    "functools.wraps",
}
_EMPTY_BASES = {"object", "abc.ABC", "typing.Generic", "typing.Protocol"}
_CONTAINERS = {
    *("list", "tuple", "set", "frozenset", "typing.List", "typing.Tuple", "typing.Set"),
    *("collections.abc.Sequence", "collections.abc.Iterable", "collections.abc.Collection"),
    *("typing.Sequence", "typing.Iterable"),
}
_NUMBERS = {"bool", "int", "float", "None"}
_TEXTS = {"str", "pathlib.Path", "os.PathLike", "typing.Literal"}


@dataclass(frozen=True)
class Argument:
    """One argument: the module that declares it, and the type that it is declared with, if any."""

    module: Module
    annotation: ast.expr | None


@dataclass(frozen=True)
class Kinds:
    """What a declared type allows.

    Attributes:
        classes: Classes that an object, or each object of a list, may be of.
        objects: Whether it may be an object, or a function, that a class path names.
        text: Whether it may be a text that is no class path.
        mapping: Whether it may be a mapping that describes no object.
    """

    classes: tuple[Definition, ...] = ()
    objects: bool = False
    text: bool = False
    mapping: bool = False

    def __or__(self, other: "Kinds") -> "Kinds":
        return Kinds(
            self.classes + other.classes,
            self.objects or other.objects,
            self.text or other.text,
            self.mapping or other.mapping,
        )


OBJECTS = Kinds(objects=True)
ANYTHING = Kinds(objects=True, text=True, mapping=True)


def arguments_of(definition: Definition) -> dict[str, Argument] | None:
    """Arguments by name, those of a class as its constructor has them; None if it may have others.

    There may be more names than arguments, never fewer: with several bases those of all are taken.
    """
    node = definition.node
    if isinstance(node, ast.ClassDef):
        return _of_class(definition, node)
    decorators = set(_qualified(definition.module, node.decorator_list))
    is_static = decorators == {"staticmethod"}
    if decorators - {"classmethod", "staticmethod"}:
        return None
    if node.args.kwarg is not None or (definition.owner is not None and not decorators):
        return None
    names = _of_function(definition.module, node)
    return names if definition.owner is None or is_static else _without_first(names)


def kinds_of(argument: Argument) -> Kinds:
    """What may be given for an argument."""
    if argument.annotation is None:
        return ANYTHING
    return _kinds(argument.module, argument.annotation)


def is_dataclass(definition: Definition) -> bool:
    """Whether a class is one that its decorator makes from its fields."""
    return "dataclasses.dataclass" in _qualified(definition.module, definition.node.decorator_list)


def _of_class(definition: Definition, node: ast.ClassDef) -> dict[str, Argument] | None:
    module = definition.module
    decorators = set(_qualified(module, node.decorator_list))
    options = {keyword.arg for keyword in node.keywords}
    if decorators - {*_HARMLESS, "dataclasses.dataclass"} or options - {"metaclass"}:
        return None
    constructors = [part for part in ast.walk(node) if _is_constructor(part)]
    if not constructors:
        own = _fields(module, node) if is_dataclass(definition) else {}
        return _with_bases(module, node, own)
    init = constructors[0]
    if len(constructors) > 1 or init not in node.body or not isinstance(init, ast.FunctionDef):
        return None
    return _of_constructor(module, node, init)


def _of_constructor(
    module: Module, node: ast.ClassDef, init: ast.FunctionDef
) -> dict[str, Argument] | None:
    if init.name != "__init__" or set(_qualified(module, init.decorator_list)) - _HARMLESS:
        return None
    names = _without_first(_of_function(module, init))
    if init.args.kwarg is None:
        return names
    handed_on = _only_handed_to_super(init, init.args.kwarg.arg)
    return _with_bases(module, node, names) if handed_on else None


def _is_constructor(part: ast.AST) -> bool:
    name = part.id if isinstance(part, ast.Name) else getattr(part, "name", None)
    return name in {"__init__", "__new__"}


def _with_bases(
    module: Module, node: ast.ClassDef, own: dict[str, Argument]
) -> dict[str, Argument] | None:
    """Arguments of a class whose bases take some too."""
    names: dict[str, Argument] = {}
    metaclasses = _qualified(module, [keyword.value for keyword in node.keywords])
    if set(metaclasses) - {"abc.ABCMeta"}:
        return None
    for base in _bases(module, node):
        if isinstance(base, External) and base.path in _EMPTY_BASES:
            continue
        if not isinstance(base, Definition) or not isinstance(base.node, ast.ClassDef):
            return None
        inherited = _of_class(base, base.node)
        if inherited is None:
            return None
        names |= inherited
    return names | own


def _bases(module: Module, node: ast.ClassDef) -> Iterator[Found]:
    for base in node.bases:
        yield resolve(module, base.value if isinstance(base, ast.Subscript) else base)


def _fields(module: Module, node: ast.ClassDef) -> dict[str, Argument]:
    return {
        part.target.id: Argument(module, part.annotation)
        for part in node.body
        if isinstance(part, ast.AnnAssign)
        and isinstance(part.target, ast.Name)
        and "ClassVar" not in ast.unparse(part.annotation)
    }


def _of_function(module: Module, function: ast.FunctionDef) -> dict[str, Argument]:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return {one.arg: Argument(module, one.annotation) for one in every}


def _without_first(names: dict[str, Argument]) -> dict[str, Argument]:
    return dict(list(names.items())[1:])


def _only_handed_to_super(init: ast.FunctionDef, name: str) -> bool:
    """Whether ``**kwargs`` goes to ``super().__init__(**kwargs)`` and nowhere else."""
    uses = [part for part in ast.walk(init) if isinstance(part, ast.Name) and part.id == name]
    handed = [
        keyword.value
        for part in ast.walk(init)
        if isinstance(part, ast.Call) and ast.unparse(part.func) == "super().__init__"
        for keyword in part.keywords
        if keyword.arg is None
    ]
    return len(uses) == 1 and uses[0] in handed


def _kinds(module: Module, annotation: ast.expr) -> Kinds:
    if isinstance(annotation, ast.BinOp):
        return _kinds(module, annotation.left) | _kinds(module, annotation.right)
    if isinstance(annotation, ast.Constant):
        return _of_constant(module, annotation.value)
    if isinstance(annotation, ast.Subscript):
        return _of_subscript(module, annotation)
    return _of_name(resolve(module, annotation))


def _of_name(found: Found) -> Kinds:
    if isinstance(found, Alias):
        return _kinds(found.module, found.expression)
    if isinstance(found, External):
        return _of_external(found.path)
    if isinstance(found, Definition) and isinstance(found.node, ast.ClassDef):
        is_object = _has_known_bases(found.module, found.node)
        return Kinds((found,), objects=True) if is_object else ANYTHING
    return ANYTHING


def _of_constant(module: Module, value: object) -> Kinds:
    if value is None:
        return Kinds()
    try:
        return _kinds(module, ast.parse(str(value), mode="eval").body)
    except (SyntaxError, ValueError):
        return ANYTHING


def _of_subscript(module: Module, annotation: ast.Subscript) -> Kinds:
    found = resolve(module, annotation.value)
    path = found.path if isinstance(found, External) else ""
    inner = annotation.slice
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if path in {"typing.Callable", "collections.abc.Callable"}:
        return OBJECTS
    if path == "typing.Literal":
        return _of_external(path)
    if path in {"typing.Union", "typing.Optional", *_CONTAINERS}:
        kinds = Kinds()
        for part in parts:
            kinds |= Kinds() if _is_ellipsis(part) else _kinds(module, part)
        return kinds
    return ANYTHING


def _is_ellipsis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is ...


def _of_external(path: str) -> Kinds:
    if path in _NUMBERS:
        return Kinds()
    return Kinds(text=True) if path in _TEXTS else ANYTHING


def _has_known_bases(module: Module, node: ast.ClassDef) -> bool:
    """Whether objects of a class can be neither texts nor mappings."""
    return all(
        _has_known_bases(base.module, base.node)
        if isinstance(base, Definition) and isinstance(base.node, ast.ClassDef)
        else isinstance(base, External) and base.path in _EMPTY_BASES
        for base in _bases(module, node)
    )


def _qualified(module: Module, expressions: Sequence[ast.expr]) -> list[str]:
    """Dotted names of decorators, each without its arguments; empty where that is unknown."""
    names = []
    for expression in expressions:
        called = expression.func if isinstance(expression, ast.Call) else expression
        found = resolve(module, called)
        if isinstance(found, External):
            names.append(found.path)
        elif isinstance(found, Definition) and _keeps_signature(found):
            names.append("functools.wraps")
        elif isinstance(found, Definition):
            names.append(f"{found.module.name}.{found.node.name}")
        else:
            names.append("")
    return names


def _keeps_signature(decorator: Definition) -> bool:
    """Whether what a decorator returns has the signature of what it is given."""
    functions = [part for part in ast.walk(decorator.node) if isinstance(part, ast.FunctionDef)]
    return any(
        "functools.wraps" in _qualified(decorator.module, function.decorator_list)
        for function in functions
        if function is not decorator.node
    )
