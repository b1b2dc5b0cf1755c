"""The model that comes with the package."""

import numpy as np
import pytest

from crystal_data.testing import rock_salt
from crystal_data.testing.moves import rotate
from crystal_relax import Relaxer
from crystal_relax.__main__ import main
from crystal_relax.shipped import SHIPPED


def test_a_cell_that_was_made_too_large_shrinks() -> None:
    relaxer = Relaxer.from_pretrained("graph")
    salt = rock_salt()
    large = salt.replace(lattice=salt.lattice * 1.06)
    [found] = relaxer.predict([large])
    assert found.note == ""
    assert found.crystal.volume < 0.95 * large.volume
    [turned] = relaxer.predict([rotate(large, np.random.default_rng(0))])
    assert turned.crystal.volume == pytest.approx(found.crystal.volume, rel=1e-4)


def test_size_and_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert (SHIPPED.artifacts()["graph"] / "model.safetensors").stat().st_size < 5_000_000
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "graph" in shown
    assert "GraphRelaxer" in shown
