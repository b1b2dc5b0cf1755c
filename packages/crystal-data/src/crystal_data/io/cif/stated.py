"""What a CIF block says of its symmetry: operations, names and numbers, under any of their tags."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from gemmi import cif, symops_from_hall

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif.block import CifBlock, as_number, as_text, is_null
from crystal_data.io.cif.operations import Operations, OperationsError, operations_of
from crystal_data.io.cif.settings import (
    Setting,
    number_of_schoenflies,
    settings_of_name,
    settings_of_number,
)

_OPERATIONS = ("symmetry_equiv_pos_as_xyz", "space_group_symop_operation_xyz")
_MAGNETIC = ("space_group_symop_magn_operation_xyz", "space_group_symop_operation_magn_xyz")
_CENTERING = "space_group_symop_magn_centering_xyz"
_HALL = ("space_group_name_hall", "symmetry_space_group_name_hall")
_NAMES = (
    "space_group_name_h_m_alt", "symmetry_space_group_name_h_m", "space_group_name_h_m",
    "symmetry_space_group_name_h_m_alt", "space_group_name_h_m_full",
    "symmetry_space_group_name_h_m_full",
)  # fmt: skip
_REFERENCE = ("space_group_name_h_m_ref", "symmetry_space_group_name_h_m_ref")
_SCHOENFLIES = ("space_group_name_schoenflies", "symmetry_space_group_name_schoenflies")
_NUMBERS = (
    "space_group_it_number", "symmetry_int_tables_number", "symmetry_space_group_it_number",
)  # fmt: skip
_MODULATION = "cell_modulation_dimension"
_NAMING = (*_HALL, *_NAMES, *_REFERENCE, *_SCHOENFLIES, *_NUMBERS)
_TAGS = frozenset((*_OPERATIONS, *_MAGNETIC, _CENTERING, *_NAMING, _MODULATION))


@dataclass(frozen=True, eq=False)
class Named:
    """A setting that the block's names, or its number, may mean."""

    name: str
    operations: Operations
    unique_axis: str = ""


@dataclass(frozen=True, eq=False)
class StatedSymmetry:
    """What a block says of its symmetry.

    Args:
        listed: Its operations; None if it lists none.
        named: What its names and numbers may mean; empty if nothing.
        text: The name or number, for messages; empty if there is none.
    """

    listed: Operations | None
    named: tuple[Named, ...]
    text: str

    @cached_property
    def is_p1(self) -> bool:
        """Whether nothing but the identity is stated, by operations and name."""
        return (self.listed is None or len(self.listed) == 1) and (
            not self.text or any(len(one.operations) == 1 for one in self.named)
        )


def stated_symmetry(block: CifBlock) -> StatedSymmetry:
    """Reads the operations, names and numbers of a block.

    Raises:
        InvalidCrystalError: ``UNREADABLE`` if an operation has no meaning, or the crystal is
            described in a superspace.
    """
    # Most blocks of a table have the same tags, and say the same under those of symmetry.
    tags = _symmetry_tags(tuple(block.names()))
    try:
        return _stated(tags, tuple(tuple(block.column(tag)) for tag in tags))
    except OperationsError as error:
        raise InvalidCrystalError(block.identifier, Reason.UNREADABLE, str(error)) from error


@lru_cache(maxsize=1024)
def _symmetry_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(tag for tag in tags if tag in _TAGS or "_ssg_" in tag or "_magn_name" in tag)


@lru_cache(maxsize=1024)
def _stated(tags: tuple[str, ...], columns: tuple[tuple[str, ...], ...]) -> StatedSymmetry:
    told = dict(zip(tags, columns, strict=True))
    texts = {
        tag: as_text(column[0])
        for tag, column in told.items()
        if len(column) == 1 and not is_null(column[0])
    }
    if any("_ssg_" in tag for tag in tags) or as_number(texts.get(_MODULATION, "?")) > 0.0:
        raise OperationsError(
            "modulated structures in superspace are not read", "convert it to a supercell"
        )
    listed = _listed_operations(told)
    named, text = _named({tag: texts[tag] for tag in _NAMING if tag in texts})
    # A magnetic name says that there is symmetry, and not which.
    magnetic = next((texts[tag] for tag in texts if "_magn_name" in tag), "")
    return StatedSymmetry(listed, named, text or magnetic)


def _listed_operations(told: dict[str, tuple[str, ...]]) -> Operations | None:
    # The longest: a placeholder or the identity may stand beside the true list.
    operations = max((told.get(tag, ()) for tag in _OPERATIONS), key=len)
    centering: tuple[str, ...] = ()
    if all(map(is_null, operations)):
        magnetic = next(filter(None, map(told.get, _MAGNETIC)), ())
        operations = tuple(map(_without_time_reversal, magnetic))
        centering = tuple(map(_without_time_reversal, told.get(_CENTERING, ())))
    triplets = tuple(cif.as_string(raw) for raw in operations if not is_null(raw))
    try:
        return operations_of(triplets, centering) if triplets else None
    except OperationsError as error:
        raise OperationsError(f"symmetry operations cannot be used: {error}") from error


def _without_time_reversal(raw: str) -> str:
    return ",".join(cif.as_string(raw).split(",")[:3])


def _named(texts: dict[str, str]) -> tuple[tuple[Named, ...], str]:
    """Settings that the block names, and the name that does.

    The Hall symbol counts first, then the first Hermann–Mauguin name that has a meaning. The
    reference name, the Schoenflies symbol and the number propose all settings of their group.
    """
    hall, reference = _first(texts, _HALL), _first(texts, _REFERENCE)
    schoenflies, number = _first(texts, _SCHOENFLIES), _first(texts, _NUMBERS)
    if hall:
        try:
            triplets = tuple(op.triplet() for op in symops_from_hall(hall))
            return (Named(hall, operations_of(triplets)),), hall
        except (RuntimeError, ValueError):
            pass  # a Hermann–Mauguin name may stand beside it
    names = [texts[tag] for tag in _NAMES if tag in texts]
    for name in names:
        if settings := settings_of_name(name):
            return _of_settings(settings), name
    proposed = [
        *sorted({setting.number for setting in settings_of_name(reference)}),
        number_of_schoenflies(schoenflies),
        int(number) if number.isdecimal() and len(number) <= 3 else 0,
    ]
    unknown = next(filter(None, (*names, hall, reference, schoenflies)), f"number {number}")
    for group in filter(None, proposed):
        if settings := settings_of_number(group):
            return _of_settings(settings), unknown
    return (), unknown if texts else ""


def _first(texts: dict[str, str], tags: tuple[str, ...]) -> str:
    return next((texts[tag] for tag in tags if tag in texts), "")


def _of_settings(settings: tuple[Setting, ...]) -> tuple[Named, ...]:
    return tuple(Named(one.name, operations_of(one.triplets), one.unique_axis) for one in settings)
