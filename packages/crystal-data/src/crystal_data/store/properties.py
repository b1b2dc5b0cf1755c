"""Property columns: what a value is, and columns that begin when a first value comes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isnan
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import CrystalError, InvalidArgumentError
from crystal_data.field import Field, Per, TurnsAs
from crystal_data.store.columns import ArrayWriter, encode_strings

Kind = Literal["scalar", "vector", "per_atom", "text"]
EMPTY: Mapping[str, Field] = MappingProxyType({})
MakeWriter = Callable[[str, Any, tuple[int, ...]], ArrayWriter]


class MissingColumnError(CrystalError, KeyError):
    """A property that a store does not have; the message names those alike."""

    def __init__(self, name: str, store: str, existing: Sequence[str]) -> None:
        alike = get_close_matches(name, existing, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, alike))}? There are" if alike else "there are"
        columns = ", ".join(existing) or "no properties at all"
        super().__init__(f"{store} has no column {name!r}; {hint}: {columns}")


@dataclass(frozen=True, slots=True)
class PropertyType:
    """Kind of a property column, and the length of its vectors (0 where it has none)."""

    kind: Kind
    width: int = 0

    def __str__(self) -> str:
        names = {"scalar": "a number", "text": "text", "vector": "a vector of {} numbers"}
        return names.get(self.kind, "a row of {} numbers for each atom").format(self.width)

    def field(self, name: str, unit: str, turns_as: TurnsAs) -> Field:
        """What a column of this type is, if its values turn so.

        Raises:
            InvalidArgumentError: If values that turn so have another number of components.
        """
        per: Per = "atom" if self.kind == "per_atom" else "crystal"
        shape: tuple[int, ...] = (self.width,)
        if self.kind == "scalar" or (per == "atom" and self.width == 1):
            shape = ()
        elif turns_as.endswith("tensor") and self.width == 9:
            shape = (3, 3)
        return Field(name, unit, per, shape, turns_as)


def property_type(value: Any, num_atoms: int) -> PropertyType | None:
    """The column that a value belongs to, or None if it is a missing label of any kind.

    Args:
        value: None, a string, a number, a vector, or an array ``[num_atoms, k]``.
        num_atoms: Atoms of its structure.

    Raises:
        InvalidArgumentError: If it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidArgumentError("text with a NUL character")
        return PropertyType("text") if value else None
    if type(value) is float:  # nearly all of them; the general way is slower
        return None if isnan(value) else PropertyType("scalar")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InvalidArgumentError(
            f"a value of type {type(value).__name__}, expected a number or text"
        )
    if array.ndim == 0:
        return None if isnan(float(array)) else PropertyType("scalar")
    if array.ndim == 1 and len(array):
        return PropertyType("vector", len(array))
    if array.ndim == 2 and len(array) == num_atoms and array.shape[1]:
        return PropertyType("per_atom", array.shape[1])
    raise InvalidArgumentError(
        f"an array of shape {array.shape}, expected [k] for a vector or [{num_atoms}, k] for "
        "values of each atom",
        "give a matrix as one row of numbers",
    )


class PropertySchema:
    """What the properties seen so far are; the first value of a property decides.

    Args:
        units: Unit of each property that has one.
        turns_as: How properties turn that do not stay as they are; counts more than what a reader
            says.
    """

    def __init__(
        self,
        units: Mapping[str, str] | None = None,
        turns_as: Mapping[str, TurnsAs] | None = None,
    ) -> None:
        self._units = dict(units or {})
        self._turns_as = dict(turns_as or {})
        self.types: dict[str, PropertyType] = {}
        self._fields: dict[str, Field] = {}

    def problem(
        self, properties: Mapping[str, Any], num_atoms: int, read: Mapping[str, Field] = EMPTY
    ) -> str | None:
        """What is wrong with one structure's properties, or None; then their kinds are kept.

        Args:
            properties: Name to value.
            num_atoms: Atoms of the structure.
            read: What its reader knows of some of them.
        """
        types: dict[str, PropertyType] = {}
        fields: dict[str, Field] = {}
        for name, value in properties.items():
            try:
                found = property_type(value, num_atoms)
            except InvalidArgumentError as error:
                return f"property {name!r} is {error}"
            if found is None:
                continue
            expected = self.types.get(name)
            if expected not in (None, found):
                return f"property {name!r} is {found}, where others have {expected}"
            turns_as = self._turns_as.get(name) or _turns_as(read.get(name))
            field = self._fields.get(name)
            if expected is None:
                types[name] = found
                if found.kind != "text":
                    try:
                        field = found.field(name, self._unit(name, read), turns_as)
                    except InvalidArgumentError as error:
                        return str(error)
                    fields[name] = field
            if field is None:
                continue
            if field.turns_as != turns_as:
                return f"property {name!r} turns as {turns_as}, where others as {field.turns_as}"
            if field.turns and not field.is_symmetric(np.asarray(value, dtype=np.float64)):
                return f"property {name!r} is a tensor that is not symmetric, but declared as such"
        self.types.update(types)
        self._fields.update(fields)
        return None

    def _unit(self, name: str, read: Mapping[str, Field]) -> str:
        return self._units.get(name, read[name].unit if name in read else "")

    def fields(self, names: Iterable[str]) -> dict[str, Field]:
        """The fields of the columns of numbers among all that there are.

        Raises:
            InvalidArgumentError: If a property was declared to turn that is none, or is text.
        """
        columns = {name: self.types.get(name, PropertyType("scalar")) for name in names}
        of_numbers = [name for name, found in columns.items() if found.kind != "text"]
        unknown = [name for name in self._turns_as if name not in of_numbers]
        if unknown:
            raise InvalidArgumentError(
                f"turns_as names {', '.join(unknown)}, but the properties with numbers are "
                f"{', '.join(of_numbers) or 'none'}"
            )
        # A column without any value is one of missing numbers.
        return {
            name: self._fields.get(name) or Field(name, self._units.get(name, ""))
            for name in of_numbers
        }


class PropertyColumn:
    """Writes one property; rows that came before its first value are filled in as missing."""

    def __init__(self, name: str, make_writer: MakeWriter) -> None:
        self._name = name
        self._make_writer = make_writer
        self._writers: list[ArrayWriter] = []
        self._text_end = 0
        self._rows = self._atoms = 0  # passed before there was a value
        self.type: PropertyType | None = None

    def append(
        self, values: Sequence[Any], num_atoms: NDArray[np.int64], found: PropertyType | None
    ) -> None:
        """Adds the values of some structures, None or NaN where there is none.

        Args:
            values: One for each structure.
            num_atoms: Atoms of each structure.
            found: The property's kind if it is known by now.
        """
        if found is None:
            self.skip(len(values), int(num_atoms.sum()))
            return
        if self.type is None:
            self._begin(found)
        self._write(values, num_atoms)

    def skip(self, rows: int, atoms: int) -> None:
        """Passes structures that came before the property was heard of."""
        self._rows += rows
        self._atoms += atoms

    def describe(self) -> dict[str, Any]:
        """Kind, width and file of the column, for the manifest."""
        if self.type is None:
            raise RuntimeError("a column is described when it is finished")
        return {"kind": self.type.kind, "width": self.type.width, "file": self._name}

    def finish(self) -> None:
        """Ends the column; one without any value becomes a column of missing numbers."""
        if self.type is None:
            self._begin(PropertyType("scalar"))

    def _begin(self, found: PropertyType) -> None:
        self.type = found
        if found.kind == "text":
            self._writers = [
                self._make_writer(f"{self._name}.utf8", np.uint8, ()),
                self._make_writer(f"{self._name}.offsets", np.int64, ()),
            ]
            self._writers[1].append(np.zeros(1, dtype=np.int64))
            self._write([""] * self._rows, np.empty(0, dtype=np.int64))
            return
        shape = () if found.kind == "scalar" else (found.width,)
        self._writers = [self._make_writer(self._name, np.float64, shape)]
        passed = self._atoms if found.kind == "per_atom" else self._rows
        self._writers[0].append(np.full((passed, *shape), np.nan))

    def _write(self, values: Sequence[Any], num_atoms: NDArray[np.int64]) -> None:
        if self.type is None:
            raise RuntimeError("a column is written after its first value has given it a kind")
        width = self.type.width
        if self.type.kind == "text":
            data, ends = encode_strings(
                [value if isinstance(value, str) else "" for value in values]
            )
            self._writers[0].append(data)
            self._writers[1].append(ends + self._text_end)
            self._text_end += len(data)
        elif self.type.kind == "scalar":
            numbers = [np.nan if _is_missing(value) else float(value) for value in values]
            self._writers[0].append(np.array(numbers, dtype=np.float64))
        elif self.type.kind == "vector":
            gap = np.full(width, np.nan)
            rows = [gap if _is_missing(value) else np.asarray(value) for value in values]
            self._writers[0].append(np.array(rows, dtype=np.float64).reshape(-1, width))
        else:
            for value, count in zip(values, num_atoms, strict=True):
                gap = np.full((count, width), np.nan)
                self._writers[0].append(gap if _is_missing(value) else np.asarray(value))


def _is_missing(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return np.ndim(value) == 0 and isnan(value)


def _turns_as(field: Field | None) -> TurnsAs:
    return "invariant" if field is None else field.turns_as
