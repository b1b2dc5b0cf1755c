"""Element tables in the forms that others read and write."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from crystal_data import ATOMIC_NUMBERS
from crystal_data.io import csv_text
from crystal_embed.tables.table import ElementTable

TableForm = Literal["atom_init", "symbols", "csv", "safetensors"]
# What a file has for one element; numbers of a CSV are text until all rows are known to fit.
Row: TypeAlias = list[float] | list[str]
SUFFIXES = (".json", ".csv", ".safetensors")


def save_table(table: ElementTable, path: str | Path, form: TableForm | None = None) -> Path:
    """Writes a table; a reader sees the old file or the new one, never a part.

    Args:
        table: What to write. Only safetensors keeps its name and metadata.
        path: The file.
        form: ``atom_init`` is ``{"1": [numbers], …}`` by atomic number, as CGCNN reads it;
            ``symbols`` is ``{"H": [numbers], …}`` and ``csv`` has the header ``element,0,1,…``,
            both as ElementEmbeddings reads them. By default the suffix tells, where ``.json`` is
            ``atom_init``.

    Returns:
        The path.

    Raises:
        ValueError: If neither form nor suffix is a known one.
    """
    path = Path(path)
    by_suffix: dict[str, TableForm] = {
        ".json": "atom_init", ".csv": "csv", ".safetensors": "safetensors"
    }  # fmt: skip
    chosen = form or by_suffix.get(path.suffix)
    if chosen not in _WRITERS:
        raise ValueError(
            f"{path}: a table is written as {', '.join(get_args(TableForm))}, not as {chosen!r}; "
            f"give the form, or end the name in {', '.join(SUFFIXES)}"
        )
    _write(path, _WRITERS[chosen](table))
    return path


def read_table(path: str | Path) -> ElementTable:
    """Reads a table in any form that ``save_table`` writes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a table in one of these forms.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a table file ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}") from error
    return table_of_rows(parse_rows(text, path), path, metadata={"file": path.name})


def parse_rows(text: str, path: PurePath) -> dict[str, Row]:
    """Rows by element, as they stand in the text of a ``.json`` or ``.csv`` file.

    Args:
        text: All of the file.
        path: Its suffix tells the form; errors name it.

    Raises:
        ValueError: If it is not a table in one of these forms.
    """
    return _json_rows(text, path) if path.suffix == ".json" else _csv_rows(text, path)


def table_of_rows(
    rows: Mapping[str, Row], path: PurePath, *, metadata: Mapping[str, Any], name: str = ""
) -> ElementTable:
    """The table of parsed rows.

    Args:
        rows: Numbers, or their text, by element symbol or atomic number.
        path: Where they are from, for errors.
        metadata: Of the table.
        name: Of the table; by default that of the file.

    Raises:
        ValueError: If a key is no element, a value no number, or the lengths differ.
    """
    numbers = [_atomic_number(key, path) for key in rows]
    widths = {key: len(values) for key, values in rows.items()}
    if len(set(widths.values())) > 1:
        first, *others = widths.items()
        odd = next(item for item in others if item[1] != first[1])
        raise ValueError(
            f"{path}: all rows need the same length; {first[0]} has {first[1]} numbers, "
            f"{odd[0]} has {odd[1]}"
        )
    try:
        vectors = np.array(list(rows.values()), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: not all values are numbers: {error}") from error
    return ElementTable(name or path.stem, np.array(numbers), vectors, metadata)


def _json_rows(text: str, path: PurePath) -> dict[str, Row]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    # A scale, one number for each element, is a table that is one wide.
    rows = (
        {key: row if isinstance(row, list) else [row] for key, row in found.items()}
        if isinstance(found, dict)
        else {}
    )
    if not rows:
        raise ValueError(
            f'{path}: expected {{"1": [numbers], …}} by atomic number or {{"H": [numbers], …}}'
        )
    return rows


def _csv_rows(text: str, path: PurePath) -> dict[str, Row]:
    header: list[str]
    lines: list[list[str]]
    header, *lines = [*csv.reader(io.StringIO(text)), []]
    if header[:1] != ["element"] or not any(lines):
        raise ValueError(f"{path}: expected the header element,0,1,… and one line for each element")
    rows: dict[str, Row] = {}
    for line in filter(None, lines):
        if line[0] in rows:
            raise ValueError(f"{path}: {line[0]} is there twice")
        rows[line[0]] = line[1:]
    return rows


def _atomic_number(key: str, path: PurePath) -> int:
    number = int(key) if key.isdecimal() else ATOMIC_NUMBERS.get(key, 0)
    if number not in ATOMIC_NUMBERS.values():
        raise ValueError(f"{path}: {key!r} is neither an element symbol nor an atomic number")
    return number


def _read_safetensors(path: Path) -> ElementTable:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            numbers, vectors = file.get_tensor("atomic_numbers"), file.get_tensor("vectors")
            metadata = json.loads(header.get("metadata", "{}"))
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the tensors atomic_numbers and vectors: {error}"
        ) from error
    return ElementTable(header.get("name", path.stem), numbers, vectors, metadata)


def _as_json(rows: Mapping[str, list[float]]) -> bytes:
    # One element a line, so that two tables can be compared by eye.
    lines = [f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _numbers(vector: np.ndarray) -> list[float]:
    # The shortest text that reads back as the same float32; whole numbers without a point.
    return [int(x) if x == int(x) else float(str(x)) for x in vector]


def _by_number(table: ElementTable) -> bytes:
    pairs = zip(table.atomic_numbers, table.vectors, strict=True)
    return _as_json({str(z): _numbers(vector) for z, vector in pairs})


def _by_symbol(table: ElementTable) -> bytes:
    pairs = zip(table.symbols, table.vectors, strict=True)
    return _as_json({symbol: _numbers(vector) for symbol, vector in pairs})


def _as_csv(table: ElementTable) -> bytes:
    pairs = zip(table.symbols, table.vectors, strict=True)
    rows = ([symbol, *_numbers(vector)] for symbol, vector in pairs)
    return csv_text(["element", *map(str, range(table.width))], rows).encode()


def _as_safetensors(table: ElementTable) -> bytes:
    tensors: dict[str, np.ndarray] = {
        "atomic_numbers": table.atomic_numbers,
        "vectors": table.vectors,
    }
    header: dict[str, Any] = {"name": table.name, "metadata": json.dumps(dict(table.metadata))}
    return save(tensors, metadata=header)


_WRITERS: dict[str, Callable[[ElementTable], bytes]] = {
    "atom_init": _by_number,
    "symbols": _by_symbol,
    "csv": _as_csv,
    "safetensors": _as_safetensors,
}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)  # temporary files are private
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
