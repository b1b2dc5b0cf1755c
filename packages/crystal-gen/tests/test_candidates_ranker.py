"""A ranker learns what matches, and its probabilities are frequencies."""

import numpy as np
import pytest
import torch

from crystal_gen import CandidateRanker
from crystal_gen.candidates.features import FEATURES
from crystal_gen.candidates.ranker import (
    calibrate,
    calibration_error,
    count_energies,
    fit_ranker,
)

Pools = list[tuple[np.ndarray, np.ndarray]]


def pools(count: int, seed: int) -> Pools:
    """Candidates that match the more probably the larger their first feature is."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        features = rng.normal(size=(int(rng.integers(1, 12)), len(FEATURES)))
        chances = 1 / (1 + np.exp(-2 * features[:, 0]))
        made.append((features, rng.random(len(chances)) < chances))
    return made


@pytest.fixture(scope="module")
def ranker() -> CandidateRanker:
    training = pools(300, 0)
    ranker = CandidateRanker(num_members=2)
    fit_ranker(ranker, [x for x, _ in training], [y for _, y in training], num_epochs=30)
    other = pools(300, 1)
    calibrate(ranker, np.concatenate([x for x, _ in other]), np.concatenate([y for _, y in other]))
    return ranker


def test_candidates_that_match_come_first(ranker: CandidateRanker) -> None:
    found = [(ranker.probabilities(x), x[:, 0]) for x, _ in pools(50, 2)]
    chances = np.concatenate([each for each, _ in found])
    first = np.concatenate([each for _, each in found])
    assert np.corrcoef(np.argsort(np.argsort(chances)), np.argsort(np.argsort(first)))[0, 1] > 0.7


def test_probabilities_are_frequencies(ranker: CandidateRanker) -> None:
    held_out = pools(400, 3)
    chances = ranker.probabilities(np.concatenate([x for x, _ in held_out]))
    matches = np.concatenate([y for _, y in held_out])
    assert calibration_error(chances, matches) < 0.06
    # One that says the contrary is not calibrated.
    assert calibration_error(1 - chances, matches) > 0.2


def test_the_error_of_calibration_is_that_of_its_definition() -> None:
    chances = np.array([0.05, 0.05, 0.95, 0.95])
    matches = np.array([False, True, True, True])
    assert calibration_error(chances, matches) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)


def test_it_is_fitted_the_same_again_and_leaves_random_numbers_alone() -> None:
    training = pools(20, 0)
    rankers = []
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for _ in range(2):
        one = CandidateRanker(width=8, num_members=1)
        torch.set_rng_state(before)
        fit_ranker(one, [x for x, _ in training], [y for _, y in training], num_epochs=2)
        assert torch.equal(torch.get_rng_state(), before)
        rankers.append(one)
    assert rankers[0].fingerprint() == rankers[1].fingerprint()


def test_it_is_saved_and_read(ranker: CandidateRanker, tmp_path) -> None:
    again = CandidateRanker.from_pretrained(ranker.save_pretrained(tmp_path / "ranker"))
    features = pools(1, 4)[0][0]
    np.testing.assert_array_equal(again.probabilities(features), ranker.probabilities(features))
    assert again.fingerprint() == ranker.fingerprint()


def test_energies_count_as_much_as_they_say(ranker: CandidateRanker, tmp_path) -> None:
    """Candidates match by their feature, and the less the larger their penalty is."""
    rng = np.random.default_rng(5)
    features, penalties, matches = [], [], []
    for own, _ in pools(600, 6):
        penalty = rng.random(len(own))
        chances = 1 / (1 + np.exp(-2 * own[:, 0] + 4 * penalty))
        features.append(own)
        penalties.append(penalty)
        matches.append(rng.random(len(own)) < chances)
    known, new = slice(0, 300), slice(300, 600)
    again = CandidateRanker.from_pretrained(ranker.save_pretrained(tmp_path / "ranker"))
    count_energies(again, features[known], penalties[known], matches[known])
    held_out = np.concatenate(matches[new])

    def chances_of(uses: bool) -> np.ndarray:
        parts = zip(features[new], penalties[new], strict=True)
        return np.concatenate([again.probabilities(x, p if uses else None) for x, p in parts])

    assert calibration_error(chances_of(True), held_out) < 0.06
    assert calibration_error(chances_of(False), held_out) > 0.15
    assert float(again.energy_weights[2]) == pytest.approx(4.0, rel=0.3)
    # Without energies it says what it said.
    plain = [ranker.probabilities(x) for x in features[new]]
    np.testing.assert_array_equal(np.concatenate(plain), chances_of(False))
