"""Whether a structure could exist: distances, volume, and a composition that can be neutral.

The rules are those of CDVAE (Xie et al. 2021, arXiv 2110.06197) with the bound on combinations of
DiffCSP (Jiao et al. 2023, arXiv 2309.04475). The table of oxidation states is part of the metric's
name, since it moves the answer on the same data: the Perov-5 test split is 98.6 % valid with
``smact14``, 98.3 % with ``icsd24`` and 36.2 % with ``icsd24_medium``. smact's own default was the
first before release 3, the last in 3.2 and 4.0.0, and is another one again in 4.0.2.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import gcd, prod
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.io.distances import nearest_distances
from crystal_data.io.options import MIN_DISTANCE
from crystal_data.metrics.result import (
    Evaluation,
    MetricResult,
    hash_crystals,
)
from crystal_data.versions import library_versions

OxidationStates = Literal["smact14", "icsd24", "icsd24_medium"]
MIN_VOLUME = 0.1  # Å³
MAX_COMBINATIONS = 10_000_000
_PAIRS_AT_ONCE = 100_000  # distances held at once


def min_pair_distance(crystal: Crystal) -> float:
    """Smallest distance between two different atoms, through the nearest images, Å.

    An atom and its own image do not count, as in the published metric. Infinite for one atom.
    """
    smallest = np.inf
    rows = max(1, _PAIRS_AT_ONCE // crystal.num_atoms)
    for start in range(0, crystal.num_atoms - 1, rows):
        block, rest = crystal.frac_coords[start : start + rows], crystal.frac_coords[start:]
        distances = nearest_distances(crystal.lattice, block, rest)
        # Only pairs above the diagonal: each once, and no atom with itself.
        distances[np.tri(*distances.shape, dtype=np.bool_)] = np.inf
        smallest = min(smallest, float(distances.min()))
    return smallest


def is_structure_valid(
    crystal: Crystal, *, min_distance: float = MIN_DISTANCE, min_volume: float = MIN_VOLUME
) -> bool:
    """Whether no two atoms are closer than 0.5 Å and the cell holds at least 0.1 Å³."""
    return crystal.volume >= min_volume and min_pair_distance(crystal) >= min_distance


def is_composition_valid(composition: Mapping[str, int], oxidation_states: OxidationStates) -> bool:
    """Whether some oxidation states make a composition neutral with anions more electronegative.

    A single element is valid, and so is any alloy of metals. Otherwise one state for each element
    must add up to zero over the reduced formula, every cation being less electronegative than
    every anion (Pauling scale). An element without tabulated states or electronegativity makes it
    invalid, and so do more than 10⁷ combinations of states.

    Args:
        composition: Element symbol → atoms, whole numbers.
        oxidation_states: Table of smact: ``"smact14"`` (older papers), ``"icsd24"`` (states with
            more than 5 reports in ICSD 2024), or ``"icsd24_medium"`` (at least 3 reports and a
            tenth of the element's).

    Raises:
        InvalidArgumentError: If the table is another one or the composition is empty.
    """
    if oxidation_states not in get_args(OxidationStates):
        raise InvalidArgumentError(
            f"oxidation states {oxidation_states!r} are unknown",
            "choose one of "
            f"{', '.join(get_args(OxidationStates))}, never a default, since it changes the answer",
        )
    if not composition:
        raise InvalidArgumentError("the composition has no elements")
    factor = gcd(*composition.values())
    reduced = tuple(sorted((symbol, n // factor) for symbol, n in composition.items()))
    return _is_neutral(reduced, oxidation_states)


def structure_validity(
    crystals: Sequence[Crystal | None],
    *,
    min_distance: float = MIN_DISTANCE,
    min_volume: float = MIN_VOLUME,
) -> Evaluation:
    """Share of structures that pass `is_structure_valid`; metric ``struct_valid``.

    Args:
        crystals: None stands for one that could not be built: not valid, and counted.
        min_distance: Between different atoms, Å.
        min_volume: Of the cell, Å³.
    """
    valid = [
        crystal is not None
        and is_structure_valid(crystal, min_distance=min_distance, min_volume=min_volume)
        for crystal in crystals
    ]
    parameters = {"min_distance": min_distance, "min_volume": min_volume}
    return _share("struct_valid", crystals, valid, parameters)


def composition_validity(
    crystals: Sequence[Crystal | None], oxidation_states: OxidationStates
) -> Evaluation:
    """Share of compositions that pass; metric ``comp_valid/<oxidation_states>``.

    Args:
        crystals: None stands for one that could not be built: not valid, and counted.
        oxidation_states: The table, which is part of the metric's name.
    """
    valid = [
        crystal is not None and is_composition_valid(crystal.composition, oxidation_states)
        for crystal in crystals
    ]
    parameters = {"oxidation_states": oxidation_states, "max_combinations": MAX_COMBINATIONS}
    return _share(f"comp_valid/{oxidation_states}", crystals, valid, parameters)


def _share(
    metric: str,
    crystals: Sequence[Crystal | None],
    valid: list[bool],
    parameters: Mapping[str, object],
) -> Evaluation:
    result = MetricResult(
        metric=metric,
        value=float(np.mean(valid)) if valid else float("nan"),
        parameters=parameters,
        versions=library_versions(),
        data_hash=hash_crystals(crystals),
        num_samples=len(crystals),
    )
    identifiers = ["" if crystal is None else crystal.identifier for crystal in crystals]
    return Evaluation((result,), {"id": identifiers, metric: valid})


@lru_cache(maxsize=100_000)
def _is_neutral(reduced: tuple[tuple[str, int], ...], oxidation_states: OxidationStates) -> bool:
    import smact

    symbols = [symbol for symbol, _ in reduced]
    if len(symbols) == 1 or all(symbol in _metals() for symbol in symbols):
        return True
    try:
        elements = [smact.Element(symbol) for symbol in symbols]
    except (KeyError, NameError):  # heavier than the table's last element
        return False
    if oxidation_states == "icsd24_medium":
        states = [_icsd24_medium().get(symbol, ()) for symbol in symbols]
    else:
        named = [getattr(e, f"oxidation_states_{oxidation_states}") for e in elements]
        states = [tuple(choices or ()) for choices in named]
    negativities = [element.pauling_eneg for element in elements]
    combinations = prod(len(choices) for choices in states)
    if combinations == 0 or combinations > MAX_COMBINATIONS or None in negativities:
        return False
    total = np.zeros(1, dtype=np.int32)
    for choices, (_, count) in zip(states, reduced, strict=True):
        total = (total[:, None] + count * np.asarray(choices, dtype=np.int32)).ravel()
    neutral = np.unravel_index(np.flatnonzero(total == 0), [len(choices) for choices in states])
    chosen = np.stack([np.asarray(c)[i] for c, i in zip(states, neutral, strict=True)], axis=-1)
    return _pauling_allows(chosen, np.array(negativities, dtype=np.float64))


def _pauling_allows(chosen: NDArray[np.int64], negativities: NDArray[np.float64]) -> bool:
    # Each cation below each anion: the highest cation below the lowest anion.
    cation = np.where(chosen > 0, negativities, -np.inf).max(axis=1, initial=-np.inf)
    anion = np.where(chosen < 0, negativities, np.inf).min(axis=1, initial=np.inf)
    return bool((cation < anion).any())


@lru_cache(maxsize=1)
def _icsd24_medium() -> dict[str, tuple[int, ...]]:
    from smact.utils.oxidation import ICSD24OxStatesFilter

    table = ICSD24OxStatesFilter().filter(consensus=3, include_zero=False, commonality="medium")
    pairs = zip(table["element"], table["oxidation_state"], strict=True)
    return {str(symbol): tuple(int(n) for n in str(states).split()) for symbol, states in pairs}


@lru_cache(maxsize=1)
def _metals() -> frozenset[str]:
    import smact

    return frozenset(smact.metals)
