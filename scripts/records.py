"""Numbers in the records of ``benchmarks/results``, by expressions of paths.

A path is ``.key``, ``."any key"``, ``[0]`` or ``[key=value]``, the one entry of a list that has
this value, itself or in a mapping in it. What has ``low`` and ``high`` is three numbers.
``+ - * /``, ``abs``, ``max``, ``mean``, ``median``, ``min``, ``round`` and ``sum`` may be used, and
``seed_gain(baseline, errors)``, the gain with its interval over seeds; ``;`` separates expressions.
"""

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
PATH = re.compile(r'(?:\.(?:"[^"]+"|[A-Za-z_]\w*)|\[[^\]]+\])+')
STEP = re.compile(r'\."([^"]+)"|\.([A-Za-z_]\w*)|\[([^\]]+)\]')


def _seed_gain(baseline: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    from crystal_data.metrics.statistics import seed_gain_interval

    gain = seed_gain_interval(baseline, errors)
    return np.array([gain.estimate, gain.low, gain.high], dtype=float)


REDUCTIONS = {"max": np.max, "mean": np.mean, "median": np.median, "min": np.min, "sum": np.sum}
FUNCTIONS = {"abs": np.abs, "round": np.round, "seed_gain": _seed_gain} | {
    name: lambda *values, _of=reduction: _of(np.hstack(values))
    for name, reduction in REDUCTIONS.items()
}
ALLOWED = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.Call, ast.Name, ast.Load, ast.Constant),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub),
)


class NumbersError(Exception):
    """A comment that cannot be followed, or a path."""


@cache
def read(name: str) -> Any:
    """A record by the name of its file.

    Raises:
        NumbersError: If there is none.
    """
    try:
        return json.loads((RESULTS / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NumbersError(f"there is no record {name}") from error


def evaluate(source: str, root: Any) -> NDArray[np.float64]:
    """Numbers that an expression names.

    Args:
        source: Such as ``.gain * 100 ; .count``.
        root: Part of a record in which the paths start.

    Raises:
        NumbersError: If it is no such expression, or names what is not there.
    """
    return np.concatenate([_evaluate(part.strip(), root) for part in source.split(";")])


def _evaluate(source: str, root: Any) -> NDArray[np.float64]:
    found: dict[str, Any] = {}

    def name(path: re.Match[str]) -> str:
        found[f"_{len(found)}"] = _numbers(follow(path[0], root), path[0])
        return f"_{len(found) - 1}"

    try:
        tree = ast.parse(PATH.sub(name, source), mode="eval")
    except SyntaxError as error:
        raise NumbersError(f"{source!r} is no expression") from error
    names = {**FUNCTIONS, **found}
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or (isinstance(node, ast.Name) and node.id not in names):
            raise NumbersError(f"{source!r}: only paths, numbers, + - * / and {[*FUNCTIONS]}")
    values = np.atleast_1d(
        np.asarray(eval(compile(tree, source, "eval"), {"__builtins__": {}}, names), dtype=float)
    )
    if len(values) == 3:
        values[1:].sort()  # what is multiplied by −1 has its bounds exchanged
    return values


def follow(path: str, root: Any) -> Any:
    """What a path leads to.

    Raises:
        NumbersError: If it leads nowhere.
    """
    node = root
    for quoted, plain, index in STEP.findall(path):
        try:
            node = _item(node, index) if index else node[quoted or plain]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise NumbersError(f"{path}: nothing at {quoted or plain or index!r}") from error
    return node


def _item(items: list[Any], index: str) -> Any:
    if index.isdigit():
        return items[int(index)]
    wanted = [condition.split("=", 1) for condition in re.split(r",(?=\w+=)", index)]
    [found] = [item for item in items if all(_has(item, key, value) for key, value in wanted)]
    return found


def _has(item: dict[str, Any], key: str, value: str) -> bool:
    inner = (each for each in item.values() if isinstance(each, dict))
    return any(str(each[key]) == value for each in (item, *inner) if key in each)


def _numbers(node: Any, path: str) -> NDArray[np.float64]:
    if isinstance(node, dict) and "low" in node and "high" in node:
        first = next(value for key, value in node.items() if key not in ("low", "high"))
        node = [first, node["low"], node["high"]]
    elif isinstance(node, dict):
        node = list(node.values())
    try:
        return np.atleast_1d(np.asarray(node, dtype=float))
    except (TypeError, ValueError) as error:
        raise NumbersError(f"{path}: no numbers") from error
