"""Groups of references: by symmetry, atoms, polymorphs in training, and any that a caller names."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.metrics.matching import reduced_composition
from crystal_data.symmetry import (
    CRYSTAL_SYSTEMS,
    SymmetricCrystal,
    SymmetryError,
    crystal_system,
)

# First of each range; the last has no end.
_FREE_PARAMETERS = (0, 1, 3, 7)
_NUM_ATOMS = (1, 5, 11, 21)


@dataclass(frozen=True, slots=True)
class ReferenceSymmetry:
    """Both None where no symmetry was found.

    Args:
        space_group_number: 1 to 230.
        free_parameters: Coordinates that the group leaves free, of all orbits.
    """

    space_group_number: int | None
    free_parameters: int | None


def reference_symmetry(crystal: Crystal, symprec: float) -> ReferenceSymmetry:
    """Space group and number of free coordinates.

    Args:
        crystal: Any cell of it.
        symprec: Å.
    """
    try:
        symmetric = SymmetricCrystal.from_crystal(crystal, symprec)
    except SymmetryError:
        return ReferenceSymmetry(None, None)
    free = sum(position.num_free for position in symmetric.positions)
    return ReferenceSymmetry(symmetric.space_group_number, free)


def strata_of(
    references: Sequence[Crystal],
    symmetry: Sequence[ReferenceSymmetry],
    training: Sequence[Crystal] | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Name of each stratum that is not empty → whether each reference is in it.

    Args:
        references: The true structures.
        symmetry: Of each.
        training: By which ``polymorph`` divides; None leaves it out.
    """
    free = np.array(
        [-1 if each.free_parameters is None else each.free_parameters for each in symmetry]
    )
    systems = np.array(
        [
            crystal_system(each.space_group_number) if each.space_group_number else "unknown"
            for each in symmetry
        ]
    )
    strata = {
        **_ranges("free_parameters", free, _FREE_PARAMETERS),
        "free_parameters=unknown": free < 0,
        **{f"crystal_system={name}": systems == name for name in (*CRYSTAL_SYSTEMS, "unknown")},
        **_ranges("num_atoms", np.array([each.num_atoms for each in references]), _NUM_ATOMS),
    }
    if training is not None:
        known = have_polymorph(references, training)
        strata |= {"polymorph=yes": known, "polymorph=no": ~known}
    return {name: inside for name, inside in strata.items() if inside.any()}


def have_polymorph(references: Sequence[Crystal], training: Sequence[Crystal]) -> NDArray[np.bool_]:
    """Whether training has another crystal of the reduced formula of each; ``[num_references]``.

    Args:
        references: The true structures.
        training: One with the identifier of a reference is that reference, not another crystal.
    """
    known = defaultdict(set)
    for crystal in training:
        known[reduced_composition(crystal)].add(crystal.identifier)
    others = [known[reduced_composition(each)] - {each.identifier} for each in references]
    return np.array([bool(each) for each in others], dtype=np.bool_)


def checked_strata(
    strata: Mapping[str, Sequence[bool] | NDArray[np.bool_]], num_references: int
) -> dict[str, NDArray[np.bool_]]:
    """Strata that a caller gives, as arrays; those without a reference are left out.

    Args:
        strata: Name, such as ``"template=no"`` → whether each reference is in it.
        num_references: How many there are.

    Raises:
        InvalidArgumentError: If a name is not of that form, or one has another number of values.
    """
    checked = {}
    for name, values in strata.items():
        family, _, value = name.partition("=")
        if not family or not value or "/" in name or "=" in value:
            raise InvalidArgumentError(
                f"the stratum '{name}' cannot be part of the name of a metric",
                "name it FAMILY=VALUE, such as template=no, without '/'",
            )
        inside = np.asarray(values)
        if inside.dtype != np.bool_ or inside.shape != (num_references,):
            raise InvalidArgumentError(
                f"the stratum '{name}' has {inside.dtype} values of shape {inside.shape}; each of "
                f"the {num_references} references needs True or False"
            )
        if inside.any():
            checked[name] = inside
    return checked


def _ranges(
    name: str, values: NDArray[np.int64], starts: Sequence[int]
) -> dict[str, NDArray[np.bool_]]:
    strata = {}
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        if following is None:
            strata[f"{name}={start}+"] = values >= start
        else:
            label = str(start) if following == start + 1 else f"{start}-{following - 1}"
            strata[f"{name}={label}"] = (values >= start) & (values < following)
    return strata
