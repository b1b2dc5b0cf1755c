"""Which atoms a CIF block means: those it lists, or all that its symmetry makes of them.

Operations beyond the identity that form a group are trusted. Where they are missing, only the
identity, or a part of the named group, the file's own evidence decides: its formula, whether the
listed atoms already have the symmetry of the named group, and whether atoms would overlap.
What remains open is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.cif.operations import Operations, expand, is_closed, metric_allows
from crystal_data.io.cif.stated import Named, StatedSymmetry
from crystal_data.io.distances import check_ranges, close_pair
from crystal_data.io.formula import Amounts, Fit, Formula, counted, formula_text, shortened
from crystal_data.io.options import ReadOptions

_LONGEST_NAME = 25  # of a space group in a message, characters
_MAX_SETTINGS = 4  # that a message names
_REMEDY = "add _space_group_symop_operation_xyz"


@dataclass(frozen=True, eq=False)
class Atoms:
    """Atoms before or after expansion.

    Args:
        lattice: Rows a, b, c; shape ``[3, 3]``, Å.
        frac_coords: Shape ``[num_atoms, 3]``.
        atomic_numbers: Shape ``[num_atoms]``.
        occupancies: Shape ``[num_atoms]``; None if all are full.
        source: Listed atom that each comes from; shape ``[num_atoms]``.
        notes: What had to be decided.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    occupancies: NDArray[np.float64] | None
    source: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def counted(self) -> Amounts:
        """Atoms by atomic number, by occupancy."""
        amounts = None if self.occupancies is None else self.occupancies.tolist()
        return counted(self.atomic_numbers.tolist(), amounts)

    def expanded(self, operations: Operations) -> "Atoms":
        """All atoms that operations make of these."""
        coords, source = expand(self.lattice, self.frac_coords, operations)
        return replace(
            self,
            frac_coords=coords,
            atomic_numbers=self.atomic_numbers[source],
            occupancies=None if self.occupancies is None else self.occupancies[source],
            source=source,
        )

    def noted(self, *notes: str) -> "Atoms":
        """The same with further notes."""
        return replace(self, notes=(*self.notes, *notes)) if notes else self

    def overlap(self, min_distance: float) -> bool:
        """Whether full atoms lie closer than allowed; partly occupied sites may."""
        if self.occupancies is not None:
            return False
        return close_pair(self.lattice, self.frac_coords, min_distance) is not None


def all_atoms(
    listed: Atoms, stated: StatedSymmetry, formula: Formula, identifier: str, options: ReadOptions
) -> Atoms:
    """All atoms of the cell.

    Args:
        listed: As the file has them.
        stated: What it says of its symmetry.
        formula: What it says of its content.
        identifier: For messages.
        options: ``min_distance`` and ``on_formula`` matter here.

    Raises:
        InvalidCrystalError: ``UNREADABLE`` if the file contradicts itself, or leaves open which
            crystal it means; ``BAD_CELL`` if the cell has not the symmetry of the operations.
    """
    decision = _Decision(listed, stated, formula, identifier, options.min_distance)
    try:
        return decision.atoms()
    except FormulaError:
        if options.on_formula == "error" or not formula.amounts:
            raise
    unstated = Formula({})
    atoms = _Decision(listed, stated, unstated, identifier, options.min_distance).atoms()
    return atoms.noted(_difference(atoms, formula))


class FormulaError(InvalidCrystalError):
    """A file whose atoms are not those of its formula."""


def _difference(atoms: Atoms, formula: Formula) -> str:
    return f"the atoms are {formula_text(atoms.counted())}, the formula says {formula}"


@dataclass(frozen=True, eq=False)
class _Decision:
    listed: Atoms
    stated: StatedSymmetry
    formula: Formula
    identifier: str
    min_distance: float

    def atoms(self) -> Atoms:
        operations = self.stated.listed
        if self.stated.is_p1:
            return self._complete(self.listed)
        check_ranges(self.identifier, self.listed.lattice, self.listed.frac_coords)
        if operations is not None and len(operations) > 1:
            return self._by_operations(operations)
        return self._by_name(has_identity=operations is not None)

    def _complete(self, atoms: Atoms, *notes: str) -> Atoms:
        """A list that has every atom.

        Where P 1 is stated, it may be another compound than the formula's, such as one with a
        vacancy, but not a part of it.
        """
        found = atoms.counted()
        fit = self.formula.fit(found)
        is_stated = self.stated.listed is not None or self.stated.text
        if not is_stated and fit == Fit.MULTIPLE and self.formula.is_one_unit:
            fit = Fit.CONTRADICTS  # nothing says that the list is more than one formula unit of Z
        if fit == Fit.CONTRADICTS:
            factor = self.formula.factor(found)
            is_part = factor is not None and factor < 1.0
            if is_part or not is_stated or self.formula.amounts.keys() - found.keys():
                difference = self._contradiction(atoms)
                raise self._refused(f"{difference}; atoms or symmetry are missing; {_REMEDY}")
            notes = (*notes, _difference(atoms, self.formula))
        elif self.formula.lacks_hydrogen(found):
            notes = (*notes, self._hydrogen_note())
        return atoms.noted(*notes)

    def _expanded(self, atoms: Atoms, *notes: str) -> Atoms:
        """What a group has made of the listed atoms, with what is to be said of the formula."""
        found = atoms.counted()
        if self.formula.fit(found) == Fit.CONTRADICTS:
            notes = (*notes, _difference(atoms, self.formula))
        elif self.formula.lacks_hydrogen(found):
            notes = (*notes, self._hydrogen_note())
        return atoms.noted(*notes)

    def _hydrogen_note(self) -> str:
        return f"the formula {self.formula.text!r} has hydrogen, of which no atom is listed"

    def _by_operations(self, operations: Operations) -> Atoms:
        if not operations.is_group:
            return self._by_larger_group(operations, "are no group")
        if not metric_allows(self.listed.lattice, operations):
            detail = (
                "the cell's lengths and angles do not have the symmetry of the operations; "
                "correct one of them"
            )
            raise InvalidCrystalError(self.identifier, Reason.BAD_CELL, detail)
        atoms = self.listed.expanded(operations)
        if len(atoms.source) > len(self.listed.source) and self._is_closed(self.listed, operations):
            return self._complete(self.listed)  # all images are listed already
        fit = self._fit(atoms)
        larger = [one for one in self.stated.named if operations.rows < one.operations.rows]
        # A part of the named group, such as half of it, is a group as well.
        if any(self._fit(made) > max(fit, Fit.NO_EVIDENCE) for _, made in self._fitting(larger)):
            made = shortened(formula_text(atoms.counted()))
            return self._by_larger_group(operations, f"make {made}")
        lacking = [one for one in larger if operations.lacks_centering_of(one.operations)]
        if fit == Fit.NO_EVIDENCE and any(
            not self._is_closed(atoms, one.operations) for one in lacking
        ):
            detail = (
                f"the operations lack the centering of {self._name!r}, and there is no formula to "
                "compare with; add _chemical_formula_sum or complete "
                "_space_group_symop_operation_xyz"
            )
            raise InvalidCrystalError(self.identifier, Reason.UNREADABLE, detail)
        named = {one.operations.rows for one in self.stated.named}
        if named and operations.rows not in named:
            note = f"the operations are not those of the named group {self.stated.text!r}"
            return self._expanded(atoms, note)
        return self._expanded(atoms)

    def _by_larger_group(self, operations: Operations, what: str) -> Atoms:
        """The named group, of which the file lists a part of the operations."""
        larger = [one for one in self.stated.named if operations.rows < one.operations.rows]
        fitting = self._fitting(larger)
        if len(fitting) != 1 or self.formula.fit(fitting[0][1].counted()) <= Fit.NO_EVIDENCE:
            detail = (
                f"the {len(operations)} listed symmetry operations {what}, and no named group "
                "that has them agrees with the formula; complete _space_group_symop_operation_xyz"
            )
            raise InvalidCrystalError(self.identifier, Reason.UNREADABLE, detail)
        [(named, atoms)] = fitting
        note = (
            f"{len(operations)} operations are listed; those of the named group {named.name!r} "
            f"are {len(named.operations)}, and make the formula"
        )
        return self._expanded(atoms, note)

    def _by_name(self, *, has_identity: bool) -> Atoms:
        listed, named = self.listed, [one for one in self._named() if len(one.operations) > 1]
        fit = self._fit(listed)
        name = self.stated.text
        if not named:
            if not has_identity and fit != Fit.EXACT:
                raise self._unreadable(
                    f"space group {self._name!r} is unknown and no symmetry operations are listed; "
                    f"{_REMEDY}"
                )
            return self._complete(listed, f"the space group {name!r} is unknown")
        allowed = [one for one in named if metric_allows(listed.lattice, one.operations)]
        if not allowed:
            detail = f"the cell's lengths and angles do not allow the space group {name!r}"
            if not has_identity and fit <= Fit.NO_EVIDENCE:
                detail = f"{detail}; correct one of them"
                raise InvalidCrystalError(self.identifier, Reason.BAD_CELL, detail)
            return self._complete(listed, f"{detail}, so every atom is listed")
        if any(self._is_closed(listed, one.operations) for one in allowed):
            return self._complete(listed)
        fitting = self._fitting(allowed)
        is_complete = fit > Fit.NO_EVIDENCE or (has_identity and fit == Fit.NO_EVIDENCE)
        if fit == Fit.EXACT or (is_complete and not fitting):
            note = f"the atoms do not have the symmetry of {name!r}, so every atom is listed"
            return self._complete(listed, note)
        if has_identity and fitting and fit == self._fit(fitting[0][1]):
            raise self._unreadable(
                f"only the identity is listed, the space group {self._name!r} is named, and the "
                f"file fits both; {_REMEDY}, or _chemical_formula_sum with _cell_formula_units_Z"
            )
        return self._only(fitting, allowed)

    def _only(self, fitting: list[tuple[Named, Atoms]], allowed: list[Named]) -> Atoms:
        """The one expansion that agrees with the formula and the distances."""
        name = self.stated.text
        if len(fitting) == 1:
            [(named, atoms)] = fitting
            is_open = len(allowed) > 1
            note = f"of the settings of {name!r}, {named.name!r} agrees with the rest of the file"
            return self._expanded(atoms, *([note] if is_open else []))
        if fitting:
            names = ", ".join(repr(one.name) for one, _ in fitting[:_MAX_SETTINGS])
            names += " …" if len(fitting) > _MAX_SETTINGS else ""
            raise self._unreadable(f"{self._name!r} may mean {names}; {_REMEDY}")
        tried = [self.listed.expanded(one.operations) for one in allowed]
        if all(self._fit(atoms) == Fit.CONTRADICTS for atoms in tried):
            difference = self._contradiction(tried[0])
            raise self._refused(f"by the space group {self._name!r} {difference}; {_REMEDY}")
        if len(tried) == 1:
            return tried[0]  # whose overlap the check of distances names
        raise self._unreadable(f"atoms overlap in every setting of {self._name!r}; {_REMEDY}")

    def _named(self) -> Iterator[Named]:
        """The named settings; of monoclinic ones with a short symbol, those of the cell's axis."""
        named = self.stated.named
        axis = _unique_axis(self.listed.lattice)
        has_axis = any(one.unique_axis == axis for one in named)
        return (one for one in named if not (has_axis and one.unique_axis not in ("", axis)))

    def _fitting(self, named: Sequence[Named]) -> list[tuple[Named, Atoms]]:
        """Expansions that cell, formula and distances allow; of them the best by formula."""
        allowed = [one for one in named if metric_allows(self.listed.lattice, one.operations)]
        tried = [(one, self.listed.expanded(one.operations)) for one in allowed]
        tried = [(one, atoms) for one, atoms in tried if self._fit(atoms) != Fit.CONTRADICTS]
        tried = [(one, atoms) for one, atoms in tried if not atoms.overlap(self.min_distance)]
        best = max((self._fit(atoms) for _, atoms in tried), default=Fit.CONTRADICTS)
        return _distinct([(one, atoms) for one, atoms in tried if self._fit(atoms) == best])

    def _fit(self, atoms: Atoms) -> Fit:
        return self.formula.fit(atoms.counted())

    def _is_closed(self, atoms: Atoms, operations: Operations) -> bool:
        return is_closed(atoms.lattice, atoms.frac_coords, atoms.atomic_numbers, operations)

    @property
    def _name(self) -> str:
        return shortened(self.stated.text, _LONGEST_NAME)

    def _contradiction(self, atoms: Atoms) -> str:
        made, said = formula_text(atoms.counted()), str(self.formula)
        return f"the atoms are {shortened(made)}, the formula says {shortened(said)}"

    def _refused(self, detail: str) -> InvalidCrystalError:
        return FormulaError(self.identifier, Reason.UNREADABLE, detail)

    def _unreadable(self, detail: str) -> InvalidCrystalError:
        return InvalidCrystalError(self.identifier, Reason.UNREADABLE, detail)


def _unique_axis(lattice: NDArray[np.float64]) -> str:
    """The axis across from the angle that is not right; b, as short symbols mean, if all are."""
    unit = lattice / np.linalg.norm(lattice, axis=1)[:, None]
    cosines = np.abs([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return "abc"[int(cosines.argmax())] if cosines.max() > 1e-4 else "b"


def _distinct(tried: list[tuple[Named, Atoms]]) -> list[tuple[Named, Atoms]]:
    """Without those that give the very atoms of another."""
    kept: list[tuple[Named, Atoms]] = []
    for named, atoms in tried:
        if not any(_is_same(atoms, other) for _, other in kept):
            kept.append((named, atoms))
    return kept


def _is_same(atoms: Atoms, other: Atoms) -> bool:
    if len(atoms.frac_coords) != len(other.frac_coords):
        return False
    delta = atoms.frac_coords[:, None] - other.frac_coords
    delta -= np.rint(delta)
    close = np.linalg.norm(delta @ atoms.lattice, axis=2) < 1e-3
    like = atoms.atomic_numbers[:, None] == other.atomic_numbers
    return bool((close & like).any(axis=1).all())
