"""Element tables in the forms that others read and write."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from crystal_data import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError, MissingFileError, SourceError
from crystal_data.io import atomic_path, csv_text
from crystal_embed.tables.table import ElementTable

TableForm = Literal["atom_init", "symbols", "csv", "safetensors"]
# What a file has for one element; numbers of a CSV are text until all rows are known to fit.
Row: TypeAlias = list[float] | list[str]
SUFFIXES = (".json", ".csv", ".safetensors")
_CHECKSUM = "sha256"  # in the header of a safetensors file


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
        InvalidArgumentError: If neither form nor suffix is a known one.
    """
    path = Path(path)
    by_suffix: dict[str, TableForm] = {
        ".json": "atom_init", ".csv": "csv", ".safetensors": "safetensors"
    }  # fmt: skip
    chosen = form or by_suffix.get(path.suffix)
    if chosen not in _WRITERS:
        raise InvalidArgumentError(
            f"{path}: a table is written as {', '.join(get_args(TableForm))}, not as {chosen!r}",
            f"give the form, or end the name in {', '.join(SUFFIXES)}",
        )
    _write(path, _WRITERS[chosen](table))
    return path


def read_table(path: str | Path) -> ElementTable:
    """Reads a table in any form that ``save_table`` writes.

    Raises:
        FileNotFoundError: If there is no such file.
        SourceError: If it is not a table in one of these forms.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise InvalidArgumentError(f"{path}: a table file ends in {', '.join(SUFFIXES)}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not a text file: {error}") from error
    return table_of_rows(parse_rows(text, path), path, metadata={"file": path.name})


def parse_rows(text: str, path: PurePath) -> dict[str, Row]:
    """Rows by element, as they stand in the text of a ``.json`` or ``.csv`` file.

    Args:
        text: All of the file.
        path: Its suffix tells the form; errors name it.

    Raises:
        SourceError: If it is not a table in one of these forms.
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
        SourceError: If a key is no element, a value no number, or the lengths differ.
    """
    numbers = [_atomic_number(key, path) for key in rows]
    widths = {key: len(values) for key, values in rows.items()}
    if len(set(widths.values())) > 1:
        first, *others = widths.items()
        odd = next(item for item in others if item[1] != first[1])
        raise SourceError(
            f"{path}: all rows need the same length; {first[0]} has {first[1]} numbers, "
            f"{odd[0]} has {odd[1]}"
        )
    try:
        # What is too large for 32 bits becomes infinite, which a table refuses.
        with np.errstate(over="ignore"):
            vectors = np.array(list(rows.values()), dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{path}: not all values are numbers: {error}") from error
    return ElementTable(name or path.stem, np.array(numbers), vectors, metadata)


def _json_rows(text: str, path: PurePath) -> dict[str, Row]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise SourceError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:
        raise SourceError(f"{path}: not JSON: {error}") from error
    # A scale, one number for each element, is a table that is one wide.
    rows = (
        {key: row if isinstance(row, list) else [row] for key, row in found.items()}
        if isinstance(found, dict)
        else {}
    )
    if not rows:
        raise SourceError(
            f'{path}: expected {{"1": [numbers], …}} by atomic number or {{"H": [numbers], …}}'
        )
    return rows


def _csv_rows(text: str, path: PurePath) -> dict[str, Row]:
    header: list[str]
    lines: list[list[str]]
    try:
        header, *lines = [*csv.reader(io.StringIO(text)), []]
    except csv.Error as error:
        raise SourceError(f"{path}: not CSV: {error}") from error
    if header[:1] != ["element"] or not any(lines):
        raise SourceError(
            f"{path}: expected the header element,0,1,… and one line for each element"
        )
    rows: dict[str, Row] = {}
    for line in filter(None, lines):
        if line[0] in rows:
            raise SourceError(f"{path}: {line[0]} is there twice")
        rows[line[0]] = line[1:]
    return rows


def _atomic_number(key: str, path: PurePath) -> int:
    number = int(key) if key.isdecimal() and len(key) <= 3 else ATOMIC_NUMBERS.get(key, 0)
    if number not in ATOMIC_NUMBERS.values():
        raise SourceError(f"{path}: {key!r:.20} is neither an element symbol nor an atomic number")
    return number


def _read_safetensors(path: Path) -> ElementTable:
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            numbers, vectors = file.get_tensor("atomic_numbers"), file.get_tensor("vectors")
        metadata = json.loads(header.get("metadata", "{}"))
    # NumPy lacks some of the types that a header can name.
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SourceError(
            f"{path}: expected the tensors atomic_numbers and vectors: {error}"
        ) from error
    # Files of earlier versions have no checksum.
    if header.get(_CHECKSUM, "") not in ("", _digest(header, numbers, vectors)):
        raise SourceError(f"{path}: its checksum does not fit: it was changed or damaged")
    random = metadata.get("random_elements", []) if isinstance(metadata, dict) else None
    if not isinstance(random, list) or not all(isinstance(symbol, str) for symbol in random):
        raise SourceError(f"{path}: its metadata is damaged: random_elements is a list of symbols")
    if numbers.dtype.kind not in "iu" or vectors.dtype.kind != "f":
        raise SourceError(
            f"{path}: atomic_numbers is {numbers.dtype} and vectors {vectors.dtype}; expected "
            "integers and floats"
        )
    return ElementTable(header.get("name", path.stem), numbers, vectors, metadata)


def _digest(header: Mapping[str, str], numbers: np.ndarray, vectors: np.ndarray) -> str:
    """SHA-256 of all that a table's file holds."""
    digest = hashlib.sha256(json.dumps([header.get("name"), header.get("metadata")]).encode())
    for array in (numbers, vectors):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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
    header = {"name": table.name, "metadata": json.dumps(dict(table.metadata))}
    header[_CHECKSUM] = _digest(header, table.atomic_numbers, table.vectors)
    return save(tensors, metadata=header)


_WRITERS: dict[str, Callable[[ElementTable], bytes]] = {
    "atom_init": _by_number,
    "symbols": _by_symbol,
    "csv": _as_csv,
    "safetensors": _as_safetensors,
}


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as draft:
        draft.write_bytes(content)
