"""Structures in, relaxed structures out: in Python, by the command, after kills."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crystal_data import Crystal, to_ase
from crystal_data.errors import InvalidArgumentError, InvalidCrystalError
from crystal_data.io import read_crystals, to_cif
from crystal_data.testing import random_crystals, rock_salt
from crystal_relax import GraphRelaxer, Relaxer, TextRelaxer, many
from crystal_relax.__main__ import main
from crystal_relax.many import RelaxedFolderError, RelaxOptions, relax_all


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = GraphRelaxer(width=8, num_layers=1)
    for head in (*model.moves, *model.strains):
        for weight in head.parameters():
            nn.init.normal_(weight, std=0.05)
    training = {"elements": ["Na", "Cl", "Cu"], "max_atoms": 8, "num_crystals": 1, "targets": {}}
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path, metadata={"training": training})
    return path


def copper() -> Crystal:
    sites = np.array([[0.0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Crystal(3.7 * np.eye(3), sites, np.array([29] * 4), "copper")


def test_whatever_a_structure_is_given_as(artifact: Path, tmp_path: Path) -> None:
    relaxer = Relaxer.from_pretrained(artifact)
    salt = rock_salt()
    path = tmp_path / "salt.cif"
    path.write_text(to_cif(salt), encoding="utf-8")
    [expected] = relaxer.relax([salt])
    assert expected.volume != pytest.approx(salt.volume, rel=1e-4)
    for given in (salt, to_ase(salt), path, str(tmp_path)):
        [found] = relaxer.relax(given)
        assert found.species == salt.species
        np.testing.assert_allclose(found.lengths, expected.lengths, atol=1e-4)
    (tmp_path / "bad.cif").write_text("nothing", encoding="utf-8")
    with pytest.raises(InvalidCrystalError, match=r"bad\.cif"):
        relaxer.relax(tmp_path)
    with pytest.raises(InvalidArgumentError, match="batch_size is 0"):
        Relaxer.from_pretrained(artifact, batch_size=0)


def test_the_same_alone_and_beside_others_and_what_was_never_seen(artifact: Path) -> None:
    relaxer = Relaxer.from_pretrained(artifact, batch_size=2)
    starts = [copper(), *random_crystals(2, seed=1, max_atoms=4), rock_salt()]
    found = relaxer.predict(starts)
    for start, one in zip(starts, found, strict=True):
        [alone] = relaxer.predict([start])
        np.testing.assert_allclose(one.crystal.lattice, alone.crystal.lattice, atol=1e-5)
        np.testing.assert_allclose(one.crystal.frac_coords, alone.crystal.frac_coords, atol=1e-5)
        assert one.crystal.identifier == start.identifier
        assert bool(one.note) == (not set(start.species) <= {"Na", "Cl", "Cu"})


def test_a_folder_goes_on_after_a_kill(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = [*random_crystals(5, seed=1, max_atoms=4), copper()]
    starts = [one.replace(identifier=f"s{place}") for place, one in enumerate(starts)]
    options = RelaxOptions(str(artifact), batch_size=2)
    relax_all(starts, tmp_path / "whole", options)
    real, calls = many._rows_of, []

    def dies(block: object) -> object:
        calls.append(block)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(block)  # type: ignore[arg-type]

    monkeypatch.setattr(many, "_rows_of", dies)
    with pytest.raises(KeyboardInterrupt):
        relax_all(starts, tmp_path / "cut", options)
    relax_all(starts, tmp_path / "cut", options)
    assert len(calls) == 4
    for name in ("relaxed.csv", "structures.extxyz", "summary.csv"):
        whole, cut = (tmp_path / folder / name for folder in ("whole", "cut"))
        assert cut.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "cut" / "shards").exists()
    with pytest.raises(RelaxedFolderError, match="has other structures"):
        relax_all(starts[:2], tmp_path / "cut", options)
    with pytest.raises(InvalidArgumentError, match="no structures"):
        relax_all([], tmp_path / "none", options)


def test_samples_say_how_far_they_lie_apart(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = TextRelaxer(width=8, num_layers=1, num_heads=1, feedforward=8, decimals=1)
    model.save_pretrained(tmp_path / "model", metadata={"training": {}})
    starts = random_crystals(4, 0)[1::2]  # without symmetry, which samples would keep
    relaxer = Relaxer.from_pretrained(tmp_path / "model", num_samples=32)
    both = relaxer.predict(starts)
    [alone] = relaxer.predict(starts[1:])
    assert alone.spread == pytest.approx(both[1].spread)
    assert all(one.spread > 0 for one in both)
    # The prediction is the likeliest text, whatever is drawn.
    [plain] = Relaxer.from_pretrained(tmp_path / "model").predict(starts[1:])
    np.testing.assert_array_equal(plain.crystal.lattice, alone.crystal.lattice)
    assert np.isnan(plain.spread)
    path = tmp_path / "start.cif"
    path.write_text(to_cif(starts[1]), encoding="utf-8")
    out = ["--out", str(tmp_path / "out"), "--samples", "32"]
    assert main(["relax", str(path), "--model", str(tmp_path / "model"), *out]) == 0
    with (tmp_path / "out" / "relaxed.csv").open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert float(row["spread"]) == pytest.approx(alone.spread, rel=0.01)
    assert float(row["volume_spread"]) > 0
    capsys.readouterr()
    out[1] = str(tmp_path / "refused")
    assert main(["relax", str(path), "--model", str(artifact), *out]) == 1
    assert not Path(out[1]).exists()
    assert "samples are drawn from models that write text" in capsys.readouterr().err
    with pytest.raises(InvalidArgumentError, match="num_samples is 0"):
        Relaxer.from_pretrained(tmp_path / "model", num_samples=0)


def test_the_command(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for crystal in (copper(), rock_salt().replace(identifier="salt")):
        path = tmp_path / "in" / f"{crystal.identifier}.cif"
        path.write_text(to_cif(crystal), encoding="utf-8")
    (tmp_path / "in" / "bad.cif").write_text("nothing", encoding="utf-8")
    out = tmp_path / "out"
    options = ["--model", str(artifact), "--out", str(out), "--refine", "emt"]
    assert main(["relax", str(tmp_path / "in"), *options]) == 0
    shown = capsys.readouterr().out
    assert "2 structures in" in shown
    assert "1 with a note; 1 left out (rejected.csv)" in shown
    with (out / "relaxed.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows["copper"]["converged"] == "true"
    assert float(rows["copper"]["energy_after"]) <= float(rows["copper"]["energy_before"])
    assert "emt does not know Cl Na" in rows["salt"]["note"]
    relaxed = {one.identifier: one for one in read_crystals(out / "structures.extxyz").crystals}
    assert relaxed["copper"].lengths[0] == pytest.approx(3.59, abs=0.05)
    assert main(["relax", str(tmp_path / "in" / "bad.cif"), *options]) == 1
    assert "none of the structures can be used" in capsys.readouterr().err
    assert main(["relax", str(tmp_path), "--model", "nowhere", "--out", "x"]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
