"""The tables of errors, and the references that every prediction stands beside."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from crystal_data import Crystal, open_store
from crystal_data.errors import InvalidArgumentError
from crystal_data.io.cif import to_cif
from crystal_data.testing import random_crystals, rock_salt
from crystal_data.trajectories import Change, RelaxationSource, changed
from crystal_relax import VolumeScaling, relaxation_errors
from crystal_relax.__main__ import main
from crystal_relax.pairs import pairs_of
from crystal_relax.references import Identity
from crystal_relax.scoring import ALL, BARELY, QUANTITIES


def some_crystals(count: int) -> list[Crystal]:
    return random_crystals(count, seed=7, max_atoms=6)


def test_a_perfect_prediction_has_no_error_whatever_describes_the_end() -> None:
    starts = some_crystals(5)
    rng = np.random.default_rng(0)
    ends = []
    for start in starts:
        moved = rng.normal(scale=0.02, size=(start.num_atoms, 3))
        ends.append(changed(start, Change(np.diag([0.01, 0.0, -0.02]), moved - moved.mean(0))))
    shifted = [
        end.replace(frac_coords=end.frac_coords + rng.integers(-1, 2, end.frac_coords.shape) + 0.3)
        for end in ends
    ]
    for row in relaxation_errors(starts, ends, shifted).rows():
        assert row.rmse.high < 1e-6


def test_errors_of_known_size() -> None:
    start = rock_salt()
    end = start.replace(lattice=start.lattice * 1.1)
    errors = relaxation_errors([start, start], [start, start], [end, end], ["one", "two"])
    length = start.lengths[0]
    row = errors.row("a", "one")
    assert row.num_crystals == 1
    assert row.mae.estimate == pytest.approx(0.1 * length)
    assert row.mse.estimate == pytest.approx((0.1 * length) ** 2)
    assert row.rmse.estimate == pytest.approx(0.1 * length)
    assert errors.row("alpha").mae.estimate == pytest.approx(0.0, abs=1e-9)
    assert errors.row("positions", BARELY).num_crystals == 2
    assert set(errors.parts) == {ALL, "one", "two", BARELY}
    with pytest.raises(InvalidArgumentError, match="no errors of 'volume'"):
        errors.row("volume")


def test_positions_are_pooled_over_atoms_without_drift() -> None:
    """One atom of two moves: each is half of it from the mean, in the cell of the end."""
    start = Crystal(np.diag([4.0, 5.0, 6.0]), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
    end = start.replace(frac_coords=[[0, 0, 0], [0.5, 0.5, 0.6]])
    alone = Crystal(np.eye(3) * 3.0, [[0, 0, 0]], [29])
    errors = relaxation_errors([start, alone], [start, alone], [end, alone])
    row = errors.row("positions")
    assert row.mae.estimate == pytest.approx((0.3 + 0.3 + 0.0) / 3)
    assert row.rmse.estimate == pytest.approx(np.sqrt((0.09 + 0.09) / 3))
    assert row.mae.low <= row.mae.estimate <= row.mae.high
    np.testing.assert_allclose(errors.per_crystal["positions"], [0.3, 0.0], atol=1e-12)


def test_what_does_not_fit() -> None:
    salt, other = rock_salt(), rock_salt(19, 35)
    with pytest.raises(InvalidArgumentError, match="1 starts, 2 predictions"):
        relaxation_errors([salt], [salt, salt], [salt])
    with pytest.raises(InvalidArgumentError, match="other atoms than the start"):
        relaxation_errors([salt], [other], [salt])


def test_volume_scaling_learns_the_size_of_elements() -> None:
    rng = np.random.default_rng(0)
    sizes = {11: 30.0, 19: 60.0, 17: 25.0, 35: 35.0}  # Å³ of an atom
    starts, ends = [], []
    for cation, anion in [(11, 17), (11, 35), (19, 17), (19, 35)] * 5:
        end = rock_salt(cation, anion)
        volume = sizes[cation] + sizes[anion]
        end = end.replace(lattice=end.lattice * (volume / end.volume) ** (1 / 3))
        starts.append(end.replace(lattice=end.lattice * np.exp(rng.normal(scale=0.05))))
        ends.append(end)
    scaling = VolumeScaling.fit(starts[:16], ends[:16])
    errors = relaxation_errors(starts[16:], scaling.relax(starts[16:]), ends[16:])
    nothing = relaxation_errors(starts[16:], Identity().relax(starts[16:]), ends[16:])
    assert errors.row("a").mae.estimate < 0.3 * nothing.row("a").mae.estimate
    [unseen] = scaling.relax([rock_salt(55, 53)])
    assert 50 < unseen.volume < 300  # Å³; two atoms of caesium iodide have 114
    with pytest.raises(InvalidArgumentError, match="pairs to be fitted to"):
        VolumeScaling.fit([], [])


def test_the_penalty_is_that_of_leaving_each_out() -> None:
    """The closed form of the leave-one-out error against fits without each row."""
    from crystal_relax.references import _features, _ridge

    crystals = some_crystals(12)
    features = np.array([_features(one) for one in crystals])
    values = np.random.default_rng(1).normal(size=12)
    _, error = _ridge(features, values, 0.7)
    left_out = []
    for row in range(12):
        others = np.arange(12) != row
        weights, _ = _ridge(features[others], values[others], 0.7)
        left_out.append((values[row] - features[row] @ weights) ** 2)
    assert error == pytest.approx(np.mean(left_out), rel=1e-4)


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(RelaxationSource(folder / "test.parquet"), on_invalid="error")
    pairs = pairs_of(store, range(len(store)))
    (tmp_path / "best").mkdir()
    for end in pairs.ends:
        path = tmp_path / "best" / f"{end.identifier}.cif"
        path.write_text(to_cif(end), encoding="utf-8")
    out = tmp_path / "out.json"
    options = ["--predicted", str(tmp_path / "best"), "--out", str(out)]
    assert main(["evaluate", str(folder), *options]) == 0
    shown = capsys.readouterr().out
    for part in ("identity", "volume scaling", "positions (Å)", "strain (4)", "0.066 0.252 0.502"):
        assert part in shown
    found = json.loads(out.read_text(encoding="utf-8"))["results"]
    best = [one for one in found if one["parameters"]["of"] == str(tmp_path / "best")]
    assert {one["metric"] for one in best} >= {f"mae/{name}/all" for name in QUANTITIES}
    assert max(one["value"] for one in best) < 1e-4
    with out.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    assert main(["evaluate", str(folder / "train.parquet")]) == 1
    assert "no relaxations of the split 'test'" in capsys.readouterr().err
    (tmp_path / "best" / f"{pairs.ends[0].identifier}.cif").unlink()
    assert main(["evaluate", str(folder), *options]) == 1
    assert "1 of 4 starts have no structure" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.skipif("CRYSTAL_DATA_HOME" not in os.environ, reason="needs the public data sets")
def test_references_on_the_chgnet_relaxations() -> None:
    source = RelaxationSource(Path(os.environ["CRYSTAL_DATA_HOME"], "relax_chgnet"))
    store = open_store(source, on_invalid="skip")
    train, test = (pairs_of(store, store.rows_of(name)) for name in ("train", "test"))
    assert (len(train.starts), len(test.starts)) == (342, 52)
    nothing = relaxation_errors(test.starts, test.starts, test.ends, test.origins)
    scaled = VolumeScaling.fit(train.starts, train.ends).relax(test.starts)
    scaling = relaxation_errors(test.starts, scaled, test.ends, test.origins)
    for quantity, expected in [("a", 0.186), ("b", 0.208), ("c", 0.241), ("positions", 0.0815)]:
        assert nothing.row(quantity).mae.estimate == pytest.approx(expected, abs=5e-4)
        if quantity != "positions":
            assert scaling.row(quantity).rmse.estimate < nothing.row(quantity).rmse.estimate
