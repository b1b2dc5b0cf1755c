"""Matching against a plain StructureMatcher loop, time-outs, and the published filters."""

import sys
import time

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.core.structure_matcher import StructureMatcher

from crystal_data.crystal import Crystal
from crystal_data.metrics import (
    MatchSettings,
    Outcome,
    match,
    match_pairs,
    match_rate,
    match_rate_at_k,
    metre,
)
from crystal_data.metrics.pool import Failure, map_with_timeout

SERIAL = MatchSettings(num_workers=0)


def salt(name="salt", length=5.6, numbers=(11, 17)):
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    lattice = length / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal(lattice, coords, np.array(numbers), name)


def chloride(name="chloride", length=3.6):
    """The other polymorph: the same composition in the CsCl structure."""
    coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal(np.eye(3) * length, coords, np.array([11, 17]), name)


def random_pairs(count):
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        num_atoms = int(rng.integers(2, 7))
        true = Crystal(
            np.eye(3) * 5 + rng.normal(size=(3, 3)) * 0.5,
            rng.uniform(size=(num_atoms, 3)),
            rng.choice([8, 22], size=num_atoms),
            f"pair-{index}",
        )
        noise = (0.0, 0.02, 0.1, 0.4)[index % 4]
        pred = true.replace(
            lattice=true.lattice * (1 + noise / 3),
            frac_coords=true.frac_coords + rng.normal(size=(num_atoms, 3)) * noise,
        )
        pairs.append((pred, true))
    return pairs


def plain_loop(pairs, **tolerances):
    matcher = StructureMatcher(**tolerances)
    results = []
    for pair in pairs:
        pred, true = (Structure(c.lattice, c.species, c.frac_coords) for c in pair)
        found = matcher.get_rms_dist(pred, true)
        results.append(np.nan if found is None else found[0])
    return results


def test_parallel_is_identical_to_a_serial_matcher_loop():
    pairs = random_pairs(40)
    # Other formulas, and twice the same cell, which is the same formula.
    pairs.append((salt(numbers=(11, 9)), salt()))
    double = np.array([[0, 0, 0], [0.5, 0, 0], [0.25, 0.5, 0.5], [0.75, 0.5, 0.5]])
    pairs.append((Crystal(np.diag([7.2, 3.6, 3.6]), double, [11, 11, 17, 17]), chloride()))
    expected = plain_loop(pairs, stol=0.5, angle_tol=10, ltol=0.3)
    found = match_pairs(pairs, MatchSettings(num_workers=2))
    assert np.array_equal([each.rms for each in found], expected, equal_nan=True)
    assert np.isfinite(expected[-1])
    assert 10 < np.isfinite(expected).sum() < 42, expected
    done = []
    serial = match_pairs(pairs, SERIAL, done.append)
    assert sum(done) == len(pairs)
    assert np.array_equal([each.rms for each in serial], expected, equal_nan=True)


def test_tolerances_reach_the_matcher():
    pairs = random_pairs(12)
    expected = plain_loop(pairs, stol=0.1, angle_tol=5, ltol=0.05)
    found = match_pairs(pairs, MatchSettings(stol=0.1, angle_tol=5, ltol=0.05, num_workers=0))
    assert np.array_equal([each.rms for each in found], expected, equal_nan=True)
    assert match(*pairs[3], stol=0.01) is None


def test_hung_dead_and_failing_calls_do_not_hold_up_the_rest():
    # Workers import what they run, and cannot import this file: eval stands for a comparison.
    calls = [(f"{index}**2",) for index in range(20)]
    calls[3] = calls[19] = ("__import__('time').sleep(600)",)
    calls[4] = ("__import__('os')._exit(3)",)
    calls[5] = ("1 / 0",)
    start = time.monotonic()
    results = map_with_timeout(eval, calls, timeout=1.0, num_workers=2)
    assert time.monotonic() - start < 100
    fine = [index for index in range(20) if index not in (3, 4, 5, 19)]
    assert [results[index] for index in fine] == [index**2 for index in fine]
    assert results[3].timed_out
    assert results[19].timed_out
    assert results[4] == Failure("the process ended with exit code 3")
    assert results[5] == Failure("ZeroDivisionError: division by zero")


def test_a_process_that_cannot_start_is_an_error():
    with pytest.raises(RuntimeError, match="a worker process could not start"):
        map_with_timeout(eval, [("1",)], timeout=1.0, prepare=sys.exit)


def test_a_timeout_is_a_miss_and_is_counted(monkeypatch):
    late = Failure("took longer than the time-out", timed_out=True)

    def fake(function, arguments, on_done=None, **_):
        if on_done is not None:
            return [late]  # all pairs at once: then each is compared alone
        return [late, Failure("ValueError: odd"), *[function(*each) for each in arguments[2:]]]

    monkeypatch.setattr("crystal_data.metrics.matching.map_with_timeout", fake)
    references = [salt("a"), salt("b"), salt("c"), salt("d")]
    evaluation = match_rate([*references[:3], None], references)
    assert evaluation.value("match_rate/none") == 0.25
    assert evaluation.per_structure["outcome"] == ["timeout", "error", "match", "no_prediction"]
    parameters = evaluation.results[0].parameters
    counts = {kind: parameters[f"num_{kind.value}"] for kind in Outcome}
    assert counts == {
        Outcome.MATCH: 1,
        Outcome.MISS: 0,
        Outcome.NO_PREDICTION: 1,
        Outcome.INVALID: 0,
        Outcome.TIMEOUT: 1,
        Outcome.ERROR: 1,
    }


def test_filters_differ_in_who_may_match():
    helium = salt("helium", numbers=(11, 2))  # its composition is not valid, as truth or guess
    close = np.array([[0, 0, 0], [0.02, 0.02, 0.02]])
    squeezed = salt("squeezed").replace(frac_coords=close)
    references = [salt("a"), helium, squeezed]
    predictions = [salt("a"), helium, salt("b")]
    plain = match_rate(predictions, references, settings=SERIAL)
    assert plain.value("match_rate/none") == 1
    assert plain.value("rmse/none") == np.mean(plain.per_structure["rms"])
    both = match_rate(predictions, references, filter_by="both", settings=SERIAL)
    assert both.value("match_rate/both") == pytest.approx(1 / 3)
    assert both.per_structure["outcome"] == ["match", "invalid", "invalid"]
    only = match_rate(predictions, references, filter_by="prediction", settings=SERIAL)
    assert only.value("match_rate/prediction") == pytest.approx(2 / 3)
    assert only.per_structure["outcome"] == ["match", "invalid", "match"]
    assert only.results[0].parameters["oxidation_states"] == "smact14"
    assert only.results[0].parameters["min_distance"] == 0.5
    assert "oxidation_states" not in plain.results[0].parameters


def test_best_of_k_takes_the_smallest_displacement():
    reference = salt("a")
    coords = reference.frac_coords
    near = reference.replace(frac_coords=coords + np.array([[0, 0, 0], [0.01, 0, 0]]))
    far = reference.replace(frac_coords=coords + np.array([[0, 0, 0], [0.05, 0.02, 0]]))
    expected = match(near, reference)
    assert 0 < expected < match(far, reference)
    evaluation = match_rate_at_k(
        [[far, near, None], [chloride(), None, None]],
        [reference, salt("b")],
        settings=SERIAL,
        seed=7,
    )
    assert evaluation.value("match_rate@3/none") == 0.5
    assert evaluation.value("rmse@3/none") == expected
    assert evaluation.per_structure["outcome"] == ["match+no_prediction", "miss+no_prediction"]
    assert evaluation.results[0].seed == 7
    assert evaluation.results[0].num_samples == 2


def test_metre_looks_through_all_predictions():
    # One to one nothing matches; METRe finds both polymorphs, and the third has none.
    references = [salt("a"), chloride("b"), salt("c", numbers=(19, 35))]
    predictions = [chloride("x"), salt("y"), None, salt("z", length=5.7)]
    one_to_one = match_rate(predictions[:3], references, settings=SERIAL)
    assert one_to_one.value("match_rate/none") == 0
    assert np.isnan(one_to_one.value("rmse/none"))
    evaluation = metre(predictions, references, settings=SERIAL)
    assert evaluation.value("metre") == pytest.approx(2 / 3)
    assert evaluation.value("rmse/metre") == pytest.approx(0, abs=1e-12)
    assert evaluation.value("crmse") == pytest.approx(0.5 / 3)
    assert evaluation.per_structure["matched"] == [True, True, False]
    assert evaluation.per_structure["prediction"][1:] == [0, -1]


def test_crmse_of_nothing_matched_is_the_tolerance():
    settings = MatchSettings(stol=0.3, num_workers=0)
    evaluation = metre([chloride()], [salt("a"), salt("b")], settings=settings)
    assert evaluation.value("crmse") == pytest.approx(0.3)
    assert evaluation.value("metre") == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        match_rate([salt()], [salt(), salt()])
    with pytest.raises(ValueError, match="same number of predictions"):
        match_rate_at_k([[salt()], [salt(), None]], [salt(), salt()])
    with pytest.raises(ValueError, match="at least one reference"):
        metre([salt()], [])
    with pytest.raises(ValueError, match="timeout is 0 s"):
        match_pairs([(salt(), salt())], MatchSettings(timeout=0))
