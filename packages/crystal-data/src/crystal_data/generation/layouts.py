"""Where generated structures lie in files and folders: which request and sample each one is."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystal_data.errors import InvalidCrystalError, Reason, Rejection, SourceError
from crystal_data.generation.merged_files import SHARDS, SUMMARY
from crystal_data.generation.read_pt import is_pt_file, records_of_pt
from crystal_data.io.formats import identifier_of
from crystal_data.io.own_files import read_rows as read_own_rows
from crystal_data.io.record import Record
from crystal_data.io.records import files_of_pattern, records_of_file
from crystal_data.io.site_lists import OPTIMADE_COLUMNS
from crystal_data.sources.table import (
    IDENTIFIER_COLUMNS,
    STRUCTURE_COLUMNS,
    is_table_file,
    structure_of_row,
)
from crystal_data.sources.table_cells import BadCellError, is_missing, parse_number, parse_text
from crystal_data.sources.table_rows import Row, column_names, read_rows

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"(.+)_(\d{1,15})", re.DOTALL)
_PART = re.compile(r"(.+)#(\d{1,15})", re.DOTALL)
_LAST_NUMBER = re.compile(r"(\d{1,15})$")


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A structure that is not parsed yet; what is None is not said."""

    request: str
    sample: int | None
    record: Record | Rejection | None
    rank: int | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    file: str = ""


def find_structures(path: Path, known: frozenset[str]) -> Iterator[Found]:
    """What a file or folder holds; :func:`crystal_data.generation.read_generated` says how.

    Args:
        path: A file or folder.
        known: Ids of requests, of which none is taken for a name with a sample's number.
    """
    return _of_folder(path, known) if path.is_dir() else _of_file(path, known)


def _of_folder(folder: Path, known: frozenset[str]) -> Iterator[Found]:
    summary = folder / SUMMARY
    if summary.is_file():
        columns = set(column_names(summary))
        if {"request", "sample", "file"} <= columns or {"id", "file"} <= columns:
            yield from _of_summary(folder, summary, known)
            return
    if (folder / SHARDS).is_dir():
        raise SourceError(
            f"the generation in {folder} is not finished; run the same command again, which makes "
            "the samples that are missing"
        )
    ignored: list[str] = []
    for file in files_of_pattern(folder, ignored):
        yield from _of_named_file(file, known)
    for name in ignored:
        if Path(name).is_dir():
            yield from _of_subfolder(Path(name))
        else:
            logger.warning("%s is no structure file, and is left out", name)


def _of_summary(folder: Path, summary: Path, known: frozenset[str]) -> Iterator[Found]:
    for row in read_own_rows(summary, ("file",)):
        if "request" in row:
            request, sample = row["request"], _whole(row.get("sample"), "sample", str(summary))
        else:
            request, sample = _split_name(row["id"], known)
        file = folder / row["file"] if row["file"] else None
        record = None if file is None else _only_record(file)
        yield Found(
            request,
            sample,
            record,
            _whole(row.get("rank"), "rank", str(summary)),
            _score(row.get("score"), str(summary)),
            tuple(filter(None, row.get("flags", "").split(";"))),
            "" if file is None else str(file),
        )


def _only_record(file: Path) -> Record | Rejection:
    records = list(records_of_file(file, identifier_of(file)))
    if len(records) == 1:
        return records[0]
    detail = f"there are {len(records)} structures in the file, one was expected"
    return Rejection(identifier_of(file), str(file), "read", Reason.UNREADABLE, detail)


def _of_named_file(file: Path, known: frozenset[str]) -> Iterator[Found]:
    records = list(records_of_file(file, identifier_of(file)))
    if len(records) == 1:
        request, sample = _split_name(identifier_of(file), known)
        yield Found(request, sample, records[0], file=str(file))
        return
    for record in records:
        yield Found(identifier_of(file), None, record, file=str(file))


def _of_subfolder(folder: Path) -> Iterator[Found]:
    files = sorted(files_of_pattern(folder, []), key=lambda file: _natural(file.name))
    numbers = [_LAST_NUMBER.search(identifier_of(file)) for file in files]
    samples = [int(number[1]) for number in numbers if number]
    is_numbered = len(set(samples)) == len(files)
    for place, file in enumerate(files):
        records = list(records_of_file(file, identifier_of(file)))
        if len(records) != 1:
            raise SourceError(
                f"{file} holds {len(records)} structures; in a folder for each request a file is "
                "one sample"
            )
        sample = samples[place] if is_numbered else place
        yield Found(folder.name, sample, records[0], file=str(file))


def _of_file(file: Path, known: frozenset[str]) -> Iterator[Found]:
    if is_pt_file(file):
        for place, run, record in records_of_pt(file):
            yield Found(place, run, record, file=str(file))
    elif is_table_file(file):
        yield from _of_table(file, known)
    else:
        for record in records_of_file(file):
            said = record.properties if isinstance(record, Record) else {}
            if "request" in said and "sample" in said:
                yield _of_properties(said, record, str(file))
                continue
            # Structures without a name of their own, or of one name, come numbered.
            part = _PART.fullmatch(record.identifier)
            if part:
                yield Found(part[1], int(part[2]), record, file=str(file))
            else:
                request, sample = _split_name(record.identifier, known)
                yield Found(request, sample, record, file=str(file))


def _of_properties(said: Mapping[str, Any], record: Record | Rejection, file: str) -> Found:
    return Found(
        parse_text(said["request"]),
        _whole(said["sample"], "sample", file),
        record,
        _whole(said.get("rank"), "rank", file),
        _score(said.get("score"), file),
        file=file,
    )


def _of_table(file: Path, known: frozenset[str]) -> Iterator[Found]:
    names = column_names(file)
    structure = next((name for name in STRUCTURE_COLUMNS if name in names), None)
    identifier = next((name for name in ("request", *IDENTIFIER_COLUMNS) if name in names), None)
    if structure is None and not set(OPTIMADE_COLUMNS) <= set(names):
        raise SourceError(
            f"{file}: no column of structures among {', '.join(names)}; expected one of "
            f"{', '.join(STRUCTURE_COLUMNS)} or the OPTIMADE columns"
        )
    stem = file.name.split(".")[0]
    for number, row in enumerate(read_rows(file), start=1):
        place = f"{file}:{number}"
        name = parse_text(row.get(identifier)) or f"{stem}-{number}" if identifier else stem
        sample = _whole(row.get("sample"), "sample", place)
        request, numbered = (name, sample) if "sample" in names else _split_name(name, known)
        yield Found(
            request,
            numbered,
            _record_of_row(name, row, structure, place),
            _whole(row.get("rank"), "rank", place),
            _score(row.get("score"), place),
            file=place,
        )


def _record_of_row(name: str, row: Row, column: str | None, place: str) -> Record | Rejection:
    try:
        structure, form = structure_of_row(name, row, column)
    except InvalidCrystalError as error:
        return Rejection(name, place, "read", error.reason, error.detail)
    return Record(name, structure, form, file=place)


def _split_name(name: str, known: frozenset[str]) -> tuple[str, int | None]:
    """Request and sample that a name such as ``NaCl_3`` means."""
    numbered = _NUMBERED.fullmatch(name)
    if name in known or numbered is None:
        return name, None
    return numbered[1], int(numbered[2])


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which ``10`` stands behind ``9``."""
    return [(int(x), "") if x.isdecimal() else (-1, x) for x in re.split(r"(\d{1,15})", name)]


def _whole(cell: object, column: str, place: str) -> int | None:
    try:
        number = None if is_missing(cell) else parse_number(cell)
    except BadCellError as error:
        raise SourceError(f"{place}: column {column}: {error}") from None
    if number is not None and (number != int(number) or number < 0):
        raise SourceError(f"{place}: column {column}: {number:g} is no whole number from 0")
    return None if number is None else int(number)


def _score(cell: object, place: str) -> float | None:
    try:
        return None if is_missing(cell) else parse_number(cell)
    except BadCellError as error:
        raise SourceError(f"{place}: column score: {error}") from None
