"""Other origins and axes in which a crystal still is in the standard setting of its group.

Wyckoff letters depend on the choice of origin and axes: sodium of rock salt is on 4a and chlorine
on 4b, or the other way round. The changes between such choices are the affine normalizer of the
group. What is searched for here are its proper rotations and exchanges of axes that keep the
crystal system's cell, with shifts by quarters of the cell and, for hexagonal axes, by thirds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from crystal_data.symmetry import (
    SymmetricCrystal,
    WyckoffPosition,
    crystal_system,
    space_group_operations,
    wyckoff_position,
    wyckoff_positions,
)

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Free coordinates of a point with no more symmetry than its position has.
_GENERIC = np.array([0.1234, 0.2871, 0.4139])


@dataclass(frozen=True, eq=False)
class SettingChange:
    """A change of axes and origin that maps a space group onto itself.

    Args:
        linear: Turns fractional columns; int64 ``[3, 3]``, determinant 1.
        shift: Is added to them; ``[3]``.
        letters: Wyckoff letter before → after.
    """

    linear: IntArray
    shift: Array
    letters: Mapping[str, str]

    def relabel(self, letters: str) -> str:
        """The letters of some orbits after the change, in alphabetical order."""
        return "".join(sorted(self.letters[letter] for letter in letters))

    def after(self, first: "SettingChange") -> "SettingChange":
        """This change after another one."""
        return SettingChange(
            self.linear @ first.linear,
            self.linear @ first.shift + self.shift,
            {old: self.letters[new] for old, new in first.letters.items()},
        )

    def apply(self, crystal: SymmetricCrystal) -> SymmetricCrystal:
        """The same crystal, described by the new axes and from the new origin."""
        number = crystal.space_group_number
        letters = tuple(self.letters[letter] for letter in crystal.wyckoff_letters)
        points = crystal.frac_coords @ self.linear.T + self.shift
        positions = [wyckoff_position(number, letter) for letter in letters]
        return SymmetricCrystal(
            space_group_number=number,
            lattice=np.linalg.inv(self.linear).T @ crystal.lattice,
            atomic_numbers=crystal.atomic_numbers,
            wyckoff_letters=letters,
            frac_coords=np.array(
                [_on_representative(p, x) for p, x in zip(positions, points, strict=True)]
            ),
            identifier=crystal.identifier,
            properties=crystal.properties,
        )


@lru_cache(maxsize=230)
def setting_changes(space_group_number: int) -> tuple[SettingChange, ...]:
    """Changes of setting, one for each exchange of Wyckoff letters, the identity first.

    They are closed: one after another is again one of them, as far as letters go.

    Args:
        space_group_number: 1 to 230.
    """
    found: dict[str, SettingChange] = {}
    turns = np.unique(space_group_operations(space_group_number)[0], axis=0)
    covered: set[bytes] = set()
    for linear in _linear_parts(space_group_number):
        # After an operation of the group, which changes no letter, a change is the same to them.
        if linear.tobytes() in covered:
            continue
        covered |= {each.tobytes() for each in (linear @ turns).astype(linear.dtype)}
        shifts = allowed_shifts(space_group_number, linear)
        for shift, letters in zip(
            shifts, letters_after(space_group_number, linear, shifts), strict=True
        ):
            found.setdefault("".join(letters.values()), SettingChange(linear, shift, letters))
    generators = list(found.values())
    queue = list(generators)
    while queue:
        change = queue.pop()
        for generator in generators:
            joined = generator.after(change)
            key = "".join(joined.letters.values())
            if key not in found:
                found[key] = joined
                queue.append(joined)
    return tuple(found.values())


@lru_cache(maxsize=65_536)
def canonical_labels(
    space_group_number: int, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Letters of each kind of atom in the setting whose letters come first in the alphabet.

    Args:
        space_group_number: 1 to 230.
        labels: Letters of the orbits of each kind of atom, each text sorted.

    Returns:
        The sorted labels in that setting, and all different orders of the kinds that give them:
        label i is that of the kind ``order[i]``.
    """
    after = [
        [change.relabel(label) for label in labels]
        for change in setting_changes(space_group_number)
    ]
    key = min(tuple(sorted(relabelled)) for relabelled in after)
    orders = {
        tuple(sorted(range(len(labels)), key=relabelled.__getitem__)): None
        for relabelled in after
        if tuple(sorted(relabelled)) == key
    }
    return key, tuple(orders)


def _linear_parts(number: int) -> list[IntArray]:
    """Proper changes of axes that may keep the crystal system's cell, the identity first."""
    system = crystal_system(number)
    if system in ("trigonal", "hexagonal"):
        six = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
        two = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
        turns = [np.linalg.matrix_power(six, n) for n in range(6)]
        return [*turns, *(turn @ two for turn in turns)]
    if system == "monoclinic":
        values = product((-1, 0, 1), repeat=4)
        parts = [
            np.array([[a, 0, b], [0, a * d - b * c, 0], [c, 0, d]])
            for a, b, c, d in values
            if abs(a * d - b * c) == 1
        ]
    else:
        parts = [
            np.array(signs)[:, None] * np.eye(3, dtype=np.int64)[list(order)]
            for order in permutations(range(3))
            for signs in product((1, -1), repeat=3)
        ]
        parts = [part for part in parts if round(np.linalg.det(part)) == 1]
    identity = np.eye(3, dtype=np.int64)
    return [identity, *(part for part in parts if not np.array_equal(part, identity))]


def allowed_shifts(number: int, linear: IntArray, target: int | None = None) -> Array:
    """Shifts that, with a linear part, map every operation of a group onto one of another.

    An operation (R, w) becomes (P R P⁻¹, P w + p - P R P⁻¹ p).

    Args:
        number: Of the group.
        linear: P, whole numbers, determinant 1 or -1; ``[3, 3]``.
        target: Of the other group, of the same order and lattice; by default the group itself.

    Returns:
        The shifts p of a grid of quarters and thirds; ``[n, 3]``.
    """
    rotations, translations = space_group_operations(number)
    _, first = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True)
    is_lattice = (rotations == np.eye(3)).all(axis=(1, 2))
    chosen = np.union1d(first, np.flatnonzero(is_lattice))
    turned = linear @ rotations[chosen] @ np.rint(np.linalg.inv(linear)).astype(np.int64)
    images, image_translations = space_group_operations(target or number)
    _, first_images = np.unique(images.reshape(-1, 9), axis=0, return_index=True)
    lattice_points = image_translations[(images == np.eye(3)).all(axis=(1, 2))]
    is_image = (turned[:, None] == images[first_images][None]).all(axis=(2, 3))
    if not is_image.any(axis=1).all():
        return np.empty((0, 3))
    wanted = image_translations[first_images][is_image.argmax(axis=1)]
    shifts = _grid(number)
    moved = translations[chosen] @ linear.T + shifts[:, None]
    moved = moved - np.einsum("kij,sj->ski", turned, shifts)
    off = (moved - wanted)[:, :, None] - lattice_points
    fits = (np.abs(off - np.rint(off)) < 1e-6).all(axis=3).any(axis=2).all(axis=1)
    return shifts[fits]


def _grid(number: int) -> Array:
    quarters = (0.0, 0.25, 0.5, 0.75)
    if crystal_system(number) in ("trigonal", "hexagonal"):
        thirds = (0.0, 1 / 3, 2 / 3)
        return np.array(list(product(thirds, thirds, quarters)))
    return np.array(list(product(quarters, repeat=3)))


def letters_after(
    number: int, linear: IntArray, shifts: Array, target: int | None = None
) -> list[dict[str, str]]:
    """Letter of every position after each of some changes.

    Args:
        number: Of the group.
        linear: As of :func:`allowed_shifts`.
        shifts: That are allowed with it; ``[n, 3]``.
        target: As of :func:`allowed_shifts`.
    """
    rotations, translations = space_group_operations(target or number)
    letters: list[dict[str, str]] = [{} for _ in shifts]
    for position in wyckoff_positions(number):
        moved = position.project(_GENERIC) @ linear.T + shifts
        images = np.einsum("kij,sj->ski", rotations, moved) + translations
        for other in wyckoff_positions(target or number):
            if (other.multiplicity, other.num_free) != (position.multiplicity, position.num_free):
                continue
            off = other.project(images) - images
            is_on = (np.abs(off - np.rint(off)) < 1e-6).all(axis=2).any(axis=1)
            for place in np.flatnonzero(is_on):
                letters[place].setdefault(position.letter, other.letter)
    return letters


def _on_representative(position: WyckoffPosition, point: Array) -> Array:
    """The member of a point's orbit that lies on the representative; ``[3]``."""
    rotations, translations = space_group_operations(position.space_group_number)
    images = rotations @ point + translations
    off = position.project(images) - images
    off -= np.rint(off)
    found: Array = images[int(np.abs(off).max(axis=1).argmin())]
    return found
