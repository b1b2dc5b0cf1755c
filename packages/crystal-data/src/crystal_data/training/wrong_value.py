"""Says in one line which value of a config or a command line is of the wrong kind.

The parser says so in its text alone: its errors have no other attribute, and no cause that has one.
So this text is read, here and nowhere else, and a text of another form is shown as it is.
"""

import re

_KEY = re.compile(r'^( *)(?:- )?.*?Parser key "([^"]+)"', re.MULTILINE)
_EXPECTED = re.compile(r"Expected an? (.+?)(?:\. Got value: .*)?$", re.MULTILINE)
_OTHER_CLASS = re.compile(
    r"(?:Expected|Import path) '?([\w.]+)'? (?:to be|does not correspond to) a subclass of "
    r"(<class '.+?'>|\w+)"
)
_GOT = re.compile(r"(?:Got|Given) value: (.*)")
_MAX_VALUE = 500  # characters of a value that are shown
_NAMES = (
    (re.compile(r"typing\.Literal\[(.*)\]"), r"\1"),
    (re.compile(r"<class 'NoneType'>"), "null"),
    (re.compile(r"<class '([\w.]+)'>"), r"\1"),
)


def condense(message: str) -> str:
    """The parser's message, which nests one level for each class around the value, as one line.

    Args:
        message: Of an ``ArgumentError`` of jsonargparse.
    """
    keys = list(_KEY.finditer(message))
    if not keys:
        return " ".join(message.split())
    path = place_of(message)
    block = _deeper_lines(message[keys[-1].end() :], len(keys[-1][1]))
    if other := _OTHER_CLASS.search(block):
        return f"{path}: {other[1]} is no subclass of {_readable(other[2])}"
    expected, got = _EXPECTED.findall(block), _GOT.search(block)
    if not expected or got is None:
        return f"{path}: {' '.join(block.removeprefix(':').split())}"
    return f"{path}: expected {' or '.join(map(_readable, expected))}, got {got[1]:.{_MAX_VALUE}}"


def place_of(message: str) -> str:
    """The dotted option that the parser's message is about.

    Args:
        message: Of an ``ArgumentError`` of jsonargparse.
    """
    return ".".join(key[2] for key in _KEY.finditer(message))


def _deeper_lines(text: str, indent: int) -> str:
    first, *others = text.splitlines()
    for number, line in enumerate(others):
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            others = others[:number]
            break
    return "\n".join([first, *others])


def _readable(kind: str) -> str:
    for pattern, name in _NAMES:
        kind = pattern.sub(name, kind)
    return kind
