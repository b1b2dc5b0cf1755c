"""Structure types that the built-in data decorates with ions.

Cells and coordinates are those of the type compound, rounded, in the standard setting of the
International Tables (second origin where there are two, hexagonal axes for R).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import lattice_from_parameters

# Rows are the vectors of a primitive cell in units of the conventional one.
_PRIMITIVE = {
    "P": np.eye(3),
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Slot:
    """Symmetry-equivalent sites that one ion fills.

    Args:
        positions: Those of one primitive cell, in units of the conventional cell.
        coordination: Nearest neighbors of opposite charge, as radii are tabulated.
    """

    name: str
    coordination: int
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Prototype:
    """A structure type: shape of the cell, and sites by slot.

    Args:
        name: Of the type compound or its mineral, lower case.
        cell: a, b, c relative to a, and α, β, γ in degrees, of the conventional cell.
        charges: For each slot the charges that an ion in it may have.
    """

    name: str
    space_group_number: int
    centring: str
    cell: tuple[float, float, float, float, float, float]
    slots: tuple[Slot, ...]
    charges: dict[str, tuple[int, ...]]

    @property
    def lattice(self) -> NDArray[np.float64]:
        """Primitive cell for a = 1; shape ``[3, 3]``."""
        conventional = lattice_from_parameters(self.cell[:3], self.cell[3:])
        return _PRIMITIVE[self.centring] @ conventional

    @property
    def frac_coords(self) -> NDArray[np.float64]:
        """Sites in units of the primitive cell, slot after slot; shape ``[num_atoms, 3]``."""
        conventional = np.array([position for slot in self.slots for position in slot.positions])
        coords = conventional @ np.linalg.inv(_PRIMITIVE[self.centring])
        return coords - np.floor(coords + 1e-9)

    @property
    def slot_of_atom(self) -> NDArray[np.int64]:
        """Row of ``slots`` for each atom; shape ``[num_atoms]``."""
        return np.repeat(np.arange(len(self.slots)), [len(s.positions) for s in self.slots])


def _both(*positions: Position) -> tuple[Position, ...]:
    """The positions and their images through the origin."""
    return positions + tuple((-x, -y, -z) for x, y, z in positions)


def _three_fold(x: float, y: float, z: float) -> tuple[Position, ...]:
    """The images of a position about a three-fold axis along c."""
    return (x, y, z), (-y, x - y, z), (y - x, -x, z)


_CUBIC = (1.0, 1.0, 1.0, 90.0, 90.0, 90.0)
_HALIDE = (-1,)
_CHALCOGENIDE = (-2,)
_ANION = (-1, -2)


def _tetragonal(c: float) -> tuple[float, float, float, float, float, float]:
    return (1.0, 1.0, c, 90.0, 90.0, 90.0)


def _hexagonal(c: float) -> tuple[float, float, float, float, float, float]:
    return (1.0, 1.0, c, 90.0, 90.0, 120.0)


_O: Position = (0.0, 0.0, 0.0)
_HALF: Position = (0.5, 0.5, 0.5)
_THIRD: Position = (1 / 3, 2 / 3, 0.0)

_BINARY = (
    Prototype(
        "rock salt",
        225,
        "F",
        _CUBIC,
        (Slot("A", 6, (_O,)), Slot("X", 6, (_HALF,))),
        {"A": (1, 2), "X": _ANION},
    ),
    Prototype(
        "caesium chloride",
        221,
        "P",
        _CUBIC,
        (Slot("A", 8, (_O,)), Slot("X", 8, (_HALF,))),
        {"A": (1, 2), "X": _ANION},
    ),
    Prototype(
        "zinc blende",
        216,
        "F",
        _CUBIC,
        (Slot("A", 4, (_O,)), Slot("X", 4, ((0.25, 0.25, 0.25),))),
        {"A": (1, 2), "X": _ANION},
    ),
    Prototype(
        "wurtzite",
        186,
        "P",
        _hexagonal(1.633),
        (
            Slot("A", 4, (_THIRD, (2 / 3, 1 / 3, 0.5))),
            Slot("X", 4, ((1 / 3, 2 / 3, 0.375), (2 / 3, 1 / 3, 0.875))),
        ),
        {"A": (1, 2), "X": _ANION},
    ),
    Prototype(
        "nickel arsenide",
        194,
        "P",
        _hexagonal(1.60),
        (
            Slot("A", 6, (_O, (0.0, 0.0, 0.5))),
            Slot("X", 6, ((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75))),
        ),
        {"A": (2,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "fluorite",
        225,
        "F",
        _CUBIC,
        (Slot("A", 8, (_O,)), Slot("X", 4, ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)))),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "antifluorite",
        225,
        "F",
        _CUBIC,
        (Slot("A", 4, ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))), Slot("X", 8, (_O,))),
        {"A": (1,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "cuprite",
        224,
        "P",
        _CUBIC,
        (
            Slot("A", 2, (_O, (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))),
            Slot("X", 4, ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))),
        ),
        {"A": (1,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "rutile",
        136,
        "P",
        _tetragonal(0.644),
        (
            Slot("A", 6, (_O, _HALF)),
            Slot("X", 3, (*_both((0.305, 0.305, 0.0)), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5))),
        ),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "anatase",
        141,
        "I",
        _tetragonal(2.514),
        (
            Slot("A", 6, ((0.0, 0.75, 0.125), (0.0, 0.25, 0.875))),
            Slot(
                "X",
                3,
                (
                    (0.0, 0.25, 0.0816),
                    (0.0, 0.75, 0.3316),
                    (0.0, 0.75, 0.9184),
                    (0.0, 0.25, 0.6684),
                ),
            ),
        ),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "cristobalite",
        227,
        "F",
        _CUBIC,
        (
            Slot("A", 4, _both((0.125, 0.125, 0.125))),
            Slot("X", 2, (_O, (0.0, 0.25, 0.25), (0.25, 0.0, 0.25), (0.25, 0.25, 0.0))),
        ),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "cadmium iodide",
        164,
        "P",
        _hexagonal(1.60),
        (Slot("A", 6, (_O,)), Slot("X", 3, _both((1 / 3, 2 / 3, 0.25)))),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "cadmium chloride",
        166,
        "R",
        _hexagonal(4.55),
        (Slot("A", 6, (_O,)), Slot("X", 3, _both((0.0, 0.0, 0.2522)))),
        {"A": (2, 4), "X": _ANION},
    ),
    Prototype(
        "corundum",
        167,
        "R",
        _hexagonal(2.73),
        (
            Slot("A", 6, _both((0.0, 0.0, 0.352), (0.0, 0.0, 0.852))),
            Slot("X", 4, _both((0.306, 0.0, 0.25), (0.0, 0.306, 0.25), (-0.306, -0.306, 0.25))),
        ),
        {"A": (3,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "lanthanum oxide",
        164,
        "P",
        _hexagonal(1.557),
        (
            Slot("A", 7, _both((1 / 3, 2 / 3, 0.2454))),
            Slot("X", 5, (_O, *_both((1 / 3, 2 / 3, 0.6471)))),
        ),
        {"A": (3,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "rhenium trioxide",
        221,
        "P",
        _CUBIC,
        (Slot("A", 6, (_O,)), Slot("X", 2, ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)))),
        {"A": (3, 6), "X": _ANION},
    ),
    Prototype(
        "bismuth triiodide",
        148,
        "R",
        _hexagonal(2.756),
        (
            Slot("A", 6, _both((0.0, 0.0, 1 / 3))),
            Slot("X", 2, _both(*_three_fold(0.3415, 0.3395, 0.2462))),
        ),
        {"A": (3,), "X": _HALIDE},
    ),
    Prototype(
        "uranium trichloride",
        176,
        "P",
        _hexagonal(0.581),
        (
            Slot("A", 9, _both((1 / 3, 2 / 3, 0.25))),
            Slot("X", 3, _both(*_three_fold(0.387, 0.301, 0.25))),
        ),
        {"A": (3,), "X": _HALIDE},
    ),
)

_SPINEL_U = 0.2625
_X_SPINEL = (
    (_SPINEL_U, _SPINEL_U, _SPINEL_U),
    (0.75 - _SPINEL_U, 0.25 - _SPINEL_U, 0.5 + _SPINEL_U),
    (0.25 - _SPINEL_U, 0.5 + _SPINEL_U, 0.75 - _SPINEL_U),
    (0.5 + _SPINEL_U, 0.75 - _SPINEL_U, 0.25 - _SPINEL_U),
)
_OCTAHEDRON = 0.24


def _octahedron(u: float) -> tuple[Position, ...]:
    return _both((u, 0.0, 0.0), (0.0, u, 0.0), (0.0, 0.0, u))


_TERNARY = (
    Prototype(
        "perovskite",
        221,
        "P",
        _CUBIC,
        (
            Slot("A", 12, (_HALF,)),
            Slot("B", 6, (_O,)),
            Slot("X", 6, ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5))),
        ),
        {"A": (1, 2, 3), "B": (2, 3, 4, 5), "X": _ANION},
    ),
    Prototype(
        "potassium tetrafluoronickelate",
        139,
        "I",
        _tetragonal(3.25),
        (
            Slot("A", 9, _both((0.0, 0.0, 0.354))),
            Slot("B", 6, (_O,)),
            Slot("X", 6, ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), *_both((0.0, 0.0, 0.155)))),
        ),
        {"A": (1, 2), "B": (2, 4), "X": _ANION},
    ),
    Prototype(
        "spinel",
        227,
        "F",
        _CUBIC,
        (
            Slot("A", 4, _both((0.125, 0.125, 0.125))),
            Slot("B", 6, (_HALF, (0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5))),
            Slot("X", 4, _both(*_X_SPINEL)),
        ),
        {"A": (1, 2, 4), "B": (2, 3), "X": _ANION},
    ),
    Prototype(
        "ilmenite",
        148,
        "R",
        _hexagonal(2.768),
        (
            Slot("A", 6, _both((0.0, 0.0, 0.355))),
            Slot("B", 6, _both((0.0, 0.0, 0.1465))),
            Slot("X", 4, _both(*_three_fold(0.317, 0.023, 0.245))),
        ),
        {"A": (1, 2), "B": (4, 5), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "sodium ferrite",
        166,
        "R",
        _hexagonal(5.3),
        (
            Slot("A", 6, (_O,)),
            Slot("B", 6, ((0.0, 0.0, 0.5),)),
            Slot("X", 6, _both((0.0, 0.0, 0.235))),
        ),
        {"A": (1,), "B": (3,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "chalcopyrite",
        122,
        "I",
        _tetragonal(1.97),
        (
            Slot("A", 4, (_O, (0.0, 0.5, 0.25))),
            Slot("B", 4, ((0.0, 0.0, 0.5), (0.0, 0.5, 0.75))),
            Slot(
                "X",
                4,
                (
                    (0.257, 0.25, 0.125),
                    (0.743, 0.75, 0.125),
                    (0.75, 0.257, 0.875),
                    (0.25, 0.743, 0.875),
                ),
            ),
        ),
        {"A": (1,), "B": (3,), "X": _CHALCOGENIDE},
    ),
    Prototype(
        "potassium hexachloroplatinate",
        225,
        "F",
        _CUBIC,
        (
            Slot("A", 12, ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))),
            Slot("B", 6, (_O,)),
            Slot("X", 6, _octahedron(_OCTAHEDRON)),
        ),
        {"A": (1,), "B": (4,), "X": _HALIDE},
    ),
    Prototype(
        "elpasolite",
        225,
        "F",
        _CUBIC,
        (
            Slot("A", 12, ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75))),
            Slot("B", 6, (_HALF,)),
            Slot("C", 6, (_O,)),
            Slot("X", 6, _octahedron(_OCTAHEDRON)),
        ),
        {"A": (1, 2), "B": (1, 2, 3), "C": (3, 5, 6), "X": _ANION},
    ),
    Prototype(
        "matlockite",
        129,
        "P",
        _tetragonal(1.75),
        (
            Slot("A", 9, ((0.25, 0.25, 0.203), (0.75, 0.75, 0.797))),
            Slot("X", 4, ((0.25, 0.75, 0.0), (0.75, 0.25, 0.0))),
            Slot("Y", 5, ((0.25, 0.25, 0.645), (0.75, 0.75, 0.355))),
        ),
        {"A": (2, 3), "X": _ANION, "Y": _HALIDE},
    ),
)

PROTOTYPES: tuple[Prototype, ...] = _BINARY + _TERNARY
