"""Symmetry operations of a CIF block, and the atoms that they make of the listed ones."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from gemmi import cif
from numpy.typing import NDArray

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.disorder import SITE_TOLERANCE

_OPERATION_TAGS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv.pos_as_xyz",
    "_space_group_symop.operation_xyz",
)
_MAGNETIC_TAGS = (
    "_space_group_symop_magn_operation_xyz",
    "_space_group_symop_magn_operation.xyz",
)
_CENTERING_TAGS = (
    "_space_group_symop_magn_centering_xyz",
    "_space_group_symop_magn_centering.xyz",
)
_HALL_TAGS = (
    "_space_group_name_Hall",
    "_symmetry_space_group_name_Hall",
    "_space_group.name_Hall",
    "_symmetry.space_group_name_Hall",
)
_NAME_TAGS = (
    "_space_group_name_H-M_alt",
    "_symmetry_space_group_name_H-M",
    "_space_group.name_H-M_alt",
    "_symmetry.space_group_name_H-M",
)
_NUMBER_TAGS = (
    "_space_group_IT_number",
    "_symmetry_Int_Tables_number",
    "_space_group.IT_number",
    "_symmetry.Int_Tables_number",
)
_METRIC_TOLERANCE = 0.03  # by which a cell may miss its symmetry: a file may round, not contradict


@dataclass(frozen=True, eq=False)
class Operations:
    """A space group's operations, x' = rotation x + translation in fractional coordinates.

    Args:
        rotations: Shape ``[num_operations, 3, 3]``; the first is the identity.
        translations: Shape ``[num_operations, 3]``.
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)


def block_operations(block: cif.Block, identifier: str) -> list[Operations]:
    """The operations that a block states; none if it is P1.

    Listed operations count first, then the Hall symbol, the Hermann–Mauguin name and the number.
    A name that two origins share gives both, for the caller to see which one fits the atoms.

    Raises:
        InvalidCrystalError: ``UNREADABLE`` if an operation or a name has no meaning.
    """
    for tag in _OPERATION_TAGS:
        column = block.find_values(tag)
        if len(column) == 1 and _is_identity(column[0]):
            return []
        if len(column) > 0:
            return _of_triplets(tuple(map(cif.as_string, column)), (), identifier)
    for tag, centering_tag in zip(_MAGNETIC_TAGS, _CENTERING_TAGS, strict=True):
        column = block.find_values(tag)
        if len(column) > 0:
            triplets = tuple(map(_without_time_reversal, column))
            centering = tuple(map(_without_time_reversal, block.find_values(centering_tag)))
            return _of_triplets(triplets, centering, identifier)
    return _of_names(block, identifier)


def _is_identity(raw: str) -> bool:
    return raw.strip("'\"").replace(" ", "").lower() == "x,y,z"


def _without_time_reversal(raw: str) -> str:
    return ",".join(cif.as_string(raw).split(",")[:3])


def _of_triplets(
    triplets: tuple[str, ...], centering: tuple[str, ...], identifier: str
) -> list[Operations]:
    try:
        operations = _operations(triplets, centering)
    except (RuntimeError, ValueError) as error:
        detail = f"symmetry operations cannot be used: {error}"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail) from error
    return [operations] if len(operations) > 1 else []


@lru_cache(maxsize=512)
def _operations(triplets: tuple[str, ...], centering: tuple[str, ...] = ()) -> Operations:
    ops = [gemmi.Op(triplet) for triplet in triplets]
    ops = [(gemmi.Op(shift) * op).wrap() for shift in centering or ("x,y,z",) for op in ops]
    rows = {(*np.ravel(op.rot).tolist(), *op.tran): None for op in map(gemmi.Op.wrap, ops)}
    identity = (gemmi.Op.DEN, 0, 0, 0, gemmi.Op.DEN, 0, 0, 0, gemmi.Op.DEN, 0, 0, 0)
    if identity not in rows:
        raise ValueError("the identity x,y,z is not among them")
    del rows[identity]
    table = np.array([identity, *rows], dtype=np.float64) / gemmi.Op.DEN
    operations = Operations(table[:, :9].reshape(-1, 3, 3), table[:, 9:])
    _check_closed(operations)
    return operations


def _check_closed(operations: Operations) -> None:
    """A list that was cut short is no group, and would give a part of the atoms."""
    rotations, translations = operations.rotations, operations.translations
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 9)
    shifts = np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]
    shifts = np.rint(shifts.reshape(-1, 3) * gemmi.Op.DEN) % gemmi.Op.DEN
    made = np.unique(np.rint(np.hstack([products * gemmi.Op.DEN, shifts])), axis=0)
    if len(made) != len(operations):
        raise ValueError(
            f"{len(operations)} operations were listed, but together they make {len(made)} or more"
        )


def _of_names(block: cif.Block, identifier: str) -> list[Operations]:
    hall = _first_value(block, _HALL_TAGS)
    if hall:
        try:
            return _of_groups([list(gemmi.symops_from_hall(hall))])
        except (RuntimeError, ValueError):
            hall = f"Hall symbol {hall!r}"
    name = _first_value(block, _NAME_TAGS)
    number = _first_value(block, _NUMBER_TAGS)
    groups = _groups_by_name(name, _angles(block)) if name else []
    if not groups and number.isdigit() and 1 <= int(number) <= 230:
        groups = _groups_by_number(int(number), _angles(block))
    if not groups and (hall or name or number):
        stated = hall or (f"space group {name!r}" if name else f"space group number {number!r}")
        detail = f"{stated} is unknown and no symmetry operations are listed"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    return _of_groups([list(group.operations()) for group in groups])


def _first_value(block: cif.Block, tags: tuple[str, ...]) -> str:
    for tag in tags:
        raw = block.find_value(tag)
        if raw and raw not in ("?", "."):
            return cif.as_string(raw).strip()
    return ""


def _angles(block: cif.Block) -> tuple[float, float]:
    alpha = cif.as_number(block.find_value("_cell_angle_alpha") or "?", 0.0)
    return alpha, cif.as_number(block.find_value("_cell_angle_gamma") or "?", 0.0)


def _groups_by_name(name: str, angles: tuple[float, float]) -> list[gemmi.SpaceGroup]:
    name = name.replace("_", "")
    found = [gemmi.find_spacegroup_by_name(name, *angles, prefer) for prefer in ("2", "1")]
    groups = [group for group in found if group is not None]
    return list({group.xhm(): group for group in groups}.values())


def _groups_by_number(number: int, angles: tuple[float, float]) -> list[gemmi.SpaceGroup]:
    return _groups_by_name(gemmi.find_spacegroup_by_number(number).hm, angles)


def _of_groups(groups: list[list[gemmi.Op]]) -> list[Operations]:
    found = [_operations(tuple(op.triplet() for op in group)) for group in groups]
    return [operations for operations in found if len(operations) > 1]


def expand(
    lattice: NDArray[np.float64],
    frac_coords: NDArray[np.float64],
    operations: Operations,
    identifier: str,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All atoms of the cell from those of the asymmetric unit.

    Images of one atom within 0.05 Å of it are itself, and their mean is its place: an atom that
    is listed at 0.3333 beside a threefold axis stands on the axis.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Listed atoms; shape ``[num_listed, 3]``.
        operations: Of the space group, the identity first.
        identifier: For messages.

    Returns:
        Coordinates ``[num_atoms, 3]`` and the listed atom that each comes from ``[num_atoms]``.

    Raises:
        InvalidCrystalError: ``BAD_CELL`` if the cell has not the symmetry of the operations.
    """
    metric = lattice @ lattice.T
    turned = operations.rotations.transpose(0, 2, 1) @ metric @ operations.rotations
    scale = np.sqrt(np.outer(metric.diagonal(), metric.diagonal()))
    if (np.abs(turned - metric) > _METRIC_TOLERANCE * scale).any():
        detail = "the cell's lengths and angles do not have the symmetry of the space group"
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, detail)
    orbits = [_orbit(lattice, coords, operations) for coords in frac_coords]
    source = np.repeat(np.arange(len(orbits)), [len(orbit) for orbit in orbits])
    return np.concatenate(orbits), source


def _orbit(
    lattice: NDArray[np.float64], coords: NDArray[np.float64], operations: Operations
) -> NDArray[np.float64]:
    delta = operations.rotations @ coords + operations.translations - coords
    delta -= np.rint(delta)
    itself = np.linalg.norm(delta @ lattice, axis=1) < SITE_TOLERANCE
    coords = coords + delta[itself].mean(axis=0)
    images = operations.rotations @ coords + operations.translations
    between = images[:, None] - images
    between -= np.rint(between)
    vectors = between @ lattice
    close = np.einsum("ijk,ijk->ij", vectors, vectors) < SITE_TOLERANCE**2
    distinct = close.argmax(axis=1) == np.arange(len(images))
    orbit = images[distinct]
    orbit[1:] -= np.floor(orbit[1:])
    return orbit


def composition_agrees(
    block: cif.Block, symbols: list[str], amounts: NDArray[np.float64]
) -> bool | None:
    """Whether the atoms are those of ``_chemical_formula_sum``, up to a factor.

    Args:
        block: What may state a formula.
        symbols: Element of each atom, without charge.
        amounts: Occupancy of each atom; shape ``[num_atoms]``.

    Returns:
        None if the block has no formula that can be read.
    """
    stated = _formula(block)
    if not stated:
        return None
    found: Counter[str] = Counter()
    for symbol, amount in zip(symbols, amounts, strict=True):
        found[symbol] += float(amount)  # type: ignore[assignment]
    if set(found) != set(stated):
        return False
    ratios = np.array([found[symbol] / stated[symbol] for symbol in stated])
    return bool(ratios.max() <= 1.02 * ratios.min())


def formula_units(block: cif.Block, num_atoms: float) -> bool | None:
    """Whether the cell holds Z formula units; None if the block does not say."""
    stated, units = _formula(block), block.find_value("_cell_formula_units_Z")
    units_number = cif.as_number(units, 0.0) if units else 0.0
    if not stated or not units_number > 0.0:
        return None
    return abs(sum(stated.values()) * units_number - num_atoms) < 0.02 * num_atoms


def _formula(block: cif.Block) -> dict[str, float]:
    raw = block.find_value("_chemical_formula_sum")
    amounts: dict[str, float] = {}
    for part in cif.as_string(raw).split() if raw else ():
        symbol = part.rstrip("0123456789.")
        try:
            amounts[symbol] = float(part[len(symbol) :] or 1.0)
        except ValueError:
            return {}
    return {symbol: amount for symbol, amount in amounts.items() if amount > 0.0}
