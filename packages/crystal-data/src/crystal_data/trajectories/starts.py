"""Crystals that are not relaxed, made from such as are."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import numpy as np

from crystal_data.crystal import Crystal
from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.trajectories.relaxation import exponential

StartKind = Literal["as-is", "scale", "strain", "substitution"]

_STRAIN = 0.03  # standard deviation along any direction
_RATTLE = 0.05  # Å, of each component
_SCALE = 0.03  # of the logarithm of a length
_EXCHANGED = 0.5  # share of a crystal's elements; at least one is
# From group 1 to 18 of the periodic table, by period; the lanthanides are a row of their own.
_PERIODS = (
    "H He",
    "Li Be B C N O F Ne",
    "Na Mg Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba La Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
)
_LANTHANIDES = "La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu".split()
# Atoms in a³, or in a²c: of a hexagonal cell a³ (c/a) is its volume times 2/√3.
_PER_CUBE = {"fcc": 4.0, "bcc": 2.0, "hcp": 2.0 * 2.0 / 3.0**0.5}
# Radioactive, noble, or with too few crystals to learn from.
_NOT_PUT_IN = frozenset("He Ne Ar Kr Xe Rn Tc Pm Po At".split())


def start_kinds(names: Collection[str]) -> tuple[StartKind, ...]:
    """The kinds of these names.

    Raises:
        InvalidArgumentError: If one is unknown, or there are none.
    """
    kinds = tuple(kind for name in names for kind in get_args(StartKind) if kind == name)
    if len(kinds) != len(names) or not kinds:
        raise InvalidArgumentError(
            f"starts are {' '.join(names) or 'none'}", f"there are {', '.join(get_args(StartKind))}"
        )
    return kinds


def random_of(seed: int, *words: object) -> np.random.Generator:
    """A generator that depends on a seed and on what it is for, and on nothing else."""
    text = "/".join(map(str, (seed, *words))).encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()))


def make_start(
    parent: Crystal,
    kind: StartKind,
    rng: np.random.Generator,
    elements: Collection[str] | None = None,
) -> Crystal | None:
    """A crystal to relax.

    Args:
        parent: A known one.
        kind: ``as-is``; ``scale``: another volume; ``strain``: a strained cell and atoms moved at
            random; ``substitution``: some elements exchanged for neighbors in their groups, in a
            cell of about the size that they need.
        rng: Of all that is drawn.
        elements: Symbols that may be there; None for all. A substitution puts one of them in the
            place of every other element.

    Returns:
        None where elements are not allowed, or there is nothing to exchange them for.
    """
    if kind == "substitution":
        exchanged = _exchanged(parent, rng, elements)
        if exchanged is None:
            return None
        return _scaled(exchanged, rng, _needed_length(parent, exchanged))
    if elements is not None and not set(parent.species) <= set(elements):
        return None
    if kind == "scale":
        return _scaled(parent, rng, 1.0)
    return _strained(parent, rng) if kind == "strain" else parent


def _scaled(crystal: Crystal, rng: np.random.Generator, factor: float) -> Crystal:
    return crystal.replace(lattice=crystal.lattice * factor * np.exp(rng.normal(scale=_SCALE)))


def _strained(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    noise = rng.normal(size=(3, 3))
    lattice = crystal.lattice @ exponential(_STRAIN / 2 * (noise + noise.T))
    moved = rng.normal(scale=_RATTLE, size=(crystal.num_atoms, 3)) @ np.linalg.inv(lattice)
    return crystal.replace(lattice=lattice, frac_coords=crystal.frac_coords + moved)


def _exchanged(
    parent: Crystal, rng: np.random.Generator, elements: Collection[str] | None
) -> Crystal | None:
    allowed = set(SYMBOLS[1:95]) if elements is None else set(elements)
    present = sorted(parent.composition)
    forced = [symbol for symbol in present if symbol not in allowed]
    choices = {
        symbol: _neighbors(symbol) & allowed - set(present)
        for symbol in present
        if symbol in allowed
    }
    optional = [symbol for symbol in choices if choices[symbol]]
    chosen = [symbol for symbol in optional if rng.random() < _EXCHANGED]
    if not forced and not chosen:
        if not optional:
            return None
        chosen = [str(rng.choice(optional))]
    new = {symbol: symbol for symbol in choices}
    for symbol in [*forced, *chosen]:
        # Two elements never become one.
        free = sorted(choices.get(symbol, allowed) - set(new.values()))
        if not free and symbol in forced:
            return None
        new[symbol] = str(rng.choice(free)) if free else symbol
    numbers = [SYMBOLS.index(new[symbol]) for symbol in parent.species]
    return parent.replace(atomic_numbers=np.array(numbers))


def _neighbors(symbol: str) -> set[str]:
    """Elements above and below in the same group, and beside it among the lanthanides."""
    found: set[str] = set()
    if symbol in _LANTHANIDES:
        place = _LANTHANIDES.index(symbol)
        found |= set(_LANTHANIDES[max(0, place - 2) : place + 3])
    columns = [_columns(period.split()) for period in _PERIODS]
    for row, period in enumerate(columns):
        if symbol in period.values():
            column = next(key for key, value in period.items() if value == symbol)
            for other in (row - 1, row + 1):
                if 0 <= other < len(columns) and column in columns[other]:
                    found.add(columns[other][column])
    # Hydrogen is in no alkali halide.
    return found - {symbol, "H"} - _NOT_PUT_IN if symbol != "H" else set()


def _columns(period: list[str]) -> dict[int, str]:
    """Group to element: short periods leave out groups 3 to 12."""
    num_left = {2: 1, 8: 2}.get(len(period), len(period))
    left = {place + 1: symbol for place, symbol in enumerate(period[:num_left])}
    right = {18 - place: symbol for place, symbol in enumerate(reversed(period[num_left:]))}
    return left | right


def _needed_length(parent: Crystal, exchanged: Crystal) -> float:
    """How much longer the cell has to be.

    The volume of an alloy is about the sum of those of its metals (Zen's law). Otherwise volumes
    go with the cubes of the covalent radii, from the parent's on.
    """
    from ase.data import covalent_radii

    alloy = sum(map(_metal_volume, exchanged.atomic_numbers.tolist()))
    if alloy < np.inf:
        return float((alloy / parent.volume) ** (1 / 3))
    before, after = (
        float((covalent_radii[one.atomic_numbers] ** 3).sum()) for one in (parent, exchanged)
    )
    return float((after / before) ** (1 / 3))


def _metal_volume(atomic_number: int) -> float:
    """Volume of an atom of a close-packed or body-centered metal, Å³; infinite for others."""
    from ase.data import reference_states

    known: Mapping[str, Any] = reference_states[atomic_number] or {}
    packing = known.get("symmetry")
    if SYMBOLS[atomic_number] in _NOT_PUT_IN or packing not in _PER_CUBE:
        return float("inf")
    return float(known["a"] ** 3 * known.get("c/a", 1.0) / _PER_CUBE[packing])
