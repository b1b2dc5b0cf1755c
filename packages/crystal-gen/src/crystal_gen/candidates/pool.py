"""The pool of a request: candidates of all sources, those that are alike merged into one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.generation import GenerationRequest
from crystal_data.metrics import match
from crystal_data.symmetry import niggli_cell
from crystal_gen.candidates.candidate import PoolCandidate
from crystal_gen.candidates.fingerprint import Fingerprint, fingerprint
from crystal_gen.candidates.sources import CopySource, ModelSource, PoolSizes, answers_for
from crystal_gen.templates.copying import reduced_to_primitive
from crystal_gen.templates.search import NOTHING, Exclusion
from crystal_gen.wyckoff.proposals import Proposal, SymmetryProposer

Array = NDArray[np.float64]

# Closer than the matcher's usual tolerances, so that what is merged cannot be told apart by them.
_ALIKE = {"stol": 0.15, "angle_tol": 5.0, "ltol": 0.15}
_NEAR = 0.9  # product of fingerprints from which crystals are compared
_MOST_COMPARED = 2  # earlier candidates, the nearest by fingerprint


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of a request.

    Args:
        request: What is asked.
        candidates: No two of them alike; copies by distance, then warm starts, then those from
            noise.
        made: All that were made, before they were merged.
        fingerprints: Of what was made.
        representative: Place of the candidate that each that was made has been merged into.
        scores: Of the structure model, for each candidate; NaN without one; ``[num_candidates]``.
        answers: Of the symmetry model.
    """

    request: GenerationRequest
    candidates: Sequence[PoolCandidate]
    made: Sequence[PoolCandidate]
    fingerprints: Sequence[Fingerprint]
    representative: NDArray[np.int64]
    scores: Array
    answers: Sequence[Proposal]


class PoolMaker:
    """Makes the pool of a request; it depends on the request alone.

    Args:
        copies: Templates.
        proposer: Of space groups and Wyckoff positions; None for a pool of copies alone.
        model: That makes crystals; None for a pool of copies alone.
        sizes: How many candidates are looked at.
    """

    def __init__(
        self,
        copies: CopySource,
        proposer: SymmetryProposer | None = None,
        model: ModelSource | None = None,
        sizes: PoolSizes = PoolSizes(),  # noqa: B008 - frozen
    ) -> None:
        self.copies = copies
        self.proposer = proposer
        self.model = model
        self.sizes = sizes
        known = np.exp(copies.volumes.log_volumes / 3)
        #: Of spheres that fill the volume that elements take, Å; ``[119]``.
        self.radii = (3 / (4 * np.pi)) ** (1 / 3) * np.nan_to_num(
            known, nan=float(np.nanmean(known))
        )

    def pool(
        self,
        request: GenerationRequest,
        z_values: Sequence[int] | None = None,
        exclude: Exclusion = NOTHING,
    ) -> Pool:
        """The pool of one request.

        Args:
            request: With a formula.
            z_values: Formula units of the primitive cell, where the request leaves them open.
            exclude: Templates that are not used.
        """
        sizes = self.sizes
        made = self.copies.candidates(request, sizes.templates, z_values, exclude)
        answers: list[Proposal] = []
        if self.model is not None and self.proposer is not None:
            answers = answers_for(self.proposer, request, sizes.answers, z_values)
            made = made + self.model.warm_starts(request, made, sizes.warm_starts)
            made += self.model.from_noise(request, answers, sizes.from_noise)
        prints = [fingerprint(each.crystal, self.radii) for each in made]
        representative = _merged([primitive(each) for each in made], prints)
        firsts = np.unique(representative)
        candidates = [
            replace(
                made[first],
                num_templates=sum(made[x].num_templates for x in own),
                num_made=sum(made[x].num_made for x in own),
            )
            for first in firsts.tolist()
            for own in [np.flatnonzero(representative == first).tolist()]
        ]
        scores = np.full(len(candidates), np.nan)
        if self.model is not None and candidates:
            scores[:] = self.model.scores(request, [each.crystal for each in candidates])
        return Pool(
            request,
            candidates,
            made,
            prints,
            np.searchsorted(firsts, representative),
            scores,
            answers,
        )


def primitive(candidate: PoolCandidate) -> Crystal:
    """The reduced primitive cell of a candidate."""
    return niggli_cell(reduced_to_primitive(candidate.crystal))


def _merged(crystals: Sequence[Crystal], prints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """Place of the first crystal that each is like, itself if there is none."""
    representative = np.arange(len(crystals))
    if not crystals:
        return representative
    vectors = np.array([each.vector for each in prints])
    near = vectors @ vectors.T
    firsts: list[int] = []
    for place, crystal in enumerate(crystals):
        nearest = sorted(firsts, key=lambda first: -near[place, first])[:_MOST_COMPARED]
        alike = (
            first
            for first in nearest
            if near[place, first] >= _NEAR and _is_alike(crystal, crystals[first])
        )
        representative[place] = next(alike, place)
        if representative[place] == place:
            firsts.append(place)
    return representative


def _is_alike(one: Crystal, other: Crystal) -> bool:
    try:
        return match(one, other, **_ALIKE) is not None
    except ValueError:  # a cell so odd that pymatgen cannot reduce it
        return False
