"""Cells of CSV files that a spreadsheet shows as text instead of running them as formulas."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Any

# What Excel, LibreOffice and Google Sheets take as the start of a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def written_cell(cell: Any) -> Any:
    """A cell as it is written: text that looks like a formula gets an apostrophe in front.

    Numbers are left as they are. Text that has the apostrophe already gets one more, so that
    :func:`read_cell` gives back every text unchanged.
    """
    if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell):
        return f"'{cell}"
    return cell


def read_cell(cell: str) -> str:
    """The text that :func:`written_cell` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_csv(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Rows of a CSV file that this project wrote, by the names of its columns.

    Args:
        lines: The text, line ends as they are in the file.
    """
    rows = csv.reader(lines)
    names = [read_cell(cell) for cell in next(rows, ())]
    for row in rows:
        if row:
            # A row that is cut short lacks its last cells.
            yield dict(zip(names, chain(map(read_cell, row), repeat("")), strict=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text.isprintable()
