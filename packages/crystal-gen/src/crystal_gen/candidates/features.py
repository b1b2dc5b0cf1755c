"""What a ranker reads of each candidate of a pool."""

from collections import Counter
from math import exp, gcd, log

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import ELECTRONEGATIVITY, SYMBOLS
from crystal_data.store import WYCKOFF_LETTERS
from crystal_data.symmetry import SymmetricCrystal
from crystal_gen.candidates.pool import Pool
from crystal_gen.candidates.sources import CopySource
from crystal_gen.templates.mendeleev import MENDELEEV_NUMBERS
from crystal_gen.templates.search import NOTHING, Exclusion, prototype_name
from crystal_gen.wyckoff.assignment import WyckoffAssignment

Array = NDArray[np.float64]

_DECAYS = (1.0, 3.0, 8.0)  # of Mendeleev distance, over which a copy's vote falls
_LEAST_LOG = -12.0  # of an answer that the symmetry model has not given
_KERNEL = 40.0  # votes fall to 1/e where fingerprints have the product 1 - 1/40

#: In the order of the columns.
FEATURES = (
    "is a copy",
    "is a warm start",
    "is from noise",
    "distance",
    "distance over the nearest",
    "nearest distance",
    "largest step",
    "electronegativity, mean change",
    "electronegativity, largest change",
    "share of atoms exchanged",
    "volume of elements, mean change",
    "volume over the expected",
    "volume, misfit",
    "contact",
    *(f"copies alike, decay {decay:g}" for decay in _DECAYS),
    "copies merged",
    "prototype known",
    "prototype's share of the formula",
    "formula known",
    "elements",
    "atoms",
    "space group",
    "free coordinates",
    "place among the copies",
    "own elements",
    "models are there",
    "answer's log probability",
    "answer under the best",
    "model's score",
    "score under the best",
    "made alike",
    "made merged",
)


class CandidateFeatures:
    """Makes features; what known crystals say is read from the library once.

    Args:
        copies: The library.
    """

    def __init__(self, copies: CopySource) -> None:
        search = copies.search
        self._search = search
        self._log_volumes = np.nan_to_num(
            copies.volumes.log_volumes, nan=float(np.nanmean(copies.volumes.log_volumes))
        )
        names = [search.prototype(row) for row in range(len(copies.library))]
        self._prototypes = Counter(name for name in names if name)
        self._formulas = Counter(name.partition(":")[0] for name in names if name)
        known = np.array([np.inf, *(ELECTRONEGATIVITY[symbol] for symbol in SYMBOLS[1:])])
        # Some elements have no value; in the table it is infinite.
        mean = known[np.isfinite(known)].mean()
        self._negativity = np.where(np.isfinite(known), known, mean)

    def __call__(self, pool: Pool, exclude: Exclusion = NOTHING) -> Array:
        """Features of the candidates of a pool; ``[num_candidates, num_features]``.

        Args:
            pool: The candidates.
            exclude: Templates that were not used, so that their prototypes do not count.
        """
        if not pool.candidates:
            return np.empty((0, len(FEATURES)))
        counts = self._counts(pool, exclude)
        columns = (*self._of_copies(pool), *self._of_crystals(pool, counts), *_of_models(pool))
        return np.nan_to_num(np.stack(columns, axis=1), nan=0.0, posinf=10.0, neginf=-10.0)

    def _of_copies(self, pool: Pool) -> list[Array]:
        origins = np.array([each.origin for each in pool.candidates])
        distances = np.array(
            [np.nan if x.template is None else x.template.distance for x in pool.candidates]
        )
        nearest = np.nanmin(distances) if np.isfinite(distances).any() else np.nan
        changes = np.array([self._changes(pool, place) for place in range(len(origins))])
        return [
            *((origins == name).astype(float) for name in ("template", "warm start", "noise")),
            distances,
            distances - nearest,
            np.full(len(origins), nearest),
            *changes.T,
        ]

    def _changes(self, pool: Pool, place: int) -> list[float]:
        """How unlike the elements are that take each other's place."""
        template, crystal = pool.candidates[place].template, pool.candidates[place].crystal
        if template is None:
            return [0.0] * 5
        weights = _weights(crystal)
        after = crystal.atomic_numbers
        back = {new: old for old, new in template.elements.items()}
        before = np.array([back[number] for number in after.tolist()])
        steps = np.abs(MENDELEEV_NUMBERS[after] - MENDELEEV_NUMBERS[before])
        negativity = np.abs(self._negativity[after] - self._negativity[before])
        volumes = np.abs(self._log_volumes[after] - self._log_volumes[before])
        return [
            float(steps.max()),
            float(weights @ negativity),
            float(negativity.max()),
            float(weights @ (after != before)),
            float(weights @ volumes),
        ]

    def _of_crystals(self, pool: Pool, counts: list[tuple[int, int]]) -> list[Array]:
        candidates = pool.candidates
        logs = np.array([self._volume(each.crystal) for each in candidates])
        firsts = np.unique(pool.representative, return_index=True)[1]
        vectors = np.array([each.vector for each in pool.fingerprints])
        alike = np.exp(-_KERNEL * (1.0 - vectors[firsts] @ vectors.T))
        own, same = np.array(counts, dtype=np.float64).T
        is_copy = np.array([each.origin == "template" for each in candidates])
        return [
            logs,
            np.abs(logs),
            np.array([min(pool.fingerprints[first].contact, 3.0) for first in firsts]),
            *self._votes(pool, alike),
            np.log1p([each.num_templates for each in candidates]),
            np.log1p(own),
            np.log((1.0 + own) / (1.0 + same)),
            np.log1p(same),
            np.array([len(set(each.crystal.atomic_numbers.tolist())) for each in candidates]),
            np.log([sum(each.crystal.multiplicity) for each in candidates]),
            np.log([each.crystal.space_group_number for each in candidates]),
            np.log1p([sum(p.num_free for p in each.crystal.positions) for each in candidates]),
            np.where(is_copy, np.cumsum(is_copy) / 20.0, 1.0),
            np.array(
                [float(x.template is not None and x.template.distance == 0) for x in candidates]
            ),
        ]

    def _votes(self, pool: Pool, alike: Array) -> list[Array]:
        """How much of the weight of all copies is on crystals like each candidate."""
        distances = np.array(
            [
                each.template.distance if each.template and each.origin == "template" else np.inf
                for each in pool.made
            ]
        )
        if not np.isfinite(distances).any():
            return [np.zeros(len(alike)) for _ in _DECAYS]
        votes = [np.exp(-(distances - distances.min()) / decay) for decay in _DECAYS]
        return [alike @ vote / vote.sum() for vote in votes]

    def _volume(self, crystal: SymmetricCrystal) -> float:
        """Ln of the volume by what the elements take."""
        atoms = crystal.to_crystal()
        expected = self._log_volumes[atoms.atomic_numbers].mean()
        return log(atoms.volume / atoms.num_atoms) - float(expected)

    def _counts(self, pool: Pool, exclude: Exclusion) -> list[tuple[int, int]]:
        """Known crystals of each candidate's prototype, and of its anonymous formula."""
        left_out = Counter(
            self._search.prototype(row)
            for name in exclude.ids
            for row in self._search.rows_of_identifier(name)
        )
        formulas = Counter(name.partition(":")[0] for name in left_out.elements())
        counts = []
        for each in pool.candidates:
            name = _prototype(each.crystal)
            formula = name.partition(":")[0]
            own = self._prototypes[name] - left_out[name]
            counts.append((own, self._formulas[formula] - formulas[formula]))
        return counts


def _of_models(pool: Pool) -> list[Array]:
    """Of pools without models all of these are 0, as the first of them says."""
    candidates = pool.candidates
    if not np.isfinite(pool.scores).any():
        return [np.zeros(len(candidates)) for _ in range(7)]
    answers = {each.assignment: each.score for each in pool.answers}
    found = [_answer_of(each.crystal, answers) for each in candidates]
    logs = np.maximum(np.array(found), _LEAST_LOG)
    best = max((each.score for each in pool.answers), default=0.0)
    firsts = np.unique(pool.representative, return_index=True)[1]
    vectors = np.array([each.vector for each in pool.fingerprints])
    alike = np.exp(-_KERNEL * (1.0 - vectors[firsts] @ vectors.T))
    # The probability of an answer is divided among the crystals that were made for it.
    repeats = Counter(each.assignment for each in pool.made if each.origin == "noise")
    votes = np.array(
        [
            exp(min(each.log_probability, 0.0)) / repeats[each.assignment]
            if each.origin == "noise"
            else 0.0
            for each in pool.made
        ]
    )
    return [
        np.ones(len(candidates)),
        logs,
        logs - max(best, _LEAST_LOG),
        np.maximum(pool.scores, -5.0),
        np.maximum(pool.scores - np.nanmax(pool.scores), -5.0),
        alike @ votes,
        np.log1p([each.num_made for each in candidates]),
    ]


def _answer_of(crystal: SymmetricCrystal, answers: dict[WyckoffAssignment, float]) -> float:
    """The log probability of the answer that a crystal has; less than any where there is none."""
    orbits = zip(
        crystal.atomic_numbers.tolist(),
        [WYCKOFF_LETTERS.index(letter) for letter in crystal.wyckoff_letters],
        strict=True,
    )
    own = WyckoffAssignment.from_orbits(crystal.space_group_number, list(orbits))
    if own in answers:
        return answers[own]
    return answers.get(own.canonical(), -np.inf)


def _weights(crystal: SymmetricCrystal) -> Array:
    """Share of all atoms of each orbit."""
    sizes = np.array(crystal.multiplicity, dtype=np.float64)
    weights: Array = sizes / sizes.sum()
    return weights


def _prototype(crystal: SymmetricCrystal) -> str:
    """As the templates' are named."""
    letters: dict[int, str] = {}
    atoms = Counter[int]()
    orbits = zip(
        crystal.atomic_numbers.tolist(), crystal.wyckoff_letters, crystal.multiplicity, strict=True
    )
    for number, letter, size in orbits:
        letters[number] = "".join(sorted(letters.get(number, "") + letter))
        atoms[number] += int(size)
    units = gcd(*atoms.values())
    counts = tuple(sorted(count // units for count in atoms.values()))
    return prototype_name(counts, crystal.space_group_number, tuple(letters.values()))
