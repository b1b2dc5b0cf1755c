"""What a column of numbers is: its unit, what it belongs to, its shape, and how it turns."""

from collections.abc import Mapping
from math import prod
from typing import Any, Literal, NamedTuple, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError

Per = Literal["crystal", "atom"]
TurnsAs = Literal["invariant", "vector", "tensor", "symmetric_tensor"]

_SHAPES: dict[TurnsAs, tuple[int, ...]] = {
    "vector": (3,),
    "tensor": (3, 3),
    "symmetric_tensor": (3, 3),
}
_ASYMMETRY = 1e-5  # of the largest component, that rounding may leave

_Array = TypeVar("_Array")  # of NumPy or torch


class _Values(NamedTuple):
    name: str
    unit: str = ""
    per: Per = "crystal"
    shape: tuple[int, ...] = ()
    turns_as: TurnsAs = "invariant"


# A tuple, because Lightning takes the dataclasses in a batch apart and writes into them.
class Field(_Values):
    """A named quantity of crystals or of their atoms. Immutable.

    Its values are rows, one for each crystal or for each atom of all crystals end to end. A row
    holds the numbers of one value in row-major order: a tensor is xx, xy, xz, yx, …, zz, nine
    numbers also where it is symmetric. Numbers of crystals have the shape ``[num_crystals]``,
    everything else ``[num_rows, width]``.

    Args:
        name: Of the column.
        unit: Such as ``"eV/atom"``, ``"1"`` for a number without dimension, empty if not known.
        per: Whether each crystal or each atom has a value.
        shape: Of one value: ``()`` a number, ``(k,)`` a spectrum or a vector, ``(3, 3)`` a tensor.
        turns_as: What a rotation or reflection of the crystal does to a value: nothing to an
            ``invariant``; a ``vector`` is polar, such as a force or a dipole.

    Raises:
        InvalidArgumentError: If these do not go together.
    """

    __slots__ = ()

    def __new__(
        cls,
        name: str,
        unit: str = "",
        per: Per = "crystal",
        shape: tuple[int, ...] = (),
        turns_as: TurnsAs = "invariant",
    ) -> Self:
        """Checks the values."""
        _check(name, unit, per, shape, turns_as)
        return super().__new__(cls, name, unit, per, shape, turns_as)

    @property
    def width(self) -> int:
        """Numbers of one value."""
        return prod(self.shape)

    @property
    def turns(self) -> bool:
        """Whether a rotation changes it."""
        return self.turns_as != "invariant"

    @property
    def words(self) -> str:
        """What a value is, for messages: ``a vector of each atom``."""
        if self.turns:
            what = f"a {self.turns_as.replace('_', ' ')}"
        else:
            what = f"a spectrum of {self.width} numbers" if self.shape else "a number"
        return f"{what} of each {self.per}"

    def is_like(self, other: "Field") -> bool:
        """Whether values of the other have the same meaning but for name and unit."""
        mine, others = ((one.per, one.shape, one.turns_as) for one in (self, other))
        return mine == others

    def turn(self, values: _Array, matrix: _Array) -> _Array:
        """The values that belong to the turned or mirrored crystal.

        Args:
            values: Rows; shape ``[num_rows, width]``, or ``[num_crystals]`` for numbers.
            matrix: Orthogonal, for column vectors: a vector v becomes ``matrix @ v``, a tensor T
                ``matrix @ T @ matrix.T``, and the rows of the lattice ``lattice @ matrix.T``.
                One for all, shape ``[3, 3]``, or one for each row, ``[num_rows, 3, 3]``.

        Returns:
            The same shape; both arguments are NumPy arrays or both are torch tensors.
        """
        rows: Any = values
        turn: Any = matrix
        if self.turns_as == "invariant":
            return values
        if self.turns_as == "vector":
            turned = (turn @ rows[..., None])[..., 0]
        else:
            tensors = rows.reshape(*rows.shape[:-1], 3, 3)
            turned = (turn @ tensors @ turn.swapaxes(-1, -2)).reshape(rows.shape)
        result: _Array = turned
        return result

    def shaped(self, values: _Array) -> _Array:
        """Rows as ``[num_rows, *shape]``."""
        rows: Any = values
        result: _Array = rows.reshape(len(rows), *self.shape)
        return result

    def is_symmetric(self, values: NDArray[np.float64]) -> bool:
        """Whether rows of a symmetric tensor are symmetric; other fields need not be.

        Args:
            values: One value or rows of them; missing ones are NaN.
        """
        if self.turns_as != "symmetric_tensor":
            return True
        tensors = values.reshape(-1, 3, 3)
        difference = np.abs(tensors - tensors.swapaxes(1, 2))
        allowed = _ASYMMETRY * np.abs(tensors).max(axis=(1, 2), initial=0.0, keepdims=True)
        return not (difference > allowed).any()  # a comparison with NaN is false

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**self._asdict(), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave.

        Raises:
            InvalidArgumentError: If it is something else.
        """
        try:
            return cls(**{**values, "shape": tuple(values["shape"])})
        except (TypeError, KeyError) as error:
            raise InvalidArgumentError(f"not a field: {values!r:.100}") from error


def _check(name: str, unit: str, per: Per, shape: tuple[int, ...], turns_as: TurnsAs) -> None:
    if not isinstance(name, str) or not isinstance(unit, str):
        raise InvalidArgumentError(f"field {name!r}: name and unit are texts")
    if per not in get_args(Per) or turns_as not in get_args(TurnsAs):
        raise InvalidArgumentError(
            f"field {name!r}: it is per {per!r} and turns as {turns_as!r}; expected one of "
            f"{', '.join(get_args(Per))} and {', '.join(get_args(TurnsAs))}"
        )
    if len(shape) > 2 or any(type(length) is not int or length < 1 for length in shape):
        raise InvalidArgumentError(f"field {name!r}: {shape} is no shape of one value")
    expected = _SHAPES.get(turns_as, shape)
    if shape != expected:
        raise InvalidArgumentError(
            f"field {name!r}: a value has the shape {shape}, but one that turns as {turns_as} has "
            f"{expected}",
            "a tensor is nine numbers, row after row" if len(expected) == 2 else "",
        )
