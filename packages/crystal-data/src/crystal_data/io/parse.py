"""Records to checked crystals, one or many."""

from collections.abc import Iterable

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError, Reason, Rejection
from crystal_data.io.cif import parse_cif
from crystal_data.io.distances import check_distances
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.poscar import parse_poscar
from crystal_data.io.pymatgen import parse_json
from crystal_data.io.record import Record

_CHECKED = (Reason.OVERLAPPING_ATOMS, Reason.DISORDERED)


def parse_record(record: Record, options: ReadOptions = DEFAULT) -> Crystal:
    """The crystal of a record, under the record's identifier.

    Properties of the record stay there; the crystal has those that its structure brings.

    Args:
        record: Text, or a crystal that is checked only.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the record cannot be used.
        InvalidArgumentError: If the record's format is none of those known.
    """
    name, structure = record.identifier, record.structure
    if isinstance(structure, Crystal):
        crystal = structure if structure.identifier == name else structure.replace(identifier=name)
        check_distances(crystal, options.min_distance)
        return crystal
    if not isinstance(structure, str):
        detail = f"the structure is a {type(structure).__name__}, a text was expected"
        raise InvalidCrystalError(name, Reason.UNREADABLE, detail)
    if record.format == "cif":
        return parse_cif(structure, name, options)
    if record.format == "poscar":
        return parse_poscar(structure, name, options)
    if record.format == "json":
        return parse_json(structure, name, options)
    raise InvalidArgumentError(
        f"{name}: format is {record.format!r}, expected 'cif', 'poscar' or 'json'"
    )


def parse_records(
    records: Iterable[Record | Rejection], options: ReadOptions = DEFAULT
) -> list[Crystal | Rejection]:
    """Each record's crystal, or why there is none, in the order given.

    A module-level function of picklable values, so that a process pool can map it over chunks.

    Args:
        records: A rejection among them is passed through.
        options: How to read.
    """
    return [_parsed(record, options) for record in records]


def _parsed(record: Record | Rejection, options: ReadOptions) -> Crystal | Rejection:
    if isinstance(record, Rejection):
        return record
    try:
        return parse_record(record, options)
    except InvalidCrystalError as error:
        return rejection_of(error, record.file, record.identifier)


def rejection_of(error: InvalidCrystalError, file: str = "", identifier: str = "") -> Rejection:
    """The row of ``rejected.csv`` for an error of reading or checking a structure."""
    stage = "check" if error.reason in _CHECKED else "read"
    return Rejection(identifier or error.identifier, file, stage, error.reason, error.detail)
