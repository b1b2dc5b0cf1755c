"""Element tables that others have published, as the package ElementEmbeddings brings them along."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath

import numpy as np

from crystal_data import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_embed.tables.files import Row, parse_rows, table_of_rows
from crystal_embed.tables.table import ElementTable

PREFIX = "elements:"
# ElementEmbeddings' own names, where the file's is another one.
_FILES = {
    "crystallm": "crystallm_v24c.dim512_atom_vectors",
    "matscholar": "matscholar-embedding",
    "oliynyk": "oliynyk_preprocessed",
    "skipatom": "skipatom_20201009_induced",
    "xenonpy": "xenonpy_element_features",
}
# An unfinished draft of that table, and random numbers, of which `random:<width>` makes any.
_HIDDEN = ("oliynyk", "random_200", "random_200_new")


def published_table(name: str) -> ElementTable:
    """Reads a table out of the installed ElementEmbeddings, whose code is not run.

    Keys that are no element (deuterium, placeholders) are left out. A number that is missing
    becomes the mean of its column over the elements that have one. The metadata name both.

    Args:
        name: ``elements:<name>``, by the name that ElementEmbeddings gives the table. A scale, such
            as ``elements:mod_petti``, is one number wide.

    Raises:
        InvalidArgumentError: If ElementEmbeddings is not installed, or has no such table.
    """
    tables = _tables()
    wanted = name.removeprefix(PREFIX)
    if wanted not in tables:
        near = get_close_matches(wanted, tables, n=1)
        hint = f"did you mean '{PREFIX}{near[0]}'?" if near else "it has none of that name."
        raise InvalidArgumentError(
            f"no element table '{name}' in ElementEmbeddings; {hint} "
            f"The names are {', '.join(sorted(tables))}"
        )
    file = tables[wanted]
    path = PurePath(file.name)
    found = parse_rows(file.read_text(encoding="utf-8-sig"), path)
    rows = {key: row for key, row in found.items() if key in ATOMIC_NUMBERS}
    filled, lacking = _filled(rows, path)
    metadata = {
        "source": f"ElementEmbeddings {version('elementembeddings')}",
        "file": file.name,
        "left_out": sorted(found.keys() - rows.keys()),
        "filled_with_column_mean": lacking,
    }
    return table_of_rows(filled, path, metadata=metadata, name=name)


def _tables() -> dict[str, Traversable]:
    """Each table's file, by name."""
    try:
        folder = files("elementembeddings") / "data" / "element_representations"
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"'{PREFIX}<name>' tables come with ElementEmbeddings, which is not installed",
            "pip install 'crystal-embed[tables]'",
        ) from error
    found = {PurePath(one.name).stem: one for one in folder.iterdir() if _is_table(one.name)}
    renamed = {name: found[stem] for name, stem in _FILES.items() if stem in found}
    hidden = {*_HIDDEN, *_FILES.values()}
    return {stem: one for stem, one in found.items() if stem not in hidden} | renamed


def _is_table(name: str) -> bool:
    return name.endswith((".json", ".csv"))


def _filled(rows: Mapping[str, Row], path: PurePath) -> tuple[dict[str, Row], list[str]]:
    """Rows with the column's mean where a number is missing, and the elements it was missing of."""
    lacking = [key for key, row in rows.items() if any(map(_is_missing, row))]
    if not lacking or len({len(row) for row in rows.values()}) > 1:
        return dict(rows), []
    try:
        values = np.array([[_number(value) for value in row] for row in rows.values()])
    except ValueError as error:
        raise SourceError(f"{path}: not all values are numbers: {error}") from error
    missing = np.isnan(values)
    if missing.all(axis=0).any():
        column = int(np.flatnonzero(missing.all(axis=0))[0]) + 1
        raise SourceError(f"{path}: column {column} holds no number at all")
    values = np.where(missing, np.nanmean(values, axis=0), values)
    return dict(zip(rows, values.tolist(), strict=True)), lacking


def _number(value: float | str | None) -> float:
    return math.nan if value is None or _is_missing(value) else float(value)


def _is_missing(value: float | str | None) -> bool:
    return value in {None, "", "nan", "NaN"} or (isinstance(value, float) and math.isnan(value))
