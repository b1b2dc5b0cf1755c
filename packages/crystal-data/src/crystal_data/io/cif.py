"""CIF text to crystals and back, on gemmi's parser."""

from collections.abc import Sequence
from functools import lru_cache
from math import isnan

import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.disorder import OnDisorder, resolve_disorder
from crystal_data.io.distances import MIN_DISTANCE, check_distances, check_ranges
from crystal_data.io.spacegroup import (
    Operations,
    block_operations,
    composition_agrees,
    expand,
    formula_units,
)
from crystal_data.io.symbols import atomic_number, atomic_number_of_label, is_deuterium

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_AXES = ("fract_x", "fract_y", "fract_z")


def parse_cif(
    text: str,
    identifier: str = "",
    *,
    on_disorder: OnDisorder = "error",
    min_distance: float = MIN_DISTANCE,
) -> Crystal:
    """The one structure of a CIF text, symmetry expanded to P1.

    Args:
        text: With any line ends. Of several data blocks one may hold a structure.
        identifier: The crystal's, and what messages name.
        on_disorder: See ``resolve_disorder``.
        min_distance: See ``check_distances``, Å.

    Returns:
        Coordinates as listed; those that symmetry adds lie in [0, 1). Where the file has
        deuterium, the property ``deuterium_as_hydrogen`` counts its atoms.

    Raises:
        InvalidCrystalError: With the reason, if the text cannot be used.
    """
    blocks = _blocks(text, identifier)
    if len(blocks) > 1:
        structures = [block for block in blocks if _has_atoms(block)]
        if len(structures) > 1:
            detail = (
                f"{len(structures)} data blocks hold a structure, one was expected; "
                "split_cif gives a text for each"
            )
            raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
        blocks = structures or blocks
    crystal, occupancies = _listed(blocks[0], identifier, is_whole=text.endswith(("\n", "\r")))
    if occupancies is not None:
        crystal = resolve_disorder(crystal, occupancies, on_disorder)
    check_distances(crystal, min_distance)
    return crystal


def split_cif(text: str, identifier: str = "") -> list[tuple[str, str]]:
    """Identifier and text of each structure in a CIF with any number of data blocks.

    A single block keeps the identifier; of several, each is ``identifier#block``. A block
    without a structure, such as a header with the authors, is left out if another has one.

    Raises:
        InvalidCrystalError: ``EMPTY`` or ``UNREADABLE``.
    """
    if text.lower().count("data_") == 1:
        return [(identifier, text)]
    blocks = _blocks(text, identifier, check_level=0)
    if len(blocks) == 1:
        return [(identifier, text)]
    structures = [block for block in blocks if _has_atoms(block)] or blocks
    parts, seen = [], dict[str, int]()
    for block in structures:
        name = block.name.strip() or "block"
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name}-{seen[name]}"
        parts.append((f"{identifier}#{name}", block.as_string()))
    return parts


def to_cif(crystal: Crystal, symprec: float | None = None) -> str:
    """CIF text of a crystal.

    A CIF has lengths and angles in place of a lattice, so the crystal comes back turned as a
    whole. A left-handed lattice is written as its negative, with the coordinates, so that it
    does not come back as its mirror image.

    Args:
        crystal: Its properties are not written.
        symprec: None writes P1 with distances kept to 1e-8 Å. A value in Å has symmetry found
            to that tolerance and the conventional cell's asymmetric unit written.
    """
    if symprec is not None:
        from crystal_data.io.pymatgen import symmetrised_cif

        return symmetrised_cif(crystal, symprec)
    sign = np.sign(np.linalg.det(crystal.lattice))
    coords = crystal.frac_coords * sign + 0.0  # + 0.0 so that no zero is negative
    formula = "".join(f"{symbol}{n} " for symbol, n in crystal.composition.items()).strip()
    cell = zip(_CELL, (*crystal.lengths, *crystal.angles), strict=True)
    lines = [
        f"data_{_block_name(crystal)}",
        "_symmetry_space_group_name_H-M   'P 1'",
        "_symmetry_Int_Tables_number   1",
        *(f"_cell_{name}   {value:.13f}" for name, value in cell),
        f"_cell_volume   {crystal.volume:.8f}",
        f"_chemical_formula_structural   {crystal.formula}",
        f"_chemical_formula_sum   '{formula}'",
        "loop_",
        " _symmetry_equiv_pos_site_id",
        " _symmetry_equiv_pos_as_xyz",
        "  1  'x, y, z'",
        "loop_",
        " _atom_site_type_symbol",
        " _atom_site_label",
        " _atom_site_symmetry_multiplicity",
        *(f" _atom_site_{axis}" for axis in _AXES),
        " _atom_site_occupancy",
    ]
    for index, (symbol, (x, y, z)) in enumerate(zip(crystal.species, coords, strict=True)):
        lines.append(f"  {symbol}  {symbol}{index}  1  {x:.14f}  {y:.14f}  {z:.14f}  1")
    return "\n".join(lines) + "\n"


def _block_name(crystal: Crystal) -> str:
    name = crystal.identifier or crystal.formula
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "_" for c in name)


def _blocks(text: str, identifier: str, check_level: int = 1) -> list[cif.Block]:
    if not text.isascii():
        # The grammar is ASCII; what lies outside it stands in names and remarks.
        text = text.lstrip("\ufeff").replace("\xa0", " ").encode("ascii", "replace").decode()
    try:
        blocks = list(cif.read_string(text, check_level))
    except (RuntimeError, ValueError) as error:
        reason = Reason.UNREADABLE if text.strip() else Reason.EMPTY
        raise InvalidCrystalError(identifier, reason, f"not a CIF: {error}") from error
    if not blocks:
        raise InvalidCrystalError(identifier, Reason.EMPTY, "there is no data block in the CIF")
    return blocks


def _has_atoms(block: cif.Block) -> bool:
    return any(len(block.find_values(f"_atom_site{dot}fract_x")) for dot in "_.")


def _listed(
    block: cif.Block, identifier: str, *, is_whole: bool
) -> tuple[Crystal, NDArray[np.float64] | None]:
    """The crystal before disorder is resolved, with occupancies unless all are full."""
    lattice = _lattice(block, identifier)
    columns = _atom_columns(block, identifier)
    by_axis = np.array([_coordinates(columns[axis], identifier) for axis in _AXES])
    frac_coords = np.ascontiguousarray(by_axis.T)
    check_ranges(identifier, lattice, frac_coords)
    numbers, deuterium = _atomic_numbers(columns, identifier)
    occupancies = _occupancies(columns, identifier)
    if occupancies is not None and (present := occupancies > 0.0).sum() < len(present):
        frac_coords, occupancies = frac_coords[present], occupancies[present]
        numbers, deuterium = numbers[present], deuterium[present]
    candidates = block_operations(block, identifier)
    if candidates:
        amounts = np.ones(len(numbers)) if occupancies is None else occupancies
        frac_coords, source = _expanded(
            block, identifier, (lattice, frac_coords, numbers, amounts), candidates
        )
        numbers, deuterium = numbers[source], deuterium[source]
        occupancies = None if occupancies is None else occupancies[source]
    properties = {"deuterium_as_hydrogen": int(deuterium.sum())} if deuterium.any() else {}
    crystal = Crystal(lattice, frac_coords, numbers, identifier, properties)
    if not is_whole:
        _check_whole(block, crystal, occupancies)
    return crystal, occupancies


def _lattice(block: cif.Block, identifier: str) -> NDArray[np.float64]:
    raw = [block.find_value(f"_cell_{name}") for name in _CELL]
    if None in raw:
        raw = [block.find_value(f"_cell.{name}") for name in _CELL]
    if None in raw:
        missing = [f"_cell_{name}" for name, value in zip(_CELL, raw, strict=True) if value is None]
        detail = f"no unit cell: {', '.join(missing)} missing"
        raise InvalidCrystalError(identifier, Reason.NO_CELL, detail)
    a, b, c, *angles = map(_number, raw)
    if not all(x > 0.0 for x in (a, b, c)) or not all(0.0 < x < 180.0 for x in angles):
        detail = f"no cell has lengths {' '.join(raw[:3])} Å and angles {' '.join(raw[3:])} degrees"
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, detail)
    try:
        return lattice_from_parameters((a, b, c), angles)
    except ValueError as error:
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, str(error)) from error


def _number(raw: str) -> float:
    """The value of ``1.234(5)``, NaN for ``?``, ``.`` and what is no number."""
    return cif.as_number(cif.as_string(raw) if raw[:1] in "'\"" else raw)


def _atom_columns(block: cif.Block, identifier: str) -> dict[str, list[str]]:
    for dot in "_.":
        loop = block.find_loop(f"_atom_site{dot}fract_x").get_loop()
        if loop is not None:
            names, values = _column_names(tuple(loop.tags)), loop.values
            columns = {name: values[i :: len(names)] for i, name in enumerate(names)}
            break
    else:
        names = ("label", "type_symbol", *_AXES, "occupancy")  # one atom needs no loop
        found = {name: list(block.find_values(f"_atom_site_{name}")) for name in names}
        columns = {name: column for name, column in found.items() if column}
    if not columns.get("fract_x"):
        detail = "no atoms: there are no values of _atom_site_fract_x"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    missing = [axis for axis in _AXES if axis not in columns]
    if missing:
        detail = f"_atom_site_{' and _atom_site_'.join(missing)} missing"
        raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    return columns


@lru_cache(maxsize=256)
def _column_names(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tag.lower().replace(".", "_").removeprefix("_atom_site_") for tag in tags)


def _coordinates(column: Sequence[str], identifier: str) -> list[float]:
    values = list(map(cif.as_number, column))
    if any(map(isnan, values)):
        values = list(map(_number, column))  # quoted numbers are common, if wrong
        for atom, value in enumerate(values):
            if isnan(value):
                detail = f"a coordinate of atom {atom} is {column[atom]!r}, not a number"
                raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail)
    return values


def _atomic_numbers(
    columns: dict[str, list[str]], identifier: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    symbols = columns.get("type_symbol")
    labels = columns.get("label")
    if symbols is None and labels is None:
        detail = "neither _atom_site_type_symbol nor _atom_site_label says what the atoms are"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    written = symbols or labels or []
    numbers = [_atomic_number(raw) for raw in written] if symbols else [0] * len(written)
    if 0 in numbers:
        for atom, number in enumerate(numbers):
            if number == 0:
                found, raw = _by_label(symbols, labels, atom)
                numbers[atom] = found
                if found == 0:
                    detail = f"atom {atom} is {raw!r}, which names no element for certain"
                    raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail)
    deuterium = np.array(
        [raw[:1] in "D'\"" and is_deuterium(cif.as_string(raw)) for raw in written]
    )
    return np.array(numbers, dtype=np.int64), deuterium


def _by_label(symbols: list[str] | None, labels: list[str] | None, atom: int) -> tuple[int, str]:
    if symbols is not None and (labels is None or symbols[atom] not in ("?", ".")):
        return 0, symbols[atom]
    label = cif.as_string(labels[atom]) if labels else "?"
    return atomic_number_of_label(label), label


@lru_cache(maxsize=65536)
def _atomic_number(raw: str) -> int:
    return atomic_number(cif.as_string(raw).strip())


def _occupancies(columns: dict[str, list[str]], identifier: str) -> NDArray[np.float64] | None:
    column = columns.get("occupancy")
    if column is None or set(column) <= {"1", "1.0", "1.00", "1.000", "1.0000", "?", "."}:
        return None
    # The dictionary's default, for a value that is not known or does not apply, is 1.
    values = np.array([1.0 if raw in ("?", ".") else _number(raw) for raw in column])
    if not ((values >= 0.0) & (values <= 1.02)).all():
        atom = int(np.argmin((values >= 0.0) & (values <= 1.02)))
        detail = f"the occupancy of atom {atom} is {column[atom]!r}, not a number from 0 to 1"
        raise InvalidCrystalError(identifier, Reason.BAD_VALUE, detail)
    if not values.any():
        detail = "no atoms: every occupancy is 0"
        raise InvalidCrystalError(identifier, Reason.NO_ATOMS, detail)
    return values


_Listed = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


def _expanded(
    block: cif.Block, identifier: str, listed: _Listed, candidates: list[Operations]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All atoms, by that one of two possible origins which gives what the file says."""
    lattice, frac_coords, numbers, amounts = listed
    results = [expand(lattice, frac_coords, group, identifier) for group in candidates]
    if len(results) == 1:
        return results[0]
    fitting = []
    for coords, source in results:
        symbols = [SYMBOLS[z] for z in numbers[source]]
        formula = composition_agrees(block, symbols, amounts[source])
        units = formula_units(block, float(amounts[source].sum()))
        if formula is not False and units is not False and (formula, units) != (None, None):
            fitting.append((coords, source))
    if len(fitting) == 1:
        return fitting[0]
    detail = (
        "the space group's name leaves the origin open (two choices) and the formula does not "
        "tell them apart; add _symmetry_equiv_pos_as_xyz"
    )
    raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)


def _check_whole(
    block: cif.Block, crystal: Crystal, occupancies: NDArray[np.float64] | None
) -> None:
    """A text that stops within a line and lacks atoms of its own formula was cut."""
    amounts = np.ones(crystal.num_atoms) if occupancies is None else occupancies
    if composition_agrees(block, crystal.species, amounts) is False:
        formula = block.find_value("_chemical_formula_sum")
        detail = f"the text stops within a line, and its atoms are not the formula's {formula}"
        raise InvalidCrystalError(crystal.identifier, Reason.UNREADABLE, detail)
