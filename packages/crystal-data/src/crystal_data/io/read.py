"""Crystals from whatever a user has: files, folders, patterns, and objects of other libraries."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from crystal_data.crystal import Crystal
from crystal_data.errors import (
    InvalidArgumentError,
    InvalidCrystalError,
    OnInvalid,
    Reason,
    Rejection,
)
from crystal_data.io.ase import from_ase
from crystal_data.io.options import DEFAULT, UNCHECKED, OnDisorder, ReadOptions
from crystal_data.io.parse import parse_records, rejection_of
from crystal_data.io.pymatgen import from_pymatgen
from crystal_data.io.record import Record
from crystal_data.io.records import record_of_json, records_of_pattern

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core.structure import Structure

CrystalInput: TypeAlias = Union[str, Path, Crystal, Mapping[str, Any], "Structure", "Atoms"]


@dataclass(frozen=True)
class ReadResult:
    """What came of some inputs; every one of them is in one of the three.

    Args:
        crystals: In the order of the inputs, files of a folder by name.
        rejected: What cannot be used, and why.
        ignored: Files of folders that neither by name nor by content are structures.
    """

    crystals: list[Crystal]
    rejected: list[Rejection]
    ignored: list[str]


def read_crystals(
    inputs: CrystalInput | Iterable[CrystalInput],
    *,
    on_invalid: OnInvalid = "skip",
    options: ReadOptions = DEFAULT,
) -> ReadResult:
    """Read crystals from paths, folders, patterns, or objects in memory, or a list of these.

    Files are CIF (``.cif``, ``.mcif``), VASP (``POSCAR*``, ``CONTCAR*``, ``.vasp``, ``.poscar``),
    extended XYZ (``.extxyz``, ``.xyz``) and pymatgen JSON (``.json``, ``.jsonl``), each also with
    ``.gz``; a wrong ending does no harm. The identifier is the file's name without the ending;
    of several structures in a file, ``name#block`` or ``name#number``.

    Args:
        inputs: Also pymatgen ``Structure``, its ``as_dict()``, ASE ``Atoms``, ``Crystal``; those
            without an identifier are called ``structure-0`` and so on, by their place.
        on_invalid: ``skip`` lists what cannot be used in ``rejected``; ``error`` raises the first.
        options: How to read. With ``on_disorder="error"`` disorder is a fault as any other, so
            that ``on_invalid`` decides; with ``"skip"`` it is always listed.

    Returns:
        Crystals with distinct identifiers; a second one of the same name is rejected.

    Raises:
        InvalidCrystalError: If ``on_invalid`` is ``error`` and something cannot be used.
        InvalidArgumentError: If ``on_invalid`` is none of those known, or an input is of no known
            kind.
    """
    if on_invalid not in ("error", "skip"):
        raise InvalidArgumentError(f"on_invalid is {on_invalid!r}, expected 'error' or 'skip'")
    ignored: list[str] = []
    crystals: list[Crystal] = []
    rejected: list[Rejection] = []
    files: dict[str, str] = {}
    for item in _items(inputs, options, ignored):
        parsed = parse_records([item], options)[0]
        if isinstance(parsed, Crystal):
            file = item.file
            if parsed.identifier not in files:
                files[parsed.identifier] = file
                beside = item.properties if isinstance(item, Record) else {}
                crystals.append(parsed.replace(properties={**beside, **parsed.properties}))
                continue
            detail = f"the identifier is taken, by {files[parsed.identifier] or 'an earlier input'}"
            parsed = Rejection(
                parsed.identifier, file, "check", Reason.DUPLICATE_IDENTIFIER, detail
            )
        raise_unless_skipped(parsed, on_invalid=on_invalid, on_disorder=options.on_disorder)
        rejected.append(parsed)
    return ReadResult(crystals, rejected, ignored)


def raise_unless_skipped(
    rejection: Rejection, *, on_invalid: OnInvalid, on_disorder: OnDisorder
) -> None:
    """Raise what was rejected, if the user asked for errors and not for disorder to be skipped.

    Raises:
        InvalidCrystalError: With a message that names the file and the remedy.
    """
    is_skipped_disorder = rejection.reason == Reason.DISORDERED and on_disorder == "skip"
    if on_invalid == "skip" or is_skipped_disorder:
        return
    where = f"{rejection.file}: " if rejection.file else ""
    remedy = "pass on_invalid='skip' to leave such structures out and list them"
    raise InvalidCrystalError(
        rejection.identifier, rejection.reason, f"{where}{rejection.detail}; {remedy}"
    )


def _items(inputs: Any, options: ReadOptions, ignored: list[str]) -> Iterator[Record | Rejection]:
    is_one = isinstance(inputs, (str, Path, Crystal, Mapping)) or _is_structure(inputs)
    for place, value in enumerate([inputs] if is_one or _is_atoms(inputs) else inputs):
        if isinstance(value, (str, Path)):
            yield from records_of_pattern(value, ignored)
        else:
            yield _of_object(value, f"structure-{place}", options)


def _is_structure(value: Any) -> bool:
    return hasattr(value, "as_dict") and hasattr(value, "lattice")


def _is_atoms(value: Any) -> bool:
    return hasattr(value, "get_chemical_symbols") and hasattr(value, "cell")


def _of_object(value: Any, default_name: str, options: ReadOptions) -> Record | Rejection:
    if isinstance(value, Crystal):
        return Record(value.identifier or default_name, value, "crystal")
    if isinstance(value, Mapping):
        return record_of_json(value, default_name)
    try:
        if _is_structure(value):
            crystal = from_pymatgen(value, options=replace(options, min_distance=0.0))
        elif _is_atoms(value):
            crystal = from_ase(value, options=UNCHECKED)
        else:
            raise InvalidArgumentError(
                f"{default_name} is a {type(value).__name__}; expected a path, a Crystal, a "
                "pymatgen Structure or its dict, ASE Atoms, or a list of these"
            )
    except InvalidCrystalError as error:
        return rejection_of(error, identifier=error.identifier or default_name)
    return Record(crystal.identifier or default_name, crystal, "crystal")
