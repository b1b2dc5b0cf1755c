"""The cell and the listed atoms of a CIF block."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import isnan, prod
from typing import overload

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif.block import CifBlock, as_number, as_text
from crystal_data.io.formula import Formula, shortened
from crystal_data.io.symbols import (
    atomic_number_of_label,
    elements_of_type,
    is_heavy_hydrogen,
    letters_of_label,
    readings_of_label,
)

_CELL = (
    "cell_length_a", "cell_length_b", "cell_length_c",
    "cell_angle_alpha", "cell_angle_beta", "cell_angle_gamma",
)  # fmt: skip
# Å; what is shorter or longer is no edge of a cell, and arithmetic with it overflows.
_MIN_LENGTH, _MAX_LENGTH = 1e-3, 1e4
_MAX_COORDINATE = 1e9
_AXES = ("atom_site_fract_x", "atom_site_fract_y", "atom_site_fract_z")
_LABEL, _TYPE = "atom_site_label", "atom_site_type_symbol"
_OCCUPANCY, _FLAG = "atom_site_occupancy", "atom_site_calc_flag"
_FULL = frozenset(("1", "1.0", "1.00", "1.000", "1.0000", "?", "."))
_MAX_READINGS = 64


@dataclass(frozen=True, eq=False)
class ListedAtoms:
    """The rows of a file that are atoms, before symmetry.

    Args:
        frac_coords: Shape ``[num_listed, 3]``.
        names: What the file calls each, as it is written, for messages.
        readings: The atomic numbers that they may have; one array ``[num_listed]`` for each
            possible reading of labels, nearly always one alone.
        occupancies: Shape ``[num_listed]``; None if all sites are full.
        notes: What was left out, or taken for something else.
    """

    frac_coords: NDArray[np.float64]
    names: list[str]
    readings: list[NDArray[np.int64]]
    occupancies: NDArray[np.float64] | None
    notes: tuple[str, ...]


class SiteNames(Sequence[str]):
    """What messages call each atom: its label and row in the file, made when asked for.

    Args:
        names: Of the listed atoms, as they are written.
        source: Listed atom that each atom comes from; shape ``[num_atoms]``.
    """

    def __init__(self, names: Sequence[str], source: NDArray[np.int64]) -> None:
        self._names = names
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, atom: int) -> str: ...
    @overload
    def __getitem__(self, atom: slice) -> list[str]: ...
    def __getitem__(self, atom: int | slice) -> str | list[str]:
        if isinstance(atom, slice):
            return [self[one] for one in range(len(self))[atom]]
        row = int(self._source[atom])
        is_image = atom > 0 and self._source[atom - 1] == row
        name = f"{as_text(self._names[row])} (row {row + 1} of the atoms)"
        return f"an image of {name}" if is_image else name


def read_lattice(block: CifBlock) -> NDArray[np.float64]:
    """Rows a, b, c; shape ``[3, 3]``, Å.

    Raises:
        InvalidCrystalError: ``NO_CELL`` or ``BAD_CELL``.
    """
    raw = block.raws(_CELL)
    if not all(raw):
        missing = ", ".join(f"_{name}" for name, value in zip(_CELL, raw, strict=True) if not value)
        detail = f"no unit cell: {missing} missing"
        raise InvalidCrystalError(block.identifier, Reason.NO_CELL, detail)
    a, b, c, *angles = map(as_number, raw)
    if not all(_MIN_LENGTH <= x <= _MAX_LENGTH for x in (a, b, c)) or not all(
        0.0 < x < 180.0 for x in angles
    ):
        detail = f"no cell has lengths {' '.join(raw[:3])} Å and angles {' '.join(raw[3:])} degrees"
        raise InvalidCrystalError(block.identifier, Reason.BAD_CELL, detail)
    try:
        return lattice_from_parameters((a, b, c), angles)
    except ValueError as error:
        raise InvalidCrystalError(block.identifier, Reason.BAD_CELL, str(error)) from error


def read_atoms(block: CifBlock, formula: Formula) -> ListedAtoms:
    """The listed atoms, without dummies and empty sites.

    Args:
        block: With a loop of ``_atom_site_fract_x``, or one atom's values without a loop.
        formula: Decides between elements where a label alone may mean several.

    Raises:
        InvalidCrystalError: With the reason, if a row is no atom for certain.
    """
    columns, notes = _without_dummies(_columns(block), block.identifier)
    axes = [_coordinates(columns[axis], block.identifier) for axis in _AXES]
    if len(set(map(len, axes))) > 1:
        counts = ", ".join(str(len(axis)) for axis in axes)
        detail = f"there are {counts} values of _{_AXES[0]}, y and z; each atom needs one of each"
        raise InvalidCrystalError(block.identifier, Reason.BAD_COORDINATES, detail)
    by_axis = np.array(axes)
    frac_coords = np.ascontiguousarray(by_axis.T)
    if _LABEL not in columns and _TYPE not in columns:
        detail = f"neither _{_TYPE} nor _{_LABEL} says what the atoms are"
        raise InvalidCrystalError(block.identifier, Reason.UNKNOWN_ELEMENT, detail)
    occupancies = _occupancies(columns.get(_OCCUPANCY), block.identifier)
    if occupancies is not None and not occupancies.all():
        present = np.flatnonzero(occupancies)
        frac_coords, occupancies = frac_coords[present], occupancies[present]
        columns = {tag: [column[i] for i in present] for tag, column in columns.items()}
    readings = _readings(columns, formula, block.identifier)
    written = columns.get(_TYPE) or columns[_LABEL]
    heavy = {raw for raw in set(written) if raw[0] in "DT'\"" and is_heavy_hydrogen(as_text(raw))}
    if heavy:
        count = sum(raw in heavy for raw in written)
        notes = (*notes, f"deuterium or tritium counts as hydrogen, in {count} listed sites")
    return ListedAtoms(frac_coords, columns.get(_LABEL) or written, readings, occupancies, notes)


def has_atoms(block: CifBlock) -> bool:
    """Whether a block lists atoms with fractional coordinates."""
    return _AXES[0] in block


def _columns(block: CifBlock) -> dict[str, list[str]]:
    columns = block.loop_of(_AXES[0])
    if not columns:  # one atom needs no loop
        names = (_LABEL, _TYPE, *_AXES, _OCCUPANCY, _FLAG)
        columns = {name: column for name in names if (column := block.column(name))}
    if not columns.get(_AXES[0]):
        detail = "no atoms: there are no values of _atom_site_fract_x"
        raise InvalidCrystalError(block.identifier, Reason.NO_ATOMS, detail)
    if missing := [axis for axis in _AXES if axis not in columns]:
        detail = f"_{' and _'.join(missing)} missing"
        raise InvalidCrystalError(block.identifier, Reason.BAD_COORDINATES, detail)
    return columns


def _without_dummies(
    columns: dict[str, list[str]], identifier: str
) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    flags = columns.get(_FLAG)
    if flags is None or "dum" not in map(str.lower, flags):
        return columns, ()
    kept = [place for place, flag in enumerate(flags) if flag.lower() != "dum"]
    if not kept:
        detail = "no atoms: every row is flagged as a dummy"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    rest = {name: [column[place] for place in kept] for name, column in columns.items()}
    return rest, (f"{len(flags) - len(kept)} rows flagged dum are no atoms and are left out",)


def _coordinates(column: Sequence[str], identifier: str) -> list[float]:
    values = list(map(cif.as_number, column))
    if not abs(sum(values)) < _MAX_COORDINATE:  # also where one is not a number
        values = list(map(as_number, column))  # quoted numbers are common, if wrong
        for atom, value in enumerate(values):
            if isnan(value):
                detail = f"a coordinate of atom {atom} is {column[atom]!r}, not a number"
                raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
            if abs(value) > _MAX_COORDINATE:
                detail = f"a coordinate of atom {atom} is {column[atom]!r}, beyond all bounds"
                raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    return values


def _readings(
    columns: dict[str, list[str]], formula: Formula, identifier: str
) -> list[NDArray[np.int64]]:
    types, labels = columns.get(_TYPE), columns.get(_LABEL)
    numbers = [_number_of_type(raw) for raw in types] if types else [0] * len(columns[_AXES[0]])
    if 0 not in numbers:
        return [np.array(numbers, dtype=np.int64)]
    choices: dict[str, tuple[int, ...]] = {}  # by the letters that labels begin with
    letters = [""] * len(numbers)
    for atom, number in enumerate(numbers):
        if number:
            continue
        written = types[atom] if types else "?"
        if written in ("?", ".") and labels is not None:
            written = labels[atom]
            letters[atom] = letters_of_label(cif.as_string(written))
            numbers[atom] = _of_label(cif.as_string(written), letters[atom], formula, choices)
        if numbers[atom] == 0 and letters[atom] not in choices:
            raise _unknown(atom, written, formula, identifier)
    if not choices:
        return [np.array(numbers, dtype=np.int64)]
    if prod(map(len, choices.values())) > _MAX_READINGS:
        some = shortened(", ".join(choices))
        detail = f"the labels {some} may mean several elements; add _{_TYPE}"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    readings = []
    for chosen in product(*choices.values()):
        meant = dict(zip(choices, chosen, strict=True))
        readings.append(np.array([z or meant[letters[i]] for i, z in enumerate(numbers)]))
    return readings


@lru_cache(maxsize=65536)
def _number_of_type(raw: str) -> int:
    numbers = elements_of_type(cif.as_string(raw).strip())
    return numbers[0] if len(numbers) == 1 else 0


def _of_label(
    label: str, letters: str, formula: Formula, choices: dict[str, tuple[int, ...]]
) -> int:
    """The element of a label alone; 0 if it names none, or several, which then are its choices."""
    certain = atomic_number_of_label(label)
    if not formula.amounts or certain in formula.amounts:
        return certain
    possible = tuple(z for z in readings_of_label(label) if z in formula.amounts)
    if len(possible) > 1:
        choices[letters] = possible
    return possible[0] if len(possible) == 1 else 0


def _unknown(atom: int, written: str, formula: Formula, identifier: str) -> InvalidCrystalError:
    symbol = cif.as_string(written).strip()
    if len(elements_of_type(symbol)) > 1:
        detail = (
            f"atom {atom} is {shortened(symbol)!r}: several elements on one site without "
            f"occupancies; list each with its _{_OCCUPANCY}"
        )
        return InvalidCrystalError(identifier, Reason.DISORDERED, detail)
    what = (
        f"names no element of the formula {shortened(formula.text)!r}"
        if formula.amounts
        else ("names no element")
    )
    detail = f"atom {atom} is {shortened(symbol)!r}, which {what} for certain; add _{_TYPE}"
    return InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)


def _occupancies(column: list[str] | None, identifier: str) -> NDArray[np.float64] | None:
    if column is None or set(column) <= _FULL:
        return None
    # The dictionary's default, for a value that is not known or does not apply, is 1.
    values = np.array([1.0 if raw in ("?", ".") else as_number(raw) for raw in column])
    if not ((values >= 0.0) & (values <= 1.02)).all():
        atom = int(np.argmin((values >= 0.0) & (values <= 1.02)))
        detail = f"the occupancy of atom {atom} is {column[atom]!r}, not a number from 0 to 1"
        raise InvalidCrystalError(identifier, Reason.BAD_VALUE, detail)
    if not values.any():
        detail = "no atoms: every occupancy is 0"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    return values
