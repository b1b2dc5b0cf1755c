"""Requests from files: a table with one in each row, or the JSON form of DiffCSP++."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason, SourceError
from crystal_data.generation.request import GenerationRequest
from crystal_data.generation.words import RequestError, formula_of
from crystal_data.generation.wyckoff_sites import WyckoffSite
from crystal_data.io.own_files import DamagedFileError, read_json
from crystal_data.io.read import read_crystals
from crystal_data.sources.table_cells import BadCellError, is_missing, parse_number, parse_text
from crystal_data.sources.table_rows import Row, column_names, read_rows
from crystal_data.symmetry.wyckoff import wyckoff_position

_WHOLE = ("z", "z_conventional", "num_samples", "seed")
_TEXT = ("id", "formula", "elements", "space_group", "wyckoff")
COLUMNS = (*_TEXT, *_WHOLE, "start")
_DIFFCSP = ("spacegroup_number", "wyckoff_letters", "atom_types")
_WITH_UNIT = re.compile(r"(.*\S)\s*\((.*)\)")
_MOST_ERRORS = 5  # that a message lists


def read_requests(
    path: str | Path, *, num_samples: int = 1, seed: int = 0
) -> list[GenerationRequest]:
    """Read requests, one from each row of a table or each object of a JSON list.

    A table (CSV, Parquet, JSON Lines) has the columns ``id`` and ``formula``, and any of ``z``,
    ``z_conventional``, ``elements``, ``space_group`` (a number or symbol), ``wyckoff``
    (``Li:8a Mn:16d O:32e`` or ``8a 16d 32e``), ``start`` (a structure file, beside the table),
    ``num_samples`` and ``seed``. Every other column is a property, its unit in the header:
    ``band_gap (eV)``. What a request does not ask stays empty.

    A file ``.json`` is a list of objects as DiffCSP++ reads it, see :func:`request_from_diffcsp`.

    Args:
        path: The file.
        num_samples: Of requests that do not say.
        seed: Of requests that do not say.

    Raises:
        RequestError: Naming the rows that are no request or cannot be met, one on each line.
        SourceError: If the file cannot be read.
    """
    path = Path(path)
    usual = {"num_samples": num_samples, "seed": seed}
    is_json = path.suffix.lower() == ".json"
    requests: dict[str, GenerationRequest] = {}
    places: dict[str, str] = {}
    errors: list[str] = []
    for place, row in _objects(path) if is_json else _rows(path):
        try:
            values = request_from_diffcsp(row) if is_json else _of_row(row, path.parent)
            request = GenerationRequest.from_dict({**usual, **values})
        except (RequestError, BadCellError, InvalidCrystalError) as error:
            errors.append(f"{place}: {error}")
            continue
        if request.id in requests:
            errors.append(f"{place}: the id '{request.id}' is that of {places[request.id]} too")
        requests[request.id], places[request.id] = request, place
    if errors:
        more = len(errors) - _MOST_ERRORS
        tail = [f"and {more} more rows of {path}"] if more > 0 else []
        raise RequestError("\n".join([*errors[:_MOST_ERRORS], *tail]))
    if not requests:
        raise RequestError(f"{path} has no requests; give at least one row")
    return list(requests.values())


def request_from_diffcsp(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for ``GenerationRequest.from_dict`` of an object as DiffCSP++ reads it.

    Args:
        values: ``spacegroup_number``; ``wyckoff_letters``, a list such as ``["2a", "2d", "4g"]`` or
            a text such as ``"adg"``; ``atom_types``, a symbol for each letter, where the elements
            are not to be chosen. Other names are those of ``GenerationRequest.as_dict``.

    Raises:
        RequestError: If the lists do not fit each other.
    """
    rest = {name: value for name, value in values.items() if name not in _DIFFCSP}
    letters = list(values.get("wyckoff_letters", ()))
    elements = list(values.get("atom_types", ()))
    if "spacegroup_number" not in values or not letters:
        raise RequestError("an object has spacegroup_number and wyckoff_letters; one is missing")
    if elements and len(elements) != len(letters):
        raise RequestError(
            f"{len(letters)} wyckoff_letters and {len(elements)} atom_types; give one for each"
        )
    words = [f"{x}:{w}" for x, w in zip(elements, letters, strict=True)] if elements else letters
    asked = {"space_group": values["spacegroup_number"], "wyckoff": " ".join(map(str, words))}
    return {**rest, **asked}


def request_to_diffcsp(request: GenerationRequest) -> dict[str, Any]:
    """The request as an object that DiffCSP++ reads.

    Raises:
        RequestError: If it has no Wyckoff positions.
    """
    if request.space_group is None or not request.wyckoff:
        raise RequestError(
            f"request {request.id} has no Wyckoff positions, which DiffCSP++ needs; "
            f"{formula_of(request.cell) or 'its composition'} alone is no request there"
        )
    values: dict[str, Any] = {
        "spacegroup_number": request.space_group,
        "wyckoff_letters": [_label(request.space_group, site) for site in request.wyckoff],
    }
    if request.wyckoff[0].element:
        values["atom_types"] = [site.element for site in request.wyckoff]
    return values


def _label(space_group: int, site: WyckoffSite) -> str:
    return wyckoff_position(space_group, site.letter).label


def _objects(path: Path) -> Iterator[tuple[str, Row]]:
    """Place and content of each object of a JSON list."""
    try:
        values = read_json(path)
    except DamagedFileError as error:
        raise SourceError(error.without_remedy) from None
    for number, value in enumerate(values if isinstance(values, list) else [values]):
        place = f"{path}, element {number}"
        if not isinstance(value, Mapping):
            raise SourceError(f"{place}: expected an object with named values")
        yield place, {"id": f"request-{number}", **value}


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Place and cells of each row of a table."""
    _check_columns(path, column_names(path))
    for number, row in enumerate(read_rows(path), start=1):
        yield f"{path}, row {number}", row


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if "id" not in names or not {"formula", "elements", "wyckoff", "start"} & set(names):
        raise SourceError(
            f"{path}: a table of requests has a column id and one of formula, elements, wyckoff "
            f"and start; its columns are {', '.join(names)}"
        )


def _of_row(row: Row, folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    properties: dict[str, dict[str, Any]] = {}
    for name, cell in row.items():
        # In a formula NaN is one.
        if not parse_text(cell) if name in _TEXT else is_missing(cell):
            continue
        try:
            if name in _WHOLE:
                values[name] = _whole(cell)
            elif name in _TEXT:
                values[name] = parse_text(cell)
            elif name == "start":
                values[name] = read_start(folder / parse_text(cell))
            else:
                key, unit = split_unit(name)
                properties[key] = {"value": parse_number(cell), "unit": unit}
        except BadCellError as error:
            raise BadCellError(
                f"column {name}: {error}; correct the cell or leave it empty"
            ) from None
    if not values.get("id"):
        raise RequestError("the id is missing; give each row its own")
    return {**values, "properties": properties}


def read_start(path: Path) -> Crystal:
    """The one structure of a file to start from.

    Raises:
        RequestError: If there is none that can be used, or there are several.
    """
    found = read_crystals(path)
    number = len(found.crystals) + len(found.rejected)
    if number != 1:
        raise RequestError(f"{path} holds {number} structures; one is needed to start from")
    if found.crystals:
        return found.crystals[0]
    rejected = found.rejected[0]
    message = f"{rejected.identifier}: {rejected.file}: {rejected.detail} [{rejected.reason}]"
    if rejected.reason == Reason.DISORDERED:
        message += (
            f"; an ordered structure is needed to start from, and `crystal-data convert {path} "
            "--on-disorder majority --to FOLDER` writes one"
        )
    raise RequestError(message)


def split_unit(name: str) -> tuple[str, str]:
    """Name and unit of a header such as ``band_gap (eV)``."""
    match = _WITH_UNIT.fullmatch(name.strip())
    return (match[1], match[2].strip()) if match else (name.strip(), "")


def _whole(cell: object) -> int:
    number = parse_number(cell)
    if number != int(number):
        raise BadCellError(f"{number:g} is not a whole number")
    return int(number)
