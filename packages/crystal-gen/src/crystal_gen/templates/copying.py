"""A template becomes the crystal that is asked: other elements, another size, the cell asked."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.generation import GenerationRequest
from crystal_data.symmetry import SymmetricCrystal, niggli_cell, space_group_symbol
from crystal_gen.templates.library import lattice_points
from crystal_gen.templates.search import Candidate, Level
from crystal_gen.templates.settings import setting_changes

# Rows of the primitive cell in those of the conventional one, by the first letter of the symbol.
_PRIMITIVE = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, 1 / 2), (0, -1 / 2, 1 / 2)),
    "C": ((1 / 2, 1 / 2, 0), (-1 / 2, 1 / 2, 0), (0, 0, 1)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}


def copy_template(
    template: SymmetricCrystal,
    candidate: Candidate,
    request: GenerationRequest,
    volume_ratio: float = 1.0,
) -> SymmetricCrystal:
    """The crystal that a candidate is for a request.

    Args:
        template: The crystal of the candidate's row.
        candidate: Says which element takes the place of which.
        request: If the template has its Wyckoff letters, the crystal is on the positions asked.
        volume_ratio: Volume of the result by that of the template.
    """
    exchanged = [candidate.elements[number] for number in template.atomic_numbers.tolist()]
    copied = replace(
        template,
        atomic_numbers=np.array(exchanged),
        lattice=template.lattice * volume_ratio ** (1 / 3),
        identifier="",
    )
    return _on_asked_positions(copied, request) if candidate.level is Level.WYCKOFF else copied


def in_asked_cell(crystal: SymmetricCrystal, request: GenerationRequest) -> Crystal:
    """All atoms in the cell that a request wants.

    It is the standard conventional cell if the crystal has the space group asked; else the reduced
    primitive cell.
    """
    if request.space_group == crystal.space_group_number:
        return crystal.to_crystal()
    return niggli_cell(reduced_to_primitive(crystal))


def reduced_to_primitive(symmetric: SymmetricCrystal) -> Crystal:
    """The atoms of one lattice point, in a primitive cell."""
    number = symmetric.space_group_number
    crystal = symmetric.to_crystal()
    rows = np.array(_PRIMITIVE[space_group_symbol(number)[0]], dtype=np.float64)
    if len(lattice_points(number)) == 1:
        return crystal
    points = crystal.frac_coords @ np.linalg.inv(rows)
    kept = _first_of_equals(points)
    return Crystal(rows @ crystal.lattice, points[kept] % 1.0, crystal.atomic_numbers[kept])


def _first_of_equals(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Atoms that are no lattice vector away from an earlier one."""
    delta = points[:, None] - points
    equal = np.abs(delta - np.rint(delta)).max(axis=2) < 1e-6
    kept: NDArray[np.intp] = np.flatnonzero(equal.argmax(axis=1) == np.arange(len(points)))
    return kept


def _on_asked_positions(copied: SymmetricCrystal, request: GenerationRequest) -> SymmetricCrystal:
    """The same crystal in the setting in which its letters are those asked."""
    asked: dict[int, str] = defaultdict(str)
    for site in request.wyckoff:
        asked[ATOMIC_NUMBERS[site.element] if site.element else 0] += site.letter
    has: dict[int, str] = defaultdict(str)
    orbits = zip(copied.atomic_numbers.tolist(), copied.wyckoff_letters, strict=True)
    for number, letter in orbits:
        has[0 if 0 in asked else number] += letter
    wanted = {number: "".join(sorted(letters)) for number, letters in asked.items()}
    # The search has found the letters in one of the settings.
    change = next(
        change
        for change in setting_changes(copied.space_group_number)
        if {number: change.relabel(letters) for number, letters in has.items()} == wanted
    )
    return change.apply(copied)
