"""Which generated structures stand elsewhere too: among the others, or in a training set."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.metrics.matching import MatchSettings, reduced_composition
from crystal_data.processes.progress import progress
from crystal_data.splits.same_structure import Candidates, MatcherOptions, find_same

# Pymatgen's own, by which training rows are excluded too.
SAME = MatcherOptions()


def find_alike(
    crystals: Sequence[Crystal], among: Sequence[Crystal] | None, settings: MatchSettings
) -> NDArray[np.bool_]:
    """Whether each crystal is the same structure as an earlier one, or as one of a set.

    A comparison without an end or with an error counts as the same.

    Args:
        crystals: Generated structures.
        among: The set; None compares each with those before it.
        settings: Time-out and number of processes.
    """
    by_composition = defaultdict(list)
    for each in among or ():
        by_composition[reduced_composition(each)].append(each)
    candidates = {}
    for row, crystal in enumerate(crystals):
        others = by_composition[reduced_composition(crystal)]
        if others:
            candidates[row] = Candidates(crystal, tuple(others))
        if among is None:
            others.append(crystal)
    description = "comparing with each other" if among is None else "comparing with training"
    with progress(description) as advance:
        found = find_same(
            candidates,
            SAME,
            num_workers=settings.num_workers,
            timeout=settings.timeout,
            advance=advance,
        )
    alike = np.zeros(len(crystals), dtype=np.bool_)
    alike[list(found)] = True
    return alike
