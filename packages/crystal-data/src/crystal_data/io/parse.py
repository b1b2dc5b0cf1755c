"""Records to checked crystals, one or many."""

from collections.abc import Iterable

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidCrystalError, Reason, Rejection
from crystal_data.io.cif import parse_cif
from crystal_data.io.disorder import ON_DISORDER, OnDisorder
from crystal_data.io.distances import MIN_DISTANCE, check_distances
from crystal_data.io.poscar import parse_poscar
from crystal_data.io.pymatgen import parse_json
from crystal_data.sources.record import Record

_CHECKED = (Reason.OVERLAPPING_ATOMS, Reason.DISORDERED)


def parse_record(
    record: Record, *, on_disorder: OnDisorder = "error", min_distance: float = MIN_DISTANCE
) -> Crystal:
    """The crystal of a record, under the record's identifier.

    Properties of the record stay there; the crystal has those that its structure brings.

    Args:
        record: Text, or a crystal that is checked only.
        on_disorder: ``error`` and ``skip`` both refuse; ``majority`` and ``order`` make it
            ordered, see ``resolve_disorder``.
        min_distance: Atoms closer than this overlap, Å; 0 allows all.

    Raises:
        InvalidCrystalError: With the reason, if the record cannot be used.
        ValueError: If the record's format or ``on_disorder`` is none of those known.
    """
    if on_disorder not in ON_DISORDER:
        raise ValueError(f"on_disorder is {on_disorder!r}, expected one of {ON_DISORDER}")
    name, structure = record.identifier, record.structure
    if isinstance(structure, Crystal):
        crystal = structure if structure.identifier == name else structure.replace(identifier=name)
        check_distances(crystal, min_distance)
        return crystal
    if not isinstance(structure, str):
        detail = f"the structure is a {type(structure).__name__}, a text was expected"
        raise InvalidCrystalError(name, Reason.UNREADABLE, detail)
    if record.format == "cif":
        return parse_cif(structure, name, on_disorder=on_disorder, min_distance=min_distance)
    if record.format == "poscar":
        return parse_poscar(structure, name, min_distance=min_distance)
    if record.format == "json":
        return parse_json(structure, name, on_disorder=on_disorder, min_distance=min_distance)
    raise ValueError(f"{name}: format is {record.format!r}, expected 'cif', 'poscar' or 'json'")


def parse_records(
    records: Iterable[Record | Rejection],
    *,
    on_disorder: OnDisorder = "error",
    min_distance: float = MIN_DISTANCE,
) -> list[Crystal | Rejection]:
    """Each record's crystal, or why there is none, in the order given.

    A module-level function of picklable values, so that a process pool can map it over chunks.

    Args:
        records: A rejection among them is passed through.
        on_disorder: See ``parse_record``.
        min_distance: See ``parse_record``, Å.
    """
    return [_parsed(record, on_disorder, min_distance) for record in records]


def _parsed(
    record: Record | Rejection, on_disorder: OnDisorder, min_distance: float
) -> Crystal | Rejection:
    if isinstance(record, Rejection):
        return record
    try:
        return parse_record(record, on_disorder=on_disorder, min_distance=min_distance)
    except InvalidCrystalError as error:
        return rejection_of(error, record.file, record.identifier)


def rejection_of(error: InvalidCrystalError, file: str = "", identifier: str = "") -> Rejection:
    """The row of ``rejected.csv`` for an error of reading or checking a structure."""
    stage = "check" if error.reason in _CHECKED else "read"
    return Rejection(identifier or error.identifier, file, stage, error.reason, error.detail)
