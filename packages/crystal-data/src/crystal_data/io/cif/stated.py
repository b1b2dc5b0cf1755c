"""What a CIF block says of its symmetry: operations, names and numbers, under any of their tags."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from gemmi import cif, symops_from_hall

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif.block import CifBlock, as_text
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
_TAGS = (*_HALL, *_NAMES, *_REFERENCE, *_SCHOENFLIES, *_NUMBERS)
_NULL = ("?", ".")


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
    if block.has_tag_with("_ssg_") or block.number("cell_modulation_dimension") > 0.0:
        detail = "a modulated structure in superspace, whose atoms are no crystal's"
        raise InvalidCrystalError(block.identifier, Reason.UNREADABLE, detail)
    # The longest: a placeholder or the identity may stand beside the true list.
    operations = max((tuple(block.column(name)) for name in _OPERATIONS), key=len)
    centering: tuple[str, ...] = ()
    if not operations or set(operations) <= set(_NULL):
        magnetic = next(filter(None, map(block.column, _MAGNETIC)), [])
        operations = tuple(map(_without_time_reversal, magnetic))
        centering = tuple(map(_without_time_reversal, block.column(_CENTERING)))
    values = tuple(block.raws(_TAGS))
    if not any(values):
        # A magnetic name says that there is symmetry, and not which.
        names = [name for name in block.names() if "_magn_name" in name]
        values = (*values, block.first(names))
    try:
        return _stated(operations, centering, values)
    except OperationsError as error:
        detail = f"symmetry operations cannot be used: {error}"
        raise InvalidCrystalError(block.identifier, Reason.UNREADABLE, detail) from error


def _without_time_reversal(raw: str) -> str:
    return ",".join(cif.as_string(raw).split(",")[:3])


@lru_cache(maxsize=1024)
def _stated(
    operations: tuple[str, ...], centering: tuple[str, ...], values: tuple[str, ...]
) -> StatedSymmetry:
    triplets = tuple(cif.as_string(raw) for raw in operations if raw not in _NULL)
    listed = operations_of(triplets, centering) if triplets else None
    texts = [as_text(raw) if raw else "" for raw in values]
    named, text = _named(dict(zip(_TAGS, texts, strict=False)))
    return StatedSymmetry(listed, named, text or next(filter(None, texts), ""))


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
    names = [texts[tag] for tag in _NAMES if texts[tag]]
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
    return (), unknown if any(texts.values()) else ""


def _first(texts: dict[str, str], tags: tuple[str, ...]) -> str:
    return next((texts[tag] for tag in tags if texts[tag]), "")


def _of_settings(settings: tuple[Setting, ...]) -> tuple[Named, ...]:
    return tuple(Named(one.name, operations_of(one.triplets), one.unique_axis) for one in settings)
