"""`crystal-gen predict`: a request for each row of a data set, and structures to compare."""

from pathlib import Path

import numpy as np
import pytest
import torch

from crystal_data import Crystal
from crystal_data.__main__ import main as crystal_data
from crystal_data.crystal import lattice_from_parameters
from crystal_data.generation import read_generated
from crystal_data.io.cif import to_cif
from crystal_data.metrics import read_results
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.symmetry import wyckoff_position
from crystal_data.testing import face_centred, perovskite, rock_salt
from crystal_gen import CrystalDiT
from crystal_gen.__main__ import main
from crystal_gen.data_requests import requests_for


@pytest.fixture
def crystals() -> list[Crystal]:
    named = {"salt": rock_salt(), "perovskite": perovskite(), "copper": face_centred()}
    points = np.array([[0.0, 0.0, 0.0], [0.3, 0.45, 0.6], [0.7, 0.2, 0.35]])
    cell = lattice_from_parameters(np.array([4.0, 4.6, 5.1]), np.array([80.0, 95.0, 102.0]))
    named["any"] = Crystal(cell, points, np.array([3, 26, 8]))
    gaps = {"salt": 8.5, "perovskite": float("nan"), "copper": 0.0, "any": 1.0}
    return [
        each.replace(identifier=name, properties={"band_gap": gaps[name]})
        for name, each in named.items()
    ]


def test_a_request_asks_for_what_a_row_is(crystals: list[Crystal]) -> None:
    twice = Crystal(np.eye(3) * 4, np.zeros((2, 3)), np.array([6, 6]), "twice")
    store = CrystalStore.from_crystals([*crystals, twice])
    rows = [2, 0, 1, 3, 4]
    made = requests_for(store, rows, OrbitColumn(), properties=("band_gap", "other"), num_samples=2)
    assert [each.id for each in made] == ["copper", "salt", "perovskite", "any", "twice"]
    assert [each.space_group for each in made] == [225, 225, 221, 1, None]
    assert all(each.num_samples == 2 for each in made)
    for row, request in zip(rows[:4], made, strict=False):
        assert request.formula == crystals[row].formula
        assert request.cell == crystals[row].composition
        assert sum(request.conventional_cell.values()) == sum(
            wyckoff_position(request.space_group, site.letter).multiplicity
            for site in request.wyckoff
        )
    assert [len(each.properties) for each in made] == [1, 1, 0, 1, 0]
    assert made[1].properties["band_gap"].value == 8.5
    assert made[4].cell == {"C": 2}

    dense = requests_for(store, [0, 1, 4], OrbitColumn(uses_symmetry=False))
    assert [each.space_group for each in dense] == [None] * 3
    assert dense[0].cell == {"Na": 1, "Cl": 1}
    assert dense[2].cell == {"C": 2}
    assert not any(each.properties for each in dense)


@pytest.fixture
def folder(tmp_path: Path, crystals: list[Crystal], monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    for name, uses_symmetry in (("model", True), ("dense", False)):
        model = CrystalDiT(
            (), width=16, num_layers=1, pair_width=8, num_heads=2, uses_symmetry=uses_symmetry
        )
        model.save_pretrained(tmp_path / name)
    (tmp_path / "data").mkdir()
    for crystal in crystals:
        path = tmp_path / "data" / f"{crystal.identifier}.cif"
        path.write_text(to_cif(crystal), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rate_of(metric: str) -> float:
    [rate] = [one.value for one in read_results("result.json") if one.metric == metric]
    return rate


@pytest.mark.parametrize("model", ["model", "dense"])
def test_rows_are_made_and_evaluated(folder: Path, capsys, model: str) -> None:
    asked = f"predict data --model {model} --steps 2 --n 2 --out made"
    assert main(asked.split()) == 0
    assert "8 samples of 4 requests: made" in capsys.readouterr().out
    by_request = {each.request for each in read_generated("made")}
    assert by_request == {"salt", "perovskite", "copper", "any"}
    options = "made --reference data --num-workers 0 --k 1 2 --out result.json"
    assert crystal_data(["evaluate", *options.split()]) == 0
    assert rate_of("match_rate@2/none") is not None

    # Again: nothing is made anew, and the files stay.
    before = Path("made", "samples.jsonl").read_bytes()
    assert main(asked.split()) == 0
    assert Path("made", "samples.jsonl").read_bytes() == before


def test_a_copy_of_the_data_matches_all(folder: Path, capsys) -> None:
    asked = "predict data --model model --templates data --start-level 0 --out made"
    assert main(asked.split()) == 0
    options = "made --reference data --num-workers 0 --k 1 --out result.json"
    assert crystal_data(["evaluate", *options.split()]) == 0
    assert rate_of("match_rate@1/none") == 1.0


def test_a_split_that_is_not_there(folder: Path, capsys) -> None:
    assert main("predict data --split val --model model --out made".split()) == 1
    assert "data has no rows of the split 'val'; --split all takes all" in capsys.readouterr().err


def test_a_config_is_not_needed(folder: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main("predict --config crystal-dit-mp20".split())
    assert "give DATA, and the folder of the run with --model" in capsys.readouterr().err
